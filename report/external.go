package report

import (
	"fmt"
	"strings"

	"github.com/medprobe/medprobe/evaluate"
)

// externalPart is what a report says of external test sets.
type externalPart struct {
	Note string
	// Sets describes each, in a sentence.
	Sets   []string
	Tables []titledTable
	// Doubts are the sets' warnings.
	Doubts []string
}

type titledTable struct {
	Title string
	headedTable
}

// newExternalPart returns nil without external test sets. Of the methods at most
// wide stand beside one another; more make a table of their own.
func newExternalPart(r *evaluate.Report, wide int) *externalPart {
	if len(r.External) == 0 {
		return nil
	}
	p := &externalPart{Note: externalNote(r)}
	for _, e := range r.External {
		p.Sets = append(p.Sets, externalSentence(e))
		for _, w := range e.Warnings {
			p.Doubts = append(p.Doubts, e.Name+": "+w)
		}
		for _, f := range e.Findings {
			for _, w := range f.Warnings {
				p.Doubts = append(p.Doubts, e.Name+": "+findingName(f)+": "+w.Text)
			}
		}
	}
	methods := methodsOf(r)
	for first := 0; first < len(methods); first += wide {
		p.Tables = append(p.Tables, titledTable{fmt.Sprintf("AUC with %s interval", percent(evaluate.Level)), externalAUCs(r, first, methods[first:min(first+wide, len(methods))])})
	}
	p.Tables = append(p.Tables,
		titledTable{"Embeddings, compared with the test part's", externalEmbeddings(r)},
		titledTable{"Probabilities of the " + methodName(r.External[0].Drift.Head) + ", compared with the test part's", externalScores(r)},
		titledTable{"Rate of positives, less the test part's", externalChanges(r, "rate of positives", func(f evaluate.FindingDrift) *evaluate.Change { return f.Rate })},
		titledTable{"AUC of the " + methodName(r.External[0].Drift.Head) + ", less the test part's", externalChanges(r, "AUC", func(f evaluate.FindingDrift) *evaluate.Change { return f.AUC })})
	return p
}

func externalNote(r *evaluate.Report) string {
	d := r.External[0].Drift
	return fmt.Sprintf("Every head was tried on all samples of %s, none of which it was trained on. p by %s permutations of whole units, adjusted over all tests of a set by Holm.",
		count(len(r.External), "external test set"), thousands(d.Permutations))
}

// externalSentence says what a set is and whether it looks like the test part.
func externalSentence(e evaluate.External) string {
	text := fmt.Sprintf("%s (%s): %s of %s used", e.Name, e.Dataset.Spec, thousands(e.Counts.Used), count(e.Counts.Samples, "sample"))
	if e.Drift.Now.Units > 0 {
		text += ", of " + count(e.Drift.Now.Units, e.Drift.Now.Unit)
	}
	if n := evaluate.Total(e.Counts.Failed); n > 0 {
		text += fmt.Sprintf("; %s failed", thousands(n))
	}
	if e.Shared > 0 {
		text += fmt.Sprintf("; %s stood in train too", count(e.Shared, "image"))
	}
	verdict := map[evaluate.DriftVerdict]string{
		evaluate.Drifted: "it differs from the test part: ", evaluate.NoDrift: "it looks like the test part: ", evaluate.CannotTell: "whether it looks like the test part cannot be told: ",
	}
	return text + "; " + verdict[e.Drift.Verdict] + e.Drift.Reason + "."
}

// externalAUCs has a row for each finding on the test part and on each set.
func externalAUCs(r *evaluate.Report, first int, methods []string) headedTable {
	t := headedTable{words: 1, Header: []string{"finding", "on", "positive"}}
	for _, m := range methods {
		t.Header = append(t.Header, methodName(m))
	}
	row := func(name, on string, f *evaluate.Finding) {
		cells := []string{name, on, "absent"}
		for k, m := range methods {
			switch {
			case f == nil:
				cells = append(cells, "")
				continue
			case k == 0:
				cells[2] = fmt.Sprintf("%d/%d", f.Positives, f.N)
			}
			cells = append(cells, aucOf(f.Methods, m))
		}
		t.Rows = append(t.Rows, cells)
	}
	for k := range r.Findings {
		f := &r.Findings[k]
		row(findingName(*f), "test part", f)
		for _, e := range r.External {
			row(findingName(*f), e.Name, findingOf(e, f.Name))
		}
	}
	mean := func(name, on string, m *evaluate.Macro) {
		if m == nil {
			return
		}
		cells := []string{name, on, ""}
		for k := range methods {
			if first+k < len(m.Methods) {
				cells = append(cells, macroOf(m, methods[k]))
			}
		}
		t.Rows = append(t.Rows, cells)
	}
	if r.Macro != nil {
		mean("mean of "+count(len(r.Macro.Findings), "finding"), "test part", r.Macro)
	}
	for _, e := range r.External {
		if e.Macro != nil {
			mean("mean of "+count(len(e.Macro.Findings), "finding"), e.Name, e.Macro)
		}
	}
	return t
}

