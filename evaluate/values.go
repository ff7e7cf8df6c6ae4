package evaluate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
)

// ValueFigures says how near predicted values come to true ones.
type ValueFigures struct {
	// R2 is 1 − Σ(y−p)²/Σ(y−ȳ)²; MAE is the mean |y−p|, in the unit of the
	// values; Spearman is the correlation of ranks, ties sharing theirs.
	R2       Estimate `json:"r2"`
	MAE      Estimate `json:"mae"`
	Spearman Estimate `json:"spearman"`
}

// ErrNoSpread says that all true values, or all predicted ones, are alike.
var ErrNoSpread = errors.New("all values are alike")

// Values compares predicted with true values of n samples, with percentile
// intervals from a bootstrap over the groups; groups may be nil. Resamples
// without spread are left out of the intervals of R2 and Spearman. A value that
// is not finite is an error, as are fewer than two groups, and true or predicted
// values that are all alike wrap [ErrNoSpread].
//
// Where the resamples are all alike, as of a perfect prediction, the interval says
// what a share of units could do that was not seen: see [valueSums.figures].
//
// Oracles: scikit-learn's r2_score and mean_absolute_error, scipy's spearmanr
// (testdata/values.json).
func Values(ctx context.Context, truth, predicted []float64, groups []string, b Bootstrap) (ValueFigures, error) {
	b.setDefaults()
	var f ValueFigures
	n := len(truth)
	if err := checkValues(truth, predicted); err != nil {
		return f, fmt.Errorf("evaluate: %w", err)
	}
	if err := b.validate(n); err != nil {
		return f, err
	}
	if b.Strata != nil {
		return f, errors.New("evaluate: values have no strata; leave them out")
	}
	unit, units, err := unitsOf(n, groups)
	if err != nil {
		return f, err
	}
	if units < 2 {
		return f, fmt.Errorf("evaluate: values of %d units: want at least 2", units)
	}
	v := newValueSums(truth, predicted, unit)
	all := make([]int32, units)
	for k := range all {
		all[k] = 1
	}
	name := "sample"
	if groups != nil {
		name = "group"
	}
	figures := v.figures()
	strata := [][]int32{upToUnits(units)}
	if err := b.resample(ctx, units, strata, figures); err != nil {
		return f, err
	}
	for k, into := range []*Estimate{&f.R2, &f.MAE, &f.Spearman} {
		e := Estimate{Point: figures[k].value(all), N: n, Units: units, Unit: name}
		if math.IsNaN(e.Point) {
			return f, fmt.Errorf("evaluate: values: %w", ErrNoSpread)
		}
		if counted := figures[k].percentiles(&e, b.Level); counted < MinResamples {
			return f, fmt.Errorf("evaluate: values: %d of %d resamples have spread: %w", counted, b.Resamples, ErrNoSpread)
		}
		if units < FewUnits {
			e.Warnings = []Warning{{WarnFewUnits, fmt.Sprintf("need >= %d %ss for a dependable interval, have %d", FewUnits, name, units)}}
		}
		*into = e
	}
	return f, nil
}

// checkValues returns an error unless there is a finite predicted value for each.
func checkValues(truth, predicted []float64) error {
	if len(predicted) != len(truth) {
		return fmt.Errorf("%d predicted values for %d: want as many", len(predicted), len(truth))
	}
	for i := range truth {
		for _, v := range []float64{truth[i], predicted[i]} {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("sample %d: value %v: want finite numbers", i, v)
			}
		}
	}
	return nil
}

func upToUnits(n int) []int32 {
	all := make([]int32, n)
	for k := range all {
		all[k] = int32(k)
	}
	return all
}

// valueSums holds samples with their orders, to be counted with weights of their
// units.
type valueSums struct {
	truth, predicted     []float64
	unit                 []int32
	byTruth, byPredicted []int
}

func newValueSums(truth, predicted []float64, unit []int32) *valueSums {
	v := &valueSums{truth: truth, predicted: predicted, unit: unit}
	order := func(values []float64) []int {
		places := make([]int, len(values))
		for i := range places {
			places[i] = i
		}
		slices.SortStableFunc(places, func(a, b int) int { return cmp.Compare(values[a], values[b]) })
		return places
	}
	v.byTruth, v.byPredicted = order(truth), order(predicted)
	return v
}

