package evaluate

import (
	"fmt"
	"math"
)

// tally sums the pairs won by the samples of one unit.
type tally struct {
	positives, negatives int64
	// up is the sum over its positives of the twofold number of pairs won, and
	// down that over its negatives.
	up, down int64
}

// contrast is a sum of AUCs of several columns of scores for the same samples,
// each with an integer weight, over a number of columns: one column for an AUC,
// weights 1 and −1 for a difference, several for a mean. All of it is kept in
// integers, so that its order does not matter and equal columns cancel.
type contrast struct {
	labels   []bool
	unit     []int32 // the unit of each sample
	units    int
	unitName string
	n1, n0   int
	right    []int64 // the twofold pairs that each sample wins, summed with the weights
	total    int64
	columns  int // to divide by
	added    int
}

func newContrast(labels []bool, groups []string) (*contrast, error) {
	n1, n0, err := countClasses(labels)
	if err != nil {
		return nil, err
	}
	unit, units, err := unitsOf(len(labels), groups)
	if err != nil {
		return nil, err
	}
	c := &contrast{labels: labels, unit: unit, units: units, unitName: "group", n1: n1, n0: n0, right: make([]int64, len(labels)), columns: 1}
	if groups == nil {
		c.unitName = "sample"
	}
	return c, nil
}

// maxExact bounds the integers of a contrast, so that none overflows.
const maxExact = 1 << 62

// add counts a column of scores with a weight of 1 or −1.
func (c *contrast) add(scores []float64, weight int64) error {
	if c.added++; c.scale()*float64(max(c.n1, c.n0))*float64(c.added) > maxExact {
		return fmt.Errorf("evaluate: %d columns of %d samples: too many to be summed exactly; take at most a million samples at once", c.added, len(c.labels))
	}
	total, err := pair(scores, c.labels, int64(c.n1), c.right, weight)
	if err != nil {
		return err
	}
	c.total += weight * total
	return nil
}

// point returns the value of the contrast.
func (c *contrast) point() float64 {
	return float64(c.total) / c.scale()
}

// tallies sums over each unit, in the order of the units.
func (c *contrast) tallies() []tally {
	units := make([]tally, c.units)
	for i, positive := range c.labels {
		if u := &units[c.unit[i]]; positive {
			u.positives++
			u.up += c.right[i]
		} else {
			u.negatives++
			u.down += c.right[i]
		}
	}
	return units
}

// bySample returns the contrast with every sample as its own unit.
func (c *contrast) bySample() *contrast {
	alone := *c
	alone.unit, alone.units, _ = unitsOf(len(c.labels), nil)
	return &alone
}

// classUnits returns the numbers of units that hold positives and negatives.
func classUnits(units []tally) (units1, units0 int) {
	for _, u := range units {
		if u.positives > 0 {
			units1++
		}
		if u.negatives > 0 {
			units0++
		}
	}
	return units1, units0
}

// auc turns the contrast into an estimate of a (mean) AUC.
func (c *contrast) auc(level float64) Estimate {
	var units []tally
	units1, units0, variance := c.n1, c.n0, 0.0
	clustered := c.units < len(c.labels)
	if clustered {
		units = c.tallies()
		units1, units0 = classUnits(units)
		variance = c.variance(units)
	} else {
		variance = c.varianceAlone()
	}
	e := Estimate{
		Point: c.point(), Level: level, Method: "delong",
		N: len(c.labels), Positives: c.n1, Units: c.units, Unit: c.unitName,
		Warnings: fewUnits(units1, units0, c.unitName),
	}
	e.StdErr = math.Sqrt(variance)
	margin := quantile(level) * e.StdErr
	e.Low, e.High = e.Point-margin, e.Point+margin
	few := float64(min(units1, units0))
	errors := few * min(e.Point, 1-e.Point)
	switch {
	case variance == 0 || few < FewUnits || clustered && errors < 1 || !clustered && (e.Low < 0 || e.High > 1 || errors < 2):
		e.Method = "newcombe"
		m, n := float64(units1), float64(units0)
		if clustered {
			m, n = c.effective(units)
		}
		e.Low, e.High = newcombe(e.Point, m, n, quantile(level))
	case clustered:
		e.Method = "clustered"
		e.Low, e.High = c.probit(units, e.Point, e.StdErr, level)
		if few < ManyUnits {
			m, n := c.effective(units)
			low, high := newcombe(e.Point, m, n, quantile(level))
			e.Low, e.High = min(e.Low, low), max(e.High, high)
			e.Warnings = append(e.Warnings, smallSample(units1, units0, c.unitName)...)
		}
	}
	switch {
	case e.Point == 0 || e.Point == 1:
		e.Warnings = append(e.Warnings, Warning{WarnSeparation, "the scores separate the classes completely; more samples are needed to see how far below 1 (or above 0) the AUC lies"})
	case c.constant():
		e.Warnings = append(e.Warnings, Warning{WarnConstant, "every score is the same; it tells nothing apart"})
	}
	return e
}

// effective returns the numbers of independent positives and negatives that
// the samples are worth: the samples over the design effect, which is the
// variance over that of as many independent samples; at least the units.
func (c *contrast) effective(units []tally) (positives, negatives float64) {
	units1, units0 := classUnits(units)
	positives, negatives = float64(units1), float64(units0)
	alone := c.bySample()
	clustered, independent := c.variance(units), alone.varianceAlone()
	if clustered > 0 && independent > 0 {
		effect := max(1, clustered/independent)
		positives = max(positives, float64(c.n1)/effect)
		negatives = max(negatives, float64(c.n0)/effect)
	}
	return positives, negatives
}

// constant says that no pair was ranked either way.
func (c *contrast) constant() bool {
	for i, right := range c.right {
		other := c.n1
		if c.labels[i] {
			other = c.n0
		}
		if right != int64(c.columns)*int64(other) {
			return false
		}
	}
	return true
}
