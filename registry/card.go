package registry

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/medprobe/medprobe/evaluate"
)

// card writes the model card of a version: what it is, what it reached on whom, and
// what it is not for.
func card(d *Document, r *evaluate.Report) []byte {
	var b bytes.Buffer
	l := d.Lineage
	fmt.Fprintf(&b, "# %s\n\nA %s head of %d %s on frozen embeddings of %s (%s, %d dimensions).\n",
		plain(l.Run), plain(d.Head.Kind), len(d.Head.Classes), classesWord(d), plain(l.Encoder.Name), plain(l.Encoder.Preprocess), d.Head.Dim)
	if r.Synthetic {
		b.WriteString("\n**The images were drawn, not seen: the figures say nothing about patients.**\n")
	}
	test := r.Splits["test"]
	fmt.Fprintf(&b, "\n## Figures\n\nOn the test part of %s, which was looked at once: %d samples, intervals at level .95 over each %s.\n\n",
		plain(l.Dataset.Spec), test.Samples, plain(l.Dataset.Unit))
	b.WriteString("| finding | n | positive | AUC | zero-shot | gain |\n|---|---|---|---|---|---|\n")
	for _, m := range d.Metrics {
		n, positives := "–", "–"
		if m.AUC != nil {
			n, positives = fmt.Sprint(m.AUC.N), fmt.Sprint(m.AUC.Positives)
		}
		gain := "–"
		if m.Gain != nil {
			e := m.Gain.Difference
			gain = fmt.Sprintf("%+.3f (%+.3f to %+.3f)", e.Point, e.Low, e.High)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", plain(m.Finding), n, positives, figure(m.AUC), figure(m.ZeroShot), gain)
	}
	if len(r.Warnings) > 0 {
		b.WriteString("\n## Warnings of the run\n\n")
		for _, w := range r.Warnings {
			fmt.Fprintf(&b, "- %s\n", plain(w))
		}
	}
	b.WriteString(`
## Intended use and limits

Research on images like those it was tested on. It is no medical device, and no
diagnosis may rest on it. Other scanners, hospitals, ages and diseases than those of
the test part may move every figure above. It takes embeddings of the encoder and
preprocessing named below and of no other; the weights of the encoder are not part of
it and have a licence of their own.

## Made of

`)
	for _, row := range [][2]string{
		{"data", l.Dataset.Digest}, {"split", l.Split}, {"experiment", l.Experiment}, {"encoder", l.Encoder.Fingerprint},
		{"encoder from", l.Encoder.Source}, {"encoder's licence", l.Encoder.License},
		{"preprocessing", l.Encoder.PreprocessFingerprint}, {"seed", fmt.Sprint(l.Seed)}, {"medprobe", l.Code}, {"machine", l.Environment},
	} {
		if row[1] == "" {
			continue
		}
		fmt.Fprintf(&b, "- %s: `%s`\n", row[0], strings.ReplaceAll(plain(row[1]), "`", ""))
	}
	return b.Bytes()
}

func classesWord(d *Document) string {
	switch one := len(d.Head.Classes) == 1; {
	case d.Head.Exclusive && one:
		return "class"
	case d.Head.Exclusive:
		return "classes"
	case one:
		return "finding"
	}
	return "findings"
}

func figure(e *evaluate.Estimate) string {
	if e == nil {
		return "not estimable"
	}
	return fmt.Sprintf("%.3f (%.3f–%.3f)", e.Point, e.Low, e.High)
}

// plain makes text from outside safe for Markdown: one line, no markup, no HTML.
func plain(s string) string {
	var b strings.Builder
	for _, c := range s {
		switch {
		case c < ' ' || c == 0x7f:
			b.WriteByte(' ')
		case strings.ContainsRune("\\`*_{}[]<>#|!&", c):
			fmt.Fprintf(&b, "&#%d;", c)
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}
