package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/medprobe/medprobe/evaluate"
)

// inUnit writes a figure that has the unit of a target, to three digits.
func inUnit(x float64) string {
	text := strconv.FormatFloat(math.Abs(x), 'g', 3, 64)
	if x < 0 && text != "0" {
		return "−" + text
	}
	return text
}

func intervalInUnit(e *evaluate.Estimate) string {
	return fmt.Sprintf("%s (%s to %s)", inUnit(e.Point), inUnit(e.Low), inUnit(e.High))
}

// valueHeadline says in one sentence whether the first head is nearer to the
// true values than their mean.
func valueHeadline(r *evaluate.Report) string {
	v := r.Values
	better, worse, judged := 0, 0, 0
	var method, base, only string
	for _, t := range v.Targets {
		d := firstDifference(r, t)
		if d == nil {
			continue
		}
		judged++
		method, base = methodName(d.A), methodName(d.B)
		says := "cannot be told from"
		switch {
		case d.AdjustedP < alpha && d.Difference.Point < 0:
			better++
			says = "is nearer to the true values than"
		case d.AdjustedP < alpha && d.Difference.Point > 0:
			worse++
			says = "is farther from the true values than"
		}
		only = fmt.Sprintf("The %s %s the %s for %s: mean absolute error less by %s, p %s.", method, says, base, t.Name,
			intervalInUnit(&evaluate.Estimate{Point: -d.Difference.Point, Low: -d.Difference.High, High: -d.Difference.Low}), pWithSign(d.P))
	}
	switch judged {
	case 0:
		return "Too few units have known values in the test part, so nothing can be compared."
	case 1:
		return only
	}
	text := fmt.Sprintf("The %s is nearer to the true values than the %s for %d of %d targets", method, base, better, judged)
	if worse > 0 {
		text += fmt.Sprintf(", and farther for %d", worse)
	}
	return text + "."
}

// firstDifference compares the first head with the first method, the mean.
func firstDifference(r *evaluate.Report, t evaluate.ValueTarget) *evaluate.Difference {
	for k := range t.Differences {
		if d := &t.Differences[k]; d.A != "zero-shot-axis" && len(t.Methods) > 0 && d.B == t.Methods[0].Method {
			return d
		}
	}
	return nil
}

// valueTables are those of the report: figures, then differences.
func valueTables(r *evaluate.Report) []headedTable {
	figures := headedTable{words: 1, Header: []string{"target", "method", "R²", "MAE", "Spearman", "n"}}
	differences := headedTable{words: 1, Header: []string{"target", "methods", "difference in MAE", "p", "p adjusted"}}
	fitted := headedTable{words: 2, Header: []string{"target", "method", "fitted"}}
	for _, t := range r.Values.Targets {
		for _, m := range t.Methods {
			row := []string{t.Name, methodName(m.Method), "not estimable", "not estimable", "none", count(t.N, "sample") + ", " + count(t.Units, t.Unit)}
			if m.R2 != nil {
				row[2] = fmt.Sprintf("%s (%s)", signless(m.R2.Point), signless(m.R2.Low)+" to "+signless(m.R2.High))
			}
			if m.MAE != nil {
				row[3] = intervalInUnit(m.MAE)
			}
			if m.Spearman != nil {
				row[4] = fmt.Sprintf("%s (%s)", signless(m.Spearman.Point), signless(m.Spearman.Low)+" to "+signless(m.Spearman.High))
			}
			figures.Rows = append(figures.Rows, row)
			fitted.Rows = append(fitted.Rows, []string{t.Name, methodName(m.Method), m.Detail})
		}
		for _, d := range t.Differences {
			differences.Rows = append(differences.Rows, []string{t.Name, methodName(d.A) + " − " + methodName(d.B), intervalInUnit(&d.Difference), pValue(d.P), pValue(d.AdjustedP)})
		}
	}
	return []headedTable{figures, differences, fitted}
}

// signless writes a number with a true minus and no plus.
func signless(x float64) string { return strings.TrimPrefix(signed(x), "+") }

