package trainer_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"testing"

	"github.com/medprobe/medprobe/internal/needs"
	"github.com/medprobe/medprobe/trainer"
	"gonum.org/v1/gonum/blas/blas32"
)

// shape is how much a fit sees.
type shape struct{ rows, cols, classes int }

func (s shape) String() string { return fmt.Sprintf("%d×%d, %d", s.rows, s.cols, s.classes) }

// matrix draws numbers.
func matrix(random *rand.Rand, rows, cols int) blas32.General {
	m := blas32.General{Rows: rows, Cols: cols, Stride: cols, Data: make([]float32, rows*cols)}
	for i := range m.Data {
		m.Data[i] = float32(random.NormFloat64())
	}
	return m
}

// footprint returns the greatest number of bytes that a fit of a shape takes, its
// vectors among them, and of what lay there before nothing.
func footprint(t *testing.T, s shape, o trainer.Options) float64 {
	t.Helper()
	before := peak(func() {})
	random := rand.New(rand.NewPCG(1, uint64(s.rows)))
	x := matrix(random, s.rows, s.cols)
	prior := trainer.Prior{T: matrix(random, s.classes, s.cols), Scale: 1}
	if o.Head != trainer.Ridge {
		o.Prior = &prior
	}
	y, v := trainer.Targets{}, trainer.Values{}
	for c := range s.classes {
		y.Classes, v.Names = append(y.Classes, fmt.Sprint(c)), append(v.Names, fmt.Sprint(c))
	}
	for i := range s.rows {
		labels, values := make([]int8, s.classes), make([]float64, s.classes)
		for c := range labels {
			values[c] = float64(x.Data[i*s.cols+c]) + random.NormFloat64()
			if values[c] > 0 {
				labels[c] = trainer.Positive
			}
		}
		y.Values, v.Rows = append(y.Values, labels), append(v.Rows, values)
	}
	var err error
	most := peak(func() {
		if o.Head == trainer.Ridge || o.Head == trainer.RidgePrior {
			_, err = trainer.FitValues(t.Context(), x, v, nil, o)
		} else {
			_, err = trainer.Fit(t.Context(), x, y, nil, o)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	runtime.KeepAlive(x)
	return float64(most) - float64(before)
}

const (
	// footprintSlack is how many bytes a measured peak may lie above Peak: what is taken
	// while a collection runs counts as in use, and on a busy machine one runs long.
	footprintSlack = 2e6
	// Peak may be so many times the measured peak, beside bytes for what lies about in
	// every fit, which a collection does not count.
	footprintFactor, footprintUnswept = 3, 6e6
)

// Every kind of head, and every kind as member of an ensemble, takes about what Peak
// says: of many rows of few dimensions, of fewer rows than dimensions, and of several
// classes. Those that take long see fewer rows. With MEDPROBE_SIMULATE=long shapes near
// those of MedSigLIP are looked at too. Not parallel: other tests have memory too.
func TestFootprints(t *testing.T) {
	needs.Time(t)
	slow := []string{trainer.TipAdapterF, trainer.MLP, trainer.Ensemble, trainer.GolearnKNN, trainer.GolearnTrees}
	long := os.Getenv("MEDPROBE_SIMULATE") == "long"
	for _, kind := range append(trainer.Kinds(), trainer.ValueKinds()...) {
		shapes := []shape{{2000, 64, 1}, {150, 768, 1}, {1000, 64, 6}}
		if slices.Contains(slow, kind) {
			shapes = []shape{{300, 64, 1}, {60, 768, 1}, {30, 64, 3}}
		} else if long {
			shapes = append(shapes, shape{8000, 256, 1}, shape{3000, 256, 6})
		}
		if long {
			shapes = append(shapes, shape{300, 1152, 1})
		}
		for _, s := range shapes {
			bounded(t, s, trainer.Options{Head: kind})
		}
		if kind != trainer.Ensemble && slices.Contains(trainer.Kinds(), kind) {
			bounded(t, shape{60, 512, 1}, trainer.Options{Head: trainer.Ensemble, Members: []string{kind, other(kind)}})
		}
	}
}

// other is a member beside a kind.
func other(kind string) string {
	if kind == trainer.Prototype {
		return trainer.SSText
	}
	return trainer.Prototype
}

// bounded compares what a fit takes with Peak.
func bounded(t *testing.T, s shape, o trainer.Options) {
	t.Helper()
	got, estimate := footprint(t, s, o), float64(trainer.Peak(s.rows, s.cols, s.classes, o))
	t.Logf("%s %v, %v: %.2f MB, Peak %.2f MB", o.Head, o.Members, s, got/1e6, estimate/1e6)
	if estimate < got-footprintSlack || estimate > footprintFactor*got+footprintUnswept {
		t.Errorf("%s %v, %v: a fit takes %.2f MB, Peak says %.2f MB", o.Head, o.Members, s, got/1e6, estimate/1e6)
	}
}
