package experiment

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/medprobe/medprobe/datasets"
	"gonum.org/v1/gonum/blas/blas32"
)

// world is n patients of one sample, one finding in every third, and vectors of
// dim values whose first moves by shift with the finding.
func shifted(n, dim int, shift float64) (blas32.General, *datasets.Dataset) {
	rng := rand.New(rand.NewPCG(7, 7))
	d := &datasets.Dataset{Task: datasets.Binary, Classes: []string{"nodule"}}
	x := blas32.General{Rows: n, Cols: dim, Stride: dim, Data: make([]float32, n*dim)}
	for i := range n {
		label := datasets.Negative
		if i%3 == 0 {
			label = datasets.Positive
		}
		row := x.Data[i*dim : (i+1)*dim]
		norm := 0.0
		for k := range row {
			v := rng.NormFloat64()
			if k == 0 && label == datasets.Positive {
				v += shift
			}
			row[k], norm = float32(v), norm+v*v
		}
		for k := range row {
			row[k] /= float32(math.Sqrt(norm))
		}
		d.Samples = append(d.Samples, datasets.Sample{ID: fmt.Sprint(i), Patient: fmt.Sprint(i), Labels: []datasets.Label{label}})
	}
	return x, d
}

func TestSpacesAreComparedOnPatientsNotSeen(t *testing.T) {
	t.Parallel()
	strong, d := shifted(300, 8, 3)
	none, _ := shifted(300, 5, 0)
	got, err := CompareSpaces(t.Context(), strong, none, d)
	if err != nil {
		t.Fatal(err)
	}
	c := got[0].AUC
	if c == nil || !(c.A.Point > .9) || !(math.Abs(c.B.Point-.5) < .12) || !(c.Difference.Low > .2) {
		t.Errorf("%+v: want a clear difference; vectors that say nothing have AUC .5 on patients not seen", c)
	}
	same, err := CompareSpaces(t.Context(), strong, strong, d)
	if err != nil {
		t.Fatal(err)
	}
	if s := same[0].AUC; s.Difference.Point != 0 || s.A.Point != c.A.Point {
		t.Errorf("the same vectors differ by %v", s.Difference)
	}
}

// A patient's images stay together: vectors that name the patient and nothing
// else are no better than chance.
func TestSpacesNeverDivideAPatient(t *testing.T) {
	t.Parallel()
	x, d := shifted(300, 40, 0)
	for i := range d.Samples {
		d.Samples[i].Patient = fmt.Sprint(i / 10 % 30)
		d.Samples[i].Labels[0] = datasets.Negative
		if (i/10)%2 == 0 {
			d.Samples[i].Labels[0] = datasets.Positive
		}
		copy(x.Data[i*40:(i+1)*40], x.Data[(i-i%10)*40:(i-i%10+1)*40])
	}
	got, err := CompareSpaces(t.Context(), x, x, d)
	if err != nil {
		t.Fatal(err)
	}
	if auc := got[0].AUC.A.Point; auc > .8 {
		t.Errorf("AUC %.3f of vectors that only name the patient", auc)
	}
}

func TestTooFewPatientsAreSaidNotScored(t *testing.T) {
	t.Parallel()
	x, d := shifted(12, 4, 1)
	got, err := CompareSpaces(t.Context(), x, x, d)
	if err != nil || got[0].AUC != nil || got[0].Reason != "4 with it and 8 without: want at least 5 of each" {
		t.Errorf("%+v, %v", got, err)
	}
}
