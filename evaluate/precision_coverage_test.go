package evaluate

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"
)

// ranking says how a world is drawn whose average precision is known: patients
// with per samples each, alike by icc, and a share wrong of the patients without
// the finding who score as those with it do, as one whose label is wrong would.
type ranking struct {
	with, without, per int
	icc, auc, wrong    float64
}

func (c ranking) String() string {
	return fmt.Sprintf("%d and %d patients, %d samples, ICC %v, AUC %v, %v wrong", c.with, c.without, c.per, c.icc, c.auc, c.wrong)
}

// precision is the average precision of all there could be: the mean of the
// precision over recall, by the midpoint rule.
func (c ranking) precision() float64 {
	const steps = 5000
	share, apart, sum := float64(c.with)/float64(c.with+c.without), separation(c.auc), 0.0
	for k := range steps {
		recall := (float64(k) + 0.5) / steps
		beyond := distuv.UnitNormal.Survival(apart + distuv.UnitNormal.Quantile(1-recall))
		beyond = (1-c.wrong)*beyond + c.wrong*recall
		sum += share * recall / (share*recall + (1-share)*beyond) / steps
	}
	return sum
}

func (c ranking) draw(random *rand.Rand) world {
	var w world
	for p := range c.with + c.without {
		common, shift := random.NormFloat64(), 0.0
		if p < c.with || random.Float64() < c.wrong {
			shift = separation(c.auc)
		}
		for range c.per {
			w.labels, w.groups = append(w.labels, p < c.with), append(w.groups, strconv.Itoa(p))
			w.a = append(w.a, shift+math.Sqrt(c.icc)*common+math.Sqrt(1-c.icc)*random.NormFloat64())
		}
	}
	return w
}

// covers draws n worlds and returns the shares in which the interval of the average
// precision, and percentiles of the same resamples, hold the truth.
func (c ranking) covers(t *testing.T, n int) (ours, percentile float64) {
	random, truth := rand.New(rand.NewPCG(uint64(c.with), uint64(c.without))), c.precision()
	for range n {
		w := c.draw(random)
		of, err := newContrast(w.labels, w.groups)
		s, err2 := newSweep(w.a, w.labels, of.unit)
		if err := errors.Join(err, err2); err != nil {
			t.Error(err)
			return 0, 0
		}
		positives, negatives := classUnits(of.tallies())
		point := s.averagePrecision(nil)
		e := Estimate{Point: point, Low: point, High: point}
		plain := e
		b := Bootstrap{Resamples: 300, Workers: 1}
		b.setDefaults()
		figures := []figure{
			{value: s.averagePrecision, estimate: &e, share: share{1, positives, negatives, true}},
			{value: s.averagePrecision, estimate: &plain},
		}
		if err := b.intervals(t.Context(), of, figures); err != nil {
			t.Error(err)
			return 0, 0
		}
		ours += holds(e, truth) / float64(n)
		percentile += holds(plain, truth) / float64(n)
	}
	return ours, percentile
}

// The interval of an average precision covers at least 90 % wherever percentiles of
// the same resamples fall short.
func TestAveragePrecisionCoverage(t *testing.T) {
	testCoverage(t, 400, 100, 0.9, []ranking{
		{5, 5, 1, 0, 0.95, 0}, {10, 10, 1, 0, 0.8, 0}, {10, 10, 1, 0, 0.995, 0.02}, {10, 100, 1, 0, 0.98, 0.02}, {30, 30, 1, 0, 0.98, 0},
		{30, 30, 2, 0.7, 0.9, 0}, {30, 150, 1, 0, 0.995, 0.02}, {30, 150, 2, 0.7, 0.8, 0}, {100, 100, 1, 0, 0.999, 0},
	}, func(t *testing.T, c ranking, n int) map[string]held {
		ours, percentile := c.covers(t, n)
		t.Logf("percentiles %.3f", percentile)
		return map[string]held{"average precision": {ours, 0.9, 1}}
	})
}
