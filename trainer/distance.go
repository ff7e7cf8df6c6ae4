package trainer

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/lapack/lapack64"
)

// The rule by which a probe leaves zero-shot. Its constants were chosen on
// generated worlds (testdata/selection/README.md).
const (
	// trust is how fast the weight of a penalty falls with its held-out loss.
	trust = 0.3
	// Before the labels are seen, zero-shot is taken to separate the classes with
	// a coefficient of 1 ± knowledge per standard deviation of its score, with fewer
	// than known patients ± knowledge·u/known, and what was learnt from u patients
	// with ((u−2)/settled)^1.5, at most most, ± u/doubt.
	knowledge = 0.5
	known     = 32
	settled   = 45
	most      = 2
	doubt     = 150
	// With a probability of surprise a few patients show all there is to see: what
	// was learnt from them separates with a coefficient of 3 ± 1, of which the head
	// goes no further than u/settled. Fewer than enough patients lie apart by chance.
	surprise = 0.003
	enough   = 7
	// useless is the least that zero-shot is taken to be worth.
	useless = 0.1
	// leastWeight is below which weight a penalty is left out.
	leastWeight = 1e-3
)

// departure is how a probe leaves zero-shot: in a direction, the mean of the
// finite penalties λ, by a distance between 0, zero-shot, and 1, the mean.
//
// The mean is weighted by
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
//	a·z/sd(z) + b·d/sd(d) + c,   a ~ N(1, (knowledge·min(1, u/known))²),
//	b ~ N(min(most, ((u−2)/settled)^1.5), (u/doubt)²)
//
// is fitted with these priors; sd is that within classes, u the number of
// patients, of which a mean for each of two classes takes two. The head is
// T + ρ·Δ/τ with ρ = (b/sd(d))/(a/sd(z)), as the best linear discriminant of two
// scores is, but ρ at least 0 and at most 1. With few patients the prior decides,
// which is that zero-shot knows something and the labels little yet; with many the
// held-out rows do. From enough patients on the prior of b has a second part, N(3, 1)
// with a probability of surprise: held-out rows of a few patients that lie apart
// altogether are seldom chance. Its ρ is at most u/settled: of some hundred such sets
// one is chance. ρ is the mean of both parts, weighted by their evidence as Laplace's
// method has it (MacKay, Neural Computation 4 (1992) 415–447).
//
// Rows of one patient are taken to be alike by one half: m of them count as
// 2m/(1+m) rows of different patients (Kish's design effect with an intra-class
// correlation of ½). u is K²/Σ 1/uₖ with uₖ of K classes: a class with few
// patients counts more than the rest.
type departure struct {
	sample  // of z/sd(z) and d/sd(d)
	weights []float64
	ratio   float64 // sd(z)/sd(d)
	scale   float64 // of zero-shot by that of the finite penalties, τ
	units   float64
	near    bool // no penalty comes near zero-shot
	free    bool // zero-shot says nothing
}

// sample is rows, or repeats of rows, with features that a class depends on.
type sample struct {
	y        []int
	weight   []float64
	outputs  int
	features [][]float64 // each rows × outputs; the last is 1 where there is one output
}

// departure finds the direction of a task and what its distance depends on.
func (t *task) departure(s *study, solutions []solution) *departure {
	rows, base, zero, logits := t.heldLogits(s, solutions)
	p := &departure{sample: rows, units: t.units(s), scale: 1}
	if t.outputs() > 1 { // zero-shot has the prior's own
		p.scale = t.o.Prior.Scale / s.zero[len(s.zero)-1].scale
	}
	if p.weights = direction(s, rows, logits); p.weights == nil {
		p.near = true
		return p
	}
	d := make([]float64, len(base))
	for g, w := range p.weights {
		for i, scale := range zero.scale {
			d[i] += w * (logits[g][i] - zero.logits[i]) / scale
		}
	}
	p.stack(base, d, t.kinds())
	return p
}

// stack sets what the distance depends on, by the scores z and d.
func (p *departure) stack(z, d []float64, kinds int) {
	spreadZ, spreadD := p.standardize(z, kinds), p.standardize(d, kinds)
	p.free, p.near, p.ratio = spreadZ == 0, spreadD == 0, spreadZ/spreadD
	p.features = p.with(z, d)
}

// zeroLogits are the logits that all penalties start from, and their scales.
type zeroLogits struct{ logits, scale []float64 }

