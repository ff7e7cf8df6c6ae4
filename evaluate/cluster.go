package evaluate

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
