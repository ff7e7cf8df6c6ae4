package report

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/medprobe/medprobe/evaluate"
)

// cutTable is one rule of one method: what its thresholds reach on test.
type cutTable struct {
	Title string
	Rows  []cutRow
}

type cutRow struct {
	Name, From string
	// Figures are sensitivity, specificity, PPV and NPV in percent; Sizes what
	// each is a share of.
	Figures, Sizes [4]string
}

// cutFigures heads the figures of a row.
var cutFigures = [4]string{"sensitivity %", "specificity %", "PPV %", "NPV %"}

// newCutTables lists the thresholds by method and rule.
func newCutTables(r *evaluate.Report) []cutTable {
	var tables []cutTable
	at := map[string]int{}
	for k, method := range methodsOf(r) {
		for _, f := range r.Findings {
			if k >= len(f.Methods) {
				continue
			}
			for _, c := range f.Methods[k].Cuts {
				title := fmt.Sprintf("%s, threshold %s, chosen on %s", capital(methodName(method)), c.Rule, chosenOn(c.ChosenOn))
				i, known := at[title]
				if !known {
					i = len(tables)
					at[title] = i
					tables = append(tables, cutTable{Title: title})
				}
				tables[i].Rows = append(tables[i].Rows, newCutRow(f, c))
			}
		}
	}
	return tables
}

func chosenOn(on string) string {
	if on == "validation" {
		return "the validation part"
	}
	return "cross-validated scores of the training part"
}

func newCutRow(f evaluate.Finding, c evaluate.Cut) cutRow {
	row := cutRow{Name: findingName(f), From: strconv.FormatFloat(c.Threshold, 'g', 3, 64)}
	for k, e := range []*evaluate.Estimate{c.Sensitivity, c.Specificity, c.PPV, c.NPV} {
		row.Figures[k], row.Sizes[k] = "–", "of none"
		if e != nil {
			row.Figures[k] = fmt.Sprintf("%s (%s–%s)", share(e.Point), share(e.Low), share(e.High))
			row.Sizes[k] = "of " + thousands(e.N)
		}
	}
	return row
}

func share(x float64) string { return strconv.FormatFloat(100*x, 'f', 1, 64) }

// cutNote explains the tables.
func cutNote(r *evaluate.Report) string {
	return fmt.Sprintf("What each reaches on the test part, with %s interval (Wilson, over %ss). PPV and NPV hold for the share of positives there.", percent(evaluate.Level), unitOf(r))
}

func textCuts(b *strings.Builder, r *evaluate.Report) {
	tables := newCutTables(r)
	for _, t := range tables {
		b.WriteByte('\n')
		paragraph(b, t.Title)
		table := [][]string{append([]string{"finding", "from"}, cutFigures[:]...)}
		for _, row := range t.Rows {
			table = append(table, append([]string{row.Name, row.From}, row.Figures[:]...))
		}
		writeTable(b, table)
	}
	if len(tables) > 0 {
		paragraph(b, cutNote(r))
	}
}

func markdownCuts(b *strings.Builder, r *evaluate.Report) {
	tables := newCutTables(r)
	for _, t := range tables {
		fmt.Fprintf(b, "%s:\n\n| finding | from | %s |\n|---|---:|---:|---:|---:|---:|\n", markdownText(t.Title), strings.Join(cutFigures[:], " | "))
		for _, row := range t.Rows {
			fmt.Fprintf(b, "| %s | %s |", markdownText(row.Name), row.From)
			for k, figure := range row.Figures {
				fmt.Fprintf(b, " %s %s |", figure, row.Sizes[k])
			}
			b.WriteByte('\n')
		}
		b.WriteByte('\n')
	}
	if len(tables) > 0 {
		fmt.Fprintf(b, "%s\n\n", markdownText(cutNote(r)))
	}
}