// figures are R², mean absolute error and Spearman's correlation. If the share s
// of unseen units were predicted no better than by the mean, the first and the
// last would be s of themselves nearer to 0, and the error s·mean|y−ȳ| more.
func (v *valueSums) figures() []figure {
	middle, spread := mean(v.truth), 0.0
	for _, y := range v.truth {
		spread += math.Abs(y-middle) / float64(len(v.truth))
	}
	towardsZero := func(point, s float64) (low, high float64) {
		return min(point, float64((1-s)*point)), max(point, float64((1-s)*point))
	}
	towardsMean := func(point, s float64) (low, high float64) {
		return (1 - s) * point, float64((1-s)*point) + float64(s*max(point, spread))
	}
	return []figure{{value: v.r2, unseen: towardsZero}, {value: v.mae, unseen: towardsMean}, {value: v.spearman, unseen: towardsZero}}
}

// percentiles sets the interval from the replicas that are numbers, and returns how
// many are. Where these are all alike it is that of unseen units.
func (f figure) percentiles(e *Estimate, level float64) int {
	replicas := slices.DeleteFunc(slices.Clone(f.replicas), math.IsNaN)
	if len(replicas) == 0 {
		return 0
	}
	slices.Sort(replicas)
	e.Level, e.Method, e.StdErr = level, "percentile", deviation(replicas)
	e.Low, e.High = orderStatistic(replicas, (1-level)/2), orderStatistic(replicas, (1+level)/2)
	if flat(replicas) && f.unseen != nil {
		e.Method, e.StdErr = "wilson", 0
		e.Low, e.High = f.unseen(e.Point, unseen(e.Units, level))
	}
	return len(replicas)
}

func (v *valueSums) mae(weights []int32) float64 {
	sum, n := 0.0, 0.0
	for i, y := range v.truth {
		w := float64(weights[v.unit[i]])
		sum += float64(w * math.Abs(y-v.predicted[i]))
		n += w
	}
	return sum / n
}

// r2 is NaN where the true values do not differ.
func (v *valueSums) r2(weights []int32) float64 {
	mean, n := 0.0, 0.0
	for i, y := range v.truth {
		w := float64(weights[v.unit[i]])
		mean += float64(w * y)
		n += w
	}
	mean /= n
	off, spread := 0.0, 0.0
	for i, y := range v.truth {
		w := float64(weights[v.unit[i]])
		off += float64(w * (y - v.predicted[i]) * (y - v.predicted[i]))
		spread += float64(w * (y - mean) * (y - mean))
	}
	if !(spread > 1e-24*n*mean*mean) {
		return math.NaN()
	}
	return 1 - off/spread
}

// spearman is NaN where true or predicted values do not differ.
func (v *valueSums) spearman(weights []int32) float64 {
	a, b := v.ranks(v.truth, v.byTruth, weights), v.ranks(v.predicted, v.byPredicted, weights)
	n, meanA, meanB := 0.0, 0.0, 0.0
	for i := range a {
		w := float64(weights[v.unit[i]])
		n += w
		meanA += float64(w * a[i])
		meanB += float64(w * b[i])
	}
	meanA, meanB = meanA/n, meanB/n
	var ab, aa, bb float64
	for i := range a {
		w, x, y := float64(weights[v.unit[i]]), a[i]-meanA, b[i]-meanB
		ab += float64(w * x * y)
		aa += float64(w * x * x)
		bb += float64(w * y * y)
	}
	if aa == 0 || bb == 0 {
		return math.NaN()
	}
	return ab / math.Sqrt(aa*bb)
}

// ranks returns mid-ranks; each sample stands as often as its unit weighs.
func (v *valueSums) ranks(values []float64, order []int, weights []int32) []float64 {
	ranks, below := make([]float64, len(values)), 0.0
	for from := 0; from < len(order); {
		to, count := from, 0.0
		for to < len(order) && values[order[to]] == values[order[from]] {
			count += float64(weights[v.unit[order[to]]])
			to++
		}
		for _, i := range order[from:to] {
			ranks[i] = below + (count+1)/2
		}
		below += count
		from = to
	}
	return ranks
}