func findingOf(e evaluate.External, name string) *evaluate.Finding {
	for k := range e.Findings {
		if e.Findings[k].Name == name {
			return &e.Findings[k]
		}
	}
	return nil
}

func aucOf(methods []evaluate.MethodResult, name string) string {
	for _, m := range methods {
		switch {
		case m.Method == name && m.AUC != nil:
			return m.AUC.String()
		case m.Method == name:
			return "not estimable"
		}
	}
	return "–" // a method of other vectors
}

func macroOf(m *evaluate.Macro, name string) string {
	for _, one := range m.Methods {
		if one.Method == name {
			return one.AUC.String()
		}
	}
	return "–"
}

func externalEmbeddings(r *evaluate.Report) headedTable {
	t := headedTable{Header: []string{"on", "compared", "MMD²", "chance, below", "p adjusted"}}
	for _, e := range r.External {
		if a := e.Drift.Embedding; a != nil {
			t.Rows = append(t.Rows, []string{e.Name, fmt.Sprintf("%d with %d", a.NA, a.NB), small(a.MMD2), small(a.Chance), pValue(a.AdjustedP)})
		}
	}
	return t
}

// eachDrift calls row for each finding in each set.
func eachDrift(r *evaluate.Report, row func(name, on string, f evaluate.FindingDrift)) {
	for _, f := range r.Findings {
		for _, e := range r.External {
			for _, d := range e.Drift.Findings {
				if d.Name == f.Name {
					row(findingName(f), e.Name, d)
				}
			}
		}
	}
}

func externalScores(r *evaluate.Report) headedTable {
	t := headedTable{words: 1, Header: []string{"finding", "on", "mean on test", "here", "KS", "chance, below", "p adjusted", "PSI"}}
	eachDrift(r, func(name, on string, f evaluate.FindingDrift) {
		if s := f.Scores; s != nil {
			t.Rows = append(t.Rows, []string{name, on, number(s.MeanA), number(s.MeanB), number(s.KS), number(s.Chance), pValue(s.AdjustedP), number(s.PSI)})
		}
	})
	return t
}

func externalChanges(r *evaluate.Report, what string, of func(evaluate.FindingDrift) *evaluate.Change) headedTable {
	t := headedTable{words: 1, Header: []string{"finding", "on", what, "p adjusted"}}
	eachDrift(r, func(name, on string, f evaluate.FindingDrift) {
		switch c := of(f); {
		case f.Rate == nil: // absent, which the first table says
		case c == nil:
			t.Rows = append(t.Rows, []string{name, on, "not estimable", ""})
		default:
			t.Rows = append(t.Rows, []string{name, on, fmt.Sprintf("%s (%s)", signed(c.Difference.Point), signedInterval(c.Difference)), pValue(c.AdjustedP)})
		}
	})
	return t
}

func textExternal(b *strings.Builder, r *evaluate.Report) {
	p := newExternalPart(r, 2)
	if p == nil {
		return
	}
	b.WriteString("\nExternal test sets\n")
	paragraph(b, p.Note)
	for _, text := range append(p.Sets, p.Doubts...) {
		paragraph(b, "- "+text)
	}
	for _, t := range p.Tables {
		b.WriteByte('\n')
		paragraph(b, t.Title)
		for k := range t.Header {
			t.Header[k] = clip(t.Header[k], len("0.123 (0.123–0.123)"))
		}
		for _, row := range t.Rows {
			for k := range row[:2] {
				row[k] = clip(row[k], 20)
			}
		}
		writeTable(b, append([][]string{t.Header}, t.Rows...))
	}
}

func markdownExternal(b *strings.Builder, r *evaluate.Report) {
	p := newExternalPart(r, 5)
	if p == nil {
		return
	}
	fmt.Fprintf(b, "### External test sets\n\n%s\n\n", markdownText(p.Note))
	for _, text := range append(p.Sets, p.Doubts...) {
		fmt.Fprintf(b, "- %s\n", markdownText(text))
	}
	for _, t := range p.Tables {
		fmt.Fprintf(b, "\n%s:\n\n", markdownText(t.Title))
		for k, row := range append([][]string{t.Header}, t.Rows...) {
			for _, cell := range row {
				fmt.Fprintf(b, "| %s ", markdownText(cell))
			}
			b.WriteString("|\n")
			if k == 0 {
				b.WriteString("|---" + strings.Repeat("|---:", len(row)-1) + "|\n")
			}
		}
	}
	b.WriteByte('\n')
}
