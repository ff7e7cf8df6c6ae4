package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/medprobe/medprobe/evaluate"
)

// forestPart is the subgroups of every finding by one method.
type forestPart struct {
	// Title names the method, Class lets the filters hide it.
	Title, Class, Note string
	Forests            []forest
}

// forest is the subgroups of one finding.
type forest struct {
	Finding, Name string
	Scale         scale
	Rows          []forestRow
}

type forestRow struct {
	By, Group string
	Strip     strip
	// Cells are AUC, difference, adjusted p, observed less predicted, sensitivity,
	// specificity and numbers.
	Cells [7]forestCell
	First bool // of its attribute
}

type forestCell struct{ Name, Figure, Interval, Mark string }

// subgroupMethod returns the method whose subgroups people see first: the report's
// head.
func subgroupMethod(r *evaluate.Report) string {
	methods := methodsOf(r)
	if len(methods) == 0 {
		return ""
	}
	return methods[min(1, len(methods)-1)]
}

func forestNote(r *evaluate.Report, method string) string {
	threshold := "0.5"
	for _, f := range r.Findings {
		for _, m := range f.Methods {
			if _, rule := m.SharedThreshold(); m.Method == method && rule != "" {
				threshold = rule
			}
		}
	}
	return fmt.Sprintf("AUC of the %s among the test samples of each subgroup, with %s interval over %ss; the difference is to all others, its p adjusted over every subgroup of every finding by Holm. A subgroup with fewer than %d %ss of a class is not judged. Observed less predicted is the share of positives less the mean probability. Sensitivity and specificity are at one threshold for all: %s.",
		methodName(method), percent(evaluate.Level), unitOf(r), evaluate.FewUnits, unitOf(r), threshold)
}

// forestAxis is one for all subgroups.
func forestAxis(r *evaluate.Report) axis {
	low := 0.5
	for _, g := range r.Subgroups {
		if g.AUC != nil {
			low = min(low, g.AUC.Low)
		}
	}
	return axis{from: math.Floor(low*10+1e-9) / 10, to: 1, start: 8, end: stripWidth - 8}
}

// newForests returns the subgroups of each finding by one method, drawn in the
// colours of the class.
func newForests(r *evaluate.Report, method, class string) []forest {
	a := forestAxis(r)
	var forests []forest
	for _, f := range r.Findings {
		one := forest{Finding: f.Name, Name: findingName(f), Scale: aucScale(a)}
		by := ""
		for _, g := range r.Subgroups {
			if g.Label != f.Name || g.Score != method {
				continue
			}
			row := newForestRow(a, g, class)
			row.First = g.By != by
			by = g.By
			one.Rows = append(one.Rows, row)
		}
		if len(one.Rows) > 0 {
			forests = append(forests, one)
		}
	}
	return forests
}

func newForestRow(a axis, g evaluate.Subgroup, class string) forestRow {
	row := forestRow{
		By: g.By, Group: g.Group,
		Strip: strip{Width: stripWidth, Height: 20, Chance: a.at(0.5), Title: "AUC: not estimable"},
	}
	if g.Group == "" {
		row.Group = "not known"
	}
	auc := forestCell{Name: "AUC", Figure: "–", Interval: lacking(g)}
	if g.AUC != nil {
		auc.Figure, auc.Interval = number(g.AUC.Point), interval(*g.AUC)
		row.Strip.Spreads = []spread{a.spread(class, *g.AUC, 10)}
		row.Strip.Title = "AUC " + g.AUC.String()
	}
	rest, p := signedCell("to the rest", g.Difference), forestCell{Name: "p, adjusted", Figure: "–"}
	if g.AdjustedP != nil {
		p.Figure = pValue(*g.AdjustedP)
		if *g.AdjustedP < alpha && g.Difference != nil {
			if p.Mark = "better"; g.Difference.Point < 0 {
				p.Mark = "worse"
			}
		}
	}
	sensitivity, specificity := forestCell{Name: "sensitivity", Figure: "–"}, forestCell{Name: "specificity", Figure: "–"}
	if at := g.AtThreshold; at != nil {
		sensitivity, specificity = percentCell("sensitivity", at.Sensitivity), percentCell("specificity", at.Specificity)
	}
	positive := forestCell{Name: "positive", Figure: thousands(g.Positives) + "/" + thousands(g.N), Interval: thousands(g.Units) + " units"}
	row.Cells = [7]forestCell{auc, rest, p, signedCell("observed less predicted", g.Excess), sensitivity, specificity, positive}
	return row
}

