package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/medprobe/medprobe/evaluate"
)

// Markdown writes the report as GitHub-flavoured Markdown: headline, AUCs,
// differences, counts and warnings, for a pull request or a wiki. Names and
// reasons are escaped, so that they make no link, tag, table cell or mention.
func Markdown(w io.Writer, r *evaluate.Report) error {
	r = visible(r)
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n\n", markdownText(r.Name))
	if r.Synthetic {
		fmt.Fprintf(&b, "> %s\n\n", syntheticNote)
	}
	fmt.Fprintf(&b, "**%s**\n\n", markdownText(headline(r)))
	if mean := meanSentence(r); mean != "" {
		fmt.Fprintf(&b, "%s\n\n", markdownText(mean))
	}
	markdownValues(&b, r)
	for _, text := range encoderSentences(r) {
		fmt.Fprintf(&b, "%s\n\n", markdownText(text))
	}
	markdownAUCs(&b, r)
	markdownDifferences(&b, r)
	markdownCuts(&b, r)
	markdownEncoders(&b, r)
	markdownSubgroups(&b, r)
	markdownCovariates(&b, r)
	markdownExternal(&b, r)
	for _, text := range labelsSummary(r) {
		fmt.Fprintf(&b, "- %s\n", markdownText(text))
	}
	if len(r.Curves) > 0 {
		b.WriteByte('\n')
	}
	c := r.Counts
	fmt.Fprintf(&b, "Samples: %d = %d used + %d excluded + %d failed.", c.Samples, c.Used, evaluate.Total(c.Excluded), evaluate.Total(c.Failed))
	for _, e := range c.Excluded {
		fmt.Fprintf(&b, " Excluded: %d, %s.", e.N, markdownText(e.Reason))
	}
	b.WriteString("\n\n")
	for _, text := range doubts(r) {
		fmt.Fprintf(&b, "- %s\n", markdownText(text))
	}
	fmt.Fprintf(&b, "\n<sub>%s</sub>\n", notADevice)
	_, err := io.WriteString(w, b.String())
	return err
}

func markdownAUCs(b *strings.Builder, r *evaluate.Report) {
	methods := methodsOf(r)
	if len(methods) == 0 {
		return
	}
	fmt.Fprintf(b, "AUC with %s interval over %s:\n\n| finding | positive |", percent(evaluate.Level), markdownText(count(testUnits(r), unitOf(r))))
	for _, m := range methods {
		fmt.Fprintf(b, " %s |", markdownText(methodName(m)))
	}
	b.WriteString("\n|---|---:|" + strings.Repeat("---:|", len(methods)) + "\n")
	for _, f := range r.Findings {
		fmt.Fprintf(b, "| %s | %d/%d |", markdownText(findingName(f)), f.Positives, f.N)
		for k := range methods {
			fmt.Fprintf(b, " %s |", textEstimate(f.Methods, k))
		}
		b.WriteByte('\n')
	}
	if m := r.Macro; m != nil {
		fmt.Fprintf(b, "| **mean of %d** | |", len(m.Findings))
		for _, mean := range m.Methods {
			fmt.Fprintf(b, " **%s** |", mean.AUC)
		}
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
}

func markdownDifferences(b *strings.Builder, r *evaluate.Report) {
	for _, method := range methodsOf(r) {
		v, ok := compared(r, method)
		if !ok {
			continue
		}
		fmt.Fprintf(b, "%s − %s, paired, p adjusted over the findings (Holm):\n\n", markdownText(capital(methodName(method))), markdownText(methodName(v.baseline)))
		b.WriteString("| finding | difference | interval | p | p adjusted |\n|---|---:|---:|---:|---:|\n")
		for _, f := range r.Findings {
			for _, d := range f.Differences {
				if d.A == method {
					fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", markdownText(findingName(f)), signed(d.Difference.Point), signedInterval(d.Difference), markdownText(pValue(d.P)), markdownText(pValue(d.AdjustedP)))
				}
			}
		}
		b.WriteByte('\n')
	}
}

// markdownText escapes what Markdown, HTML within it, and GitHub's mentions and
// references would take for more than text.
func markdownText(s string) string {
	var b strings.Builder
	for _, r := range plain(s) {
		switch {
		case strings.ContainsRune("&<>@#:/", r):
			fmt.Fprintf(&b, "&#%d;", r)
		case strings.ContainsRune("\\`*_{}[]()!|~^$", r):
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
