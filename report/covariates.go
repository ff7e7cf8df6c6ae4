package report

import (
	"fmt"
	"strings"

	"github.com/medprobe/medprobe/evaluate"
)

// covariateHeader heads the rows of covariateRows.
var covariateHeader = []string{"finding", "image alone", "covariates alone", "both"}

// gainHeader heads the rows of gainRows.
var gainHeader = []string{"finding", "over image", "p", "p adjusted", "over covariates", "p", "p adjusted"}

// covariateNote says what the tables show.
func covariateNote(r *evaluate.Report) string {
	g := r.Covariates
	return fmt.Sprintf("AUC of the %s on the image alone, of %s alone, and of both, with %s intervals; the differences are paired over %ss, p adjusted over findings by Holm. Where the covariates alone do well, the image may know the finding by them: a shortcut.",
		methodName(g.Head), join(g.Columns), percent(evaluate.Level), unitOf(r))
}

func covariateRows(r *evaluate.Report) (rows [][]string) {
	for _, f := range r.Covariates.Findings {
		row := []string{f.Name}
		for _, e := range []*evaluate.Estimate{f.Image, f.Covariates, f.Both} {
			if e == nil {
				row = append(row, "not estimable")
			} else {
				row = append(row, estimate(*e))
			}
		}
		rows = append(rows, row)
	}
	return rows
}

func gainRows(r *evaluate.Report) (rows [][]string) {
	for _, f := range r.Covariates.Findings {
		row := []string{f.Name}
		for _, d := range []*evaluate.Difference{f.OverImage, f.OverCovariates} {
			if d == nil {
				row = append(row, "not estimable", "", "")
			} else {
				row = append(row, fmt.Sprintf("%s (%s)", signed(d.Difference.Point), signedInterval(d.Difference)), pValue(d.P), pValue(d.AdjustedP))
			}
		}
		rows = append(rows, row)
	}
	return rows
}

func textCovariates(b *strings.Builder, r *evaluate.Report) {
	if r.Covariates == nil {
		return
	}
	b.WriteByte('\n')
	paragraph(b, "Covariates: "+covariateNote(r))
	writeTable(b, append([][]string{covariateHeader}, covariateRows(r)...))
	gains := append([][]string{gainHeader}, gainRows(r)...)
	for _, from := range []int{1, 4} { // both would be too wide
		b.WriteByte('\n')
		var table [][]string
		for _, row := range gains {
			table = append(table, append([]string{row[0]}, row[from:from+3]...))
		}
		writeTable(b, table)
	}
}

func markdownCovariates(b *strings.Builder, r *evaluate.Report) {
	if r.Covariates == nil {
		return
	}
	fmt.Fprintf(b, "%s\n\n", markdownText(covariateNote(r)))
	for _, table := range [][][]string{append([][]string{covariateHeader}, covariateRows(r)...), append([][]string{gainHeader}, gainRows(r)...)} {
		markdownTable(b, table)
	}
}

// markdownTable writes a table with its header first.
func markdownTable(b *strings.Builder, table [][]string) {
	for k, row := range table {
		for _, cell := range row {
			fmt.Fprintf(b, "| %s ", markdownText(cell))
		}
		b.WriteString("|\n")
		if k == 0 {
			b.WriteString("|---" + strings.Repeat("|---:", len(row)-1) + "|\n")
		}
	}
	b.WriteByte('\n')
}

// covariatePart is the tables for the page.
type covariatePart struct {
	Note   string
	Tables []headedTable
}

// headedTable is a table whose first column, and as many after it as words says, hold
// words, and the others figures.
type headedTable struct {
	Header []string
	Rows   [][]string
	words  int
}

// Figures reports whether a column holds figures, and not words, which the page begins
// at the left and breaks.
func (t headedTable) Figures(column int) bool { return column > t.words }

func newCovariatePart(r *evaluate.Report) *covariatePart {
	if r.Covariates == nil {
		return nil
	}
	return &covariatePart{covariateNote(r), []headedTable{{Header: covariateHeader, Rows: covariateRows(r)}, {Header: gainHeader, Rows: gainRows(r)}}}
}
