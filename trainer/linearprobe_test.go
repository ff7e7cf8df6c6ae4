package trainer

import (
	"fmt"
	"math"
	"testing"

	"github.com/medprobe/medprobe/internal/npy"
	"gonum.org/v1/gonum/blas/blas32"
)

// testdata/linearprobe/README.md says how the expected values were made.
func TestLinearProbeEqualsSciPy(t *testing.T) {
	t.Parallel()
	archive, err := npy.OpenArchive("testdata/linearprobe/data.npz")
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	matrix := func(format string, args ...any) blas32.General {
		shape, values := readArray(t, archive, format, args...)
		return blas32.General{Rows: shape[0], Cols: shape[1], Stride: shape[1], Data: values}
	}
	for number := range 3 {
		x, prior := matrix("x%d", number), Prior{T: matrix("t%d", number), Scale: 100}
		_, labels := readArray(t, archive, "y%d", number)
		y := Targets{Exclusive: prior.T.Rows > 1}
		for k := range prior.T.Rows {
			y.Classes = append(y.Classes, fmt.Sprint(k))
		}
		for _, label := range labels {
			row := make([]int8, prior.T.Rows)
			if y.Exclusive {
				row[int(label)] = Positive
			} else {
				row[0] = int8(label)
			}
			y.Values = append(y.Values, row)
		}
		for i, c := range []float64{0.01, 1, 100} {
			h, err := Fit(t.Context(), x, y, nil, Options{C: c, Prior: &prior})
			if err != nil {
				t.Fatal(err)
			}
			f := h.Fits[0]
			if want := float64(matrix("tau%d", number).Data[0]); math.Abs(f.Scale-want) > 1e-5*want {
				t.Errorf("data %d: scale %.8g, want %.8g (SciPy)", number, f.Scale, want)
			}
			if want := float64(matrix("objective%d_%d", number, i).Data[0]); math.Abs(f.Objective-want) > 1e-6*want {
				t.Errorf("data %d, C = %v: objective %.9g, want %.9g (SciPy)", number, c, f.Objective, want)
			}
			want := matrix("w%d_%d", number, i)
			d, length := 0.0, 0.0
			for j, v := range want.Data {
				d, length = math.Hypot(d, float64(h.W.Data[j]-v)), math.Hypot(length, float64(v))
			}
			if d > 1e-5*length {
				t.Errorf("data %d, C = %v: weights differ by %.2g of %.4g (SciPy)", number, c, d, length)
			}
		}
	}
}
