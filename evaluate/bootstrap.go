package evaluate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"

	"gonum.org/v1/gonum/stat/distuv"
)

// Bootstrap says how to resample. The zero value asks for 2,000 resamples and
// BCa intervals at level .95.
//
// Units are drawn with replacement within strata: those that hold only
// positives, only negatives, and both, so that every resample has about as many
// positives as the data; within each stratum of the caller's, if given.
type Bootstrap struct {
	Resamples int     // default 2000; from MinResamples to MaxResamples
	Level     float64 // default .95
	// Percentile asks for percentile intervals. Otherwise those of an AUC or a
	// difference are BCa (Efron, JASA 82 (1987) 171–185), with the acceleration
	// that DeLong's components, the influence values of an AUC, give. Oracle: R
	// boot::boot.ci, type "bca", on the same resamples (testdata/bca.json); a
	// resample that equals the data counts half below it, where boot counts none.
	Percentile bool
	// Strata is a stratum per sample, such as the site, or nil. A unit belongs
	// to the stratum of its first sample.
	Strata []string
	Seed   uint64
	// Workers is how many resample at once; default: one per processor. The
	// result does not depend on it.
	Workers int
}

// Fewer resamples give no interval worth its name, more only cost time.
const MinResamples, MaxResamples = 100, 1_000_000

// AUC is [AUC] with a bootstrap interval. StdErr is the standard deviation of
// the resamples. If they are all alike, as under perfect separation, the
// interval is that of AUC. The result depends on the names of the groups or,
// without groups, on the order of the samples, and on nothing else.
func (b Bootstrap) AUC(ctx context.Context, scores []float64, labels []bool, groups []string) (Estimate, error) {
	b.setDefaults()
	c, err := newContrast(labels, groups)
	if err != nil {
		return Estimate{}, err
	}
	if err := c.add(scores, 1); err != nil {
		return Estimate{}, err
	}
	s, err := newSweep(scores, labels, c.unit)
	if err != nil {
		return Estimate{}, err
	}
	e := c.auc(b.Level)
	figures := []figure{{value: s.auc, estimate: &e, contrast: c}}
	return e, b.intervals(ctx, c, figures)
}

// Compare is [Compare] with bootstrap intervals, in which both columns are
// resampled together. P is twice the smaller share of resamples on either side
// of zero, counting ties and the data itself, and so at least 2/(Resamples+1).
func (b Bootstrap) Compare(ctx context.Context, x, y []float64, labels []bool, groups []string) (Comparison, error) {
	b.setDefaults()
	p, err := newPaired(x, y, labels, groups)
	if err != nil {
		return Comparison{}, err
	}
	sx, err := newSweep(x, labels, p.a.unit)
	if err != nil {
		return Comparison{}, err
	}
	sy, err := newSweep(y, labels, p.a.unit)
	if err != nil {
		return Comparison{}, err
	}
	c := p.comparison(b.Level)
	difference := func(weights []int32) float64 { return sx.auc(weights) - sy.auc(weights) }
	figures := []figure{
		{value: sx.auc, estimate: &c.A, contrast: p.a},
		{value: sy.auc, estimate: &c.B, contrast: p.b},
		{value: difference, estimate: &c.Difference, contrast: p.difference},
	}
	if err := b.intervals(ctx, p.a, figures); err != nil {
		return Comparison{}, err
	}
	figures[2].p(&c.P)
	return c, nil
}

// p sets the p value of a difference from its sorted replicas, unless those have
// no spread.
func (f figure) p(into *float64) {
	sorted := f.replicas
	if flat(sorted) {
		return
	}
	below, _ := slices.BinarySearch(sorted, math.Nextafter(0, 1))
	above, _ := slices.BinarySearch(sorted, 0)
	*into = min(1, 2*float64(min(below, len(sorted)-above)+1)/float64(len(sorted)+1))
}

