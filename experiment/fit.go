package experiment

import (
	"context"
	"fmt"
	"slices"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/trainer"
	"gonum.org/v1/gonum/blas/blas32"
)

// lab holds what every fit of an experiment draws on.
type lab struct {
	config *Config
	data   *datasets.Dataset
	x      blas32.General // one row per sample
	train  []int
	test   []int
	prior  *trainer.Prior // nil without prompts
	space  trainer.Space
}

// classSet is the classes that are fitted together: all of them where they
// exclude one another, one finding otherwise.
type classSet []int

func (l *lab) classSets() []classSet {
	all := make(classSet, len(l.data.Classes))
	for c := range all {
		all[c] = c
	}
	if l.data.Exclusive() {
		return []classSet{all}
	}
	sets := make([]classSet, len(all))
	for c := range all {
		sets[c] = all[c : c+1]
	}
	return sets
}

// draw returns the support of a class set: k shots per class, or the whole
// training part for k = 0.
func (l *lab) draw(set classSet, k, draw int) ([]int, error) {
	switch {
	case k == 0:
		return l.labelled(l.train, set), nil
	case l.data.Exclusive():
		return datasets.DrawEach(l.data, l.train, k, l.config.Seed, draw)
	default:
		return datasets.Draw(l.data, l.train, set[0], k, l.config.Seed, draw)
	}
}

// labelled returns the rows for which a label of the set is known.
func (l *lab) labelled(rows []int, set classSet) []int {
	return slices.DeleteFunc(slices.Clone(rows), func(i int) bool {
		return !slices.ContainsFunc(set, func(c int) bool { return known(l.data.Samples[i].Labels[c]) })
	})
}

// fit trains a head for the classes of the set on the rows.
func (l *lab) fit(ctx context.Context, kind string, set classSet, rows []int) (*trainer.Head, error) {
	y := trainer.Targets{Exclusive: l.data.Exclusive()}
	for _, c := range set {
		y.Classes = append(y.Classes, l.data.Classes[c])
	}
	groups := make([]string, len(rows))
	for r, i := range rows {
		y.Values = append(y.Values, l.values(i, set))
		groups[r] = l.data.Samples[i].Group()
	}
	head, err := trainer.Fit(ctx, gather(l.x, rows), y, groups, trainer.Options{
		Head: kind, Prior: l.priorOf(set), Seed: l.config.Seed, Space: l.space,
	})
	if err != nil {
		return nil, fmt.Errorf("experiment: %w", err)
	}
	return head, nil
}

// values returns the labels of sample i for the classes of the set.
func (l *lab) values(i int, set classSet) []int8 {
	values := make([]int8, len(set))
	for k, c := range set {
		switch l.data.Samples[i].Labels[c] {
		case datasets.Positive:
			values[k] = trainer.Positive
		case datasets.Negative:
			values[k] = trainer.Negative
		default:
			values[k] = trainer.Unknown
		}
	}
	return values
}

// priorOf returns the zero-shot classifier of the classes of the set.
func (l *lab) priorOf(set classSet) *trainer.Prior {
	if l.prior == nil {
		return nil
	}
	p := *l.prior
	p.T = gather(l.prior.T, set)
	return &p
}

// gather returns the rows of m as a matrix of their own.
func gather(m blas32.General, rows []int) blas32.General {
	g := blas32.General{Rows: len(rows), Cols: m.Cols, Stride: m.Cols, Data: make([]float32, 0, len(rows)*m.Cols)}
	for _, i := range rows {
		g.Data = append(g.Data, m.Data[i*m.Stride:i*m.Stride+m.Cols]...)
	}
	return g
}
