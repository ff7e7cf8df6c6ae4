package evaluate

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// Comparison is a difference between two AUCs on the same samples.
type Comparison struct {
	A Estimate `json:"a"`
	B Estimate `json:"b"`
	// Difference is A − B; its interval accounts for the pairing.
	Difference Estimate `json:"difference"`
	// P is the two-sided p value of the difference being zero.
	P float64 `json:"p"`
}

// Compare returns the difference a − b between the AUCs of two columns of
// scores for the same samples, with its interval at level .95 and a two-sided
// p value; the samples are paired, and clustered by group.
//
// a, b, labels and groups have one entry per sample and mean what they mean in
// [AUC]. The interval is D ± z·SE, cut at ±1, with DeLong's variance of the
// difference summed per unit; p is that of D/SE against a standard normal. Where
// a group has several samples both are Student's (see [ManyUnits]).
//
// Edge cases: if the columns put all samples in the same order, the difference
// is 0 with interval [0, 0] and p = 1, and a warning says so. If they do not and
// the variance is zero all the same (both separate the classes, or one is
// constant), or a class has fewer than [FewUnits] units, the interval is put
// together from those of A and B (Zou and Donner's MOVER, with the estimated
// correlation where there is one) and p is where it would touch zero. If no pair
// of a positive and a negative is ranked otherwise by A than by B, the interval
// ends where the share of such units that were not seen may (Wilson's upper end
// for none of the rarer class's units), if that is nearer. Errors are those of
// [AUC].
//
// Sources: DeLong et al. (1988); Obuchowski (1997); Zou and Donner, Statistics
// in Medicine 27 (2008) 1693–1702, eq. 5. Oracle: R pROC::roc.test (paired,
// delong); the clustered test by simulation (TestFalseAlarms).
func Compare(a, b []float64, labels []bool, groups []string) (Comparison, error) {
	p, err := newPaired(a, b, labels, groups)
	if err != nil {
		return Comparison{}, err
	}
	return p.comparison(Level), nil
}

// paired is two columns of scores for the same samples and their difference.
type paired struct {
	a, b, difference *contrast
	// alike says that both columns put all samples in the same order.
	alike bool
}

func newPaired(a, b []float64, labels []bool, groups []string) (p paired, err error) {
	for c, weights := range map[**contrast][2]int64{&p.a: {1, 0}, &p.b: {0, 1}, &p.difference: {1, -1}} {
		if *c, err = newContrast(labels, groups); err != nil {
			return paired{}, err
		}
		for k, scores := range [][]float64{a, b} {
			if weights[k] == 0 {
				continue
			}
			if err := (*c).add(scores, weights[k]); err != nil {
				return paired{}, err
			}
		}
	}
	p.alike = p.difference.zero() && sameOrder(a, b)
	return p, nil
}

// sameOrder says whether b rises where a does, and only there.
func sameOrder(a, b []float64) bool {
	places := make([]int, len(a))
	for i := range places {
		places[i] = i
	}
	slices.SortFunc(places, func(i, j int) int { return cmp.Compare(a[i], a[j]) })
	for k := 1; k < len(places); k++ {
		i, j := places[k-1], places[k]
		if cmp.Compare(a[i], a[j]) != cmp.Compare(b[i], b[j]) {
			return false
		}
	}
	return true
}

func (p paired) comparison(level float64) Comparison {
	d := p.difference
	units := d.tallies()
	units1, units0 := classUnits(units)
	c := Comparison{A: p.a.auc(level), B: p.b.auc(level)}
	c.Difference = Estimate{
		Point: d.point(), Level: level, Method: "delong",
		N: len(d.labels), Positives: d.n1, Units: d.units, Unit: d.unitName,
		Warnings: fewUnits(units1, units0, d.unitName),
	}
	e := &c.Difference
	if p.alike {
		e.Warnings = append(e.Warnings, Warning{WarnIdentical, "both scores put all samples in the same order; there is nothing to compare"})
		c.P = 1
		return c
	}
	variance := d.variance(units)
	e.StdErr = math.Sqrt(variance)
	if few := min(units1, units0); variance > 0 && few >= FewUnits {
		if d.units < len(d.labels) {
			p.clustered(&c, units, level, few)
			return c
		}
		margin := quantile(level) * e.StdErr
		e.Low, e.High = max(-1, e.Point-margin), min(1, e.Point+margin)
		c.P = twoSided(e.Point / e.StdErr)
		return c
	}
	e.Method = "mover"
	m := p.mover(variance)
	e.Low, e.High = m.interval(quantile(level))
	if d.zero() {
		most := unseen(min(units1, units0), level)
		e.Low, e.High = max(e.Low, -most), min(e.High, most)
	}
	c.P = m.p()
	return c
}

// clustered sets the interval and p of a difference whose units hold several
// samples, by Student's t. With fewer than ManyUnits of a class its degrees of
// freedom are at most those of the few, which is wider, to be safe.
func (p paired) clustered(c *Comparison, units []tally, level float64, few int) {
	freedom := p.difference.freedom(units)
	if few < ManyUnits {
		freedom = min(freedom, float64(few-1))
	}
	e, t := &c.Difference, distuv.StudentsT{Sigma: 1, Nu: freedom}
	e.Method = "clustered"
	margin := t.Quantile(0.5+level/2) * e.StdErr
	e.Low, e.High = max(-1, e.Point-margin), min(1, e.Point+margin)
	c.P = 2 * t.Survival(math.Abs(e.Point/e.StdErr))
}

// zero says that both columns rank every pair alike, as far as the pairs that
// each sample wins can tell.
func (c *contrast) zero() bool {
	for _, right := range c.right {
		if right != 0 {
			return false
		}
	}
	return true
}

// mover puts the interval of a difference together from those of its parts.
type mover struct {
	a, b           float64
	sizesA, sizesB [2]float64 // effective positives and negatives
	correlation    float64
}

// mover takes the correlation from the variance of the difference, or none if
// that is zero.
func (p paired) mover(variance float64) mover {
	m := mover{a: p.a.point(), b: p.b.point()}
	unitsA, unitsB := p.a.tallies(), p.b.tallies()
	m.sizesA[0], m.sizesA[1] = p.a.effective(unitsA)
	m.sizesB[0], m.sizesB[1] = p.b.effective(unitsB)
	if va, vb := p.a.variance(unitsA), p.b.variance(unitsB); variance > 0 && va > 0 && vb > 0 {
		m.correlation = max(-1, min(1, (va+vb-variance)/(2*math.Sqrt(va*vb))))
	}
	return m
}

func (m mover) interval(z float64) (low, high float64) {
	lowA, highA := newcombe(m.a, m.sizesA[0], m.sizesA[1], z)
	lowB, highB := newcombe(m.b, m.sizesB[0], m.sizesB[1], z)
	apart := func(x, y float64) float64 {
		return math.Sqrt(max(0, x*x+y*y-2*m.correlation*x*y))
	}
	low = m.a - m.b - apart(m.a-lowA, highB-m.b)
	high = m.a - m.b + apart(highA-m.a, m.b-lowB)
	return max(-1, low), min(1, high)
}

// p returns the two-sided p value: 1 less the level at which the interval
// begins to hold zero.
func (m mover) p() float64 {
	if m.a == m.b {
		return 1
	}
	outside := func(z float64) bool {
		low, high := m.interval(z)
		return low > 0 || high < 0
	}
	near, far := 0.0, 40.0
	for range 60 {
		if z := (near + far) / 2; outside(z) {
			near = z
		} else {
			far = z
		}
	}
	return twoSided(far)
}
