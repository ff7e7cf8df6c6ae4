package trainer

import (
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/lapack/lapack64"
)

// support is the training data of one fit, in as few dimensions as it has: the
// minimum of ½‖w‖² + C·Σ loss(X·w) lies in the span of the rows of X, so that
// with n < D rows the problem is solved for u with w = Q·u, where Xᵀ = Q·R, and
// Rᵀ, n×n, takes the place of X. Subsets of the rows lie in the same span, so
// that one factorisation serves all folds, penalties and labels.
type support struct {
	x         blas64.General // n×(r+1): Rᵀ or X itself, and a last column of ones
	dim       int            // D
	qr        blas64.General // D×n, as Geqrf leaves it; empty where n ≥ D
	tau       []float64
	mean, dev []float64 // of standardisation; nil without
}

// fewSolves is up to how many rows the factorisation pays for a single solve.
const fewSolves = 100

// newSupport takes the rows of x, n×D, standardised by the columns' mean and
// standard deviation (÷n; 1 for constant columns) if asked to. many says that
// it will be solved many times.
func newSupport(x blas32.General, standardize, many bool) *support {
	s := &support{dim: x.Cols, x: withOnes(x.Rows, x.Cols)}
	for i := range x.Rows {
		for j, v := range x.Data[i*x.Stride : i*x.Stride+x.Cols] {
			s.x.Data[i*s.x.Stride+j] = float64(v)
		}
	}
	vectors := s.x
	vectors.Cols--
	if standardize {
		s.standardize(vectors)
	}
	if x.Rows < x.Cols && x.Rows > 0 && (many || x.Rows <= fewSolves) {
		s.factorize(vectors)
	}
	return s
}

// withOnes returns an n×(d+1) matrix of zeros and a last column of ones.
func withOnes(n, d int) blas64.General {
	x := blas64.General{Rows: n, Cols: d + 1, Stride: d + 1, Data: make([]float64, n*(d+1))}
	for i := range n {
		x.Data[(i+1)*(d+1)-1] = 1
	}
	return x
}

func (s *support) standardize(x blas64.General) {
	s.mean, s.dev = make([]float64, x.Cols), make([]float64, x.Cols)
	n := float64(x.Rows)
	for j := range x.Cols {
		for i := range x.Rows {
			s.mean[j] += x.Data[i*x.Stride+j] / n
		}
		for i := range x.Rows {
			d := x.Data[i*x.Stride+j] - s.mean[j]
			s.dev[j] += d * d / n
		}
		s.dev[j] = math.Sqrt(s.dev[j])
		// As scikit-learn's StandardScaler: what varies by rounding only is
		// constant.
		if s.dev[j] <= 10*0x1p-52*math.Abs(s.mean[j]) {
			s.dev[j] = 1
		}
		for i := range x.Rows {
			x.Data[i*x.Stride+j] = (x.Data[i*x.Stride+j] - s.mean[j]) / s.dev[j]
		}
	}
}

func (s *support) factorize(x blas64.General) {
	n, d := x.Rows, x.Cols
	s.qr = blas64.General{Rows: d, Cols: n, Stride: n, Data: make([]float64, d*n)}
	for i := range n {
		for j := range d {
			s.qr.Data[j*n+i] = x.Data[i*x.Stride+j]
		}
	}
	s.tau = make([]float64, n)
	work := make([]float64, 1)
	lapack64.Geqrf(s.qr, s.tau, work, -1)
	work = make([]float64, int(work[0]))
	lapack64.Geqrf(s.qr, s.tau, work, len(work))
	s.x = withOnes(n, n)
	for i := range n {
		for j := range i + 1 {
			s.x.Data[i*s.x.Stride+j] = s.qr.Data[j*n+i]
		}
	}
}

// weights returns w, in the dimensions of the vectors as they were given, and
// the shift of the intercept that standardisation brings.
func (s *support) weights(u []float64) (w []float64, shift float64) {
	w = make([]float64, s.dim)
	copy(w, u)
	if s.tau != nil {
		c := blas64.General{Rows: s.dim, Cols: 1, Stride: 1, Data: w}
		work := make([]float64, 1)
		lapack64.Ormqr(blas.Left, blas.NoTrans, s.qr, s.tau, c, work, -1)
		work = make([]float64, int(work[0]))
		lapack64.Ormqr(blas.Left, blas.NoTrans, s.qr, s.tau, c, work, len(work))
	}
	if s.dev != nil {
		for j := range w {
			w[j] /= s.dev[j]
			shift -= w[j] * s.mean[j]
		}
	}
	return w, shift
}

// rows returns the given rows, in rising order, with the column of ones.
func (s *support) rows(rows []int) blas64.General {
	if len(rows) == s.x.Rows {
		return s.x
	}
	out := blas64.General{Rows: len(rows), Cols: s.x.Cols, Stride: s.x.Cols, Data: make([]float64, 0, len(rows)*s.x.Cols)}
	for _, i := range rows {
		out.Data = append(out.Data, s.x.Data[i*s.x.Stride:(i+1)*s.x.Stride]...)
	}
	return out
}