// heldLogits gathers what the held-out rows say, repeat by repeat: their base
// x·T and the logits of each finite penalty.
func (t *task) heldLogits(s *study, solutions []solution) (rows sample, base []float64, zero zeroLogits, logits [][]float64) {
	rows.outputs, logits = t.outputs(), make([][]float64, len(s.grid)-t.zeros(s))
	times, likes := t.times(s), t.likes()
	for i, fold := range s.folds {
		m := s.zero[i]
		for _, r := range fold {
			rows.y = append(rows.y, t.y[r])
			rows.weight = append(rows.weight, t.weight[r]/times[r]*2/(1+likes[t.group[r]]))
			for k := range rows.outputs {
				base = append(base, m.score(r, k))
				zero.logits = append(zero.logits, m.scale*m.score(r, k)+m.bias[k])
				zero.scale = append(zero.scale, m.scale)
			}
		}
		for g := range logits {
			logits[g] = append(logits[g], solutions[i*len(logits)+g].logits...)
		}
	}
	return rows, base, zero, logits
}

// times counts how often each row is held out.
func (t *task) times(s *study) []float64 {
	times := make([]float64, len(t.rows))
	for _, fold := range s.folds {
		for _, r := range fold {
			times[r]++
		}
	}
	return times
}

// likes counts the rows of each patient.
func (t *task) likes() map[string]float64 {
	likes := map[string]float64{}
	for _, name := range t.group {
		likes[name]++
	}
	return likes
}

// units is u.
func (t *task) units(s *study) float64 {
	likes, sums := t.likes(), make([]float64, t.kinds())
	for r, n := range t.times(s) {
		if n > 0 {
			sums[t.y[r]] += 2 / (1 + likes[t.group[r]])
		}
	}
	rest := 0.0
	for _, sum := range sums {
		rest += 1 / sum
	}
	return float64(len(sums)*len(sums)) / rest
}

