package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/medprobe/medprobe/evaluate"
)

// driftWords are the verdicts for people.
var driftWords = map[evaluate.DriftVerdict]string{
	evaluate.Drifted: "Drift", evaluate.NoDrift: "No drift found", evaluate.CannotTell: "Cannot tell",
}

// DriftText writes what differs from a reference for a terminal.
func DriftText(w io.Writer, d *evaluate.Drift) error {
	d = visible(d)
	var b strings.Builder
	paragraph(&b, driftWords[d.Verdict]+": "+d.Reason+".")
	b.WriteByte('\n')
	paragraph(&b, fmt.Sprintf("Reference: %s of %s. Now, %s: %s of %s.", count(d.Reference.Samples, "sample"), count(d.Reference.Units, d.Reference.Unit),
		d.Data, count(d.Now.Samples, "sample"), count(d.Now.Units, d.Now.Unit)))
	if e := d.Embedding; e != nil {
		b.WriteString("\nEmbeddings\n")
		writeTable(&b, [][]string{
			{"compared", "MMD²", "chance, below", "p", "p adjusted"},
			{fmt.Sprintf("%d with %d", e.NA, e.NB), small(e.MMD2), small(e.Chance), pValue(e.P), pValue(e.AdjustedP)},
		})
	}
	for _, part := range []struct {
		title  string
		header []string
		rows   [][]string
	}{
		{"Probabilities that the head gives", driftScoreHeader, driftScoreRows(d)},
		{"Rate of positives", driftChangeHeader, driftChangeRows(d, func(f evaluate.FindingDrift) *evaluate.Change { return f.Rate })},
		{"AUC, on other samples than the reference's", driftChangeHeader, driftChangeRows(d, func(f evaluate.FindingDrift) *evaluate.Change { return f.AUC })},
	} {
		if len(part.rows) > 0 {
			fmt.Fprintf(&b, "\n%s\n", part.title)
			writeTable(&b, append([][]string{part.header}, part.rows...))
		}
	}
	if c := d.Counts; c != nil {
		textCounts(&b, &evaluate.Report{Counts: *c})
	}
	if len(d.Warnings) > 0 {
		b.WriteString("\nWarnings\n")
		for _, text := range d.Warnings {
			paragraph(&b, "- "+text)
		}
	}
	b.WriteByte('\n')
	paragraph(&b, driftNote(d))
	_, err := io.WriteString(w, b.String())
	return err
}

func driftNote(d *evaluate.Drift) string {
	return fmt.Sprintf("p by %s permutations of whole %ss; adjusted over all tests by Holm; drift is said at p ≤ %g.", thousands(d.Permutations), d.Now.Unit, d.Alpha)
}

var driftScoreHeader = []string{"finding", "compared", "mean then", "now", "KS", "chance, below", "p adjusted", "moved by", "PSI"}

func driftScoreRows(d *evaluate.Drift) (rows [][]string) {
	for _, f := range d.Findings {
		if s := f.Scores; s != nil {
			rows = append(rows, []string{
				f.Name, fmt.Sprintf("%d with %d", s.NA, s.NB), number(s.MeanA), number(s.MeanB), number(s.KS), number(s.Chance), pValue(s.AdjustedP),
				number(s.Wasserstein), number(s.PSI),
			})
		}
	}
	return rows
}

var driftChangeHeader = []string{"finding", "then", "now", "difference", "p adjusted"}

func driftChangeRows(d *evaluate.Drift, of func(evaluate.FindingDrift) *evaluate.Change) (rows [][]string) {
	for _, f := range d.Findings {
		if c := of(f); c != nil {
			rows = append(rows, []string{
				f.Name, c.Reference.String(), c.Now.String(), fmt.Sprintf("%s (%s)", signed(c.Difference.Point), signedInterval(c.Difference)), pValue(c.AdjustedP),
			})
		}
	}
	return rows
}

// small is a distance that may be tiny, and below zero.
func small(x float64) string {
	return strings.Replace(strconv.FormatFloat(x, 'f', 4, 64), "-", "−", 1)
}

// DriftJSON writes what differs as one JSON document.
func DriftJSON(w io.Writer, d *evaluate.Drift) error {
	if d.Counts != nil { // a list without entries is [], never null
		all, counts := *d, *d.Counts
		counts.Excluded, counts.Failed = append([]evaluate.Tally{}, counts.Excluded...), append([]evaluate.Tally{}, counts.Failed...)
		d, all.Counts = &all, &counts
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(d)
}
