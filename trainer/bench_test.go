package trainer

import (
	"fmt"
	"math"
	"testing"

	"github.com/medprobe/medprobe/internal/testworld"
)

// decade is the C grid of the sweeps: ten values from 1e-4 to 1e4.
func decade() []float64 {
	grid := make([]float64, 10)
	for i := range grid {
		grid[i] = math.Pow(10, -4+8*float64(i)/9)
	}
	return grid
}

// tools/reference/logistic_speed.py times scikit-learn on the same shapes.
func BenchmarkFit(b *testing.B) {
	for _, n := range []int{64, 256, 2000} {
		w := testworld.New(testworld.Options{Dim: 1152, Knowledge: 0.3}, 1)
		s := w.Draw(n/2, n/2, "p", 1)
		y, prior := binaryTargets(s.Labels), &Prior{T: w.T, Scale: w.Scale}
		for _, c := range []struct {
			name string
			o    Options
		}{
			{"logistic, C = 1", Options{Head: Logistic, C: 1}},
			{"logistic, 10 C × 5 folds", Options{Head: Logistic, CGrid: decade()}},
			{"linear-probe, whole path", Options{Prior: prior}},
		} {
			b.Run(fmt.Sprintf("%d×1152 %s", n, c.name), func(b *testing.B) {
				for b.Loop() {
					if _, err := Fit(b.Context(), s.X, y, s.Groups, c.o); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
