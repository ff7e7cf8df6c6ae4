package experiment

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/evaluate"
	"github.com/medprobe/medprobe/internal/near"
	"github.com/medprobe/medprobe/trainer"
	"gonum.org/v1/gonum/blas/blas32"
)

// namedHead is a head with the name of its file.
type namedHead struct {
	name string
	head *trainer.Head
}

// joinable returns the first head that takes covariates, or "".
func (c *Config) joinable() string {
	for _, head := range c.Heads {
		if trainer.TakesCovariates(head) {
			return head
		}
	}
	return ""
}

func (c *Config) checkCovariates() error {
	if len(c.Covariates) == 0 {
		return nil
	}
	var errs []error
	for k, name := range c.Covariates {
		if name == "" || slices.Contains(c.Covariates[:k], name) {
			errs = append(errs, fmt.Errorf("covariates: %q: want names of columns, each once", name))
		}
	}
	if c.joinable() == "" {
		errs = append(errs, fmt.Errorf("covariates: none of the heads %q takes them: want %s or %s among them", c.Heads, trainer.LinearProbe, trainer.Logistic))
	}
	if c.Train.Shots != 0 {
		errs = append(errs, fmt.Errorf("covariates: with train: {shots: %d}: want all of the training part, shots: 0", c.Train.Shots))
	}
	return errors.Join(errs...)
}

// findCovariates returns an error that names the columns that the data lacks.
func (c *Config) findCovariates(d *datasets.Dataset) error {
	var errs []error
	for _, name := range c.Covariates {
		if !slices.Contains(d.Attributes, name) {
			errs = append(errs, fmt.Errorf("experiment: covariates: the data has no attribute %q%s; it has %q", name, near.Hint(name, d.Attributes), d.Attributes))
		}
	}
	return errors.Join(errs...)
}

// covariates returns those of the rows.
func (l *lab) covariates(rows []int) trainer.Covariates {
	c := trainer.Covariates{Names: l.config.Covariates, Rows: make([][]string, len(rows))}
	for r, i := range rows {
		for _, name := range c.Names {
			c.Rows[r] = append(c.Rows[r], l.data.Attr(i, name))
		}
	}
	return c
}

// covariateGains trains a head of the covariates alone and one of image and
// covariates, on what the head of the image alone was trained on, and compares
// the three on test.
func (l *lab) covariateGains(ctx context.Context, methods []*method, tests []finding) (*evaluate.CovariateGains, []namedHead, error) {
	if len(l.config.Covariates) == 0 {
		return nil, nil, nil
	}
	kind := l.config.joinable()
	image := methods[slices.IndexFunc(methods, func(m *method) bool { return m.name == kind })]
	set := classSet(upTo(len(l.data.Classes)))
	rows, err := l.draw(set, 0, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("experiment: %w", err)
	}
	y, groups := Targets(l.data, set, rows)
	fit := func(name, kind string, prior *trainer.Prior, train, test blas32.General) (*method, error) {
		o := l.fitOptions(kind, set)
		o.Prior = prior
		head, err := trainer.FitJoined(ctx, train, l.covariates(rows), y, groups, o)
		if err != nil {
			return nil, fmt.Errorf("experiment: %s: %w", name, err)
		}
		joined, err := head.Covariates.Join(test, l.covariates(l.test))
		if err != nil {
			return nil, fmt.Errorf("experiment: %s: test: %w", name, err)
		}
		m := &method{name: name, head: head}
		return m, m.score(joined)
	}
	alone, err := fit("covariates", trainer.Logistic, nil, blas32.General{Rows: len(rows)}, blas32.General{Rows: len(l.test)})
	if err != nil {
		return nil, nil, err
	}
	both, err := fit(kind+"+covariates", kind, l.priorOf(set), gather(l.x, rows), l.testX)
	if err != nil {
		return nil, nil, err
	}
	gains := &evaluate.CovariateGains{Columns: l.config.Covariates, Head: kind}
	for c, test := range tests {
		score := func(m *method) []float64 { return pick(column(m.odds, c), test.rows) }
		g, err := evaluate.NewCovariateGain(l.data.Classes[c], score(image), score(alone), score(both), test.labels, test.groups, l.data.Unit)
		if err != nil {
			return nil, nil, fmt.Errorf("experiment: %w", err)
		}
		gains.Findings = append(gains.Findings, g)
	}
	gains.Adjust()
	return gains, []namedHead{{alone.name, alone.head}, {both.name, both.head}}, nil
}
