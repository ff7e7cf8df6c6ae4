package evaluate

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// Column is one column of scores with the labels and groups of its samples.
type Column struct {
	Scores []float64
	Labels []bool
	// Groups are the independent units. The macro figures need them.
	Groups []string
}

// MacroAUC returns the unweighted mean of the AUCs of several findings with its
// interval at level .95. The findings may be known for different samples; what
// ties them together is the groups, which must be given: a patient moves all
// the findings at once.
//
// With aᵢ, bᵢ as in the variance of [AUC], the mean's variance is the sandwich
// I/(I−1)·Σᵢ(mean over findings of aᵢ/n₁ + bᵢ/n₀)² over the I groups. The
// interval is on the probit scale with Student's t, as that of a clustered AUC.
// N and Positives are summed over the findings. Where the variance is zero, or a
// finding has fewer than [FewUnits] units of a class, its ends are the means of
// the findings' own ends, which is conservative, and Method says "mean". Errors
// are those of [AUC] and name the index of the column. Coverage:
// TestMacroCoverage.
func MacroAUC(columns []Column) (Estimate, error) {
	return WeightedAUC(columns, nil)
}

// WeightedAUC is [MacroAUC] with a weight for each column, such as its number
// of positives; nil weighs all alike. The weights are above 0 and taken as
// fixed, not as figures of the sample. Oracle: scikit-learn roc_auc_score,
// average "weighted".
func WeightedAUC(columns []Column, weights []float64) (Estimate, error) {
	if weights != nil && len(weights) != len(columns) {
		return Estimate{}, fmt.Errorf("evaluate: %d weights for %d columns: want as many", len(weights), len(columns))
	}
	var m macro
	for k, c := range columns {
		weight := 1.0
		if weights != nil {
			weight = weights[k]
		}
		if !(weight > 0) || math.IsInf(weight, 1) {
			return Estimate{}, fmt.Errorf("evaluate: weight %v of column %d: want a number above 0", weight, k)
		}
		contrast, err := c.contrast(c.Scores, nil)
		if err != nil {
			return Estimate{}, fmt.Errorf("column %d: %w", k, err)
		}
		m.add(contrast, c.Groups, contrast.auc(Level), weight)
	}
	e := m.estimate(Level)
	if e.StdErr == 0 || m.few || e.Point <= 0 || e.Point >= 1 {
		e.Low, e.High, e.Method = m.low/m.weight, m.high/m.weight, "mean"
		return e, nil
	}
	e.Method = "clustered"
	e.Low, e.High = probit(e.Point, e.StdErr, satterthwaite(slices.Sorted(maps.Values(m.influence)), nil), Level)
	return e, nil
}

// MacroCompare returns the difference between the mean AUCs of two sets of
// columns, as [MacroAUC] and [Compare] do. Column k of a and of b are the same
// finding on the same samples; labels and groups are read from a. If the
// variance is zero or there are few units, the interval's ends are the means of
// the findings' own and p is Bonferroni's over them.
func MacroCompare(a, b []Column) (Comparison, error) {
	if len(a) != len(b) {
		return Comparison{}, fmt.Errorf("evaluate: %d columns against %d: want as many", len(a), len(b))
	}
	var c Comparison
	var err error
	if c.A, err = MacroAUC(a); err != nil {
		return Comparison{}, err
	}
	if c.B, err = MacroAUC(b); err != nil {
		return Comparison{}, err
	}
	var m macro
	smallest := 1.0
	for k := range a {
		contrast, err := a[k].contrast(a[k].Scores, b[k].Scores)
		if err != nil {
			return Comparison{}, fmt.Errorf("column %d: %w", k, err)
		}
		own, err := Compare(a[k].Scores, b[k].Scores, a[k].Labels, a[k].Groups)
		if err != nil {
			return Comparison{}, fmt.Errorf("column %d: %w", k, err)
		}
		m.add(contrast, a[k].Groups, own.Difference, 1)
		smallest = min(smallest, own.P)
	}
	c.Difference = m.estimate(Level)
	if d := &c.Difference; d.StdErr > 0 && !m.few {
		d.Low, d.High = max(-1, d.Low), min(1, d.High)
		c.P = twoSided(d.Point / d.StdErr)
	} else {
		d.Low, d.High, d.Method = m.low/m.weight, m.high/m.weight, "mean"
		c.P = min(1, smallest*float64(len(a)))
	}
	return c, nil
}

// contrast is that of scores, less minus unless that is nil.
func (c Column) contrast(scores, minus []float64) (*contrast, error) {
	if c.Groups == nil {
		return nil, fmt.Errorf("evaluate: no groups: want the patient, or a name, of each sample")
	}
	contrast, err := newContrast(c.Labels, c.Groups)
	if err != nil {
		return nil, err
	}
	if err := contrast.add(scores, 1); err != nil {
		return nil, err
	}
	if minus == nil {
		return contrast, nil
	}
	return contrast, contrast.add(minus, -1)
}

// macro sums over findings, each with a weight.
type macro struct {
	weight            float64 // of all findings
	point, low, high  float64
	samples, positive int
	// few says that a finding has fewer than FewUnits units of a class.
	few bool
	// influence is what each group adds to the sum's deviation.
	influence map[string]float64
}

func (m *macro) add(c *contrast, groups []string, own Estimate, weight float64) {
	if m.influence == nil {
		m.influence = map[string]float64{}
	}
	names := make([]string, c.units)
	for i, unit := range c.unit {
		names[unit] = groups[i]
	}
	for k, u := range c.tallies() {
		m.influence[names[k]] += float64(weight * c.influence(u))
	}
	m.weight += weight
	m.point += float64(weight * own.Point)
	m.low += float64(weight * own.Low)
	m.high += float64(weight * own.High)
	m.samples, m.positive = m.samples+own.N, m.positive+own.Positives
	m.few = m.few || slices.ContainsFunc(own.Warnings, func(w Warning) bool { return w.Code == WarnFewUnits })
}

func (m *macro) estimate(level float64) Estimate {
	e := Estimate{
		Point: m.point, Level: level, Method: "delong",
		N: m.samples, Positives: m.positive, Units: len(m.influence), Unit: "group",
	}
	if m.weight > 0 {
		e.Point /= m.weight
	}
	squares := 0.0
	for _, v := range slices.Sorted(maps.Values(m.influence)) {
		squares += float64(v * v)
	}
	if units := float64(len(m.influence)); units > 1 {
		e.StdErr = math.Sqrt(units/(units-1)*squares) / m.weight
	}
	margin := quantile(level) * e.StdErr
	e.Low, e.High = e.Point-margin, e.Point+margin
	return e
}