func valueNote(r *evaluate.Report) string {
	return fmt.Sprintf("R², mean absolute error (MAE, in the unit of the target) and Spearman's rank correlation on the test part, with %s intervals from a bootstrap over %ss. The mean of train predicts one number for all, and the zero-shot axis a straight line through the zero-shot score; both are fitted on the training part. A difference in MAE is paired, below 0 is nearer, and p is adjusted over targets by Holm.",
		percent(evaluate.Level), unitOf(r))
}

// valueMissing says how many samples have no value, for each target that lacks
// some.
func valueMissing(r *evaluate.Report) (lines []string) {
	for _, t := range r.Values.Targets {
		if t.Missing+t.TrainMissing > 0 {
			lines = append(lines, fmt.Sprintf("%s: no value is known for %d of %d training and %d of %d test samples; they are left out for it", t.Name, t.TrainMissing, t.TrainMissing+t.Train, t.Missing, t.Missing+t.N))
		}
	}
	return lines
}

// valueDoubts are the warnings of the targets.
func valueDoubts(r *evaluate.Report) (lines []string) {
	if r.Values == nil {
		return nil
	}
	for _, t := range r.Values.Targets {
		for _, w := range t.Warnings {
			lines = append(lines, t.Name+": "+w.Text)
		}
	}
	return append(lines, valueMissing(r)...)
}

func valueUnits(r *evaluate.Report) (units int) {
	if r.Values != nil {
		for _, t := range r.Values.Targets {
			units = max(units, t.Units)
		}
	}
	return units
}

func textValues(b *strings.Builder, r *evaluate.Report) {
	if r.Values == nil {
		return
	}
	b.WriteByte('\n')
	paragraph(b, valueNote(r))
	for _, t := range r.Values.Targets { // all targets in one table would be too wide
		one := *r
		one.Values = &evaluate.ValueReport{Targets: []evaluate.ValueTarget{t}}
		b.WriteByte('\n')
		paragraph(b, fmt.Sprintf("%s: %s of %s", t.Name, count(t.N, "test sample"), count(t.Units, t.Unit)))
		for k, table := range valueTables(&one)[:2] {
			if k > 0 {
				b.WriteByte('\n')
			}
			var rows [][]string
			for _, row := range append([][]string{table.Header}, table.Rows...) {
				rows = append(rows, row[1:5])
			}
			writeTable(b, rows)
		}
	}
	for _, text := range valueCurveSentences(r.Values.Curves) {
		b.WriteByte('\n')
		paragraph(b, text)
	}
}

func markdownValues(b *strings.Builder, r *evaluate.Report) {
	if r.Values == nil {
		return
	}
	fmt.Fprintf(b, "%s\n\n", markdownText(valueNote(r)))
	for _, t := range valueTables(r)[:2] {
		markdownTable(b, append([][]string{t.Header}, t.Rows...))
	}
	if curves := r.Values.Curves; len(curves) > 0 {
		fmt.Fprintf(b, "%s\n\n", markdownText(valueCurveNote))
		for _, text := range valueCurveSentences(curves) {
			fmt.Fprintf(b, "- %s\n", markdownText(text))
		}
		b.WriteByte('\n')
		t := valueCurveTable(curves)
		markdownTable(b, append([][]string{t.Header}, t.Rows...))
	}
}

// valuePart is the tables for the page.
type valuePart struct {
	Note   string
	Tables []headedTable
	// The learning curves, where there are some.
	CurveNote  string
	Curves     []valueCurvePlot
	CurveTable []headedTable
	Says       []string
}

func newValuePart(r *evaluate.Report) *valuePart {
	if r.Values == nil {
		return nil
	}
	part := &valuePart{Note: valueNote(r), Tables: valueTables(r)}
	if curves := r.Values.Curves; len(curves) > 0 {
		part.CurveNote, part.Curves, part.CurveTable = valueCurveNote, newValueCurvePlots(r), []headedTable{valueCurveTable(curves)}
		part.Says = valueCurveSentences(curves)
	}
	return part
}
