package trainer

import (
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/lapack/lapack64"
)

// design is the training data of one fit, centred and, if asked to, scaled to
// variance one, in as few dimensions as it has. All labels, folds and penalties
// share it: of the rows that they leave out, the weight is 0.
//
// The minimum of ½‖w‖² + C·Σ loss(X·w + b) lies in the span of the centred rows,
// since the intercept makes their weights add up to 0. With n < D rows the
// problem is solved for u with w = Q·u, where L = X·Q, n×rank, has LLᵀ = XXᵀ: the
// pivoted Cholesky factor of the Gram matrix, which takes the place of X. With
// n ≥ D, X stays as it was given, and centring and scaling are part of the
// products.
type design struct {
	rows, dim int            // of what the problems see
	fast      blas32.General // rows×dim, for products in float32
	exact     blas64.General // the same in float64; empty where fast is exact
	// mean and dev, of length D, center and scale; dev is nil without scaling.
	// Where exact is empty they belong to the products.
	mean, dev []float64
	unit      float64 // the vectors were divided by it
	// given holds the vectors, pivot names those that span, upper is the
	// Cholesky factor; for weights, where exact is not empty.
	given blas64.General
	pivot []int
	upper blas64.Triangular
	// terms is Σ‖x‖, the size of the terms that a gradient is made of.
	terms      float64
	multiplier Multiplier
	spectrum   *spectrum // of the second moments; nil until asked for
	alone      bool      // on one processor, since others have work
	// rooms are written over by each product: those of weights, logits and, twice,
	// weights in float32; wide those of weights, three times, and of logits,
	// three times, and of a Hessian or blocks of vectors.
	rooms [4][]float32
	wide  [7][]float64
}

// newDesign takes the rows of x, n×D; they are neither copied nor changed where
// n ≥ D. Vectors of a length beyond 2^±20 are scaled by a power of two.
func newDesign(x blas32.General, standardize bool, m Multiplier) (*design, error) {
	if m == nil {
		m = gonum{}
	}
	d := &design{rows: x.Rows, dim: x.Cols, fast: x, unit: 1, multiplier: m}
	if x.Stride != x.Cols {
		d.fast = compact(x)
	}
	d.center()
	if d.terms > 0 {
		_, exponent := math.Frexp(d.terms / float64(d.rows))
		if exponent < -20 || exponent > 20 {
			d.rescale(math.Ldexp(1, exponent))
		}
	}
	if standardize {
		d.standardize()
	}
	if d.rows < d.dim {
		return d, d.span()
	}
	return d, nil
}

func compact(x blas32.General) blas32.General {
	out := blas32.General{Rows: x.Rows, Cols: x.Cols, Stride: max(1, x.Cols), Data: make([]float32, 0, x.Rows*x.Cols)}
	for i := range x.Rows {
		out.Data = append(out.Data, x.Data[i*x.Stride:i*x.Stride+x.Cols]...)
	}
	return out
}

// row returns row i of the vectors.
func (d *design) row(i int) []float32 { return d.fast.Data[i*d.fast.Stride:][:d.fast.Cols] }

// center sets mean and terms.
func (d *design) center() {
	d.mean = make([]float64, d.dim)
	for i := range d.rows {
		for j, v := range d.row(i) {
			d.mean[j] += float64(v)
		}
	}
	floats.Scale(1/float64(d.rows), d.mean)
	d.terms = 0
	for i := range d.rows {
		length := 0.0
		for j, v := range d.row(i) {
			c := float64(v) - d.mean[j]
			length += c * c
		}
		d.terms += math.Sqrt(length)
	}
}

// rescale divides the vectors by unit, a power of two.
func (d *design) rescale(unit float64) {
	scaled := compact(d.fast)
	for i, v := range scaled.Data {
		scaled.Data[i] = float32(float64(v) / unit)
	}
	d.fast, d.unit, d.terms = scaled, unit, d.terms/unit
	floats.Scale(1/unit, d.mean)
}

// standardize sets dev: the standard deviations (÷n), 1 for constant columns. As
// in scikit-learn's StandardScaler, what varies by rounding only is constant.
func (d *design) standardize() {
	d.dev = make([]float64, d.dim)
	for i := range d.rows {
		for j, v := range d.row(i) {
			c := float64(v) - d.mean[j]
			d.dev[j] += c * c
		}
	}
	varying := 0
	for j := range d.dev {
		d.dev[j] = math.Sqrt(d.dev[j] / float64(d.rows))
		if d.dev[j] <= 10*0x1p-52*math.Abs(d.mean[j]) {
			d.dev[j] = 1
		} else {
			varying++
		}
	}
	d.terms = float64(d.rows) * math.Sqrt(float64(varying))
}

