package evaluate

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// share says of a resampled figure that it is a mean over units of numbers from 0
// to limit: of its kind, none varies more than one that is 0 or limit for each
// unit, and that one is a proportion. A bootstrap sees nothing of what its data do
// not show: where they separate the classes, or are very few, that proportion's
// interval says what could have been missed.
type share struct {
	limit float64 // 0: the figure has no limit
	// units are the independent ones that the mean is over; others, where the
	// figure needs them as well, such as those of the other class.
	units, others int
	// logit asks for an interval on the scale of log(x/(1−x)); see [share.logits].
	logit bool
}

// wilson returns Wilson's interval for so many units.
func (s share) wilson(point, level float64) (low, high float64) {
	n := float64(s.units)
	low, high = Wilson(max(0, min(1, point/s.limit))*n, n, level)
	return min(point, low*s.limit), max(point, high*s.limit)
}

// few says that the units are too few, or too few of them off the limits, for a
// bootstrap to show what could be.
func (s share) few(point float64) bool {
	const enough = 2
	n, at := float64(s.units), point/s.limit
	return s.units < FewUnits || s.logit && n*min(at, 1-at) < enough
}

// logits is the interval of an average precision AP between 0 and 1,
//
//	logit⁻¹(logit AP ± t·SE/(AP·(1−AP))),
//
// with the bootstrap's standard error and Student's t of the units of the rarer
// class less one; no narrower than Wilson's of AP over the units with positives
// where those are fewer than [FewUnits], or (1−AP)·units or AP·units is below 2.
// Percentiles of the resamples fall far short for an AP near 1, where this one
// covers (docs/coverage.md).
//
// Source: Boyd, Eng and Page, ECML PKDD 2013, 451–466, for the logit scale and for
// the binomial bound over positives; t and Wilson instead of the normal are ours.
func (s share) logits(point, stdErr, level float64) (low, high float64) {
	freedom := float64(max(1, min(s.units, s.others)-1))
	at := point / s.limit
	middle := math.Log(at / (1 - at))
	margin := distuv.StudentsT{Sigma: 1, Nu: freedom}.Quantile(0.5+level/2) * stdErr / (s.limit * at * (1 - at))
	of := func(x float64) float64 { return s.limit / (1 + math.Exp(-x)) }
	return of(middle - margin), of(middle + margin)
}

// bound sets the interval that the limit gives, if the figure has one: in place of
// the resamples' where those are all alike, or around theirs.
func (f *figure) bound(level float64, spread bool) {
	e := f.estimate
	if f.limit == 0 || f.units == 0 {
		return
	}
	low, high := f.wilson(e.Point, level)
	switch {
	case !spread:
		e.Low, e.High, e.Level, e.Method = low, high, level, "wilson"
		return
	case f.logit && e.Point > 0 && e.Point < f.limit:
		e.Low, e.High = f.logits(e.Point, e.StdErr, level)
		e.Method = "logit"
	}
	if f.few(e.Point) {
		e.Low, e.High = min(e.Low, low), max(e.High, high)
	}
}

// unseen is the share of n units that may be otherwise although none was seen to
// be: Wilson's upper end for none of n.
func unseen(n int, level float64) float64 {
	_, high := Wilson(0, float64(n), level)
	return high
}

// flat says that sorted replicas are all alike but for rounding.
func flat(sorted []float64) bool {
	first, last := sorted[0], sorted[len(sorted)-1]
	return last-first <= 1e-12*max(math.Abs(first), math.Abs(last))
}
