package trainer

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"

	"gonum.org/v1/gonum/blas/blas32"
)

// uniform returns SplitMix64's first n numbers in [−½, ½), as
// tools/reference/logistic_large.py draws them.
func uniform(seed uint64, n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		z := seed + uint64(i+1)*0x9E3779B97F4A7C15
		z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
		z = (z ^ z>>27) * 0x94D049BB133111EB
		z ^= z >> 31
		out[i] = float32(z>>40)/(1<<24) - 0.5
	}
	return out
}

// drawLarge draws what draw of logistic_large.py draws.
func drawLarge(seed uint64, n, d, k int, findings bool) (blas32.General, Targets) {
	x := blas32.General{Rows: n, Cols: d, Stride: d, Data: uniform(seed, n*d)}
	shift, coin := uniform(seed+1, k*d), uniform(seed+2, n*k)
	y := Targets{Exclusive: !findings && k > 2}
	for c := range k {
		if findings || k > 2 || c == 1 {
			y.Classes = append(y.Classes, fmt.Sprint(c))
		}
	}
	for i := range n {
		own := i % k
		for j := range d {
			x.Data[i*d+j] += shift[own*d+j] * 0.25
		}
		row := make([]int8, len(y.Classes))
		for c := range row {
			of := c + k - len(row) // the second of two
			if of == own {
				row[c] = Positive
			}
			if !findings {
				continue
			}
			if v := coin[i*k+of]; math.Abs(float64(v)) < 0.05 {
				row[c] = 1 - row[c]
			}
			if coin[i*k+of] > float32(1)/6 {
				row[c] = Unknown
			}
		}
		y.Values = append(y.Values, row)
	}
	return x, y
}

// From 4 to 5,000 rows and 2 to 1152 dimensions, at C from 1e-4 to 1e4.
func TestLogisticEqualsScikitLearnOnLargerProblems(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/logistic/large.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Cases []struct {
			Seed          uint64
			N, D, K       int
			Findings      bool
			C             float64
			Objective     []float64
			Probabilities [][][]float64
		}
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Cases {
		if testing.Short() && g.N*g.D > 1<<20 {
			continue
		}
		x, y := drawLarge(g.Seed, g.N, g.D, g.K, g.Findings)
		name := fmt.Sprintf("%d×%d, %d classes, C = %v", g.N, g.D, g.K, g.C)
		h, err := Fit(t.Context(), x, y, nil, Options{Head: Logistic, C: g.C})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		p, err := h.Probabilities(x)
		if err != nil {
			t.Fatal(err)
		}
		for f, fit := range h.Fits {
			if d := fit.Objective/g.Objective[f] - 1; math.Abs(d) > 1e-8 {
				t.Errorf("%s: objective %.12g, want %.12g (scikit-learn): %.1e apart", name, fit.Objective, g.Objective[f], d)
			}
			seen := 0
			for i := 0; seen < len(g.Probabilities[f]); i++ {
				if y.Values[i][f] == Unknown {
					continue
				}
				want := g.Probabilities[f][seen]
				seen++
				for k, v := range want {
					if got := p.Data[i*p.Stride+f+k]; math.Abs(got-v) > 1e-5 {
						t.Errorf("%s: probability %d of row %d is %.8f, want %.8f (scikit-learn)", name, f+k, i, got, v)
					}
				}
			}
		}
	}
}