// c is the C that the vectors, as they were scaled, ask for.
func (d *design) c(c float64) float64 {
	if d.dev != nil {
		return c
	}
	return c * d.unit * d.unit
}

// objective is that of the vectors as they were given.
func (d *design) objective(value float64) float64 {
	if d.dev != nil {
		return value
	}
	return value / (d.unit * d.unit)
}

// span finds the coordinates of the rows in their span.
func (d *design) span() error {
	n, dim := d.rows, d.dim
	d.given = matrix(n, dim)
	each(n, func(i int) {
		row := d.given.Data[i*dim : (i+1)*dim]
		for j, v := range d.row(i) {
			row[j] = float64(v) - d.mean[j]
		}
		if d.dev != nil {
			floats.Div(row, d.dev)
		}
	})
	gram, err := d.gram()
	if err != nil {
		return err
	}
	pivot := make([]int, n)
	upper, rank, _ := lapack64.Pstrf(gram, pivot, -1, make([]float64, 2*n))
	rank = max(1, rank)
	d.dim, d.pivot, d.upper = rank, pivot[:rank], upper
	d.upper.N = rank
	d.exact = blas64.General{Rows: n, Cols: rank, Stride: rank, Data: make([]float64, n*rank)}
	for k, i := range pivot {
		for j := range min(k+1, rank) {
			d.exact.Data[i*rank+j] = upper.Data[j*upper.Stride+k]
		}
	}
	d.fast = blas32.General{Rows: n, Cols: rank, Stride: rank, Data: make([]float32, n*rank)}
	for i, v := range d.exact.Data {
		d.fast.Data[i] = float32(v)
	}
	return nil
}

// gram returns the products of the given rows with one another: the upper
// triangle, a block of rows at a time.
func (d *design) gram() (blas64.Symmetric, error) {
	n := d.rows
	gram := blas64.Symmetric{N: n, Stride: n, Uplo: blas.Upper, Data: make([]float64, n*n)}
	block := max(64, (n+7)/8)
	blocks := (n + block - 1) / block
	by, ok := d.multiplier.(exactMultiplier)
	if !ok {
		each(blocks, func(b int) {
			from := b * block
			rows, rest := part(d.given, from, min(block, n-from)), part(d.given, from, n-from)
			blas64.Gemm(blas.NoTrans, blas.Trans, 1, rows, rest, 0, blas64.General{Rows: rows.Rows, Cols: n - from, Stride: n, Data: gram.Data[from*n+from:]})
		})
		return gram, nil
	}
	for b := range blocks {
		from := b * block
		rows, rest := part(d.given, from, min(block, n-from)), part(d.given, from, n-from)
		out := d.wideRoom(0, rows.Rows, n-from)
		if err := by.MultiplyExact(rows, rest, out); err != nil {
			return gram, err
		}
		for i := range rows.Rows {
			copy(gram.Data[(from+i)*n+from:(from+i+1)*n], out.Data[i*out.Stride:])
		}
	}
	return gram, nil
}

// weights returns w, in the dimensions of the vectors as they were given, and
// the shift that it brings to the intercept.
func (d *design) weights(u []float64) (w []float64, shift float64) {
	w = make([]float64, len(d.mean))
	if d.exact.Data == nil {
		copy(w, u)
	} else {
		// w = Σ αᵢ·xᵢ over the pivots, with U·α = u.
		alpha := make([]float64, d.dim)
		copy(alpha, u)
		blas64.Trsv(blas.NoTrans, d.upper, blas64.Vector{N: d.dim, Inc: 1, Data: alpha})
		for k, i := range d.pivot {
			floats.AddScaled(w, alpha[k], d.given.Data[i*d.given.Stride:][:len(w)])
		}
	}
	for j := range w {
		if d.dev != nil {
			w[j] /= d.dev[j]
		}
		shift -= w[j] * d.mean[j]
		w[j] /= d.unit
	}
	return w, shift
}

// each calls do for 0…n−1, on as many processors as there are for it.
func (d *design) each(n int, do func(i int)) {
	if !d.alone {
		each(n, do)
		return
	}
	for i := range n {
		do(i)
	}
}

// each calls do for 0…n−1, on as many processors as there are.
func each(n int, do func(i int)) {
	workers := min(n, runtime.GOMAXPROCS(0))
	if workers <= 1 {
		for i := range n {
			do(i)
		}
		return
	}
	var next atomic.Int64
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	all.Wait()
}

// upTo lists the numbers from 0 to n−1.
func upTo(n int) []int {
	numbers := make([]int, n)
	for i := range numbers {
		numbers[i] = i
	}
	return numbers
}