// direction returns the weights of the finite penalties. Those that lost a race
// have none; if all have lost it returns nil.
func direction(s *study, rows sample, logits [][]float64) []float64 {
	weights, least := make([]float64, len(logits)), math.Inf(1)
	for g, z := range logits {
		weights[g] = math.Inf(1)
		if s.problems[g].lost == nil {
			rows.features = rows.with(z)
			_, weights[g] = rows.coefficients([]float64{1}, []float64{1})
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

// with returns the features, and 1 where there is one output.
func (s *sample) with(features ...[]float64) [][]float64 {
	if s.outputs > 1 {
		return features
	}
	ones := make([]float64, len(s.y))
	floats.AddConst(1, ones)
	return append(features, ones)
}

// standardize divides scores by their standard deviation within the classes,
// which it returns; of several outputs it is that of their differences. The
// scores of one output are shifted so that the means of the classes lie about 0.
func (s *sample) standardize(scores []float64, kinds int) float64 {
	k := s.outputs
	means, totals := make([]float64, kinds*k), make([]float64, kinds)
	for i, class := range s.y {
		row := scores[i*k : (i+1)*k]
		if k > 1 {
			floats.AddConst(-floats.Sum(row)/float64(k), row)
		}
		floats.AddScaled(means[class*k:(class+1)*k], s.weight[i], row)
		totals[class] += s.weight[i]
	}
	for j := range means {
		means[j] /= totals[j/k]
	}
	sum := 0.0
	for i, class := range s.y {
		for j, v := range scores[i*k : (i+1)*k] {
			v -= means[class*k+j]
			sum += s.weight[i] * v * v
		}
	}
	if k == 1 {
		floats.AddConst(-(means[0]+means[1])/2, scores)
	} else { // the variance of a difference of two
		sum *= 2 / float64(k-1)
	}
	spread := math.Sqrt(sum / floats.Sum(totals))
	if spread > 0 {
		floats.Scale(1/spread, scores)
	}
	return spread
}

// leave sets the weights of a path, of which the first point is zero-shot.
func (p *departure) leave(path []PathPoint) {
	share := p.distance()
	for g := range path {
		path[g].Weight = 0
		if g > 0 && p.weights != nil {
			path[g].Weight = share * p.weights[g-1]
		}
	}
	path[0].Weight = 1 - share
}

// distance is the part that the mean has in an average with zero-shot: ρ, where
// they have one scale.
func (p *departure) distance() float64 {
	switch {
	case p.near:
		return 0
	case p.free:
		return 1
	}
	worth, learnt := knowledge*min(1, p.units/known), math.Pow(max(0, p.units-2)/settled, 1.5)
	usual, evidence := p.under([]float64{1, min(most, learnt)}, []float64{worth, p.units / doubt})
	if p.units < enough {
		return p.toScale(usual)
	}
	rare, other := p.under([]float64{1, 3}, []float64{worth, 1})
	rare = min(rare, p.units/settled)
	// The weight of the second part; none where rounding left neither an evidence.
	weight := 1 / (1 + (1-surprise)/surprise*math.Exp(evidence-other))
	if math.IsNaN(weight) {
		weight = 0
	}
	return p.toScale((1-weight)*usual + weight*rare)
}

// toScale turns ρ into a share of two heads of different scales.
func (p *departure) toScale(rho float64) float64 {
	return rho * p.scale / (1 + rho*(p.scale-1))
}

// under returns ρ under a prior of a and b, and the logarithm of the prior's evidence
// less what all priors have in common.
func (p *departure) under(mean, dev []float64) (rho, evidence float64) {
	theta, minimum := p.coefficients(mean, dev)
	rho = min(1, max(0, theta[1])*p.ratio/max(useless, theta[0]))
	mean, dev = p.freed(mean, dev)
	_, _, curvature := p.penalized(theta, mean, dev)
	n := len(theta)
	factor, ok := lapack64.Potrf(blas64.Symmetric{N: n, Stride: n, Uplo: blas.Upper, Data: curvature})
	if !ok { // rounding left no curvature, and so no evidence
		return rho, math.Inf(-1)
	}
	evidence = -minimum
	for j, deviation := range dev {
		evidence -= math.Log(deviation * factor.Data[j*n+j])
	}
	return rho, evidence
}

// coefficients minimises
//
//	Σ weightᵢ·loss(yᵢ, Σⱼ θⱼ·featureⱼᵢ) + Σⱼ (θⱼ − meanⱼ)²/2devⱼ²
//
// over the rows by damped Newton steps, and returns θ and the minimum. The
// coefficient of the feature that is 1 is all but free: it has a
// deviation of 30.
func (s *sample) coefficients(mean, dev []float64) (theta []float64, minimum float64) {
	mean, dev = s.freed(mean, dev)
	theta = slices.Clone(mean)
	value, gradient, curvature := s.penalized(theta, mean, dev)
	for damping := 1e-9; damping < 1e9; {
		next, ok := newtonStep(theta, gradient, curvature, damping)
		if !ok {
			damping *= 10
			continue
		}
		after, g, h := s.penalized(next, mean, dev)
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

// freed returns a prior with that of the coefficient of the feature that is 1, if there
// is one.
func (s *sample) freed(mean, dev []float64) (means, devs []float64) {
	if s.outputs == 1 {
		return append(slices.Clone(mean), 0), append(slices.Clone(dev), 30)
	}
	return mean, dev
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

// penalized returns what coefficients minimises at θ, its gradient and the
// upper triangle of its Hessian.
func (s *sample) penalized(theta, mean, dev []float64) (value float64, gradient, curvature []float64) {
	n := len(theta)
	gradient, curvature = make([]float64, n), make([]float64, n*n)
	for j := range theta {
		off := (theta[j] - mean[j]) / dev[j]
		value += off * off / 2
		gradient[j] = off / dev[j]
		curvature[j*n+j] = 1 / (dev[j] * dev[j])
	}
	return value + s.loss(theta, gradient, curvature), gradient, curvature
}

// loss returns the loss of the rows at θ, and adds to its gradient and Hessian.
func (s *sample) loss(theta, gradient, curvature []float64) (value float64) {
	n, k := len(theta), s.outputs
	p, average := make([]float64, k), make([]float64, n)
	for i, class := range s.y {
		clear(p)
		for j, f := range s.features {
			floats.AddScaled(p, theta[j], f[i*k:(i+1)*k])
		}
		own, present := class, 1.0 // the output that should be 1, or for one output whether it should
		if k == 1 {
			var loss float64
			loss, p[0] = logLoss(p[0], class)
			value += s.weight[i] * loss
			own, present = 0, float64(class)
		} else {
			truth := p[class]
			value += s.weight[i] * (softmax(p) - truth)
		}
		for j, f := range s.features {
			row := f[i*k : (i+1)*k]
			average[j] = floats.Dot(p, row)
			gradient[j] += s.weight[i] * (average[j] - present*row[own])
		}
		for j := range n {
			for l := j; l < n; l++ {
				square := 0.0
				for c, share := range p {
					square += share * s.features[j][i*k+c] * s.features[l][i*k+c]
				}
				curvature[j*n+l] += s.weight[i] * (square - average[j]*average[l])
			}
		}
	}
	return value
}
