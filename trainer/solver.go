package trainer

import (
	"context"
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// problem is a penalised logistic regression with offsets:
//
//	F(w, b) = ½‖w‖² + C·Σᵢ sᵢ·loss(yᵢ, X·w + b + oᵢ)
//
// With one output the loss is log(1+e^(−±z)), with K > 1 the cross-entropy of
// the softmax. C = 1/λ. The intercepts are not penalised.
type problem struct {
	x       blas64.General // n×m: the vectors, and a last column of ones
	outputs int            // 1, or K
	// y holds the class 0…K−1 of each row, or 0 and 1 for one output.
	y      []int
	weight []float64 // sᵢ
	offset []float64 // n×outputs; nil for none
	c      float64

	scratch blas64.General // n×outputs
}

// params is outputs×m: a row of weights and their intercept for each output.
type params []float64

func (p *problem) size() int { return p.outputs * p.x.Cols }

func (p *problem) matrix(v params) blas64.General {
	return blas64.General{Rows: p.outputs, Cols: p.x.Cols, Stride: p.x.Cols, Data: v}
}

func (p *problem) perRow() blas64.General {
	return blas64.General{Rows: p.x.Rows, Cols: p.outputs, Stride: p.outputs, Data: make([]float64, p.x.Rows*p.outputs)}
}

// linear sets z to X·vᵀ, n×outputs.
func (p *problem) linear(v params, z blas64.General) {
	if p.outputs == 1 {
		blas64.Gemv(blas.NoTrans, 1, p.x, blas64.Vector{N: len(v), Inc: 1, Data: v}, 0, blas64.Vector{N: z.Rows, Inc: 1, Data: z.Data})
		return
	}
	blas64.Gemm(blas.NoTrans, blas.Trans, 1, p.x, p.matrix(v), 0, z)
}

// transposed sets out to gᵀ·X; g is n×outputs.
func (p *problem) transposed(g blas64.General, out params) {
	if p.outputs == 1 {
		blas64.Gemv(blas.Trans, 1, p.x, blas64.Vector{N: g.Rows, Inc: 1, Data: g.Data}, 0, blas64.Vector{N: len(out), Inc: 1, Data: out})
		return
	}
	blas64.Gemm(blas.Trans, blas.NoTrans, 1, g, p.x, 0, p.matrix(out))
}

// addPenalty adds the gradient of ½‖w‖² at v to out and returns ½‖w‖².
func (p *problem) addPenalty(out, v params) float64 {
	half, m := 0.0, p.x.Cols
	for k := range p.outputs {
		w := v[k*m : (k+1)*m-1]
		half += floats.Dot(w, w) / 2
		floats.Add(out[k*m:(k+1)*m-1], w)
	}
	return half
}

// point is what the solver knows of one place.
type point struct {
	v, gradient params
	value, norm float64        // F and ‖∇F‖
	prob        blas64.General // n×outputs
}

func (p *problem) newPoint() *point {
	return &point{v: make(params, p.size()), gradient: make(params, p.size()), prob: p.perRow()}
}

// losses returns Σ sᵢ·loss of the logits z, without offsets, and leaves the
// probabilities in z.
func (p *problem) losses(z blas64.General) float64 {
	if p.offset != nil {
		floats.Add(z.Data, p.offset)
	}
	total := 0.0
	for i := range z.Rows {
		row := z.Data[i*z.Stride : i*z.Stride+z.Cols]
		loss := 0.0
		if p.outputs == 1 {
			loss = log1pExp(float64(1-2*p.y[i]) * row[0])
			row[0] = sigmoid(row[0])
		} else {
			own := row[p.y[i]]
			loss = softmax(row) - own
		}
		total += float64(p.weight[i] * loss)
	}
	return total
}

// evaluate fills the point from its v.
func (p *problem) evaluate(a *point) {
	p.linear(a.v, a.prob)
	a.value = p.c * p.losses(a.prob)
	for i, s := range p.weight {
		for k := range p.outputs {
			truth := 0.0
			if p.outputs == 1 && p.y[i] == 1 || p.outputs > 1 && p.y[i] == k {
				truth = 1
			}
			p.scratch.Data[i*p.outputs+k] = p.c * s * (a.prob.Data[i*p.outputs+k] - truth)
		}
	}
	p.transposed(p.scratch, a.gradient)
	a.value += p.addPenalty(a.gradient, a.v)
	a.norm = floats.Norm(a.gradient, 2)
}

// hessianTimes sets out to H·d at a point. The intercepts of a softmax may be
// moved together without effect; along that direction H gets a curvature of its
// own, which changes no step since no gradient lies along it.
func (p *problem) hessianTimes(a *point, d, out params) {
	t, m := p.scratch, p.x.Cols
	p.linear(d, t)
	for i, s := range p.weight {
		row, prob := t.Data[i*p.outputs:(i+1)*p.outputs], a.prob.Data[i*p.outputs:(i+1)*p.outputs]
		if p.outputs == 1 {
			row[0] *= p.c * s * prob[0] * (1 - prob[0])
			continue
		}
		mean := floats.Dot(row, prob)
		for k := range row {
			row[k] = p.c * s * prob[k] * (row[k] - mean)
		}
	}
	p.transposed(t, out)
	p.addPenalty(out, d)
	if p.outputs > 1 {
		shift := 0.0
		for k := range p.outputs {
			shift += d[(k+1)*m-1]
		}
		for k := range p.outputs {
			out[(k+1)*m-1] += shift
		}
	}
}

// hessian returns H at a point of a problem with one output.
func (p *problem) hessian(a *point) *mat.SymDense {
	n, m := p.x.Rows, p.x.Cols
	scaled := blas64.General{Rows: n, Cols: m, Stride: m, Data: make([]float64, n*m)}
	for i, s := range p.weight {
		prob := a.prob.Data[i]
		floats.ScaleTo(scaled.Data[i*m:(i+1)*m], math.Sqrt(p.c*s*prob*(1-prob)), p.x.Data[i*p.x.Stride:i*p.x.Stride+m])
	}
	h := mat.NewSymDense(m, nil)
	blas64.Syrk(blas.Trans, 1, scaled, 0, h.RawSymmetric())
	for j := range m - 1 {
		h.SetSym(j, j, h.At(j, j)+1)
	}
	return h
}

// denseSize is up to how many parameters the Newton system of one output is
// solved by Cholesky; beyond it conjugate gradients are faster.
const denseSize = 130

// step sets d to the Newton direction −H⁻¹∇F: exactly for few parameters, to a
// residual of tolerance·‖∇F‖ otherwise.
func (p *problem) step(a *point, tolerance float64, d params) {
	if p.outputs == 1 && p.size() <= denseSize {
		var chol mat.Cholesky
		if chol.Factorize(p.hessian(a)) {
			v := mat.NewVecDense(len(d), d)
			if err := chol.SolveVecTo(v, mat.NewVecDense(len(d), a.gradient)); err == nil {
				v.ScaleVec(-1, v)
				return
			}
		}
	}
	p.conjugateGradients(a, tolerance, d)
}

func (p *problem) conjugateGradients(a *point, tolerance float64, d params) {
	r, hq := make(params, len(d)), make(params, len(d))
	clear(d)
	floats.SubTo(r, d, a.gradient)
	q := append(params(nil), r...)
	rr := floats.Dot(r, r)
	stop := tolerance * tolerance * rr
	for range 10 * len(d) {
		if rr <= stop {
			break
		}
		p.hessianTimes(a, q, hq)
		curvature := floats.Dot(q, hq)
		if !(curvature > 0) {
			break
		}
		alpha := rr / curvature
		floats.AddScaled(d, alpha, q)
		floats.AddScaled(r, -alpha, hq)
		next := floats.Dot(r, r)
		floats.AddScaledTo(q, r, next/rr, q)
		rr = next
	}
}

// solution is a minimum and how it was reached.
type solution struct {
	params     params
	objective  float64
	iterations int
	converged  bool
	gradient   float64 // ‖∇F‖ relative to ‖∇F‖ at zero
}

const (
	maxIterations = 200
	// Gradients are measured against the gradient at zero. fitTolerance is for
	// the head, selectTolerance for the fits of a cross-validation;
	// convergedTolerance is what counts as converged where rounding ends the
	// descent before.
	fitTolerance       = 1e-12
	selectTolerance    = 1e-6
	convergedTolerance = 1e-8
)

// minimize runs Newton's method with backtracking from start (nil: zero). F is
// convex, strictly but for the common shift of softmax intercepts, so that the
// minimum is the only one. It stops when the gradient is tolerance times its
// size at zero, or when rounding allows no further descent.
func (p *problem) minimize(ctx context.Context, start params, tolerance float64) (solution, error) {
	p.scratch = p.perRow()
	a, b := p.newPoint(), p.newPoint()
	p.evaluate(a)
	scale := max(a.norm, p.roundingScale())
	if start != nil {
		copy(a.v, start)
		p.evaluate(a)
	}
	d := make(params, p.size())
	var s solution
	for ; s.iterations < maxIterations && a.norm > tolerance*scale; s.iterations++ {
		if err := ctx.Err(); err != nil {
			return s, err
		}
		p.step(a, min(0.1, math.Sqrt(a.norm/scale)), d)
		if !p.descend(a, b, d) {
			break
		}
		a, b = b, a
	}
	s.params, s.objective, s.gradient = a.v, a.value, a.norm/scale
	s.converged = s.gradient <= max(tolerance, convergedTolerance)
	return s, nil
}

// descend sets b to a + t·d with the first t of 1, ½, ¼ … that lowers F enough
// (Armijo), or, where rounding hides the difference, the gradient. It reports
// whether there was one.
func (p *problem) descend(a, b *point, d params) bool {
	slope := floats.Dot(a.gradient, d)
	for t := 1.0; t > 1e-10; t /= 2 {
		floats.AddScaledTo(b.v, a.v, t, d)
		p.evaluate(b)
		if b.value <= a.value+1e-4*t*slope && b.value < a.value {
			return true
		}
		if b.value <= a.value*(1+1e-13) && b.norm < a.norm/2 {
			return true
		}
	}
	return false
}

// roundingScale is a gradient so small that 1e-12 of it is rounding error of
// the terms that make it up.
func (p *problem) roundingScale() float64 {
	terms := 0.0
	for i, s := range p.weight {
		row := p.x.Data[i*p.x.Stride : i*p.x.Stride+p.x.Cols]
		terms += s * math.Sqrt(floats.Dot(row, row))
	}
	return 1e-4 * p.c * terms
}
