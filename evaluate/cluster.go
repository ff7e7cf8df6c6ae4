package evaluate

import "gonum.org/v1/gonum/stat/distuv"

// variance returns the variance of the contrast by Obuchowski (Biometrics 53
// (1997) 567–578): DeLong's components are summed per unit, and the sums of the
// positives and of the negatives of one unit may go together. With each sample
// its own unit it is DeLong's variance. It is 0 if a class has fewer than two
// units.
//
// With V₁₀ the share of negatives below a positive, V₀₁ the share of positives
// above a negative, unit i holding mᵢ of n₁ positives and nᵢ of n₀ negatives,
// I₁, I₀ and I the numbers of units with positives, with negatives, and of all:
//
//	aᵢ = ΣV₁₀ − mᵢθ,  bᵢ = ΣV₀₁ − nᵢθ
//	var = I₁/(I₁−1)·Σaᵢ²/n₁² + I₀/(I₀−1)·Σbᵢ²/n₀² + 2·I/(I−1)·Σaᵢbᵢ/(n₁n₀)
func (c *contrast) variance(units []tally) float64 {
	units1, units0 := classUnits(units)
	if units1 < 2 || units0 < 2 {
		return 0
	}
	var aa, bb, ab exact
	for _, u := range units {
		a, b := c.deviation(u)
		aa.add(a, a)
		bb.add(b, b)
		ab.add(a, b)
	}
	n1, n0, scale := float64(c.n1), float64(c.n0), c.scale()
	small := func(units int) float64 { return float64(units) / float64(units-1) }
	// float64() keeps the compiler from fusing, so that every machine sums alike.
	v := float64(small(units1)*aa.float()/(n1*n1)) + float64(small(units0)*bb.float()/(n0*n0)) + float64(2*small(len(units))*ab.float()/(n1*n0))
	// Rounding, or a few units that hold both classes, can take it below zero.
	return max(0, v/(scale*scale))
}

// varianceAlone is variance where each sample is its own unit, to the last bit.
func (c *contrast) varianceAlone() float64 {
	if c.n1 < 2 || c.n0 < 2 {
		return 0
	}
	var aa, bb exact
	for i, positive := range c.labels {
		if positive {
			a := int64(c.n1)*c.right[i] - c.total
			aa.add(a, a)
		} else {
			b := int64(c.n0)*c.right[i] - c.total
			bb.add(b, b)
		}
	}
	n1, n0, scale := float64(c.n1), float64(c.n0), c.scale()
	v := float64(n1/(n1-1)*aa.float()/(n1*n1)) + float64(n0/(n0-1)*bb.float()/(n0*n0))
	return max(0, v/(scale*scale))
}

// deviation returns aᵢ and bᵢ, multiplied by the scale to be integers.
func (c *contrast) deviation(u tally) (a, b int64) {
	return int64(c.n1)*u.up - u.positives*c.total, int64(c.n0)*u.down - u.negatives*c.total
}

// scale is twice the number of pairs in all columns.
func (c *contrast) scale() float64 {
	return 2 * float64(c.n1) * float64(c.n0) * float64(c.columns)
}

// influence returns what a unit adds to the contrast's deviation: aᵢ/n₁ + bᵢ/n₀.
func (c *contrast) influence(u tally) float64 {
	a, b := c.deviation(u)
	return (float64(a)/float64(c.n1) + float64(b)/float64(c.n0)) / c.scale()
}

// probit returns the interval of a clustered AUC θ strictly between 0 and 1: on
// the scale of the normal's quantiles, where its distribution is nearly symmetric,
//
//	Φ(Φ⁻¹(θ) ± t·SE/φ(Φ⁻¹(θ)))
//
// with Student's t of [contrast.freedom]. Between ends that are never beyond 0 or
// 1 it covers as it says, where θ ± z·SE falls short for few units: 86 to 95 %
// for 30 units of each class (make bench-coverage). The scale is that of the
// binormal model (Dorfman and Alf 1969); the combination is ours, and its oracle
// is simulation (TestClusteredCoverage).
func (c *contrast) probit(units []tally, point, stdErr, level float64) (low, high float64) {
	return probit(point, stdErr, c.freedom(units), level)
}

func probit(point, stdErr, freedom, level float64) (low, high float64) {
	t := distuv.StudentsT{Sigma: 1, Nu: freedom}.Quantile(0.5 + level/2)
	at := distuv.UnitNormal.Quantile(point)
	margin := t * stdErr / distuv.UnitNormal.Prob(at)
	return distuv.UnitNormal.CDF(at - margin), distuv.UnitNormal.CDF(at + margin)
}

// freedom returns the degrees of freedom of the variance, 2·V²/var(V), V = Σuᵢ²
// being the sum over units of their squared influence and its variance that of
// the squares within each kind of unit (positives only, negatives only, both):
// Satterthwaite's formula (Biometrics Bulletin 2 (1946) 110–114) with the fourth
// moments as they are, since units of other sizes and scores near an AUC of 1
// make a few units weigh most. It is at least 1; with normal influences of one
// kind it is the number of units less one.
func (c *contrast) freedom(units []tally) float64 {
	influences, kinds := make([]float64, len(units)), make([]int, len(units))
	for k, u := range units {
		switch influences[k] = c.influence(u); {
		case u.negatives == 0:
			kinds[k] = 1
		case u.positives == 0:
			kinds[k] = 2
		}
	}
	return satterthwaite(influences, kinds)
}

// satterthwaite is [contrast.freedom] of the units' influences and their kinds, of
// which there are up to three; nil: all are of one kind.
func satterthwaite(influences []float64, kinds []int) float64 {
	var n, squares, fourths [3]float64
	for k, u := range influences {
		kind := 0
		if kinds != nil {
			kind = kinds[k]
		}
		square := u * u
		n[kind]++
		squares[kind] += square
		fourths[kind] += float64(square * square)
	}
	total, variance := 0.0, 0.0
	for k := range n {
		total += squares[k]
		if n[k] > 1 {
			variance += (fourths[k] - float64(squares[k]*squares[k])/n[k]) * n[k] / (n[k] - 1)
		}
	}
	most := float64(len(influences))
	if variance <= 0 {
		return most
	}
	return min(most, max(1, 2*total*total/variance))
}
