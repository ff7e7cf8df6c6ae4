package encoder

import (
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"testing"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/blas/blas64"
)

func multiplier(t *testing.T) *Multiplier {
	t.Helper()
	needRuntime(t)
	m, err := NewMultiplier()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func randomMatrix(random *rand.Rand, rows, columns int) blas32.General {
	m := blas32.General{Rows: rows, Cols: columns, Stride: columns, Data: make([]float32, rows*columns)}
	for i := range m.Data {
		m.Data[i] = float32(random.NormFloat64())
	}
	return m
}

func TestMultiplierEqualsGonum(t *testing.T) {
	t.Parallel()
	m, random := multiplier(t), rand.New(rand.NewPCG(1, 1))
	for _, shape := range [][3]int{{1, 1, 1}, {1, 300, 40}, {7, 64, 65}, {50, 257, 31}, {33, 1152, 500}} {
		rows, inner, columns := shape[0], shape[1], shape[2]
		a := randomMatrix(random, rows, inner)
		for _, transpose := range []blas.Transpose{blas.NoTrans, blas.Trans} {
			b := randomMatrix(random, inner, columns)
			if transpose == blas.Trans {
				b = randomMatrix(random, columns, inner)
			}
			got, want := randomMatrix(random, rows, columns), randomMatrix(random, rows, columns)
			if err := m.Multiply(transpose, a, b, got); err != nil {
				t.Fatal(err)
			}
			blas32.Gemm(blas.NoTrans, transpose, 1, a, b, 0, want)
			for i, v := range want.Data {
				if math.Abs(float64(got.Data[i]-v)) > 1e-5*math.Sqrt(float64(inner)) {
					t.Fatalf("%v, transposed %v: %v at %d, want %v (gonum)", shape, transpose == blas.Trans, got.Data[i], i, v)
				}
			}
		}
	}
}

func TestExactMultiplierEqualsGonum(t *testing.T) {
	t.Parallel()
	m, random := multiplier(t), rand.New(rand.NewPCG(3, 3))
	for _, shape := range [][3]int{{1, 1, 1}, {7, 64, 65}, {300, 1152, 200}} {
		some := func(rows, columns int) blas64.General {
			m := blas64.General{Rows: rows, Cols: columns, Stride: columns, Data: make([]float64, rows*columns)}
			for i := range m.Data {
				m.Data[i] = random.NormFloat64()
			}
			return m
		}
		a, b := some(shape[0], shape[1]), some(shape[2], shape[1])
		got, want := some(shape[0], shape[2]), some(shape[0], shape[2])
		if err := m.MultiplyExact(a, b, got); err != nil {
			t.Fatal(err)
		}
		blas64.Gemm(blas.NoTrans, blas.Trans, 1, a, b, 0, want)
		for i, v := range want.Data {
			if math.Abs(got.Data[i]-v) > 1e-14*float64(shape[1]) {
				t.Fatalf("%v: %v at %d, want %v (gonum)", shape, got.Data[i], i, v)
			}
		}
		if err := m.MultiplyExact(a, b, some(shape[0], shape[2]+1)); err == nil {
			t.Errorf("%v into %d columns: no error", shape, shape[2]+1)
		}
	}
}

// Not parallel: it sets GOMAXPROCS.
func TestMultiplierDoesNotCountProcessors(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 2))
	for _, k := range []int{1, 3, 50} {
		v, r, x := randomMatrix(random, k, 1152), randomMatrix(random, k, 3000), randomMatrix(random, 3000, 1152)
		var first []float32
		for _, n := range []int{1, 2, 7} {
			before := runtime.GOMAXPROCS(n)
			m := multiplier(t)
			runtime.GOMAXPROCS(before)
			z, g := randomMatrix(random, k, 3000), randomMatrix(random, k, 1152)
			if err := errors.Join(m.Multiply(blas.Trans, v, x, z), m.Multiply(blas.NoTrans, r, x, g)); err != nil {
				t.Fatal(err)
			}
			all := append(z.Data, g.Data...)
			if first == nil {
				first = all
			} else if !slices.Equal(first, all) {
				t.Errorf("%d rows: the product differs between 1 and %d processors", k, n)
			}
		}
	}
}

func TestMultiplierRefuses(t *testing.T) {
	t.Parallel()
	m, random := multiplier(t), rand.New(rand.NewPCG(3, 3))
	a, b, c := randomMatrix(random, 2, 3), randomMatrix(random, 4, 5), randomMatrix(random, 2, 5)
	if err := m.Multiply(blas.NoTrans, a, b, c); err == nil {
		t.Error("2×3 by 4×5: no error")
	}
	gaps := randomMatrix(random, 3, 6)
	gaps.Cols = 5
	if err := m.Multiply(blas.NoTrans, a, gaps, c); err == nil {
		t.Error("rows with gaps: no error")
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if err := m.Multiply(blas.NoTrans, a, randomMatrix(random, 3, 5), c); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