// figure is something to resample.
type figure struct {
	value    func(weights []int32) float64 // for weights of the units; nil: all 1
	estimate *Estimate                     // whose interval to set
	// contrast is that of an AUC or a difference; without it there is no BCa.
	contrast *contrast
	share
	// unseen is the interval for the share of units that may be otherwise although
	// none was seen to be, where the replicas are all alike; nil: none.
	unseen   func(point, share float64) (low, high float64)
	replicas []float64
}

func (b *Bootstrap) setDefaults() {
	if b.Resamples == 0 {
		b.Resamples = 2000
	}
	if b.Level == 0 {
		b.Level = Level
	}
	if b.Workers == 0 {
		b.Workers = runtime.GOMAXPROCS(0)
	}
}

var errBootstrap = errors.New("evaluate: bootstrap")

func (b Bootstrap) validate(n int) error {
	switch {
	case b.Resamples < MinResamples || b.Resamples > MaxResamples:
		return fmt.Errorf("%w: %d resamples: want %d to %d", errBootstrap, b.Resamples, MinResamples, MaxResamples)
	case !(b.Level > 0 && b.Level < 1):
		return fmt.Errorf("%w: level %v: want a number between 0 and 1", errBootstrap, b.Level)
	case b.Workers < 1:
		return fmt.Errorf("%w: %d workers: want 1 or more", errBootstrap, b.Workers)
	case b.Strata != nil && len(b.Strata) != n:
		return fmt.Errorf("%w: %d strata for %d samples: want as many, or none", errBootstrap, len(b.Strata), n)
	}
	return nil
}

// intervals sets the intervals of all figures from the same resamples.
func (b Bootstrap) intervals(ctx context.Context, c *contrast, figures []figure) error {
	if err := b.validate(len(c.labels)); err != nil {
		return err
	}
	return b.over(ctx, c.units, b.strata(c), figures)
}

// over is intervals for units in strata, whatever the figures are made of.
func (b Bootstrap) over(ctx context.Context, units int, strata [][]int32, figures []figure) error {
	if err := b.resample(ctx, units, strata, figures); err != nil {
		return err
	}
	for k := range figures {
		f := &figures[k]
		f.replicas = slices.DeleteFunc(f.replicas, math.IsNaN) // resamples without a class
		slices.Sort(f.replicas)
		if len(f.replicas) < MinResamples/2 || flat(f.replicas) {
			f.bound(b.Level, false) // no spread to speak from
			continue
		}
		e := f.estimate
		e.Level, e.StdErr, e.Method = b.Level, deviation(f.replicas), "percentile"
		low, high := (1-b.Level)/2, (1+b.Level)/2
		if f.contrast != nil && !b.Percentile {
			e.Method = "bca"
			low, high = f.corrected(low, high)
			e.Low, e.High = normalStatistic(f.replicas, low), normalStatistic(f.replicas, high)
			continue
		}
		e.Low, e.High = orderStatistic(f.replicas, low), orderStatistic(f.replicas, high)
		f.bound(b.Level, true)
	}
	return nil
}

// strata returns the units of each stratum, in an order that the names of the
// groups alone decide.
func (b Bootstrap) strata(c *contrast) [][]int32 {
	type stratum struct {
		name                 string
		positives, negatives bool
	}
	of := make([]stratum, c.units)
	for i := len(c.labels) - 1; i >= 0; i-- {
		s := &of[c.unit[i]]
		if c.labels[i] {
			s.positives = true
		} else {
			s.negatives = true
		}
		if b.Strata != nil {
			s.name = b.Strata[i]
		}
	}
	return byKind(of)
}

// resample fills the figures' replicas.
func (b Bootstrap) resample(ctx context.Context, units int, strata [][]int32, figures []figure) error {
	for k := range figures {
		figures[k].replicas = make([]float64, b.Resamples)
	}
	return b.draw(ctx, units, strata, func(r int, weights []int32) {
		for k := range figures {
			figures[k].replicas[r] = figures[k].value(weights)
		}
	})
}

