package trainer

import (
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/lapack/lapack64"
	"gonum.org/v1/gonum/mat"
)

const (
	// factorRows of the vectors are multiplied at a time; of those whose losses
	// bend less than leastBend of the most, none.
	factorRows = 512
	leastBend  = 1e-5
)

// patience is after how many conjugate gradients in one step a path gets a
// factor: where few rows bend the losses, as at a great C, second moments of all
// rows say little of the Hessian. It is about a quarter of those that take as long
// as the factor, since the next steps will take more: the factor takes dim²·rows
// multiplications by the multiplier and as long as 8·dim³ in float64, one of a few
// columns, which wait for memory, 24·dim·rows.
func (d *design) patience() int {
	m := d.dim + 1
	return max(14, m/96+m*m/(12*d.rows))
}

// hard reports whether a path took too many conjugate gradients.
func (b *descent) hard(p *path) bool { return p.solves > b.patience() }

// factorize gives the paths that were hard to solve the Cholesky factor of a
// Hessian, which those of one task and C share: it is that of their mean losses.
func (b *descent) factorize(active []*path) error {
	type family struct {
		task *task
		c    float64
	}
	groups := map[family][]*path{}
	var order []family
	for _, p := range active {
		if f := (family{p.task, p.c}); p.outputs == 1 && b.hard(p) && groups[f] == nil {
			order, groups[f] = append(order, f), []*path{}
		}
	}
	for _, p := range active {
		if f := (family{p.task, p.c}); groups[f] != nil {
			groups[f] = append(groups[f], p)
		}
	}
	for _, f := range order {
		bend := make([]float64, b.rows)
		for _, p := range groups[f] {
			prob := part(b.prob, p.first, 1).Data
			for i, s := range p.weight {
				bend[i] += p.c * s * prob[i] * (1 - prob[i]) / float64(len(groups[f]))
			}
		}
		h, err := b.hessian(bend)
		if err != nil {
			return err
		}
		inverse := invert(h)
		if inverse == nil {
			continue // the spectrum must do
		}
		for _, p := range groups[f] {
			p.factor, p.solves = inverse, 0
		}
	}
	return nil
}

// factor is the inverse of a Cholesky factor L of a Hessian.
type factor struct{ blas32.General }

// invert returns L⁻¹ of h = L·Lᵀ; nil if h is singular.
func invert(h *mat.SymDense) *factor {
	raw := h.RawSymmetric()
	u, ok := lapack64.Potrf(raw)
	if !ok || !lapack64.Trtri(u) {
		return nil
	}
	m := u.N
	f := &factor{blas32.General{Rows: m, Cols: m, Stride: m, Data: make([]float32, m*m)}}
	each(m, func(i int) {
		for j, v := range u.Data[i*u.Stride+i : i*u.Stride+m] {
			f.Data[i*m+i+j] = float32(v) // U⁻¹ = L⁻ᵀ
		}
	})
	return f
}

// solve divides the rows of r by the Hessian: r·U⁻¹·U⁻ᵀ, which is positive
// definite in float32 too.
func (f *factor) solve(d *design, r blas64.General) error {
	small, scales := d.narrow(2, r)
	half := blas32.General{Rows: r.Rows, Cols: r.Cols, Stride: r.Cols, Data: d.room(3, r.Rows*r.Cols)}
	if err := d.multiplier.Multiply(blas.NoTrans, small, f.General, half); err != nil {
		return err
	}
	if err := d.multiplier.Multiply(blas.Trans, half, f.General, small); err != nil {
		return err
	}
	for k, s := range scales {
		for j, v := range small.Data[k*r.Cols : (k+1)*r.Cols] {
			r.Data[k*r.Stride+j] = float64(v) * s
		}
	}
	return nil
}

// hessian returns Σ bendᵢ·x̃ᵢx̃ᵢᵀ, x̃ being a vector and 1, and 1 on the diagonal of
// the weights.
func (d *design) hessian(bend []float64) (*mat.SymDense, error) {
	least := leastBend * floats.Max(bend)
	var rows []int
	for i, v := range bend {
		if v > least {
			rows = append(rows, i)
		}
	}
	m := d.dim + 1
	room := d.wideRoom(6, m, m).Data
	clear(room)
	h := mat.NewSymDense(m, room)
	sum := blas32.General{Rows: m, Cols: m, Stride: m, Data: d.room(3, m*m)}
	space := d.room(1, 2*m*min(factorRows, len(rows)))
	for len(rows) > 0 {
		some := rows[:min(factorRows, len(rows))]
		rows = rows[len(some):]
		left := blas32.General{Rows: m, Cols: len(some), Stride: len(some), Data: space[:m*len(some)]}
		right := blas32.General{Rows: len(some), Cols: m, Stride: m, Data: space[len(space)/2:][:len(some)*m]}
		d.each(len(some), func(k int) {
			row := right.Data[k*m : (k+1)*m]
			for j, v := range d.row(some[k]) {
				if d.exact.Data == nil {
					if v -= float32(d.mean[j]); d.dev != nil {
						v /= float32(d.dev[j])
					}
				}
				row[j] = v
			}
			row[d.dim] = 1
		})
		const columns = 64
		d.each((m+columns-1)/columns, func(c int) {
			to := min(m, (c+1)*columns)
			for k, i := range some {
				scale := float32(bend[i] / least * leastBend)
				for j := c * columns; j < to; j++ {
					left.Data[j*len(some)+k] = scale * right.Data[k*m+j]
				}
			}
		})
		if err := d.multiplier.Multiply(blas.NoTrans, left, right, sum); err != nil {
			return nil, err
		}
		raw := h.RawSymmetric()
		d.each(m, func(j int) {
			for k := j; k < m; k++ {
				raw.Data[j*raw.Stride+k] += float64(sum.Data[j*m+k]) * (least / leastBend)
			}
		})
	}
	for j := range d.dim {
		h.SetSym(j, j, h.At(j, j)+1)
	}
	return h, nil
}
