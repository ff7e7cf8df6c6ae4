package evaluate

import (
	"fmt"
	"math"
)

// newcombe returns Newcombe's interval of an AUC: the values θ for which
// |point − θ| ≤ z·√V(θ), where V is the variance that exponential scores would
// give (Hanley and McNeil) with mean class size instead of each:
//
//	V(θ) = θ(1−θ)/(mn) · (1 + (N−1)·((1−θ)/(2−θ) + θ/(1+θ))),  N = (m+n)/2
//
// m and n are the units of the two classes: for clustered samples, as if those
// of one unit were one sample. The interval lies in [0, 1] and is of zero width
// for no point. Source: Newcombe, Statistics in Medicine 25 (2006) 559–573,
// method 5. Coverage: TestIntervalCoverage.
func newcombe(point, m, n, z float64) (low, high float64) {
	inside := func(theta float64) bool {
		v := theta * (1 - theta) / (m * n) * (1 + ((m+n)/2-1)*((1-theta)/(2-theta)+theta/(1+theta)))
		return math.Abs(point-theta) <= z*math.Sqrt(v)
	}
	return edge(inside, point, 0), edge(inside, point, 1)
}

// edge returns where inside ends on the way from the point to the limit.
func edge(inside func(float64) bool, point, limit float64) float64 {
	in, out := point, limit
	if in == out {
		return point
	}
	for range 60 {
		if middle := (in + out) / 2; inside(middle) {
			in = middle
		} else {
			out = middle
		}
	}
	return out
}

// smallSample returns the warning of an interval that is wider to be safe.
func smallSample(units1, units0 int, unit string) []Warning {
	return []Warning{{WarnSmall, fmt.Sprintf("the interval is wider, to be safe: %d %ss with positives and %d with negatives, fewer than %d of each", units1, unit, units0, ManyUnits)}}
}

// fewUnits returns the warnings for classes with fewer than FewUnits units.
func fewUnits(units1, units0 int, unit string) []Warning {
	var warnings []Warning
	for _, class := range []struct {
		name  string
		units int
	}{{"positives", units1}, {"negatives", units0}} {
		if class.units < FewUnits {
			warnings = append(warnings, Warning{WarnFewUnits, fmt.Sprintf("not estimable (*): need >= %d %ss with %s for a dependable interval, have %d", FewUnits, unit, class.name, class.units)})
		}
	}
	return warnings
}
