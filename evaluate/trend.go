package evaluate

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// Trend is a learning curve continued beyond its points by an inverse power law,
// AUC(n) = A − B·n^(−C). Its intervals are over the draws of the labelled
// samples and the course of the curve, for the test patients at hand; how sure
// those are is another question, which the points' own intervals answer.
type Trend struct {
	// A, B and C are those of the best fit. Each alone is ill determined.
	A float64 `json:"a"`
	B float64 `json:"b"`
	C float64 `json:"c"`
	// Points continue the curve from its last point, to [TrendReach] times its
	// labels.
	Points []TrendPoint `json:"points"`
	// More is what a hundred more labels than the last point's would buy; nil
	// where that is beyond the reach.
	More *Gain `json:"more"`
	// Unmet says why the points do not bear a trend.
	Unmet string `json:"unmet,omitempty"`
}

// TrendPoint is the expected AUC of a head trained on so many labels.
type TrendPoint struct {
	Labels int     `json:"labels"`
	AUC    float64 `json:"auc"`
	Low    float64 `json:"ci_low"`
	High   float64 `json:"ci_high"`
	Level  float64 `json:"level"`
}

// Gain is what more labels are expected to add to the AUC.
type Gain struct {
	From  int     `json:"from_labels"`
	Add   int     `json:"add_labels"`
	AUC   float64 `json:"auc"`
	Low   float64 `json:"ci_low"`
	High  float64 `json:"ci_high"`
	Level float64 `json:"level"`
}

// What a trend needs, and how far it goes.
const (
	minTrendPoints = 4
	minTrendDraws  = 5
	// TrendReach is how many times the labels of its last point a curve is
	// continued.
	TrendReach = 4
	moreLabels = 100
)

// NewTrend continues a learning curve. labels are the numbers of labelled
// samples of its K points, ascending; aucs is [K][R], the AUC of each draw at
// each point, where draw r of one point belongs to draw r of the others (nested
// shots).
//
// For each exponent C on a logarithmic grid from 0.1 to 2, A and B are fitted by
// weighted least squares to the means over the draws; the weights are the
// reciprocals of the draws' variances, smoothed as a power of n. Given C, a
// prediction is linear in the AUCs, so that each draw gives one of its own, and
// their mean has a t interval with R−1 degrees of freedom, whatever the
// correlation between nested points. The intervals here are the quantiles of the
// mixture of these t distributions over the grid, weighted by the profile
// likelihood of C and by the chance that A is at most 1.
//
// Unmet is set, and nothing else, where there are fewer than four points, fewer
// than five draws, the curve does not rise, or the law misses its last point. Coverage on simulated curves is
// tested (TestTrendCoverage); of curves that are no power law the intervals cover
// few or none (TestTrendOfOtherCurves), and the points rarely tell.
//
// Source of the law: Figueroa et al., BMC Medical Informatics and Decision
// Making 12 (2012) 8; the fit and its intervals are ours.
func NewTrend(labels []int, aucs [][]float64) (Trend, error) {
	if len(labels) != len(aucs) {
		return Trend{}, fmt.Errorf("evaluate: trend: %d numbers of labels for %d points", len(labels), len(aucs))
	}
	for k, point := range aucs {
		if k > 0 && labels[k] <= labels[k-1] || labels[k] < 1 {
			return Trend{}, fmt.Errorf("evaluate: trend: labels %v: want ascending numbers from 1", labels)
		}
		if len(point) != len(aucs[0]) {
			return Trend{}, fmt.Errorf("evaluate: trend: %d draws at point %d, %d at the first: want as many", len(point), k+1, len(aucs[0]))
		}
		for _, v := range point {
			if !(v >= 0 && v <= 1) {
				return Trend{}, fmt.Errorf("evaluate: trend: AUC %v at point %d: want 0 to 1", v, k+1)
			}
		}
	}
	switch {
	case len(labels) < minTrendPoints:
		return Trend{Unmet: fmt.Sprintf("%d points: want at least %d", len(labels), minTrendPoints)}, nil
	case len(aucs[0]) < minTrendDraws:
		return Trend{Unmet: fmt.Sprintf("%d draws of each point: want at least %d", len(aucs[0]), minTrendDraws)}, nil
	}
	c := newTrendFit(labels, aucs)
	best := c.best()
	if best.b <= 0 {
		return Trend{Unmet: "the curve does not rise"}, nil
	}
	last := labels[len(labels)-1]
	if !c.meets(last, aucs[len(aucs)-1]) {
		return Trend{Unmet: "the curve does not follow a power law"}, nil
	}
	t := Trend{A: best.a, B: best.b, C: best.c}
	for _, times := range []float64{1, 1.5, 2, 3, TrendReach} {
		n := int(math.Round(float64(last) * times))
		point, low, high := c.predict(func(c float64) (onA, onB float64) { return 1, -math.Pow(float64(n), -c) })
		t.Points = append(t.Points, TrendPoint{Labels: n, AUC: clamp(point), Low: clamp(low), High: clamp(high), Level: Level})
	}
	if more := last + moreLabels; more <= TrendReach*last {
		point, low, high := c.predict(func(c float64) (onA, onB float64) {
			return 0, math.Pow(float64(last), -c) - math.Pow(float64(more), -c)
		})
		t.More = &Gain{From: last, Add: moreLabels, AUC: point, Low: low, High: high, Level: Level}
	}
	return t, nil
}

