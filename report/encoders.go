package report

import (
	"fmt"
	"strings"

	"github.com/medprobe/medprobe/evaluate"
)

// encoderHeader heads the rows of encoderRows, under the encoder's name.
var encoderHeader = []string{"finding", "method", "AUC", "difference", "p", "p adjusted"}

// severalEncoders says whether there are any to compare.
func severalEncoders(r *evaluate.Report) bool {
	return r.Encoders != nil && len(r.Encoders.Encoders) > 1
}

// encoderSentences says of each other encoder what it does to the head that the
// report is about, in one sentence each.
func encoderSentences(r *evaluate.Report) (sentences []string) {
	if !severalEncoders(r) {
		return nil
	}
	first := r.Encoders.Encoders[0].Label
	for _, e := range r.Encoders.Encoders[1:] {
		method := headOf(r, e.Label)
		if method == "" {
			sentences = append(sentences, fmt.Sprintf("No head can be compared between %s and %s.", e.Label, first))
			continue
		}
		text := "The " + encoderVerdict(r, method, e.Label).betweenEncoders(e.Label, first)
		for _, m := range r.Encoders.Means {
			if d := m.Difference; d != nil && m.Encoder == e.Label && m.Method == method {
				text += fmt.Sprintf(" The mean AUC differs by %s (%s).", signed(d.Difference.Point), signedInterval(d.Difference))
			}
		}
		sentences = append(sentences, text)
	}
	return sentences
}

// headOf is the first head, or else the first method, that was compared on the
// encoder.
func headOf(r *evaluate.Report, label string) string {
	method := ""
	for _, c := range r.Encoders.Comparisons {
		if c.Encoder != label || c.Difference == nil {
			continue
		}
		if c.Method != "zero-shot" && c.Method != "classifier" {
			return c.Method
		}
		if method == "" {
			method = c.Method
		}
	}
	return method
}

func encoderVerdict(r *evaluate.Report, method, label string) verdicts {
	v := verdicts{method: method}
	for _, c := range r.Encoders.Comparisons {
		if c.Encoder != label || c.Method != method {
			continue
		}
		if c.Difference == nil {
			v.notEstimable++
			continue
		}
		v.comparisons++
		switch d := c.Difference; {
		case differs(d.AdjustedP, d.Difference) && d.Difference.Point > 0:
			v.better++
		case differs(d.AdjustedP, d.Difference) && d.Difference.Point < 0:
			v.worse++
		default:
			v.undecided++
		}
	}
	return v
}

// betweenEncoders is sentence for one method on two encoders.
func (v verdicts) betweenEncoders(label, first string) string {
	method := methodName(v.method)
	if v.comparisons == 1 {
		switch {
		case v.better == 1:
			return fmt.Sprintf("%s is better on %s than on %s.", method, label, first)
		case v.worse == 1:
			return fmt.Sprintf("%s is worse on %s than on %s.", method, label, first)
		}
		return fmt.Sprintf("%s on %s cannot be told from that on %s.", method, label, first)
	}
	var parts []string
	for _, part := range []struct {
		n    int
		text string
	}{{v.better, "is better on %d"}, {v.worse, "is worse on %d"}, {v.undecided, "cannot be told apart on %d"}} {
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf(part.text, part.n))
		}
	}
	return fmt.Sprintf("%s on %s, beside that on %s, %s of %s.", method, label, first, join(parts), count(v.comparisons, "finding"))
}

// encoderNote says what the tables show.
func encoderNote(r *evaluate.Report) string {
	return fmt.Sprintf("The same heads were trained on the same samples and tested on the same samples. Each difference is AUC on the other encoder less that on %s, paired over %ss, with %s intervals; p is adjusted over the findings of one encoder and method by Holm.",
		r.Encoders.Encoders[0].Label, unitOf(r), percent(evaluate.Level))
}

