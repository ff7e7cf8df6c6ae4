package trainer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/blas/blas32"
)

func TestElasticNetEqualsScikitLearn(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/elasticnet/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Cases []struct {
			Name            string
			N, D, K         int
			C, Ratio        float64
			X, Weights      []float64
			Y               []int
			Coef, Intercept []float64
			Objective       float64
			Zeros           int
		}
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) != 9 {
		t.Fatalf("%d cases, want 9", len(file.Cases))
	}
	for _, g := range file.Cases {
		x := blas32.General{Rows: g.N, Cols: g.D, Stride: g.D}
		for _, v := range g.X {
			x.Data = append(x.Data, float32(v))
		}
		y := Targets{Classes: []string{"finding"}}
		if g.K > 2 {
			y = Targets{Classes: []string{"a", "b", "c"}, Exclusive: true}
		}
		for _, class := range g.Y {
			row := make([]int8, len(y.Classes))
			if g.K > 2 {
				row[class] = Positive
			} else {
				row[0] = int8(class)
			}
			y.Values = append(y.Values, row)
		}
		h, err := Fit(t.Context(), x, y, nil, Options{Head: Logistic, C: g.C, L1Ratio: g.Ratio, Weights: g.Weights})
		if err != nil {
			t.Fatalf("%s: %v", g.Name, err)
		}
		f := h.Fits[0]
		if !f.Converged || f.GradientNorm > elasticTolerance || f.L1Ratio != g.Ratio {
			t.Errorf("%s: %+v: want it converged", g.Name, f)
		}
		if math.Abs(f.Objective-g.Objective) > 1e-8*g.Objective {
			t.Errorf("%s: objective %.12g, want %.12g", g.Name, f.Objective, g.Objective)
		}
		if zeros := len(g.Coef) - f.Nonzero; zeros != g.Zeros {
			t.Errorf("%s: %d weights are 0, want %d", g.Name, zeros, g.Zeros)
		}
		far, norm := 0.0, 1e-9
		for i, want := range g.Coef {
			far += math.Pow(float64(h.W.Data[i])-want, 2)
			norm += want * want
		}
		if math.Sqrt(far) > 1e-5*math.Sqrt(norm) {
			t.Errorf("%s: coefficients are %.2g of %.2g away", g.Name, math.Sqrt(far), math.Sqrt(norm))
		}
		for k, want := range g.Intercept {
			// Of a softmax only differences of the intercepts count.
			if got := float64(h.B[k]) - float64(h.B[0]); g.K > 2 && math.Abs(got-(want-g.Intercept[0])) > 1e-4 || g.K == 2 && math.Abs(float64(h.B[k])-want) > 1e-4*max(1, math.Abs(want)) {
				t.Errorf("%s: intercept %d: %v, want %v", g.Name, k, h.B[k], want)
			}
		}
	}
}

func TestElasticNetChoosesAndEnds(t *testing.T) {
	t.Parallel()
	s, prior := draw(20, 24, 1)
	h := fit(t, s, Options{Head: Logistic, L1Ratio: 0.5})
	f := h.Fits[0]
	if !f.Chosen || len(f.Path) != 17 || !f.Converged || f.Nonzero == 0 || !strings.Contains(f.String(), "l1 ratio 0.5") {
		t.Errorf("fit %v, %d on its path", f, len(f.Path))
	}
	// Almost no ‖w‖₁ is almost no elastic net.
	a, b := fit(t, s, Options{Head: Logistic, C: 1, L1Ratio: 1e-9}).Fits[0], fit(t, s, Options{Head: Logistic, C: 1}).Fits[0]
	if math.Abs(a.Objective-b.Objective) > 1e-7*b.Objective {
		t.Errorf("objective %v with next to no l1, %v without", a.Objective, b.Objective)
	}
	for _, bad := range []Options{{Head: Logistic, L1Ratio: 1.5}, {Head: Logistic, L1Ratio: math.NaN()}, {L1Ratio: 0.5, Prior: prior}} {
		if _, err := Fit(t.Context(), s.X, binaryTargets(s.Labels), s.Groups, bad); err == nil || !strings.Contains(err.Error(), "l1 ratio") {
			t.Errorf("%+v: error %v", bad, err)
		}
	}
	// A penalty that holds every weight at 0 leaves the intercept.
	none := fit(t, s, Options{Head: Logistic, C: 1e-4, L1Ratio: 1, Weights: append([]float64{5}, slices.Repeat([]float64{1}, len(s.Labels)-1)...)})
	positives, all := 0.0, 4+float64(len(s.Labels))
	for i, v := range s.Labels {
		if v == Positive {
			positives++
			if i == 0 {
				positives += 4
			}
		}
	}
	if f := none.Fits[0]; f.Nonzero != 0 || !f.Converged || math.Abs(float64(none.B[0])-math.Log(positives/(all-positives))) > 1e-6 {
		t.Errorf("%d weights, intercept %v: want none, and the log-odds of the labels", f.Nonzero, none.B[0])
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Fit(ctx, s.X, binaryTargets(s.Labels), s.Groups, Options{Head: Logistic, L1Ratio: 0.5}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestElasticNetOnWhatIsOdd(t *testing.T) {
	t.Parallel()
	for name, x := range map[string][]float32{
		"separable":  {-2, 0, -1, 0, 1, 0, 2, 0},
		"constant":   {3, 1, 3, 1, 3, 1, 3, 1},
		"duplicates": {1, 1, 1, 1, 1, 1, 1, 1},
		"tiny":       {1e-30, 0, 2e-30, 0, 3e-30, 0, 4e-30, 1e-30},
		"large":      {1e15, 0, 2e15, 0, 3e15, 0, 4e15, 1e15},
	} {
		for _, c := range []float64{1e-4, 1, 1e4} {
			h, err := Fit(t.Context(), blas32.General{Rows: 4, Cols: 2, Stride: 2, Data: x}, binaryTargets([]int8{0, 0, 1, 1}), nil, Options{Head: Logistic, C: c, L1Ratio: 0.5})
			if err != nil {
				t.Errorf("%s, C = %v: %v", name, c, err)
				continue
			}
			if f := h.Fits[0]; math.IsNaN(f.Objective) || !f.Converged && len(h.Notes) == 0 {
				t.Errorf("%s, C = %v: %s: not converged, and silent", name, c, fmt.Sprint(f))
			}
		}
	}
}
