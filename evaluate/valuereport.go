package evaluate

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
)

// ValueReport says how near predicted values come to the true ones of continuous
// targets on the test part.
type ValueReport struct {
	Targets []ValueTarget `json:"targets"`
	// Curves are of every method for every target, where they were asked for.
	Curves []ValueCurve `json:"curves,omitempty"`
}

// ValueTarget is one continuous target.
type ValueTarget struct {
	Name    string  `json:"name"`
	Note    string  `json:"note,omitempty"`
	Prompts Prompts `json:"prompts"`
	// N test samples have a known value, Missing have none, and are left out; so
	// for the training part.
	N            int    `json:"n"`
	Missing      int    `json:"missing"`
	Train        int    `json:"train"`
	TrainMissing int    `json:"train_missing"`
	Units        int    `json:"units"`
	Unit         string `json:"unit"`
	// Mean and Deviation are those of the true values, in their unit.
	Mean      float64       `json:"mean"`
	Deviation float64       `json:"deviation"`
	Methods   []ValueMethod `json:"methods"`
	// Differences of mean absolute error, paired; one below 0 is an improvement.
	Differences []Difference `json:"differences"`
	Warnings    []Warning    `json:"warnings,omitempty"`
}

// ValueMethod is what one method reached for one target. What cannot be estimated
// is nil: R2 where the true values are all alike, Spearman also where the
// predicted ones are, as a mean's.
type ValueMethod struct {
	Method   string    `json:"method"`
	R2       *Estimate `json:"r2"`
	MAE      *Estimate `json:"mae"`
	Spearman *Estimate `json:"spearman"`
	Detail   string    `json:"detail,omitempty"`
	// Fit is as in [MethodResult].
	Fit json.RawMessage `json:"fit,omitempty"`
}

// ValueTrial is a target as it is given to [AssessValues]: what is said in the
// report as it stands, the true values, what each method predicts, and the group
// of each sample.
type ValueTrial struct {
	Target  ValueTarget
	Truth   []float64
	Groups  []string
	Methods []ValuePredictions
	// Baselines is how many methods, the first ones, the later ones are compared
	// with.
	Baselines int
}

// ValuePredictions are those of one method.
type ValuePredictions struct {
	Method, Detail string
	Predicted      []float64
	Fit            json.RawMessage
}

// AssessValues judges the methods of each target. Figures are those of [Values],
// with percentile intervals from a bootstrap over the groups, called unit; the
// differences of mean absolute error are resampled together, with p as
// [Bootstrap.Compare] has it and Holm's over targets. Of fewer than two groups
// nothing is estimated, with a warning.
func AssessValues(ctx context.Context, trials []ValueTrial, unit string, b Bootstrap) (*ValueReport, error) {
	b.setDefaults()
	r := &ValueReport{Targets: []ValueTarget{}}
	for _, t := range trials {
		target, err := t.assess(ctx, unit, b)
		if err != nil {
			return nil, fmt.Errorf("evaluate: %q: %w", t.Target.Name, err)
		}
		r.Targets = append(r.Targets, target)
	}
	r.adjust()
	return r, nil
}

