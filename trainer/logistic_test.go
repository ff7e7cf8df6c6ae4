package trainer

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/medprobe/medprobe/internal/npy"
	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/floats"
)

// golden is one fit of scikit-learn's; testdata/logistic/README.md says how it
// was made.
type golden struct {
	Name        string
	Data, Fit   int
	Classes     int
	Exclusive   bool
	C           float64
	ClassWeight string `json:"class_weight"`
	Standardize bool
	Objective   []float64
	Gradient    float64
}

func (g golden) String() string { return fmt.Sprintf("%s, C = %v", g.Name, g.C) }

func readGolden(t *testing.T) ([]golden, *npy.Archive) {
	t.Helper()
	data, err := os.ReadFile("testdata/logistic/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []golden }
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	archive, err := npy.OpenArchive("testdata/logistic/data.npz")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { archive.Close() })
	return file.Cases, archive
}

func readArray(t *testing.T, archive *npy.Archive, format string, args ...any) ([]int, []float32) {
	t.Helper()
	a, err := archive.Read(fmt.Sprintf(format, args...))
	if err != nil {
		t.Fatal(err)
	}
	values, err := a.Float32()
	if err != nil {
		t.Fatal(err)
	}
	return a.Shape, values
}

func (g golden) read(t *testing.T, archive *npy.Archive) (blas32.General, Targets) {
	t.Helper()
	shape, values := readArray(t, archive, "x%d", g.Data)
	x := blas32.General{Rows: shape[0], Cols: shape[1], Stride: shape[1], Data: values}
	_, labels := readArray(t, archive, "y%d", g.Data)
	y := Targets{Exclusive: g.Exclusive}
	for k := range g.Classes {
		y.Classes = append(y.Classes, fmt.Sprint(k))
	}
	for i := range x.Rows {
		row := make([]int8, g.Classes)
		if g.Exclusive {
			row[int(labels[i])] = Positive
		} else {
			for k := range row {
				row[k] = int8(labels[i*g.Classes+k])
			}
		}
		y.Values = append(y.Values, row)
	}
	return x, y
}

func TestLogisticEqualsScikitLearn(t *testing.T) {
	t.Parallel()
	cases, archive := readGolden(t)
	for _, g := range cases {
		x, y := g.read(t, archive)
		h, err := Fit(t.Context(), x, y, nil, Options{Head: Logistic, C: g.C, ClassWeight: g.ClassWeight, Standardize: g.Standardize})
		if err != nil {
			t.Fatalf("%s: %v", g, err)
		}
		for i, f := range h.Fits {
			if !f.Converged || f.GradientNorm > 1e-8 {
				t.Errorf("%s: gradient %.1e of that at zero after %d iterations, want at most 1e-8", g, f.GradientNorm, f.Iterations)
			}
			if want := g.Objective[i]; f.Objective > want*(1+1e-9) || f.Objective < want*(1-1e-7) {
				t.Errorf("%s: objective %.12g, want %.12g (scikit-learn)", g, f.Objective, want)
			}
		}
		_, w := readArray(t, archive, "w%d_%d", g.Data, g.Fit)
		_, b := readArray(t, archive, "b%d_%d", g.Data, g.Fit)
		compareHeads(t, g, h, w, b)
	}
}

func compareHeads(t *testing.T, g golden, h *Head, w, b []float32) {
	t.Helper()
	d, norm := 0.0, 0.0
	for i, want := range w {
		d = math.Hypot(d, float64(h.W.Data[i]-want))
		norm = math.Hypot(norm, float64(want))
	}
	if d > 1e-5*norm+g.Gradient {
		t.Errorf("%s: coefficients differ by %.2g of %.4g (scikit-learn)", g, d, norm)
	}
	// Only differences between the intercepts of a softmax matter.
	shift := 0.0
	if g.Exclusive {
		for k := range b {
			shift += float64(h.B[k]-b[k]) / float64(len(b))
		}
	}
	for k, want := range b {
		if d := math.Abs(float64(h.B[k]-want) - shift); d > 1e-5*(norm+math.Abs(float64(want)))+10*g.Gradient {
			t.Errorf("%s: intercept %d = %.9g, want %.9g (scikit-learn)", g, k, h.B[k], want)
		}
	}
}

// The gradient that a fit reports is that of the objective, and 0 within
// rounding: checked on the head as the caller sees it, by differences.
func TestObjectiveIsLeastAtTheHead(t *testing.T) {
	t.Parallel()
	cases, archive := readGolden(t)
	for _, g := range cases {
		if g.Exclusive || g.Classes > 1 || g.Standardize || g.ClassWeight != "none" || g.C > 1 {
			continue
		}
		x, y := g.read(t, archive)
		h, err := Fit(t.Context(), x, y, nil, Options{Head: Logistic, C: g.C})
		if err != nil {
			t.Fatal(err)
		}
		least := objective(x, y, h, g.C)
		if want := h.Fits[0].Objective; math.Abs(least-want) > 1e-6*want {
			t.Errorf("%s: objective of the head %.9g, reported %.9g", g, least, want)
		}
		for j := range min(10, x.Cols) {
			for _, step := range []float32{-1e-2, 1e-2} {
				h.W.Data[j] += step
				if moved := objective(x, y, h, g.C); moved <= least {
					t.Errorf("%s: objective %.12g after moving weight %d by %v, %.12g before", g, moved, j, step, least)
				}
				h.W.Data[j] -= step
			}
		}
	}
}

// objective is scikit-learn's, straight from its definition.
func objective(x blas32.General, y Targets, h *Head, c float64) float64 {
	sum := 0.0
	for i, row := range y.Values {
		z := float64(h.B[0])
		for j := range x.Cols {
			z += float64(h.W.Data[j]) * float64(x.Data[i*x.Stride+j])
		}
		if row[0] == Positive {
			z = -z
		}
		sum += c * math.Log1p(math.Exp(z))
	}
	w := make([]float64, x.Cols)
	for j := range w {
		w[j] = float64(h.W.Data[j])
	}
	return sum + floats.Dot(w, w)/2
}
