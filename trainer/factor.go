package trainer

import (
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

const (
	// hardSystem is after how many conjugate gradients a path gets a factor:
	// where few rows bend the losses, as at a great C, second moments of all
	// rows say little of the Hessian.
	hardSystem = 25
	// factorRows of the vectors are multiplied at a time; of those whose losses
	// bend less than leastBend of the most, none.
	factorRows = 512
	leastBend  = 1e-5
)

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
		if p.outputs > 1 || p.solves <= hardSystem {
			continue
		}
		f := family{p.task, p.c}
		if groups[f] == nil {
			order = append(order, f)
		}
		groups[f] = append(groups[f], p)
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
		var factor mat.Cholesky
		if !factor.Factorize(h) {
			continue // the spectrum must do
		}
		for _, p := range groups[f] {
			p.factor, p.solves = &factor, 0
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
	h := mat.NewSymDense(m, nil)
	sum := blas32.General{Rows: m, Cols: m, Stride: m, Data: make([]float32, m*m)}
	for len(rows) > 0 {
		some := rows[:min(factorRows, len(rows))]
		rows = rows[len(some):]
		left := blas32.General{Rows: m, Cols: len(some), Stride: len(some), Data: make([]float32, m*len(some))}
		right := blas32.General{Rows: len(some), Cols: m, Stride: m, Data: make([]float32, len(some)*m)}
		each(len(some), func(k int) {
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
		for k, i := range some {
			for j := range m {
				left.Data[j*len(some)+k] = float32(bend[i]/least*leastBend) * right.Data[k*m+j]
			}
		}
		if err := d.multiplier.Multiply(blas.NoTrans, left, right, sum); err != nil {
			return nil, err
		}
		raw := h.RawSymmetric()
		for j := range m {
			for k := j; k < m; k++ {
				raw.Data[j*raw.Stride+k] += float64(sum.Data[j*m+k]) * (least / leastBend)
			}
		}
	}
	for j := range d.dim {
		h.SetSym(j, j, h.At(j, j)+1)
	}
	return h, nil
}