func signedCell(name string, e *evaluate.Estimate) forestCell {
	if e == nil {
		return forestCell{Name: name, Figure: "–"}
	}
	return forestCell{Name: name, Figure: signed(e.Point), Interval: signedInterval(*e)}
}

func percentCell(name string, e *evaluate.Estimate) forestCell {
	if e == nil {
		return forestCell{Name: name, Figure: "–"}
	}
	return forestCell{Name: name, Figure: share(e.Point) + " %", Interval: share(e.Low) + "–" + share(e.High)}
}

// lacking says what a subgroup would have to have to be judged.
func lacking(g evaluate.Subgroup) string {
	var parts []string
	if g.MorePositives > 0 {
		parts = append(parts, fmt.Sprintf("%d more units with positives", g.MorePositives))
	}
	if g.MoreNegatives > 0 {
		parts = append(parts, fmt.Sprintf("%d more units with negatives", g.MoreNegatives))
	}
	if len(parts) == 0 {
		return "not estimable"
	}
	return "wants " + strings.Join(parts, ", ")
}

// newForestParts returns the parts of all methods, the report's head first.
func newForestParts(r *evaluate.Report) []forestPart {
	var parts []forestPart
	first := subgroupMethod(r)
	for k, method := range methodsOf(r) {
		part := forestPart{Title: capital(methodName(method)), Class: "by" + strconv.Itoa(k), Note: forestNote(r, method), Forests: newForests(r, method, class(k))}
		switch {
		case part.Forests == nil:
		case method == first:
			parts = append([]forestPart{part}, parts...)
		default:
			parts = append(parts, part)
		}
	}
	return parts
}

func (c forestCell) text() string {
	if c.Interval == "" || c.Figure == "–" || c.Figure == "too few" {
		return c.Figure
	}
	return c.Figure + " (" + c.Interval + ")"
}

// forestHeader heads the rows of forests for text and Markdown.
var forestHeader = []string{"finding", "subgroup", "positive", "AUC", "to the rest", "p adjusted"}

func forestTable(r *evaluate.Report) [][]string {
	var rows [][]string
	for _, f := range newForests(r, subgroupMethod(r), "") {
		for _, row := range f.Rows {
			auc, rest, p, positive := row.Cells[0], row.Cells[1], row.Cells[2], row.Cells[6]
			if auc.Figure == "–" {
				auc.Figure = "too few"
			}
			rows = append(rows, []string{f.Name, row.By + " " + row.Group, positive.Figure, auc.text(), rest.text(), p.Figure})
		}
	}
	if rows == nil {
		return nil
	}
	return append([][]string{forestHeader}, rows...)
}

func textSubgroups(b *strings.Builder, r *evaluate.Report) {
	table := forestTable(r)
	if table == nil {
		return
	}
	b.WriteByte('\n')
	paragraph(b, fmt.Sprintf("Subgroups: AUC of the %s, and difference to all others (p adjusted over all by Holm)", methodName(subgroupMethod(r))))
	for k := range table {
		table[k] = append([]string{clip(table[k][0], 16)}, table[k][1:]...)
		table[k][1] = clip(table[k][1], 18)
	}
	writeTable(b, table)
}

func markdownSubgroups(b *strings.Builder, r *evaluate.Report) {
	table := forestTable(r)
	if table == nil {
		return
	}
	fmt.Fprintf(b, "%s\n\n", markdownText(forestNote(r, subgroupMethod(r))))
	markdownTable(b, table)
}
