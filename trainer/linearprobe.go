package trainer

import "math"

// scaleDeviation is the standard deviation of log τ around the encoder's own
// scale before the labels are seen.
const scaleDeviation = 1

// calibrated is some rows of a task with what every penalty shares: the scale
// and bias of the zero-shot score that fit them.
type calibrated struct {
	t      *task
	rows   []int     // of the task
	y      []int     // class of each row of the design
	weight []float64 // of each row of the design; 0 for others than rows
	scale  float64
	bias   []float64
}

// calibrated gathers the rows, given as indices into t.rows.
func (t *task) calibrated(rows []int) *calibrated {
	if t.spread == nil {
		t.spread = make([]int, t.design.rows)
		for r, i := range t.rows {
			t.spread[i] = t.y[r]
		}
	}
	m := &calibrated{t: t, rows: rows, y: t.spread, weight: make([]float64, t.design.rows), bias: make([]float64, t.outputs())}
	for _, r := range rows {
		m.weight[t.rows[r]] = t.weight[r]
	}
	if t.base != nil {
		m.calibrate()
	}
	return m
}

// problem is that of the rows with penalty C.
func (m *calibrated) problem(c float64) *problem {
	return &problem{
		outputs: m.t.outputs(), y: m.y, weight: m.weight, base: m.t.base, scale: m.scale,
		c: m.t.design.c(c), bias: m.bias, task: m.t,
	}
}

// model is a zero-shot score with a scale and biases.
type model struct {
	scale float64
	bias  []float64
}

// zeroShot returns the model for λ = ∞ and its loss on the rows. Exclusive
// classes keep the prior's own scale and bias, since both move the ranks of a
// softmax.
func (m *calibrated) zeroShot() (scale float64, bias []float64, loss float64) {
	scale, bias = m.scale, m.bias
	if m.t.outputs() > 1 {
		scale, bias = m.t.o.Prior.Scale, make([]float64, m.t.outputs())
		for k := range bias {
			bias[k] = m.t.o.Prior.Bias
		}
	}
	for _, r := range m.rows {
		loss += m.t.weight[r] * rowLoss(m.logits(r, model{scale, bias}), m.t.y[r])
	}
	return scale, bias, loss
}

// losses returns the losses of rows of the task for λ = ∞.
func (m *calibrated) losses(rows []int) []float64 {
	scale, bias, _ := m.zeroShot()
	losses := make([]float64, len(rows))
	for i, r := range rows {
		losses[i] = rowLoss(m.logits(r, model{scale, bias}), m.t.y[r])
	}
	return losses
}

// score returns the zero-shot score of row r of the task for output k.
func (m *calibrated) score(r, k int) float64 { return m.t.base[k*m.t.design.rows+m.t.rows[r]] }

func (m *calibrated) logits(r int, with model) []float64 {
	z := make([]float64, len(with.bias))
	for k, b := range with.bias {
		z[k] = with.scale*m.score(r, k) + b
	}
	return z
}

// calibrate fits scale τ and bias b of the zero-shot score on the rows:
//
//	min Σ sᵢ·loss(yᵢ, τ·baseᵢ + b) + (log τ − log τ₀)²/2σ²
//
// with τ₀ the prior's scale and σ = 1, by damped Newton steps in (log τ, b).
// For exclusive classes b is 0.
func (m *calibrated) calibrate() {
	k := m.t.outputs()
	now := model{scale: m.t.o.Prior.Scale, bias: make([]float64, k)}
	origin := math.Log(now.scale)
	cost, g0, g1, h00, h01, h11 := m.cost(now, origin)
	for damping := 1e-9; damping < 1e9; {
		a, c := h00*(1+damping), h11*(1+damping)+1e-12
		det := a*c - h01*h01
		d0, d1 := -(c*g0-h01*g1)/det, -(a*g1-h01*g0)/det
		next := model{scale: now.scale * math.Exp(min(max(d0, -2), 2)), bias: make([]float64, k)}
		if k == 1 {
			next.bias[0] = now.bias[0] + d1
		}
		after, n0, n1, n00, n01, n11 := m.cost(next, origin)
		if !(after < cost) {
			damping *= 10
			continue
		}
		gain := cost - after
		now, cost, g0, g1, h00, h01, h11 = next, after, n0, n1, n00, n01, n11
		if gain < 1e-12*(1+cost) {
			break
		}
		damping = max(damping/10, 1e-9)
	}
	m.scale, m.bias = now.scale, now.bias
}

// cost returns what calibrate minimises, with gradient and Gauss–Newton
// curvature in (log τ, b).
func (m *calibrated) cost(with model, origin float64) (cost, g0, g1, h00, h01, h11 float64) {
	for _, r := range m.rows {
		z, s, class := m.logits(r, with), m.t.weight[r], m.t.y[r]
		if len(z) == 1 {
			loss, prob := logLoss(z[0], class)
			v, d := with.scale*m.score(r, 0), s*prob*(1-prob)
			off := s * (prob - float64(class))
			cost += s * loss
			g0, g1 = g0+off*v, g1+off
			h00, h01, h11 = h00+d*v*v, h01+d*v, h11+d
			continue
		}
		own := z[class]
		cost += s * (softmax(z) - own)
		mean, square := 0.0, 0.0
		for k, prob := range z {
			v := with.scale * m.score(r, k)
			mean, square = mean+prob*v, square+prob*v*v
		}
		g0 += s * (mean - with.scale*m.score(r, class))
		h00 += s * (square - mean*mean)
	}
	d := (math.Log(with.scale) - origin) / scaleDeviation
	return cost + d*d/2, g0 + d/scaleDeviation, g1, h00 + 1/(scaleDeviation*scaleDeviation), h01, h11
}
