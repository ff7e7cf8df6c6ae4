package experiment

import (
	"context"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/evaluate"
	"github.com/medprobe/medprobe/trainer"
)

// Result is what an experiment found.
type Result struct {
	Report *evaluate.Report
	// Heads holds the trained heads and zero-shot.
	Heads []*trainer.Head
	// Embedded and Cached are the vectors computed and found.
	Embedded, Cached int

	config      *Config
	samples     []SampleRow
	predictions []evaluate.Prediction
	values      []evaluate.ValuePrediction // of continuous targets
	// external holds those of external test sets.
	external []ExternalRow
	// joined are heads with covariates, and of covariates alone.
	joined []namedHead
	// sample holds vectors of the test part.
	sample keptVectors
}

// newResult begins a result with the report of what is known before anything is
// trained, and what was embedded for it.
func (w *work) newResult(ctx context.Context, l *lab) *Result {
	near := w.nearDuplicates(ctx) // which may warn
	r := &Result{Report: w.report(l), config: w.config, samples: w.samples(), sample: l.sample()}
	r.Report.NearDuplicates = near
	all := []*work{w}
	for _, set := range w.external {
		all = append(all, set.work)
	}
	for _, o := range w.others {
		all = append(all, o.work)
	}
	for _, one := range all {
		r.Embedded, r.Cached = r.Embedded+one.filled.Embedded, r.Cached+one.filled.Cached
	}
	return r
}

// judge trains the heads and compares them on the test part.
func (w *work) judge(ctx context.Context) (*Result, error) {
	l, err := w.newLab(ctx)
	if err != nil {
		return nil, err
	}
	if w.data.Task == datasets.Regression {
		return w.judgeValues(ctx, l)
	}
	methods, err := w.methods(ctx, l)
	if err != nil {
		return nil, err
	}
	if methods, err = l.withOutside(ctx, methods); err != nil {
		return nil, err
	}
	return w.judgeFindings(ctx, l, methods)
}

// judgeFindings compares the methods on the test part, in every way the report has.
func (w *work) judgeFindings(ctx context.Context, l *lab, methods []*method) (result *Result, err error) {
	tests := l.findings()
	result = w.newResult(ctx, l)
	r := result.Report
	if r.Findings, r.Macro, err = l.compare(ctx, methods, tests); err != nil {
		return nil, err
	}
	if r.Subgroups, err = l.subgroups(methods, tests, r.Findings); err != nil {
		return nil, err
	}
	if r.Mistakes, err = l.mistakes(ctx, methods, tests, r.Findings); err != nil {
		return nil, err
	}
	if r.Covariates, result.joined, err = l.covariateGains(ctx, methods, tests); err != nil {
		return nil, err
	}
	if r.External, result.external, err = w.judgeExternal(ctx, l, methods); err != nil {
		return nil, err
	}
	var theirs []evaluate.Prediction
	if r.Encoders, theirs, err = w.compareEncoders(ctx, r, l, methods, tests); err != nil {
		return nil, err
	}
	if err := w.warnOfPrompts(l, methods, r); err != nil {
		return nil, err
	}
	if r.Curves, err = l.curves(ctx, tests, methods, func(done, total int) { w.options.Progress("train", done, total) }); err != nil {
		return nil, err
	}
	result.predictions = append(l.predictions(methods), theirs...)
	for _, j := range result.joined {
		result.warn(j.name, j.head)
	}
	for _, m := range methods {
		result.keep(m.name, m.head)
	}
	r.AddPublished()
	return result, r.Counts.Check()
}

// keep takes a head into the result, and what was noted of it into the warnings.
func (r *Result) keep(name string, head *trainer.Head) {
	switch name {
	case classifier:
		return // the encoder's own, and not for vectors of length one
	case withScores, zeroShotAxis:
		r.joined = append(r.joined, namedHead{name, head})
	default:
		r.Heads = append(r.Heads, head)
	}
	r.warn(name, head)
}

func (r *Result) warn(name string, head *trainer.Head) {
	for _, note := range head.Notes {
		r.Report.Warnings = append(r.Report.Warnings, name+": "+note)
	}
}
