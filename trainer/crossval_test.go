package trainer

import (
	"math"
	"testing"

	"github.com/medprobe/medprobe/internal/testworld"
)

// The fits of a cross-validation are ended early, and yet their held-out losses
// are those of fits to the end: nearly so where they decide anything, and within
// a percent of each fold where a great C fits the noise. With a tolerance of 1e-4
// the latter are off by up to 5 percent.
func TestFitsOfACrossValidationAreGoodEnough(t *testing.T) {
	t.Parallel()
	for _, n := range []int{8, 40, 128} {
		w := testworld.New(testworld.Options{Dim: 300, Knowledge: 0.3}, uint64(n))
		s := w.Draw(n, n, "p", 1)
		o := Options{Head: Logistic}
		o.setDefaults()
		path := func(tolerance float64) []PathPoint {
			tasks, err := newTasks(s.X, binaryTargets(s.Labels), s.Groups, o)
			if err != nil {
				t.Fatal(err)
			}
			study := tasks[0].study()
			solutions, err := tasks[0].design.minimize(t.Context(), study.problems, tolerance)
			if err != nil {
				t.Fatal(err)
			}
			return tasks[0].heldOut(study, solutions).path(study.grid)
		}
		want, least := path(fitTolerance), math.Inf(1)
		for _, p := range want {
			least = min(least, p.Loss)
		}
		for g, p := range path(selectTolerance) {
			slack := 1e-2
			if want[g].Loss < 1.2*least {
				slack = 1e-4
			}
			for k, v := range append(p.Folds, p.Loss) {
				if truth := append(want[g].Folds, want[g].Loss)[k]; math.Abs(v-truth) > slack*truth {
					t.Errorf("n = %d, C = %g: loss %d is %v, want %v", 2*n, p.C, k, v, truth)
				}
			}
			if p.Weight != want[g].Weight {
				t.Errorf("n = %d, C = %g: weight %v, want %v", 2*n, p.C, p.Weight, want[g].Weight)
			}
		}
	}
}
