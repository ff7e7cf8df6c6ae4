package experiment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"

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

// methods returns what is compared on the test part, scored there: those of the lab
// and, beside zero-shot and before what was trained here, the encoder's own
// classifier where it has one.
func (w *work) methods(ctx context.Context, l *lab) ([]*method, error) {
	methods, err := l.zeroShotAndHeads(ctx)
	if err != nil {
		return nil, err
	}
	tuned, err := w.fineTune(ctx, l)
	if err != nil || tuned == nil {
		return methods, err
	}
	return slices.Insert(methods, len(methods)-len(l.config.Heads), tuned), nil
}

// zeroShotAndHeads returns zero-shot, if there are prompts, and then every head, trained
// as the experiment says.
func (l *lab) zeroShotAndHeads(ctx context.Context) ([]*method, error) {
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

// leadOf is the head that a report is about: the first that was trained.
func leadOf(methods []*method) *method {
	for _, m := range methods {
		if m.name != zeroShot && m.name != classifier {
			return m
		}
	}
	return methods[0]
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
