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
	x         blas64.General // n×r: Rᵀ, or X itself where n ≥ D
	dim       int            // D
	qr        blas64.General // D×n, as Geqrf leaves it; empty where n ≥ D
	tau       []float64
	mean, dev []float64 // of standardisation; nil without
}

// newSupport takes the rows of x, n×D, standardised by the columns' mean and
// standard deviation (÷n; 1 for constant columns) if asked to.
func newSupport(x blas32.General, standardize bool) *support {
	s := &support{dim: x.Cols}
	wide := blas64.General{Rows: x.Rows, Cols: x.Cols, Stride: max(1, x.Cols), Data: make([]float64, x.Rows*x.Cols)}
	for i := range x.Rows {
		for j, v := range x.Data[i*x.Stride : i*x.Stride+x.Cols] {
			wide.Data[i*x.Cols+j] = float64(v)
		}
	}
	if standardize {
		s.standardize(wide)
	}
	if s.x = wide; x.Rows < x.Cols && x.Rows > 0 {
		s.factorize(wide)
	}
	return s
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
	s.x = blas64.General{Rows: n, Cols: n, Stride: n, Data: make([]float64, n*n)}
	for i := range n {
		for j := range i + 1 {
			s.x.Data[i*n+j] = s.qr.Data[j*n+i]
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

// rows returns the given rows with a last column of ones, for the intercept.
func (s *support) rows(rows []int) blas64.General {
	m := s.x.Cols + 1
	out := blas64.General{Rows: len(rows), Cols: m, Stride: m, Data: make([]float64, 0, len(rows)*m)}
	for _, i := range rows {
		out.Data = append(out.Data, s.x.Data[i*s.x.Stride:i*s.x.Stride+m-1]...)
		out.Data = append(out.Data, 1)
	}
	return out
}
