package trainer

import (
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/lapack/lapack64"
	"gonum.org/v1/gonum/mat"
)

// spectrum is what the second moments Σ x·xᵀ of a design look like: their
// greatest eigenvalues, and the mean of the others. It preconditions the Newton
// systems of all problems, whose Hessians are second moments with other weights,
// since those differ little in shape.
//
// Source: Frangella, Tropp and Udell, SIAM Journal on Matrix Analysis and
// Applications 44 (2023) 718–752, with a randomised range finder in place of
// their sketch.
type spectrum struct {
	vectors blas64.General // q×dim, orthonormal rows
	fast    blas32.General // the same, where they are not all there are
	values  []float64      // of length q
	rest    float64
}

const (
	// spectrumSize is how many eigenvalues are found, but no more than a quarter of
	// the dimensions if they are more than spectrumLeast; spectrumRows of the rows
	// are looked at.
	spectrumSize  = 96
	spectrumLeast = 32
	spectrumRows  = 1024
)

// findSpectrum sets the spectrum of the design, once.
func (d *design) findSpectrum() error {
	if d.spectrum != nil {
		return nil
	}
	some, share := d.some(spectrumRows)
	q := min(d.dim, max(spectrumLeast, min(spectrumSize, d.dim/4)))
	basis := blas64.General{Rows: q, Cols: d.dim + 1, Stride: d.dim + 1, Data: make([]float64, q*(d.dim+1))}
	z := blas64.General{Rows: q, Cols: some.rows, Stride: some.rows, Data: make([]float64, q*some.rows)}
	if q == d.dim {
		for k := range q {
			basis.Data[k*basis.Stride+k] = 1
		}
	} else {
		random := rand.New(rand.NewPCG(1, 1152))
		for k := range q {
			for j := range d.dim {
				basis.Data[k*basis.Stride+j] = random.NormFloat64()
			}
		}
		if err := some.forward(basis, z, false); err != nil {
			return err
		}
		if err := some.backward(z, basis, false); err != nil {
			return err
		}
		orthonormalize(basis, d.dim)
	}
	if err := some.forward(basis, z, false); err != nil {
		return err
	}
	moments := mat.NewSymDense(q, nil)
	blas64.Syrk(blas.NoTrans, share, z, 0, moments.RawSymmetric())
	var eigen mat.EigenSym
	s := &spectrum{values: make([]float64, q)}
	if !eigen.Factorize(moments, true) { // does not happen for finite values
		d.spectrum = &spectrum{}
		return nil
	}
	eigen.Values(s.values)
	var turn mat.Dense
	eigen.VectorsTo(&turn)
	s.vectors = blas64.General{Rows: q, Cols: d.dim, Stride: d.dim, Data: make([]float64, q*d.dim)}
	basis.Cols = d.dim
	blas64.Gemm(blas.Trans, blas.NoTrans, 1, turn.RawMatrix(), basis, 0, s.vectors)
	for k, v := range s.values {
		s.values[k] = max(0, v)
	}
	if left := d.dim - q; left > 0 {
		s.fast = blas32.General{Rows: q, Cols: d.dim, Stride: d.dim, Data: make([]float32, q*d.dim)}
		for i, v := range s.vectors.Data {
			s.fast.Data[i] = float32(v)
		}
		s.rest = max(0, some.squares()*share-floats.Sum(s.values)) / float64(left)
	}
	d.spectrum = s
	return nil
}

// some returns a design with at most so many of the rows, evenly spaced, and the
// factor that their sums want.
func (d *design) some(rows int) (*design, float64) {
	if d.rows <= rows {
		return d, 1
	}
	part := *d
	part.rows, part.fast = rows, blas32.General{Rows: rows, Cols: d.dim, Stride: d.dim, Data: d.room(1, rows*d.dim)[:0]}
	part.rooms = [len(d.rooms)][]float32{}
	for k := range rows {
		part.fast.Data = append(part.fast.Data, d.row(k*d.rows/rows)...)
	}
	return &part, float64(d.rows) / float64(rows)
}

