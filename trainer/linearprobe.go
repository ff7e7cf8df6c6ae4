package trainer

import (
	"context"
	"math"
	"slices"

	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
)

// scaleDeviation is the standard deviation of log τ around the encoder's own
// scale before the labels are seen.
const scaleDeviation = 1

// model is what solve returns: logits are scale·base + x·w + bias. params is
// nil where w is 0, and ends each row with the bias otherwise.
type model struct {
	solution
	scale float64
	bias  []float64
}

// rowsProblem is the problem on some rows of the task, with what every penalty
// shares: the rows' scale and bias of the zero-shot score.
type rowsProblem struct {
	problem
	base  []float64 // zero-shot scores, rows × outputs; nil without a prior
	scale float64
	bias  []float64
}

// problem gathers the rows, given as indices into t.rows.
func (t *task) problem(rows []int) *rowsProblem {
	k := t.outputs()
	p := &rowsProblem{problem: problem{outputs: k, y: make([]int, len(rows)), weight: make([]float64, len(rows))}, bias: make([]float64, k)}
	own := make([]int, len(rows))
	for i, r := range rows {
		p.y[i], p.weight[i], own[i] = t.y[r], t.weight[r], t.rows[r]
		if t.base != nil {
			p.base = append(p.base, t.base[r*k:(r+1)*k]...)
		}
	}
	p.x = t.support.rows(own)
	if p.base != nil {
		p.scale, p.bias = t.calibrate(&p.problem, p.base)
	}
	return p
}

// solve fits the rows of the problem with penalty C; C = 0 is λ = ∞. start is a
// solution nearby, or nil.
func (t *task) solve(ctx context.Context, p *rowsProblem, c float64, start params, tolerance float64) (model, error) {
	m := model{scale: p.scale, bias: slices.Clone(p.bias)}
	p.offset = nil
	if p.base != nil && c == 0 {
		return t.zeroShot(&p.problem, p.base, m), nil
	}
	if p.base != nil {
		p.offset = slices.Clone(p.base)
		floats.Scale(m.scale, p.offset)
	}
	if start == nil {
		start = make(params, p.size())
		for k, b := range m.bias {
			start[(k+1)*p.x.Cols-1] = b
		}
	}
	p.c = c
	var err error
	if m.solution, err = p.minimize(ctx, start, tolerance); err != nil {
		return m, err
	}
	for k := range m.bias {
		m.bias[k] = m.params[(k+1)*p.x.Cols-1]
	}
	return m, nil
}

// zeroShot is the model for λ = ∞. Exclusive classes keep the prior's own
// scale and bias, since both move the ranks of a softmax.
func (t *task) zeroShot(p *problem, base []float64, m model) model {
	if p.outputs > 1 {
		m.scale = t.o.Prior.Scale
		for k := range m.bias {
			m.bias[k] = t.o.Prior.Bias
		}
	}
	p.c = 1
	m.objective, m.converged = p.losses(scores(base, m, p.outputs)), true
	return m
}

// scores returns scale·base + bias as a matrix.
func scores(base []float64, m model, outputs int) blas64.General {
	z := blas64.General{Rows: len(base) / outputs, Cols: outputs, Stride: outputs, Data: make([]float64, len(base))}
	for i, v := range base {
		z.Data[i] = m.scale*v + m.bias[i%outputs]
	}
	return z
}

// calibrate fits scale τ and bias b of the zero-shot score on the rows:
//
//	min Σ sᵢ·loss(yᵢ, τ·baseᵢ + b) + (log τ − log τ₀)²/2σ²
//
// with τ₀ the prior's scale and σ = 1, by damped Newton steps in (log τ, b).
// For exclusive classes b is 0.
func (t *task) calibrate(p *problem, base []float64) (scale float64, bias []float64) {
	k := p.outputs
	m := model{scale: t.o.Prior.Scale, bias: make([]float64, k)}
	origin := math.Log(m.scale)
	// cost, with gradient and Gauss–Newton curvature in (log τ, b).
	evaluate := func(m model) (cost, g0, g1, h00, h01, h11 float64) {
		z := scores(base, m, k)
		cost = p.losses(z)
		for i := range z.Rows {
			mean, square := 0.0, 0.0
			for c := range k {
				v, prob := m.scale*base[i*k+c], z.Data[i*k+c]
				mean, square = mean+prob*v, square+prob*v*v
				truth := 0.0
				if k == 1 && p.y[i] == 1 || k > 1 && p.y[i] == c {
					truth = 1
				}
				g0 += p.weight[i] * (prob - truth) * v
			}
			if k == 1 {
				v, prob := m.scale*base[i], z.Data[i]
				d := p.weight[i] * prob * (1 - prob)
				g1 += p.weight[i] * (prob - float64(p.y[i]))
				h00, h01, h11 = h00+d*v*v, h01+d*v, h11+d
			} else {
				h00 += p.weight[i] * (square - mean*mean)
			}
		}
		d := (math.Log(m.scale) - origin) / scaleDeviation
		return cost + d*d/2, g0 + d/scaleDeviation, g1, h00 + 1/(scaleDeviation*scaleDeviation), h01, h11
	}
	cost, g0, g1, h00, h01, h11 := evaluate(m)
	for damping := 1e-9; damping < 1e9; {
		a, c := h00*(1+damping), h11*(1+damping)+1e-12
		det := a*c - h01*h01
		d0, d1 := -(c*g0-h01*g1)/det, -(a*g1-h01*g0)/det
		next := model{scale: m.scale * math.Exp(min(max(d0, -2), 2)), bias: make([]float64, k)}
		if k == 1 {
			next.bias[0] = m.bias[0] + d1
		}
		after, n0, n1, n00, n01, n11 := evaluate(next)
		if !(after < cost) {
			damping *= 10
			continue
		}
		gain := cost - after
		m, cost, g0, g1, h00, h01, h11 = next, after, n0, n1, n00, n01, n11
		if gain < 1e-12*(1+cost) {
			break
		}
		damping = max(damping/10, 1e-9)
	}
	return m.scale, m.bias
}