// encoderDoubts says what an encoder lacks.
func encoderDoubts(e evaluate.ComparedEncoder) (doubts []string) {
	if e.Failed > 0 {
		doubts = append(doubts, fmt.Sprintf("%s failed on %s, left out for all encoders.", e.Label, count(e.Failed, "sample")))
	}
	if e.NoZeroShot != "" {
		doubts = append(doubts, fmt.Sprintf("%s has no zero-shot: %s. Its linear probe starts from nothing.", e.Label, e.NoZeroShot))
	}
	if len(e.LeftOut) > 0 {
		doubts = append(doubts, fmt.Sprintf("%s has no %s, which starts from zero-shot.", e.Label, join(e.LeftOut)))
	}
	return doubts
}

// encoderTable is one other encoder's.
type encoderTable struct {
	Title  string
	Doubts []string
	headedTable
}

func encoderTables(r *evaluate.Report) (tables []encoderTable) {
	first := r.Encoders.Encoders[0].Label
	for _, e := range r.Encoders.Encoders[1:] {
		t := encoderTable{e.Label + " beside " + first, encoderDoubts(e), headedTable{words: 1, Header: encoderHeader}}
		for _, c := range r.Encoders.Comparisons {
			if c.Encoder == e.Label {
				t.Rows = append(t.Rows, encoderRow(c, c.Finding))
			}
		}
		for _, c := range r.Encoders.Means {
			if c.Encoder == e.Label {
				row := encoderRow(c, "mean of findings")
				row[len(row)-1] = ""
				t.Rows = append(t.Rows, row)
			}
		}
		tables = append(tables, t)
	}
	return tables
}

func encoderRow(c evaluate.EncoderComparison, name string) []string {
	row := []string{name, methodName(c.Method), "not estimable", "", "", ""}
	if c.AUC != nil {
		row[2] = estimate(*c.AUC)
	}
	if d := c.Difference; d != nil {
		copy(row[3:], []string{fmt.Sprintf("%s (%s)", signed(d.Difference.Point), signedInterval(d.Difference)), pValue(d.P), pValue(d.AdjustedP)})
	}
	return row
}

func textEncoders(b *strings.Builder, r *evaluate.Report) {
	if !severalEncoders(r) {
		return
	}
	b.WriteByte('\n')
	paragraph(b, "Encoders: "+encoderNote(r))
	for _, t := range encoderTables(r) {
		b.WriteString("\n" + clip(t.Title, textWidth) + "\n")
		rows := [][]string{t.Header}
		for _, row := range t.Rows {
			rows = append(rows, append([]string{clip(row[0], 24), clip(row[1], 14)}, row[2:]...))
		}
		writeTable(b, rows)
		for _, text := range t.Doubts {
			paragraph(b, text)
		}
	}
}

func markdownEncoders(b *strings.Builder, r *evaluate.Report) {
	if !severalEncoders(r) {
		return
	}
	fmt.Fprintf(b, "%s\n\n", markdownText(encoderNote(r)))
	for _, t := range encoderTables(r) {
		fmt.Fprintf(b, "%s:\n\n", markdownText(t.Title))
		for k, row := range append([][]string{t.Header}, t.Rows...) {
			for _, cell := range row {
				fmt.Fprintf(b, "| %s ", markdownText(cell))
			}
			b.WriteString("|\n")
			if k == 0 {
				b.WriteString("|---|---" + strings.Repeat("|---:", len(row)-2) + "|\n")
			}
		}
		b.WriteByte('\n')
		for _, text := range t.Doubts {
			fmt.Fprintf(b, "%s\n\n", markdownText(text))
		}
	}
}

// encoderPart is the tables for the page.
type encoderPart struct {
	Note   string
	Tables []encoderTable
}

func newEncoderPart(r *evaluate.Report) *encoderPart {
	if !severalEncoders(r) {
		return nil
	}
	return &encoderPart{encoderNote(r), encoderTables(r)}
}
