package evaluate

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/medprobe/medprobe/internal/needs"
)

// TestSettle asks a world how many patients it takes, draws worlds of so many,
// and counts how often they are enough.
func TestSettle(t *testing.T) {
	needs.Time(t)
	t.Parallel()
	const margin = 0.05
	random := rand.New(rand.NewPCG(20, 0))
	draw := func(patients int) Estimate {
		w := drawWorld(random, patients, 3, false, 1.2, 0.5)
		c, err := Compare(w.a, w.b, w.labels, w.groups)
		if err != nil {
			t.Fatal(err)
		}
		return c.Difference
	}
	// The true difference is 0; the standard error is that of a large draw.
	pilot := draw(2000)
	pilot.Point = 0
	n, both := Settle(pilot, margin), SettleEquivalence(pilot, margin)
	if n < 50 || both <= n || both > 2*n {
		t.Fatalf("%d patients for one limit, %d for both", n, both)
	}
	repeats := repetitions()
	shown := [2]int{}
	for range repeats {
		if Judge(draw(n), margin).NonInferior == "shown" {
			shown[0]++
		}
		if Judge(draw(both), margin).Equivalent == "shown" {
			shown[1]++
		}
	}
	for k, count := range shown {
		share := float64(count) / float64(repeats)
		t.Logf("%d and %d patients: settled %.3f", n, both, share)
		if share < 0.72 || share > 0.88 {
			t.Errorf("case %d: settled in %.3f, want about .8", k, share)
		}
	}
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		low, high               float64
		nonInferior, equivalent string
	}{
		{-0.01, 0.01, "shown", "shown"}, {-0.01, 0.03, "shown", "open"}, {0.03, 0.05, "shown", "refuted"},
		{-0.03, 0.01, "open", "open"}, {-0.05, -0.03, "refuted", "refuted"}, {-0.02, 0.02, "open", "open"},
	} {
		d := Estimate{Point: (c.low + c.high) / 2, Low: c.low, High: c.high, StdErr: (c.high - c.low) / 3.92, Level: Level, Units: 100}
		v := Judge(d, 0.02)
		if v.NonInferior != c.nonInferior || v.Equivalent != c.equivalent {
			t.Errorf("%v to %v: %+v", c.low, c.high, v)
		}
		if (v.PNonInferior < 0.025) != (c.nonInferior == "shown") || (v.PEquivalent < 0.025) != (c.equivalent == "shown") || v.PEquivalent < v.PNonInferior {
			t.Errorf("%v to %v: p %v and %v do not go with %q and %q", c.low, c.high, v.PNonInferior, v.PEquivalent, c.nonInferior, c.equivalent)
		}
		if open := c.nonInferior == "open"; open != (v.UnitsNonInferior != nil) {
			t.Errorf("%v to %v: units %v", c.low, c.high, v.UnitsNonInferior)
		}
	}
	if got := fmt.Sprint(Settle(Estimate{Level: Level, Units: 10}, 0.02), Settle(Estimate{Point: -0.02, StdErr: 0.1, Level: Level, Units: 10}, 0.02)); got != "0 0" {
		t.Errorf("where nothing can be said: %s, want 0 0", got)
	}
	// R: pnorm(3, lower.tail = FALSE), pnorm(1, lower.tail = FALSE).
	d := Estimate{Point: 0.01, Low: 0.01 - 1.959963984540054*0.01, High: 0.01 + 1.959963984540054*0.01, Level: Level}
	within(t, "p of non-inferiority", Judge(d, 0.02).PNonInferior, 0.001349898031630095, 1e-12)
	within(t, "p of equivalence", Judge(d, 0.02).PEquivalent, 0.158655253931457, 1e-12)
	if v := Judge(Estimate{Level: Level}, 0.02); v.PNonInferior != 0 || v.PEquivalent != 0 {
		t.Errorf("identical scores: %+v", v)
	}
	// Half the standard error takes a quarter of the units.
	wide, narrow := Settle(Estimate{StdErr: 0.04, Level: Level, Units: 100}, 0.02), Settle(Estimate{StdErr: 0.02, Level: Level, Units: 100}, 0.02)
	within(t, "units", float64(wide)/float64(narrow), 4, 0.01)
	within(t, "units", float64(narrow), 100*(1.959964+0.841621)*(1.959964+0.841621), 1)
}
