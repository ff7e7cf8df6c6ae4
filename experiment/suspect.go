package experiment

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/medprobe/medprobe/evaluate"
)

// cutter is an encoder that can say how much of a text it does not read.
type cutter interface {
	// Cut returns how many tokens of the text are beyond the end.
	Cut(text string) int
}

// twice finds a text that negates a negation.
var twice = regexp.MustCompile(`(?i)\b(no|not|without|absence of|free of|lack of)\s+(any\s+|evidence\s+of\s+|signs?\s+of\s+)?(no|not|without|absence of)\b`)

// suspects says by name what is odd about the prompts.
func (p Prompts) suspects(enc TextEncoder) []string {
	var odd []string
	for _, name := range sortedKeys(p) {
		prompt := p[name]
		for _, text := range slices.Concat(prompt.Positive, prompt.Negative) {
			if twice.MatchString(text) {
				odd = append(odd, fmt.Sprintf("prompts: %s: %q negates itself, which may turn the score around; say it in other words", name, text))
			}
			if c, ok := enc.(cutter); ok && c.Cut(text) > 0 {
				odd = append(odd, fmt.Sprintf("prompts: %s: %q is cut at 64 tokens: its last %d are not read", name, text, c.Cut(text)))
			}
			if slices.Contains(prompt.Positive, text) && slices.Contains(prompt.Negative, text) && text != "" {
				odd = append(odd, fmt.Sprintf("prompts: %s: %q is both a positive and a negative text", name, text))
			}
		}
	}
	return slices.Compact(odd)
}

// farBelow warns of findings whose zero-shot AUC is below chance by more than
// its interval, and says on which data that was seen.
func farBelow(name string, auc *evaluate.Estimate, on string) (string, bool) {
	if auc == nil || auc.High >= 0.5 {
		return "", false
	}
	return fmt.Sprintf("%s: zero-shot's AUC is %s on %s, below chance: the score is turned around; look for a prompt that negates itself, or labels that mean the opposite", name, auc, on), true
}

// turnedAround looks for findings that zero-shot gets the wrong way round on the
// training part, which is there to be looked at.
func (l *lab) turnedAround(zero *method) ([]string, error) {
	x := gather(l.x, l.train)
	odds, err := zero.head.LogOdds(x)
	if err != nil {
		return nil, fmt.Errorf("experiment: %s: %w", zeroShot, err)
	}
	development := *l
	development.test = l.train
	var warnings []string
	for c, name := range l.data.Classes {
		f := development.finding(c)
		auc, err := evaluate.AUC(pick(column(odds, c), f.rows), f.labels, f.groups)
		if err != nil {
			continue // one class alone cannot be turned around
		}
		if text, ok := farBelow(name, &auc, "the training part"); ok {
			warnings = append(warnings, text)
		}
	}
	return warnings, nil
}

// warnOfPrompts puts what is odd about the prompts into the report.
func (w *work) warnOfPrompts(l *lab, methods []*method, r *evaluate.Report) error {
	r.Warnings = append(r.Warnings, w.config.Prompts.of(w.data).suspects(w.options.Encoder)...)
	if l.prior == nil {
		return nil
	}
	turned, err := l.turnedAround(methods[0])
	r.Warnings = append(r.Warnings, turned...)
	return err
}
