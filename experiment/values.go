package experiment

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/evaluate"
	"github.com/medprobe/medprobe/internal/near"
	"github.com/medprobe/medprobe/trainer"
	"gonum.org/v1/gonum/blas/blas64"
)

// The baselines of continuous targets: the mean of the training part, and a
// straight line through the zero-shot score.
const (
	meanOfTrain  = "mean-of-train"
	zeroShotAxis = "zero-shot-axis"
)

// regression says whether the targets are continuous.
func (c *Config) regression() bool { return c.Task == string(datasets.Regression) }

// setTask makes one of what experiment and data say of the task.
func (c *Config) setTask() {
	switch {
	case c.Task == "":
		c.Task = c.Data.Task
	case c.Data.Task == "":
		c.Data.Task = c.Task
	}
	if c.regression() && len(c.Heads) == 0 {
		c.Heads = []string{trainer.Ridge}
		if len(c.Prompts) > 0 {
			c.Heads = []string{trainer.RidgePrior, trainer.Ridge}
		}
	}
}

// checkTask returns an error if the experiment asks of continuous targets what
// only findings have.
func (c *Config) checkTask() error {
	if c.Task == "" {
		return nil
	}
	if err := near.Check("task", c.Task, []string{string(datasets.Regression)}); err != nil {
		return err
	}
	var errs []error
	wrong := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("task: regression: "+format, args...))
	}
	if c.Data.Path != "" {
		errs = append(errs, c.Data.Check())
	}
	for _, field := range []struct {
		key  string
		said bool
	}{
		{"covariates", len(c.Covariates) > 0}, {"calibrate", c.Calibrate != ""}, {"threshold", len(c.Threshold) > 0},
		{"members", len(c.Members) > 0}, {"ensemble_scores", len(c.EnsembleScores) > 0}, {"train", c.Train.Shots != 0}, {"scenario", c.Scenario != ""},
		{"subgroups", len(c.Subgroups) > 0}, {"external", len(c.External) > 0}, {"encoders", len(c.Encoders) > 1},
	} {
		if field.said {
			wrong("%s: is for findings; leave it out", field.key)
		}
	}
	for _, head := range c.Heads {
		if err := near.Check("head", head, trainer.ValueKinds()); err != nil {
			errs = append(errs, err)
		} else if head == trainer.RidgePrior && len(c.Prompts) == 0 {
			wrong("head %s starts from zero-shot, and there are no prompts", head)
		}
	}
	return errors.Join(errs...)
}

// labelled says whether anything is known of a sample.
func labelled(s *datasets.Sample) bool {
	return slices.ContainsFunc(s.Labels, known) || slices.ContainsFunc(s.Values, func(v float64) bool { return !math.IsNaN(v) })
}

// valueMethod predicts every target of the test samples; head is nil for the
// mean.
type valueMethod struct {
	name      string
	head      *trainer.Head
	details   []string
	predicted blas64.General // [test samples, targets]
}

// judgeValues trains the heads of continuous targets and compares them on the
// test part with the mean of the training part and, where there are prompts,
// with the zero-shot axis.
func (w *work) judgeValues(ctx context.Context, l *lab) (*Result, error) {
	progress := func(done, total int) { w.options.Progress("train", done, total) }
	all := classSet(upTo(len(l.data.Classes)))
	methods, err := l.valueMethods(ctx, l.train, all, progress)
	if err != nil {
		return nil, err
	}
	result := w.newResult(ctx, l)
	r := result.Report
	if r.Values, err = l.assessValues(ctx, methods); err != nil {
		return nil, err
	}
	if r.Values.Curves, err = l.valueCurves(ctx, progress); err != nil {
		return nil, err
	}
	result.values = l.valuePredictions(methods)
	for _, m := range methods {
		if m.head != nil {
			result.keep(m.name, m.head)
		}
	}
	return result, r.Counts.Check()
}

// valueMethods returns the baselines and then every head for the targets of the
// set, all fitted on the rows alone.
func (l *lab) valueMethods(ctx context.Context, rows []int, set classSet, progress func(done, total int)) ([]valueMethod, error) {
	v, groups := values(l.data, rows, set)
	prior := l.priorOf(set)
	mean, err := l.meanOfTrain(v)
	if err != nil {
		return nil, err
	}
	methods := []valueMethod{mean}
	kinds := slices.Clone(l.config.Heads)
	if prior != nil {
		kinds = append([]string{zeroShotAxis}, kinds...)
	}
	x := gather(l.x, rows)
	for k, name := range kinds {
		progress(k, len(kinds))
		o := trainer.Options{Head: name, Seed: l.config.Seed, Space: l.space, Memory: l.memory}
		switch name {
		case zeroShotAxis:
			o.Head, o.Prior, o.Alpha = trainer.RidgePrior, prior, math.Inf(1)
		case trainer.RidgePrior:
			o.Prior = prior
		}
		m := valueMethod{name: name}
		if m.head, err = trainer.FitValues(ctx, x, v, groups, o); err != nil {
			return nil, fmt.Errorf("experiment: %s: %w", name, err)
		}
		for _, fit := range m.head.Fits {
			m.details = append(m.details, fit.String())
		}
		if m.predicted, err = m.head.Values(l.testX); err != nil {
			return nil, fmt.Errorf("experiment: %s: %w", name, err)
		}
		methods = append(methods, m)
	}
	progress(len(kinds), len(kinds))
	return methods, nil
}

