package experiment

import (
	"context"
	"slices"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/embedcache"
	"github.com/medprobe/medprobe/trainer"
	"gonum.org/v1/gonum/blas/blas32"
)

// lab holds what every fit of an experiment draws on: the samples that can be
// used and their vectors.
type lab struct {
	config *Config
	// data holds the used samples only, x their vectors, one row for each.
	data  *datasets.Dataset
	x     blas32.General
	train []int
	// validation is empty where nothing is chosen on such a part.
	validation []int
	test       []int
	// testX are the rows of x for test.
	testX blas32.General
	prior *trainer.Prior // nil without prompts
	space trainer.Space
	// multiplier is for the heads; nil means pure Go.
	multiplier trainer.Multiplier
	// memory is what there is for a fit; 0 is not looked at.
	memory int64
}

// newLab gathers the vectors of what is used.
func (w *work) newLab(ctx context.Context) (*lab, error) {
	rows := w.plan.used()
	l := &lab{
		config: w.config, data: subset(w.data, rows), prior: w.prior, multiplier: w.options.Multiplier, memory: w.options.Memory,
		space: headSpace(w.space),
	}
	for k, i := range rows {
		switch w.plan[i].part {
		case trainPart:
			l.train = append(l.train, k)
		case validationPart:
			l.validation = append(l.validation, k)
		default:
			l.test = append(l.test, k)
		}
	}
	var err error
	if l.x, err = w.options.Cache.Matrix(ctx, w.space, pick(w.keys, rows)); err != nil {
		return nil, err
	}
	warning, err := l.aggregate()
	if err != nil {
		return nil, err
	}
	if warning != "" {
		w.warnings = append(w.warnings, warning)
	}
	l.testX = gather(l.x, l.test)
	return l, nil
}

// headSpace is the space of vectors as a head names it.
func headSpace(s embedcache.Space) trainer.Space {
	return trainer.Space{Encoder: s.Encoder, Preprocess: s.Preprocess}
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
	if k > 0 {
		return datasets.Draw(l.data, l.train, set, datasets.Shots{K: k, Scenario: l.config.Scenario, Seed: l.config.Seed, Draw: draw})
	}
	return slices.DeleteFunc(slices.Clone(l.train), func(i int) bool {
		return !slices.ContainsFunc(set, func(c int) bool { return known(l.data.Samples[i].Labels[c]) })
	}), nil
}

// fit trains a head for the classes of the set on the rows.
func (l *lab) fit(ctx context.Context, kind string, set classSet, rows []int) (*trainer.Head, error) {
	return l.fitWith(ctx, l.fitOptions(kind, set), set, rows)
}

func (l *lab) fitWith(ctx context.Context, o trainer.Options, set classSet, rows []int) (*trainer.Head, error) {
	y, groups := Targets(l.data, set, rows)
	return trainer.Fit(ctx, gather(l.x, rows), y, groups, o)
}

func (l *lab) fitOptions(kind string, set classSet) trainer.Options {
	o := trainer.Options{Head: kind, Prior: l.priorOf(set), Seed: l.config.Seed, Space: l.space, Multiplier: l.multiplier, Memory: l.memory}
	if kind == trainer.Ensemble {
		o.Members, o.Validation = l.config.Members, l.validationOf(set)
	}
	return o
}

// fitTuned is fit with calibration and thresholds, if the experiment asks for
// them.
func (l *lab) fitTuned(ctx context.Context, kind string, set classSet, rows []int) (*trainer.Head, error) {
	o := l.fitOptions(kind, set)
	if err := l.tuned(&o); err != nil {
		return nil, err
	}
	head, err := l.fitWith(ctx, o, set, rows)
	if err != nil {
		return nil, err
	}
	return head, l.tune(head, set)
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

// Targets returns what is known of the classes, by their numbers in the
// dataset, in the rows, and the patient of each row. An uncertain label is as
// unknown as a missing one. nil stands for all classes, and for all rows.
func Targets(d *datasets.Dataset, classes, rows []int) (y trainer.Targets, groups []string) {
	if classes == nil {
		classes = upTo(len(d.Classes))
	}
	if rows == nil {
		rows = upTo(len(d.Samples))
	}
	y = trainer.Targets{Exclusive: d.Exclusive(), Values: make([][]int8, len(rows))}
	for _, c := range classes {
		y.Classes = append(y.Classes, d.Classes[c])
	}
	for r, i := range rows {
		values := make([]int8, len(classes))
		for k, c := range classes {
			values[k] = target(d.Samples[i].Labels[c])
		}
		y.Values[r] = values
	}
	return y, groupsOf(d, rows)
}

// groupsOf returns the patient of each of the rows, or what must not be divided in
// the place of one.
func groupsOf(d *datasets.Dataset, rows []int) []string {
	groups := make([]string, len(rows))
	for r, i := range rows {
		groups[r] = d.Samples[i].Group()
	}
	return groups
}

func target(l datasets.Label) int8 {
	switch l {
	case datasets.Positive:
		return trainer.Positive
	case datasets.Negative:
		return trainer.Negative
	default:
		return trainer.Unknown
	}
}

// patients counts those of the rows; 0 where they are not known.
func (l *lab) patients(rows []int) int {
	if !l.data.HasPatients() {
		return 0
	}
	return distinct(groupsOf(l.data, rows))
}

func distinct(groups []string) int {
	seen := map[string]bool{}
	for _, g := range groups {
		seen[g] = true
	}
	return len(seen)
}
