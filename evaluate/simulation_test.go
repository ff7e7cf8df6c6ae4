package evaluate

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"
)

func contextCancelled(t *testing.T) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx, cancel
}

// repetitions is how many worlds are drawn: few in -short, more otherwise, and
// many where MEDPROBE_SIMULATE=long asks for the figures of the documentation.
func repetitions() int {
	switch {
	case os.Getenv("MEDPROBE_SIMULATE") == "long":
		return 20000
	case testing.Short():
		return 200
	}
	return 600
}

// TestIntervalCoverage draws worlds with a known AUC and counts how often the
// interval holds it. It may fall below its level by what the documentation
// says, .92, and by what chance does in so few repetitions.
func TestIntervalCoverage(t *testing.T) {
	t.Parallel()
	n := repetitions()
	for _, c := range []struct {
		patients, per int
		icc, auc      float64
	}{
		{20, 1, 0, 0.7}, {40, 1, 0, 0.9}, {100, 1, 0, 0.8}, {100, 1, 0, 0.95}, {10, 1, 0, 0.8},
		{100, 5, 0.5, 0.8}, {100, 5, 0.7, 0.7}, {40, 5, 0.5, 0.9}, {100, 5, 0.5, 0.97}, {100, 5, 0, 0.8},
	} {
		t.Run(fmt.Sprintf("%d patients of %d, ICC %v, AUC %v", c.patients, c.per, c.icc, c.auc), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(11, 0))
			d := math.Sqrt2 * distuv.UnitNormal.Quantile(c.auc)
			inside, alone := 0, 0
			for range n {
				w := drawWorld(random, c.patients, c.per, false, d, c.icc)
				e, err := AUC(w.a, w.labels, w.groups)
				if err != nil {
					t.Fatal(err)
				}
				if e.Low <= c.auc && c.auc <= e.High {
					inside++
				}
				if e, err = AUC(w.a, w.labels, nil); err != nil {
					t.Fatal(err)
				}
				if e.Low <= c.auc && c.auc <= e.High {
					alone++
				}
			}
			t.Logf("coverage %.3f, were each sample its own unit %.3f", float64(inside)/float64(n), float64(alone)/float64(n))
			floor := 0.92 - 3*math.Sqrt(0.92*0.08/float64(n))
			if share := float64(inside) / float64(n); share < floor {
				t.Errorf("coverage %.3f, want at least %.3f", share, floor)
			}
		})
	}
}

// TestFalseAlarms draws two columns of the same AUC and counts how often they
// are called different at 5 %.
func TestFalseAlarms(t *testing.T) {
	t.Parallel()
	n := repetitions()
	for _, c := range []struct {
		patients, per int
		mixed         bool
		icc, auc      float64
		aloneAtLeast  float64 // what taking each sample for a unit comes to
	}{
		{100, 1, false, 0, 0.8, 0},
		{100, 5, false, 0.5, 0.8, 0.09},
		{100, 5, false, 0.7, 0.8, 0.12},
		{100, 5, true, 0.5, 0.8, 0},
		{30, 3, false, 0.5, 0.9, 0},
	} {
		t.Run(fmt.Sprintf("%d patients of %d, ICC %v, AUC %v, mixed %v", c.patients, c.per, c.icc, c.auc, c.mixed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(12, 0))
			d := math.Sqrt2 * distuv.UnitNormal.Quantile(c.auc)
			alarms, alone := 0, 0
			for range n {
				w := drawWorld(random, c.patients, c.per, c.mixed, d, c.icc)
				for _, unit := range []struct {
					groups []string
					count  *int
				}{{w.groups, &alarms}, {nil, &alone}} {
					r, err := Compare(w.a, w.b, w.labels, unit.groups)
					if err != nil {
						t.Fatal(err)
					}
					if r.P < 0.05 {
						*unit.count++
					}
				}
			}
			rate, without := float64(alarms)/float64(n), float64(alone)/float64(n)
			t.Logf("false alarms %.3f, were each sample its own unit %.3f", rate, without)
			margin := 3 * math.Sqrt(0.06*0.94/float64(n))
			if rate > 0.06+margin || rate < 0.03-margin {
				t.Errorf("false alarms %.3f, want .03 to .06 within %.3f", rate, margin)
			}
			if without < c.aloneAtLeast-margin {
				t.Errorf("each sample its own unit: %.3f false alarms; this world does not show why patients matter", without)
			}
		})
	}
}

func TestBootstrapCoverage(t *testing.T) {
	t.Parallel()
	n := repetitions() / 4
	random := rand.New(rand.NewPCG(13, 0))
	d := math.Sqrt2 * distuv.UnitNormal.Quantile(0.85)
	inside := map[bool]int{}
	for range n {
		w := drawWorld(random, 80, 3, false, d, 0.5)
		for _, percentile := range []bool{true, false} {
			e, err := Bootstrap{Resamples: 400, Percentile: percentile}.AUC(t.Context(), w.a, w.labels, w.groups)
			if err != nil {
				t.Fatal(err)
			}
			if e.Low <= 0.85 && 0.85 <= e.High {
				inside[percentile]++
			}
		}
	}
	for percentile, count := range inside {
		share := float64(count) / float64(n)
		t.Logf("percentile %v: coverage %.3f", percentile, share)
		if share < 0.93-3*math.Sqrt(0.93*0.07/float64(n)) {
			t.Errorf("percentile %v: coverage %.3f of %d, want about .95", percentile, share, n)
		}
	}
}

func TestAUCOfTwoGaussians(t *testing.T) {
	t.Parallel()
	for _, d := range []float64{0, 0.5, 1, 2} {
		w := drawWorld(rand.New(rand.NewPCG(14, 0)), 40000, 1, false, d, 0)
		e, err := AUC(w.a, w.labels, nil)
		if err != nil {
			t.Fatal(err)
		}
		within(t, "AUC", e.Point, distuv.UnitNormal.CDF(d/math.Sqrt2), 4*e.StdErr)
	}
}

func BenchmarkAUC(b *testing.B) {
	w := drawWorld(rand.New(rand.NewPCG(15, 0)), 100000, 1, false, 1, 0)
	for b.Loop() {
		if _, err := AUC(w.a, w.labels, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBootstrapOfFourteenLabels(b *testing.B) {
	w := drawWorld(rand.New(rand.NewPCG(16, 0)), 5000, 2, true, 1, 0.5)
	for b.Loop() {
		for range 14 {
			if _, err := (Bootstrap{}).AUC(b.Context(), w.a, w.labels, w.groups); err != nil {
				b.Fatal(err)
			}
		}
	}
}