// meanOfTrain predicts the mean of the known values of what is trained on.
func (l *lab) meanOfTrain(v trainer.Values) (valueMethod, error) {
	m := valueMethod{name: meanOfTrain, predicted: matrix64(len(l.test), len(v.Names))}
	for c, name := range v.Names {
		mean, n := 0.0, 0
		for _, row := range v.Rows {
			if !math.IsNaN(row[c]) {
				n++
				mean += (row[c] - mean) / float64(n)
			}
		}
		if n < 2 {
			return m, fmt.Errorf("experiment: %q has %d known values in the training part: want at least 2", name, n)
		}
		m.details = append(m.details, fmt.Sprintf("%.6g, of %d values", mean, n))
		for r := range l.test {
			m.predicted.Data[r*m.predicted.Stride+c] = mean
		}
	}
	return m, nil
}

// values returns the targets of the set in the rows, and the patient of each.
func values(d *datasets.Dataset, rows []int, set classSet) (v trainer.Values, groups []string) {
	for _, c := range set {
		v.Names = append(v.Names, d.Classes[c])
	}
	for _, i := range rows {
		v.Rows = append(v.Rows, pick(d.Samples[i].Values, set))
	}
	return v, groupsOf(d, rows)
}

func (l *lab) assessValues(ctx context.Context, methods []valueMethod) (*evaluate.ValueReport, error) {
	trials := make([]evaluate.ValueTrial, len(l.data.Classes))
	prompts := l.config.Prompts.of(l.data)
	baselines := 1
	if l.prior != nil {
		baselines = 2
	}
	for c, name := range l.data.Classes {
		prompt := prompts[name]
		t := evaluate.ValueTrial{Baselines: baselines, Target: evaluate.ValueTarget{
			Name: name, Note: prompt.Note, Prompts: evaluate.Prompts{Positive: prompt.Positive, Negative: prompt.Negative},
		}}
		for _, i := range l.train {
			if math.IsNaN(l.data.Samples[i].Values[c]) {
				t.Target.TrainMissing++
			} else {
				t.Target.Train++
			}
		}
		test := l.valueTest(c)
		t.Truth, t.Groups, t.Target.Missing = test.truth, test.groups, test.missing
		for _, m := range methods {
			t.Methods = append(t.Methods, evaluate.ValuePredictions{Method: m.name, Detail: m.details[c], Fit: fitOf(m.head, name), Predicted: pick(column(m.predicted, c), test.places)})
		}
		trials[c] = t
	}
	r, err := evaluate.AssessValues(ctx, trials, l.data.Unit, evaluate.Bootstrap{Seed: l.config.Seed})
	if err != nil {
		return nil, fmt.Errorf("experiment: %w", err)
	}
	return r, nil
}

// valuePredictions lists the test samples in order, for each target and method.
func (l *lab) valuePredictions(methods []valueMethod) []evaluate.ValuePrediction {
	rows := []evaluate.ValuePrediction{}
	for r, i := range l.test {
		s := &l.data.Samples[i]
		for c, name := range l.data.Classes {
			for _, m := range methods {
				row := evaluate.ValuePrediction{ID: s.ID, Patient: s.Patient, Part: testPart, Finding: name, Method: m.name, Predicted: m.predicted.Data[r*m.predicted.Stride+c]}
				if v := s.Values[c]; !math.IsNaN(v) {
					row.Value = &v
				}
				rows = append(rows, row)
			}
		}
	}
	return rows
}

// writePredictions writes the predictions of findings or of values.
func (r *Result) writePredictions(w io.Writer) error {
	if r.values != nil {
		return writeTable(w, r.values)
	}
	return writeTable(w, r.predictions)
}

// unitValues returns the mean of the known values of samples that are one, for
// each target, and whether those known agree.
func unitValues(d *datasets.Dataset, rows []int) (means []float64, agreed bool) {
	means, agreed = make([]float64, len(d.Classes)), true
	for c := range means {
		n, first := 0, math.NaN()
		for _, i := range rows {
			v := d.Samples[i].Values[c]
			if math.IsNaN(v) {
				continue
			}
			if n++; n == 1 {
				first = v
			}
			agreed = agreed && v == first
			means[c] += (v - means[c]) / float64(n)
		}
		if n == 0 {
			means[c] = math.NaN()
		}
	}
	return means, agreed
}
