package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/medprobe/medprobe/evaluate"
)

// GateText writes the decision of a gate as a table for a terminal.
func GateText(w io.Writer, g *evaluate.Gate) error {
	g = visible(g)
	fmt.Fprintf(w, "%s: %s\n", strings.ToUpper(string(g.Verdict)), g.Reason)
	if len(g.Labels) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(table, "LABEL\tN\tPOSITIVE\tBASELINE\tCANDIDATE\tDIFFERENCE\t%s INTERVAL\tP\tADJUSTED\tVERDICT\n", percent(g.Level))
	for _, l := range g.Labels {
		fmt.Fprintf(table, "%s\t%d\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", l.Label, l.N, l.Positives,
			gateFigure(l.Baseline, "%.3f"), gateFigure(l.Candidate, "%.3f"), gateFigure(l.Difference, "%+.3f"), gateInterval(&l),
			gateP(l.P), gateP(l.AdjustedP), l.Verdict)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nPaired; %s; p adjusted over the labels by Holm. Margin %g, least effect %g, α %g.\n", gateUnits(g), g.Rules.Margin, g.Rules.MinEffect, g.Rules.Alpha)
	return err
}

// GateJSON writes the decision as one JSON document.
func GateJSON(w io.Writer, g *evaluate.Gate) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(g)
}

// GateMarkdown writes the decision as a comment for a pull request.
func GateMarkdown(w io.Writer, g *evaluate.Gate) error {
	g = visible(g)
	var b strings.Builder
	fmt.Fprintf(&b, "## Gate: %s\n\n%s.\n\n", gateWord(g.Verdict), markdownText(capital(g.Reason)))
	fmt.Fprintf(&b, "Baseline %s, candidate %s.\n\n", markdownText(g.Baseline), markdownText(g.Candidate))
	if len(g.Labels) > 0 {
		fmt.Fprintf(&b, "| label | n | positive | baseline | candidate | difference | %s interval | p adjusted | verdict |\n|---|---:|---:|---:|---:|---:|---:|---:|---|\n", percent(g.Level))
		for _, l := range g.Labels {
			fmt.Fprintf(&b, "| %s | %d | %d | %s | %s | %s | %s | %s | %s |\n", markdownText(l.Label), l.N, l.Positives,
				gateFigure(l.Baseline, "%.3f"), gateFigure(l.Candidate, "%.3f"), gateFigure(l.Difference, "%+.3f"), gateInterval(&l),
				markdownText(gateP(l.AdjustedP)), gateWord(l.Verdict))
		}
		fmt.Fprintf(&b, "\n<sub>AUC; paired; %s; p adjusted over the labels by Holm. Margin %g, least effect %g, α %g.</sub>\n", gateUnits(g), g.Rules.Margin, g.Rules.MinEffect, g.Rules.Alpha)
	}
	fmt.Fprintf(&b, "\n<sub>%s</sub>\n", notADevice)
	_, err := io.WriteString(w, b.String())
	return err
}

// gateWord shows a verdict without leaning on colour.
func gateWord(v evaluate.Verdict) string {
	return map[evaluate.Verdict]string{evaluate.Pass: "✅ pass", evaluate.Fail: "❌ fail", evaluate.Inconclusive: "❔ inconclusive", evaluate.Incomparable: "⛔ incomparable"}[v]
}

func gateFigure(v *float64, format string) string {
	if v == nil {
		return "–"
	}
	return strings.ReplaceAll(fmt.Sprintf(format, *v), "-", "−")
}

func gateInterval(l *evaluate.GateLabel) string {
	if l.Low == nil {
		return "not estimable"
	}
	return gateFigure(l.Low, "%+.3f") + " to " + gateFigure(l.High, "%+.3f")
}

func gateP(p *float64) string {
	if p == nil {
		return "–"
	}
	return pValue(*p)
}

// gateUnits says what the intervals are taken over.
func gateUnits(g *evaluate.Gate) string {
	units, unit := 0, "sample"
	for _, l := range g.Labels {
		if l.Units > units {
			units, unit = l.Units, l.Unit
		}
	}
	return "intervals over " + strconv.Itoa(units) + " " + unit + "s"
}
