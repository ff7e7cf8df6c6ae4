package trainer

import (
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/lapack/lapack64"
)

// The rule by which a probe leaves zero-shot. Its constants were chosen on 320
// generated worlds (testdata/selection/README.md).
const (
	// trust is how fast the weight of a penalty falls with its held-out loss.
	trust = 0.3
	// Before the labels are seen, zero-shot is taken to separate the classes with
	// a coefficient of 1 ± knowledge per standard deviation of its score, and what
	// was learnt from u patients with (u/settled)^1.5, at most 1, ± u/doubt.
	knowledge = 0.5
	settled   = 50
	doubt     = 150
	// useless is the least that zero-shot is taken to be worth.
	useless = 0.1
	// leastWeight is below which weight a penalty is left out.
	leastWeight = 1e-3
)

// leave sets the weights of the path, of which the first point is zero-shot: how
// far the head goes from zero-shot, and by which penalties.
//
// The direction is the mean of the finite penalties λ, weighted by
//
//	w(λ) ∝ exp(−trust·Lλ)
//
// with Lλ the log-loss of the held-out logits after they were scaled by a factor
// of 1 ± 1 and shifted: a small λ is overconfident, which costs log-loss but no
// ranks. Averaging by exponential weights is that of Yang, Annals of Statistics
// 28 (2000) 75–87. The mean of linear classifiers is linear.
//
// The distance is by stacking (Wolpert, Neural Networks 5 (1992) 241–259). Of
// the zero-shot score z = x·T and of what the mean adds to it, d = x·Δ/τ, which
// is of folds that did not see the row, a logistic regression
//
//	a·z/sd(z) + b·d/sd(d) + c,   a ~ N(1, knowledge²),   b ~ N(min(1, (u/settled)^1.5), (u/doubt)²)
//
// is fitted with these priors; sd is that within classes, u the number of
// patients. The head is T + ρ·Δ/τ with ρ = (b/sd(d))/(a/sd(z)), which the best
// linear discriminant of two scores is, but ρ at least 0 and at most 1: it lies
// between zero-shot and the mean. With few patients the prior decides, which is
// that zero-shot knows something and the labels little yet; with many the
// held-out rows do.
//
// Rows of one patient are taken to be alike by one half: m of them count as
// 2m/(1+m) rows of different patients (Kish's design effect with an intra-class
// correlation of ½).
func (t *task) leave(s *study, solutions []solution, path []PathPoint) {
	e := t.evidence(s, solutions)
	weights := e.direction(s)
	if weights == nil {
		return // zero-shot has the least loss, and no penalty comes near
	}
	share, d := 1.0, e.move(weights)
	if spreadZ, spreadD := e.spread(e.base), e.spread(d); spreadZ > 0 && spreadD > 0 {
		share = e.share(e.base, d, spreadZ, spreadD)
		if t.outputs() > 1 { // zero-shot has the prior's own scale
			scale, own := t.o.Prior.Scale, s.zero[len(s.zero)-1].scale
			share = share * scale / (own + share*(scale-own))
		}
	}
	path[0].Weight = 1 - share
	for g, w := range weights {
		path[g+1].Weight = share * w
	}
}

// evidence is what the held-out rows of a task say, repeat by repeat.
type evidence struct {
	t       *task
	y       []int
	weight  []float64 // of each row
	units   float64   // rows of different patients that they are worth
	base    []float64 // x·T, rows × outputs
	zero    []float64 // the logits that a penalty starts from, and their scale
	scale   []float64
	logits  [][]float64 // of each finite penalty
	outputs int
}

func (t *task) evidence(s *study, solutions []solution) *evidence {
	e := &evidence{t: t, outputs: t.outputs(), logits: make([][]float64, len(s.grid)-t.zeros(s))}
	times := make([]float64, len(t.rows))
	for _, fold := range s.folds {
		for _, r := range fold {
			times[r]++
		}
	}
	rows := map[string]float64{}
	for _, name := range t.group {
		rows[name]++
	}
	for r, n := range times {
		if n > 0 {
			e.units += 2 / (1 + rows[t.group[r]])
		}
	}
	for i, fold := range s.folds {
		m := s.zero[i]
		for _, r := range fold {
			e.y = append(e.y, t.y[r])
			e.weight = append(e.weight, t.weight[r]/times[r]*2/(1+rows[t.group[r]]))
			for k := range e.outputs {
				e.base = append(e.base, m.score(r, k))
				e.scale = append(e.scale, m.scale)
				e.zero = append(e.zero, m.scale*m.score(r, k)+m.bias[k])
			}
		}
		for g := range e.logits {
			e.logits[g] = append(e.logits[g], solutions[i*len(e.logits)+g].logits...)
		}
	}
	return e
}

// direction returns the weights of the finite penalties; those that lost a race
// have none, and if all have it returns nil.
func (e *evidence) direction(s *study) []float64 {
	weights, least := make([]float64, len(e.logits)), math.Inf(1)
	for g, z := range e.logits {
		weights[g] = math.Inf(1)
		if s.problems[g].lost == nil {
			_, weights[g] = e.fit([][]float64{z}, []float64{1}, []float64{1})
			least = min(least, weights[g])
		}
	}
	if math.IsInf(least, 1) {
		return nil
	}
	for g, loss := range weights {
		weights[g] = math.Exp(-trust * (loss - least))
	}
	sum := floats.Sum(weights)
	for g := range weights {
		if weights[g] < leastWeight*sum {
			weights[g] = 0
		}
	}
	floats.Scale(1/floats.Sum(weights), weights)
	return weights
}