// squares returns Σ‖x‖².
func (d *design) squares() float64 {
	sum := 0.0
	for i := range d.rows {
		for j, v := range d.row(i) {
			x := float64(v)
			if d.exact.Data == nil {
				if x -= d.mean[j]; d.dev != nil {
					x /= d.dev[j]
				}
			}
			sum += x * x
		}
	}
	return sum
}

// orthonormalize makes the first dim values of the rows of m orthonormal.
func orthonormalize(m blas64.General, dim int) {
	t := blas64.General{Rows: dim, Cols: m.Rows, Stride: m.Rows, Data: make([]float64, dim*m.Rows)}
	for k := range m.Rows {
		for j := range dim {
			t.Data[j*t.Stride+k] = m.Data[k*m.Stride+j]
		}
	}
	tau := make([]float64, m.Rows)
	work := make([]float64, 1)
	lapack64.Geqrf(t, tau, work, -1)
	work = make([]float64, int(work[0]))
	lapack64.Geqrf(t, tau, work, len(work))
	lapack64.Orgqr(t, tau, work, -1)
	work = make([]float64, int(work[0]))
	lapack64.Orgqr(t, tau, work, len(work))
	for k := range m.Rows {
		for j := range dim {
			m.Data[k*m.Stride+j] = t.Data[j*t.Stride+k]
		}
		m.Data[k*m.Stride+dim] = 0
	}
}

// solve sets out to r divided by curvature·S + 1, row by row, with S the second
// moments; the last value of a row, the intercept's, is divided by its own
// curvature.
func (s *spectrum) solve(d *design, r, out blas64.General, curvature, intercept []float64) error {
	dim := r.Cols - 1
	weights, target := r, out
	weights.Cols, target.Cols = dim, dim
	switch {
	case len(s.values) == 0:
		for k := range r.Rows {
			copy(out.Data[k*out.Stride:][:dim], r.Data[k*r.Stride:][:dim])
		}
	case len(s.values) == dim:
		parts := matrix(r.Rows, dim)
		blas64.Gemm(blas.NoTrans, blas.Trans, 1, weights, s.vectors, 0, parts)
		for k, c := range curvature {
			for q, v := range s.values {
				parts.Data[k*dim+q] /= c*v + 1
			}
		}
		blas64.Gemm(blas.NoTrans, blas.NoTrans, 1, parts, s.vectors, 0, target)
	default:
		if err := s.solvePart(d, weights, target, curvature); err != nil {
			return err
		}
	}
	for k, c := range intercept {
		out.Data[k*out.Stride+dim] = r.Data[k*r.Stride+dim] / c
	}
	return nil
}

// solvePart is solve where all but the greatest eigenvalues count as equal.
func (s *spectrum) solvePart(d *design, r, out blas64.General, curvature []float64) error {
	small, scales := d.narrow(2, r)
	size := len(s.values)
	parts := blas32.General{Rows: r.Rows, Cols: size, Stride: size, Data: make([]float32, r.Rows*size)}
	if err := d.multiplier.Multiply(blas.Trans, small, s.fast, parts); err != nil {
		return err
	}
	// The floor keeps rounding out of the greatest ones.
	least := max(s.rest, 1e-5*slices.Max(s.values))
	for k, c := range curvature {
		for q, v := range s.values {
			// Relative to what the others are divided by.
			parts.Data[k*size+q] *= float32((c*least+1)/(c*v+1) - 1)
		}
	}
	back := blas32.General{Rows: r.Rows, Cols: r.Cols, Stride: r.Cols, Data: d.room(3, r.Rows*r.Cols)}
	if err := d.multiplier.Multiply(blas.NoTrans, parts, s.fast, back); err != nil {
		return err
	}
	for k, c := range curvature {
		to, from := out.Data[k*out.Stride:][:r.Cols], r.Data[k*r.Stride:][:r.Cols]
		for j, v := range back.Data[k*r.Cols : (k+1)*r.Cols] {
			to[j] = (from[j] + float64(v)*scales[k]) / (c*least + 1)
		}
	}
	return nil
}
