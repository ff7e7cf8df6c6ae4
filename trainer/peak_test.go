package trainer

import (
	"errors"
	"math"
	"strings"
	"testing"
)

// Every kind has a peak, which grows with rows, dimensions and classes, and is at
// least the vectors.
func TestEveryKindHasAPeak(t *testing.T) {
	t.Parallel()
	for _, kind := range append(Kinds(), ValueKinds()...) {
		if kindOf(kind).footprint == (footprint{}) {
			t.Errorf("%s has no footprint", kind)
		}
		o := Options{Head: kind}
		if small := Peak(100, 64, 1, o); small < 2*4*100*64 || Peak(200, 64, 1, o) < small || Peak(100, 128, 1, o) < small || Peak(100, 64, 9, o) < small {
			t.Errorf("%s: peak %d", kind, small)
		}
		if got := Peak(math.MaxInt32, math.MaxInt32, 1000, o); got <= 0 {
			t.Errorf("%s: peak %d of very many", kind, got)
		}
	}
	if a, b := Peak(5000, 64, 1, Options{Head: Ensemble}), Peak(5000, 64, 1, Options{Head: Ensemble, Members: []string{TipAdapterF, Logistic}}); b <= a {
		t.Errorf("peaks %d and %d: want more for a member that takes more", a, b)
	}
}

func TestMemoryThatWouldNotFit(t *testing.T) {
	t.Parallel()
	x, y := drawLarge(1, 40, 10, 2, false)
	v := Values{Names: []string{"crp"}}
	for i := range x.Rows {
		v.Rows = append(v.Rows, []float64{float64(i)})
	}
	for _, memory := range []int64{0, 1000, 1e9} {
		_, probe := Fit(t.Context(), x, y, nil, Options{Memory: memory})
		_, ridge := FitValues(t.Context(), x, v, nil, Options{Memory: memory})
		for head, err := range map[string]error{LinearProbe: probe, Ridge: ridge} {
			if memory != 1000 {
				if err != nil {
					t.Errorf("%s with %d bytes: %v", head, memory, err)
				}
				continue
			}
			var short *MemoryError
			if !errors.As(err, &short) || short.Head != head || short.Rows != 40 || short.Cols != 10 || short.Available != 1000 || short.Wanted <= 1000 || !strings.Contains(err.Error(), "1 KB are available") {
				t.Errorf("%s: error %v", head, err)
			}
		}
	}
}