// draw visits every resample with the weights of the units, which are valid
// during the visit. Visits are concurrent; resample r draws from a generator of
// its own, so that it does not matter who draws it.
func (b Bootstrap) draw(ctx context.Context, units int, strata [][]int32, visit func(r int, weights []int32)) error {
	var work sync.WaitGroup
	workers := min(b.Workers, b.Resamples)
	for worker := range workers {
		work.Go(func() {
			weights := make([]int32, units)
			for r := worker; r < b.Resamples && ctx.Err() == nil; r += workers {
				random := rand.NewPCG(b.Seed, uint64(r))
				clear(weights)
				for _, stratum := range strata {
					for range stratum {
						weights[stratum[below(random, uint64(len(stratum)))]]++
					}
				}
				visit(r, weights)
			}
		})
	}
	work.Wait()
	return ctx.Err()
}

// below draws a number below n as rand.Rand's IntN does from the same source,
// without its call through an interface for every draw.
func below(random *rand.PCG, n uint64) uint64 {
	if n&(n-1) == 0 {
		return random.Uint64() & (n - 1)
	}
	high, low := bits.Mul64(random.Uint64(), n)
	if low < n {
		for threshold := -n % n; low < threshold; {
			high, low = bits.Mul64(random.Uint64(), n)
		}
	}
	return high
}

// corrected returns the BCa probabilities that take the place of low and high.
func (f *figure) corrected(low, high float64) (float64, float64) {
	point := f.value(nil)
	from, _ := slices.BinarySearch(f.replicas, point)
	to, _ := slices.BinarySearch(f.replicas, math.Nextafter(point, math.Inf(1)))
	share := (float64(from) + float64(to)) / 2 / float64(len(f.replicas))
	edge := 0.5 / float64(len(f.replicas))
	bias := distuv.UnitNormal.Quantile(min(max(share, edge), 1-edge))
	acceleration := f.contrast.acceleration()
	move := func(p float64) float64 {
		z := bias + distuv.UnitNormal.Quantile(p)
		if 1-acceleration*z <= 0 {
			return p
		}
		return distuv.UnitNormal.CDF(bias + z/(1-acceleration*z))
	}
	return move(low), move(high)
}

// acceleration returns Σu³ / (6·(Σu²)^1.5), u being what each unit adds to the
// figure's deviation, aᵢ/n₁ + bᵢ/n₀ in the terms of the variance of [AUC].
func (c *contrast) acceleration() float64 {
	var cubes, squares float64
	for _, u := range c.tallies() {
		l := c.influence(u)
		squares += float64(l * l)
		cubes += float64(l * l * l)
	}
	if squares == 0 {
		return 0
	}
	return cubes / (6 * math.Pow(squares, 1.5))
}

// orderStatistic returns the p-quantile of sorted values, interpolated between
// the order statistics at (n+1)·p.
func orderStatistic(sorted []float64, p float64) float64 {
	at := min(max(p*float64(len(sorted)+1)-1, 0), float64(len(sorted)-1))
	below := int(at)
	if below == len(sorted)-1 {
		return sorted[below]
	}
	share := at - float64(below)
	return float64(sorted[below]*(1-share)) + float64(sorted[below+1]*share)
}

// normalStatistic is orderStatistic interpolated on the scale of a normal's
// quantiles (Davison and Hinkley, Bootstrap Methods and their Application, 1997,
// eq. 5.8), as R's boot does it.
func normalStatistic(sorted []float64, p float64) float64 {
	n := len(sorted)
	below := int(p * float64(n+1))
	switch {
	case below < 1:
		return sorted[0]
	case below >= n:
		return sorted[n-1]
	}
	z := func(k int) float64 { return distuv.UnitNormal.Quantile(float64(k) / float64(n+1)) }
	share := (distuv.UnitNormal.Quantile(p) - z(below)) / (z(below+1) - z(below))
	return sorted[below-1] + float64(share*(sorted[below]-sorted[below-1]))
}

func deviation(values []float64) float64 {
	mean, squares := 0.0, 0.0
	for _, v := range values {
		mean += v / float64(len(values))
	}
	for _, v := range values {
		squares += float64((v - mean) * (v - mean))
	}
	return math.Sqrt(squares / float64(len(values)-1))
}