// meets says whether the law passes where the curve ends: the interval of the last
// point over its draws, at level .99, and the law's own there overlap, or nearly, and
// their middles are near. A head that waits and then leaps has no power law.
func (f trendFit) meets(last int, draws []float64) bool {
	const slack, near = 0.002, 0.03
	point, low, high := f.predict(func(c float64) (onA, onB float64) { return 1, -math.Pow(float64(last), -c) })
	mean, spread := stat.MeanStdDev(draws, nil)
	n := float64(len(draws))
	reach := slack + distuv.StudentsT{Sigma: 1, Nu: n - 1}.Quantile(0.995)*spread/math.Sqrt(n)
	return mean+reach >= low && mean-reach <= high && math.Abs(point-mean) <= max(near, reach)
}

func clamp(x float64) float64 { return max(0, min(1, x)) }

// trendFit holds a fit for each exponent.
type trendFit struct {
	draws int
	fits  []exponentFit
}

// exponentFit is the fit for one exponent.
type exponentFit struct {
	c, a, b float64
	// as and bs are those of each draw.
	as, bs []float64
	weight float64
}

func newTrendFit(labels []int, aucs [][]float64) trendFit {
	weights := drawWeights(labels, aucs)
	f := trendFit{draws: len(aucs[0])}
	const steps = 80
	for s := range steps + 1 {
		f.fits = append(f.fits, fitExponent(0.1*math.Pow(20, float64(s)/steps), labels, aucs, weights))
	}
	total := 0.0
	for _, e := range f.fits {
		total += e.weight
	}
	for k := range f.fits {
		f.fits[k].weight /= total
	}
	return f
}

// drawWeights returns the reciprocals of the variances of the points' means,
// with the variances smoothed over n on logarithmic scales.
func drawWeights(labels []int, aucs [][]float64) []float64 {
	const least = 1e-7 // of a variance: draws that all agree to .0003
	x, y := make([]float64, len(labels)), make([]float64, len(labels))
	for k, n := range labels {
		x[k], y[k] = math.Log(float64(n)), math.Log(max(least, stat.Variance(aucs[k], nil)))
	}
	alpha, beta := stat.LinearRegression(x, y, nil, false)
	weights := make([]float64, len(labels))
	for k := range weights {
		weights[k] = float64(len(aucs[k])) / max(least, math.Exp(alpha+beta*x[k]))
	}
	return weights
}

// fitExponent fits A and B to every draw and to their mean, which is the mean of
// their fits.
func fitExponent(c float64, labels []int, aucs [][]float64, weights []float64) exponentFit {
	e := exponentFit{c: c}
	x, means := make([]float64, len(labels)), make([]float64, len(labels))
	for k, n := range labels {
		x[k], means[k] = -math.Pow(float64(n), -c), stat.Mean(aucs[k], nil)
	}
	y := make([]float64, len(labels))
	for r := range aucs[0] {
		for k := range labels {
			y[k] = aucs[k][r]
		}
		a, b := stat.LinearRegression(x, y, weights, false)
		e.as, e.bs = append(e.as, a), append(e.bs, b)
	}
	e.a, e.b = stat.LinearRegression(x, means, weights, false)
	misfit := 0.0
	for k, mean := range means {
		d := mean - e.a - e.b*x[k]
		misfit += weights[k] * d * d
	}
	// The variances are estimated too: Student's tails, not the normal's.
	draws := float64(len(aucs[0]))
	e.weight = math.Pow(1+misfit/(draws-1), -(draws-1+float64(len(labels)))/2)
	spread := max(1e-9, stat.StdDev(e.as, nil)/math.Sqrt(draws))
	e.weight *= distuv.StudentsT{Sigma: 1, Nu: draws - 1}.CDF((1 - e.a) / spread)
	e.weight = max(e.weight, math.SmallestNonzeroFloat64)
	return e
}

// best returns the fit of the greatest weight.
func (f trendFit) best() exponentFit {
	return slices.MaxFunc(f.fits, func(a, b exponentFit) int {
		switch {
		case a.weight < b.weight:
			return -1
		case a.weight > b.weight:
			return 1
		}
		return 0
	})
}

// predict returns mean and interval of a combination onA·A + onB·B, whose
// coefficients hang on the exponent.
func (f trendFit) predict(of func(c float64) (onA, onB float64)) (point, low, high float64) {
	type part struct{ weight, mean, spread float64 }
	parts := make([]part, len(f.fits))
	low, high = math.Inf(1), math.Inf(-1)
	for k, e := range f.fits {
		onA, onB := of(e.c)
		values := make([]float64, f.draws)
		for r := range values {
			values[r] = onA*e.as[r] + onB*e.bs[r]
		}
		parts[k] = part{e.weight, onA*e.a + onB*e.b, max(1e-12, stat.StdDev(values, nil)/math.Sqrt(float64(f.draws)))}
		point += e.weight * parts[k].mean
		low, high = min(low, parts[k].mean-1e3*parts[k].spread), max(high, parts[k].mean+1e3*parts[k].spread)
	}
	t := distuv.StudentsT{Sigma: 1, Nu: float64(f.draws - 1)}
	below := func(x float64) float64 {
		sum := 0.0
		for _, p := range parts {
			sum += p.weight * t.CDF((x-p.mean)/p.spread)
		}
		return sum
	}
	from, to := low, high
	return point, quantileOf(below, (1-Level)/2, from, to), quantileOf(below, (1+Level)/2, from, to)
}

// quantileOf finds where a distribution function reaches p.
func quantileOf(below func(float64) float64, p, low, high float64) float64 {
	for range 40 {
		if middle := (low + high) / 2; below(middle) < p {
			low = middle
		} else {
			high = middle
		}
	}
	return (low + high) / 2
}
