package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/medprobe/medprobe/evaluate"
)

// textWidth is the most columns that [Text] takes.
const textWidth = 100

// Text writes what a person at a terminal wants to know first: the headline,
// AUCs with intervals, differences, and what became of the samples. It is plain
// text of at most 100 columns, without colours or control characters.
func Text(w io.Writer, r *evaluate.Report) error {
	r = visible(r)
	var b strings.Builder
	b.WriteString(clip(r.Name, textWidth) + "\n")
	if r.Synthetic {
		paragraph(&b, syntheticNote)
	}
	b.WriteByte('\n')
	paragraph(&b, headline(r))
	if mean := meanSentence(r); mean != "" {
		paragraph(&b, mean)
	}
	textValues(&b, r)
	for _, text := range encoderSentences(r) {
		paragraph(&b, text)
	}
	textAUCs(&b, r)
	textNotes(&b, r)
	textDifferences(&b, r)
	textCuts(&b, r)
	textEncoders(&b, r)
	textSubgroups(&b, r)
	textCovariates(&b, r)
	textExternal(&b, r)
	if labels := labelsSummary(r); len(labels) > 0 {
		b.WriteString("\nWhat labels buy\n")
		for _, text := range labels {
			paragraph(&b, "- "+text)
		}
	}
	textCounts(&b, r)
	if warnings := doubts(r); len(warnings) > 0 {
		b.WriteString("\nWarnings\n")
		for _, text := range warnings {
			paragraph(&b, "- "+text)
		}
	}
	b.WriteByte('\n')
	paragraph(&b, notADevice)
	_, err := io.WriteString(w, b.String())
	return err
}

func textAUCs(b *strings.Builder, r *evaluate.Report) {
	methods := methodsOf(r)
	// Three methods fit beside the names; more are put below.
	for first := 0; first < len(methods); first += 3 {
		chunk := methods[first:min(first+3, len(methods))]
		table := [][]string{{"finding", "positive"}}
		for _, m := range chunk {
			table[0] = append(table[0], clip(methodName(m), len("0.123 (0.123–0.123)")))
		}
		for _, f := range r.Findings {
			row := []string{findingName(f), fmt.Sprintf("%d/%d", f.Positives, f.N)}
			for k := range chunk {
				row = append(row, textEstimate(f.Methods, first+k))
			}
			table = append(table, row)
		}
		if m := r.Macro; m != nil {
			row := []string{"mean of " + count(len(m.Findings), "finding"), ""}
			for _, mean := range m.Methods[min(first, len(m.Methods)):min(first+3, len(m.Methods))] {
				row = append(row, estimate(mean.AUC))
			}
			table = append(table, row)
		}
		fmt.Fprintf(b, "\nAUC with %s interval over %s\n", percent(evaluate.Level), count(testUnits(r), unitOf(r)))
		writeTable(b, table)
	}
}

func textNotes(b *strings.Builder, r *evaluate.Report) {
	begun := false
	for _, f := range r.Findings {
		if f.Note == "" {
			continue
		}
		if !begun {
			begun = true
			b.WriteByte('\n')
		}
		paragraph(b, findingName(f)+": "+f.Note)
	}
}

func textEstimate(methods []evaluate.MethodResult, k int) string {
	if k >= len(methods) || methods[k].AUC == nil {
		return "not estimable"
	}
	return estimate(*methods[k].AUC)
}

func textDifferences(b *strings.Builder, r *evaluate.Report) {
	for _, method := range methodsOf(r) {
		v, ok := compared(r, method)
		if !ok {
			continue
		}
		table := [][]string{{"finding", "difference", "interval", "p", "p adjusted"}}
		row := func(name string, d evaluate.Difference, adjusted string) {
			table = append(table, []string{name, signed(d.Difference.Point), signedInterval(d.Difference), pValue(d.P), adjusted})
		}
		for _, f := range r.Findings {
			for _, d := range f.Differences {
				if d.A == method {
					row(findingName(f), d, pValue(d.AdjustedP))
				}
			}
		}
		if r.Macro != nil {
			for _, d := range r.Macro.Differences {
				if d.A == method {
					row("mean of "+count(len(r.Macro.Findings), "finding"), d, "")
				}
			}
		}
		b.WriteByte('\n')
		paragraph(b, fmt.Sprintf("Difference in AUC, %s − %s (paired; p adjusted over findings by Holm)", methodName(method), methodName(v.baseline)))
		writeTable(b, table)
	}
}

func textCounts(b *strings.Builder, r *evaluate.Report) {
	c := r.Counts
	fmt.Fprintf(b, "\nSamples: %s = %s used + %s excluded + %s failed\n", thousands(c.Samples), thousands(c.Used), thousands(evaluate.Total(c.Excluded)), thousands(evaluate.Total(c.Failed)))
	for _, e := range c.Excluded {
		paragraph(b, "  "+thousands(e.N)+" excluded: "+e.Reason)
	}
	for _, f := range c.Failed {
		paragraph(b, "  "+thousands(f.N)+" failed: "+f.Reason)
	}
}

// writeTable aligns columns, the first to the left and two blanks apart.
func writeTable(b *strings.Builder, table [][]string) {
	widths := make([]int, len(table[0]))
	for _, row := range table {
		for k, cell := range row {
			widths[k] = max(widths[k], utf8.RuneCountInString(cell))
		}
	}
	rest := 0
	for _, w := range widths[1:] {
		rest += w + 2
	}
	widths[0] = min(widths[0], max(8, textWidth-2-rest))
	for _, row := range table {
		line := "  "
		for k, cell := range row {
			if k == 0 {
				line += padded(clip(cell, widths[0]), widths[0])
			} else {
				line += "  " + padded(cell, widths[k])
			}
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}

func padded(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}

// clip shortens s to at most width characters.
func clip(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:width-1]) + "…"
}

// paragraph writes text in lines of at most textWidth columns, at the indent
// that it begins with.
func paragraph(b *strings.Builder, text string) {
	indent := text[:len(text)-len(strings.TrimLeft(text, " "))]
	line := ""
	flush := func() { b.WriteString(strings.TrimRight(line, " ") + "\n") }
	for word := range slices.Values(strings.Fields(text)) {
		for utf8.RuneCountInString(word) > textWidth-len(indent) {
			runes := []rune(word)
			if line != "" {
				flush()
			}
			line = indent + string(runes[:textWidth-len(indent)])
			flush()
			line, word = "", string(runes[textWidth-len(indent):])
		}
		switch {
		case line == "":
			line = indent + word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > textWidth:
			flush()
			line = indent + word
		default:
			line += " " + word
		}
	}
	flush()
}
