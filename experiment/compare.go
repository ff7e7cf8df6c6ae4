package experiment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/evaluate"
	"github.com/medprobe/medprobe/trainer"
	"golang.org/x/sync/errgroup"
	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/blas/blas64"
)

// method is one way to score the test samples for every class.
type method struct {
	name string
	head *trainer.Head
	// details says how each class was fitted.
	details []string
	// odds and probabilities are [test samples, classes]; there are no
	// probabilities where Data is nil.
	odds, probabilities blas64.General
}

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

// pick returns the values at the places.
func pick[T any](values []T, places []int) []T {
	picked := make([]T, len(places))
	for k, r := range places {
		picked[k] = values[r]
	}
	return picked
}

// methods returns zero-shot, if there are prompts, and then every head, trained
// as the experiment says.
func (l *lab) methods(ctx context.Context) ([]*method, error) {
	var methods []*method
	if l.prior != nil {
		head, err := trainer.ZeroShot(*l.prior, l.data.Classes, l.data.Exclusive(), l.space)
		if err != nil {
			return nil, fmt.Errorf("experiment: %w", err)
		}
		zero := &method{name: zeroShot, head: head, details: make([]string, len(l.data.Classes))}
		for c := range zero.details {
			zero.details[c] = "no labels used"
		}
		methods = append(methods, zero)
	}
	for _, kind := range l.config.Heads {
		m, err := l.trained(ctx, kind)
		if err != nil {
			return nil, err
		}
		methods = append(methods, m)
	}
	for _, m := range methods {
		if err := m.score(l.testX); err != nil {
			return nil, err
		}
	}
	return methods, nil
}

// score lets the head judge the rows of x.
func (m *method) score(x blas32.General) (err error) {
	if m.odds, err = m.head.LogOdds(x); err != nil {
		return fmt.Errorf("experiment: %s: %w", m.name, err)
	}
	if m.probabilities, err = m.head.Probabilities(x); err != nil {
		return fmt.Errorf("experiment: %s: %w", m.name, err)
	}
	return nil
}

// trained fits one kind of head for every class; for all of them at once where
// they are trained on the same samples.
func (l *lab) trained(ctx context.Context, kind string) (*method, error) {
	sets := l.classSets()
	if l.config.Train.Shots == 0 {
		sets = []classSet{upTo(len(l.data.Classes))}
	}
	supports, err := l.supports(sets)
	if err != nil {
		return nil, err
	}
	heads := make([]*trainer.Head, len(sets))
	m := &method{name: kind, details: make([]string, len(l.data.Classes))}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for s, set := range sets {
		group.Go(func() error {
			head, err := l.fitTuned(ctx, kind, set, supports[s])
			if err != nil {
				return fmt.Errorf("experiment: %s: %w", kind, err)
			}
			heads[s] = head
			for k, c := range set {
				positives, negatives := l.count(supports[s], c)
				fit := head.Fits[min(k, len(head.Fits)-1)]
				m.details[c] = fmt.Sprintf("%d positive and %d negative, %v", positives, negatives, fit)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if len(heads) == 1 {
		m.head = heads[0]
		return m, nil
	}
	m.head, err = trainer.Stack(heads)
	return m, err
}

// supports draws what each class set is trained on. Every class that has too
// little is named.
func (l *lab) supports(sets []classSet) ([][]int, error) {
	supports := make([][]int, len(sets))
	errs := make([]error, len(sets))
	for s, set := range sets {
		supports[s], errs[s] = l.draw(set, l.config.Train.Shots, 0)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("experiment: train: %w; lower the shots, use 0 for all there is, or leave a finding out by naming the other labels under data", err)
	}
	return supports, nil
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

// fitOf is the account that a head gives of how it was fitted for a class, in JSON;
// nil where there is none, as of zero-shot.
func fitOf(h *trainer.Head, class string) json.RawMessage {
	if h == nil || len(h.Fits) == 0 {
		return nil
	}
	k := max(0, slices.IndexFunc(h.Fits, func(f trainer.ClassFit) bool { return f.Class == class }))
	text, err := json.Marshal(h.Fits[k])
	if err != nil {
		return nil // a figure that is not finite, which no fit leaves
	}
	return text
}
