package experiment

import (
	"context"
	"fmt"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/evaluate"
)

// finding is one class on the test samples for which it is known.
type finding struct {
	// rows are places in lab.test.
	rows   []int
	labels []bool
	groups []string
}

func (l *lab) findings() []finding {
	all := make([]finding, len(l.data.Classes))
	for c := range all {
		all[c] = l.finding(c)
	}
	return all
}

func (l *lab) finding(class int) finding {
	var f finding
	for r, i := range l.test {
		if s := &l.data.Samples[i]; known(s.Labels[class]) {
			f.rows = append(f.rows, r)
			f.labels = append(f.labels, s.Labels[class] == datasets.Positive)
			f.groups = append(f.groups, s.Group())
		}
	}
	return f
}

// compare judges the methods on the test samples.
func (l *lab) compare(ctx context.Context, methods []*method, tests []finding) ([]evaluate.Finding, *evaluate.Macro, error) {
	trials := l.trials(methods, tests)
	findings, macro, err := evaluate.Assess(ctx, trials, l.data.Unit, evaluate.Bootstrap{Seed: l.config.Seed})
	if err != nil {
		return nil, nil, fmt.Errorf("experiment: %w", err)
	}
	for c, test := range tests {
		for k, m := range methods {
			if findings[c].Methods[k].Cuts, err = l.cuts(m, c, test); err != nil {
				return nil, nil, err
			}
		}
	}
	return findings, macro, nil
}

// trials holds what the methods say of the test samples of each finding.
func (l *lab) trials(methods []*method, tests []finding) []evaluate.Trial {
	trials := make([]evaluate.Trial, len(tests))
	prompts := l.config.Prompts.of(l.data)
	for c, test := range tests {
		prompt := prompts[l.data.Classes[c]]
		trial := evaluate.Trial{
			Name: l.data.Classes[c], Note: prompt.Note, Labels: test.labels, Groups: test.groups,
			Prompts: evaluate.Prompts{Positive: prompt.Positive, Negative: prompt.Negative},
		}
		for _, m := range methods {
			scored := evaluate.Scored{Method: m.name, Detail: m.details[c], Fit: fitOf(m.head, l.data.Classes[c]), Scores: pick(column(m.odds, c), test.rows)}
			if m.probabilities.Data != nil {
				scored.Probabilities = pick(column(m.probabilities, c), test.rows)
			}
			trial.Methods = append(trial.Methods, scored)
		}
		trials[c] = trial
	}
	return trials
}