// move returns d.
func (e *evidence) move(weights []float64) []float64 {
	d := make([]float64, len(e.base))
	for g, w := range weights {
		if w > 0 {
			floats.AddScaled(d, w, e.logits[g])
		}
	}
	floats.Sub(d, e.zero)
	floats.Div(d, e.scale)
	return d
}

// spread is the standard deviation of scores within the classes; of several
// outputs that of their differences.
func (e *evidence) spread(scores []float64) float64 {
	k := e.outputs
	centred := make([]float64, len(scores))
	mean := make([]float64, e.t.kinds()*k)
	total := make([]float64, e.t.kinds())
	for i, class := range e.y {
		row := centred[i*k : (i+1)*k]
		copy(row, scores[i*k:])
		if k > 1 {
			floats.AddConst(-floats.Sum(row)/float64(k), row)
		}
		floats.AddScaled(mean[class*k:(class+1)*k], e.weight[i], row)
		total[class] += e.weight[i]
	}
	sum := 0.0
	for i, class := range e.y {
		for j, v := range centred[i*k : (i+1)*k] {
			v -= mean[class*k+j] / total[class]
			sum += e.weight[i] * v * v
		}
	}
	if k > 1 { // the variance of a difference of two
		sum *= 2 / float64(k-1)
	}
	return math.Sqrt(sum / floats.Sum(total))
}

// share is ρ, by the scores z and d and their spreads, as the part that the mean
// has in an average with zero-shot.
func (e *evidence) share(z, d []float64, spreadZ, spreadD float64) float64 {
	features := [][]float64{make([]float64, len(z)), make([]float64, len(d))}
	floats.AddScaled(features[0], 1/spreadZ, z)
	floats.AddScaled(features[1], 1/spreadD, d)
	learnt := min(1, math.Pow(e.units/settled, 1.5))
	theta, _ := e.fit(features, []float64{1, learnt}, []float64{knowledge, e.units / doubt})
	return min(1, max(0, theta[1])*spreadZ/(max(useless, theta[0])*spreadD))
}

// fit minimises
//
//	Σ weightᵢ·loss(yᵢ, Σⱼ θⱼ·featureⱼᵢ + c) + Σⱼ (θⱼ − meanⱼ)²/2devⱼ²
//
// by damped Newton steps, and returns θ and the minimum. c, which exclusive
// classes have not, is all but free: it has a deviation of 30.
func (e *evidence) fit(features [][]float64, mean, dev []float64) (theta []float64, minimum float64) {
	if e.outputs == 1 {
		ones := make([]float64, len(e.y))
		floats.AddConst(1, ones)
		features, mean, dev = append(features, ones), append(mean, 0), append(dev, 30)
	}
	theta = append([]float64(nil), mean...)
	value, gradient, curvature := e.cost(features, theta, mean, dev)
	for damping := 1e-9; damping < 1e9; {
		next, ok := newtonStep(theta, gradient, curvature, damping)
		if !ok {
			damping *= 10
			continue
		}
		after, g, h := e.cost(features, next, mean, dev)
		if !(after < value) {
			damping *= 10
			continue
		}
		gain := value - after
		theta, value, gradient, curvature = next, after, g, h
		if gain < 1e-12*(1+value) {
			break
		}
		damping = max(damping/10, 1e-9)
	}
	return theta, value
}

// newtonStep returns θ less the gradient over the curvature, whose diagonal is
// raised by a share of itself; false where rounding leaves no curvature.
func newtonStep(theta, gradient, curvature []float64, damping float64) ([]float64, bool) {
	n := len(theta)
	h := blas64.Symmetric{N: n, Stride: n, Uplo: blas.Upper, Data: append([]float64(nil), curvature...)}
	for j := range n {
		h.Data[j*n+j] *= 1 + damping
	}
	factor, ok := lapack64.Potrf(h)
	if !ok {
		return nil, false
	}
	step := append([]float64(nil), gradient...)
	lapack64.Potrs(factor, blas64.General{Rows: n, Cols: 1, Stride: 1, Data: step})
	floats.SubTo(step, theta, step)
	return step, true
}

// cost returns what fit minimises at θ, its gradient and its Hessian.
func (e *evidence) cost(features [][]float64, theta, mean, dev []float64) (value float64, gradient, curvature []float64) {
	n, k := len(theta), e.outputs
	gradient, curvature = make([]float64, n), make([]float64, n*n)
	for j := range theta {
		off := (theta[j] - mean[j]) / dev[j]
		value += off * off / 2
		gradient[j] = off / dev[j]
		curvature[j*n+j] = 1 / (dev[j] * dev[j])
	}
	p, slope, average := make([]float64, k), make([]float64, n), make([]float64, n)
	for i, class := range e.y {
		clear(p)
		for j, f := range features {
			floats.AddScaled(p, theta[j], f[i*k:(i+1)*k])
		}
		own := -1 // of one output
		if k == 1 {
			var loss float64
			loss, p[0] = logLoss(p[0], class)
			value += e.weight[i] * loss
		} else {
			own = class
			truth := p[class]
			value += e.weight[i] * (softmax(p) - truth)
		}
		for j, f := range features {
			row := f[i*k : (i+1)*k]
			average[j] = floats.Dot(p, row)
			slope[j] = average[j]
			if own >= 0 {
				slope[j] -= row[own]
			} else if class == 1 {
				slope[j] -= row[0]
			}
			gradient[j] += e.weight[i] * slope[j]
		}
		for j := range features {
			for l := j; l < n; l++ {
				square := 0.0
				for c, share := range p {
					square += share * features[j][i*k+c] * features[l][i*k+c]
				}
				curvature[j*n+l] += e.weight[i] * (square - average[j]*average[l])
			}
		}
	}
	return value, gradient, curvature
}