func (t ValueTrial) assess(ctx context.Context, unit string, b Bootstrap) (ValueTarget, error) {
	target := t.Target
	target.N, target.Unit = len(t.Truth), unit
	target.Methods, target.Differences = []ValueMethod{}, []Difference{}
	if err := b.validate(target.N); err != nil {
		return target, err
	}
	of, units, err := unitsOf(target.N, t.Groups)
	if err != nil {
		return target, err
	}
	target.Units = units
	target.Mean, target.Deviation = moments(t.Truth)
	for _, m := range t.Methods {
		if err := checkValues(t.Truth, m.Predicted); err != nil {
			return target, fmt.Errorf("%s: %w", m.Method, err)
		}
		target.Methods = append(target.Methods, ValueMethod{Method: m.Method, Detail: m.Detail, Fit: m.Fit})
	}
	if units < 2 {
		target.Warnings = append(target.Warnings, Warning{WarnFewUnits, fmt.Sprintf("nothing can be estimated from %d %ss with a known value: want at least 2", units, unit)})
		return target, nil
	}
	if units < FewUnits {
		target.Warnings = append(target.Warnings, Warning{WarnFewUnits, fmt.Sprintf("need >= %d %ss for a dependable interval, have %d", FewUnits, unit, units)})
	}
	sums := make([]*valueSums, len(t.Methods))
	var figures []figure
	for k, m := range t.Methods {
		sums[k] = newValueSums(t.Truth, m.Predicted, of)
		figures = append(figures, sums[k].figures()...)
	}
	for k := 1; k < len(sums); k++ {
		for base := range min(t.Baselines, k) {
			figures = append(figures, sums[k].against(sums[base]))
		}
	}
	if err := b.resample(ctx, units, [][]int32{upToUnits(units)}, figures); err != nil {
		return target, err
	}
	all := slices.Repeat([]int32{1}, units)
	estimate := func() *Estimate {
		f := figures[0]
		figures = figures[1:]
		return f.percentile(all, b.Level, target)
	}
	for k := range target.Methods {
		m := &target.Methods[k]
		m.R2, m.MAE, m.Spearman = estimate(), estimate(), estimate()
	}
	for k := 1; k < len(sums); k++ {
		for base := range min(t.Baselines, k) {
			p := signP(figures[0].replicas)
			d := Difference{A: t.Methods[k].Method, B: t.Methods[base].Method, P: p, AdjustedP: p}
			d.Difference = *estimate()
			target.Differences = append(target.Differences, d)
		}
	}
	return target, nil
}

// percentile is the estimate of a resampled figure, or nil where it has no value
// or too few resamples have one.
func (f figure) percentile(all []int32, level float64, target ValueTarget) *Estimate {
	e := &Estimate{Point: f.value(all), N: target.N, Units: target.Units, Unit: target.Unit}
	if math.IsNaN(e.Point) || f.percentiles(e, level) < MinResamples {
		return nil
	}
	return e
}

// against is the difference of the mean absolute errors from other predictions of
// the same values. One unit adds no more to it than the two predictions are apart,
// which unseen ones may be as far as any.
func (v *valueSums) against(base *valueSums) figure {
	apart := 0.0
	for i, p := range v.predicted {
		apart = max(apart, math.Abs(p-base.predicted[i]))
	}
	return figure{
		value: func(weights []int32) float64 { return v.mae(weights) - base.mae(weights) },
		unseen: func(point, s float64) (low, high float64) {
			return float64((1-s)*point) - float64(s*apart), float64((1-s)*point) + float64(s*apart)
		},
	}
}

// signP is twice the smaller share of resamples on either side of zero, ties and
// the data itself counted on both; 1 where they are all alike.
func signP(replicas []float64) float64 {
	below, above := 0, 0
	for _, v := range replicas {
		if v <= 0 {
			below++
		}
		if v >= 0 {
			above++
		}
	}
	if slices.Min(replicas) == slices.Max(replicas) {
		return 1
	}
	return min(1, 2*float64(min(below, above)+1)/float64(len(replicas)+1))
}

func moments(values []float64) (mean, sd float64) {
	for k, v := range values {
		mean += (v - mean) / float64(k+1)
	}
	for _, v := range values {
		sd += (v - mean) * (v - mean)
	}
	if len(values) > 1 {
		return mean, math.Sqrt(sd / float64(len(values)-1))
	}
	return mean, 0
}

// adjust sets Holm's p over the targets, for each pair of methods.
func (r *ValueReport) adjust() {
	pairs := map[[2]string][]*Difference{}
	for k := range r.Targets {
		for i := range r.Targets[k].Differences {
			d := &r.Targets[k].Differences[i]
			pairs[[2]string{d.A, d.B}] = append(pairs[[2]string{d.A, d.B}], d)
		}
	}
	for _, same := range pairs {
		p := make([]float64, len(same))
		for k, d := range same {
			p[k] = d.P
		}
		for k, adjusted := range Holm(p) {
			same[k].AdjustedP = adjusted
		}
	}
}

// ValuePrediction is one row of the predictions.parquet of a run on continuous
// targets: what one method says of one of them in one sample.
type ValuePrediction struct {
	ID      string `parquet:"id"`
	Patient string `parquet:"patient"`
	Part    string `parquet:"split"`
	Finding string `parquet:"finding"`
	// Value is null where it is not known.
	Value     *float64 `parquet:"value"`
	Method    string   `parquet:"method"`
	Predicted float64  `parquet:"predicted"`
}
