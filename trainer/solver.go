package trainer

import (
	"context"
	"math"

	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
)

// problem is a penalised logistic regression with offsets, on a design:
//
//	F(w, b) = ½‖w‖² + C·Σᵢ sᵢ·loss(yᵢ, X·w + b + oᵢ)
//
// With one output the loss is log(1+e^(−±z)), with K > 1 the cross-entropy of
// the softmax. C = 1/λ. The intercepts are not penalised.
type problem struct {
	outputs int // 1, or K
	// y holds the class 0…K−1 of each row, or 0 and 1 for one output.
	y      []int
	weight []float64 // sᵢ; 0 leaves the row out
	// base holds scores, outputs × rows, that count scale-fold; nil for none.
	base  []float64
	scale float64
	c     float64
	// start and bias are where the descent starts; start nil is w = 0.
	start params
	bias  []float64
	// reference is the norm of the gradient that counts as 1; 0: at the start.
	reference float64
	// held are rows whose losses are wanted.
	held []int
	// needed says that the parameters are wanted.
	needed bool
	// lost is the rough solution of a problem that is not worth more; taken counts
	// the iterations before the start.
	lost  *solution
	taken int
	// task is what the problem is part of.
	task *task
}

// params is outputs×(dim+1): a row of weights and their intercept for each
// output.
type params []float64

// solution is a minimum and how it was reached.
type solution struct {
	params     params
	objective  float64
	iterations int
	converged  bool
	gradient   float64 // ‖∇F‖ relative to the reference
	reference  float64
	held       []float64 // losses of the held rows
	logits     []float64 // of the held rows, rows × outputs, where there is a base
}

const (
	maxIterations = 200
	// Gradients are measured against the gradient at the start. fitTolerance is
	// for the head, selectTolerance for the fits of a cross-validation, of which
	// enoughTolerance is enough where float32 ends the descent, and raceTolerance
	// for a first look at them; convergedTolerance is what counts as converged
	// where rounding ends it.
	fitTolerance       = 1e-9
	selectTolerance    = 1e-5
	enoughTolerance    = 1e-4
	raceTolerance      = 1e-2
	convergedTolerance = 1e-8
	roundingTolerance  = 1e-13
	// leastGain of the objective is what the last step of a head's fit may have
	// gained: the next one, as Newton's method goes, would gain the square.
	leastGain = 1e-6
	// smallProduct is how many multiplications are so few that float64 takes no
	// longer.
	smallProduct = 1 << 18
)

// minimize finds the minima of all problems, by Newton's method with conjugate
// gradients. F is convex, strictly but for the common shift of softmax
// intercepts, so that the minimum is the only one.
//
// The problems go side by side, so that their products are one product: of
// matrices in float32 first; then, where more is asked for, with gradients in
// float64, and at last in float64 altogether. Each step ends where its precision
// does. It is the same on any number of processors.
func (d *design) minimize(ctx context.Context, problems []*problem, tolerance float64) ([]solution, error) {
	solutions := make([]solution, 0, len(problems))
	for len(problems) > 0 {
		some, outputs := 0, 0
		for some < len(problems) && (some == 0 || outputs+problems[some].outputs <= d.columns()) {
			outputs += problems[some].outputs
			some++
		}
		b, err := d.newDescent(problems[:some], outputs)
		if err != nil {
			return nil, err
		}
		if err := b.run(ctx, tolerance); err != nil {
			return nil, err
		}
		solutions = append(solutions, b.solutions(tolerance)...)
		problems = problems[some:]
	}
	return solutions, nil
}

// columns is how many outputs go side by side: so many that their logits take
// about half the memory of the vectors.
func (d *design) columns() int { return max(48, len(d.mean)/16) }

// The precisions of a descent.
const (
	single = iota // products in float32
	mixed         // gradients in float64
	double
)

// descent is problems on their way, side by side.
type descent struct {
	*design
	precision int
	paths     []*path
	// moments precondition the Newton systems.
	moments *spectrum
	// z are logits and prob probabilities, outputs × rows; spare is room for as
	// many values more. v and g are parameters and gradients, outputs × (dim+1).
	z, prob, spare, v, g blas64.General
}

// path is one problem on its way; its outputs are the rows from first on of the
// descent's matrices.
type path struct {
	*problem
	first       int
	value, norm float64
	gain        float64 // of the last step at this precision
	iterations  int
	stalled     int // steps in a row that gained nothing but rounding
	parked      bool
	// solves is how many conjugate gradients the last step took; factor, if not
	// nil, is that of a Hessian nearby.
	solves int
	factor *factor
	// bend times bendScale is the curvature of each row's loss, for one output.
	bend      []float32
	bendScale float64
}

func (d *design) newDescent(problems []*problem, outputs int) (*descent, error) {
	b := &descent{
		design: d,
		z:      d.wideRoom(3, outputs, d.rows), prob: d.wideRoom(4, outputs, d.rows), spare: d.wideRoom(5, outputs, d.rows),
		v: matrix(outputs, d.dim+1), g: matrix(outputs, d.dim+1),
	}
	first := 0
	for _, p := range problems {
		b.paths = append(b.paths, &path{problem: p, first: first})
		copy(b.v.Data[first*b.v.Stride:], p.start)
		for k, bias := range p.bias {
			if p.start == nil {
				b.v.Data[(first+k)*b.v.Stride+d.dim] = bias
			}
		}
		first += p.outputs
	}
	if outputs*d.rows*d.dim < smallProduct {
		b.precision = double
	}
	var err error
	b.moments, err = d.secondMoments()
	return b, err
}

func matrix(rows, columns int) blas64.General {
	return blas64.General{Rows: rows, Cols: columns, Stride: columns, Data: make([]float64, rows*columns)}
}

// part returns rows of m.
func part(m blas64.General, first, rows int) blas64.General {
	m.Rows, m.Data = rows, m.Data[first*m.Stride:(first+rows)*m.Stride]
	return m
}

// run descends to the tolerance, precision by precision.
func (b *descent) run(ctx context.Context, tolerance float64) error {
	for ; b.precision <= double; b.precision++ {
		var active []*path
		for _, p := range b.paths {
			enough := tolerance
			if tolerance == selectTolerance {
				enough = enoughTolerance
			}
			p.gain = math.Inf(1)
			if p.stalled, p.parked = 0, false; p.reference == 0 || p.iterations == 0 || p.norm > enough*p.reference || b.precision == mixed && tolerance < selectTolerance {
				active = append(active, p)
			}
		}
		goal := tolerance
		if b.precision == single {
			goal = max(goal, selectTolerance)
		}
		if err := b.descend(ctx, active, goal); err != nil {
			return err
		}
	}
	return nil
}

// descend takes Newton steps until every path has come to its goal, or as far as
// the precision goes.
func (b *descent) descend(ctx context.Context, active []*path, goal float64) error {
	if len(active) == 0 {
		return nil
	}
	if err := b.place(active); err != nil {
		return err
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := b.gradients(active); err != nil {
			return err
		}
		var left []*path
		for _, p := range active {
			there := p.norm <= goal*p.reference && (goal >= selectTolerance || p.gain <= leastGain*math.Abs(p.value) || p.norm <= roundingTolerance*p.reference)
			if !p.parked && !there && p.stalled < 3 && p.iterations < maxIterations {
				left = append(left, p)
			} else {
				p.factor, p.bend = nil, nil // large
			}
		}
		if active = left; len(active) == 0 {
			return nil
		}
		steps, err := b.newton(active)
		if err != nil {
			return err
		}
		if err := b.move(active, steps); err != nil {
			return err
		}
	}
}

// rowsOf counts the outputs of paths.
func rowsOf(paths []*path) int {
	n := 0
	for _, p := range paths {
		n += p.outputs
	}
	return n
}

// pick returns the rows of m that belong to the paths, side by side.
func pick(m blas64.General, paths []*path) blas64.General {
	if n := rowsOf(paths); n == m.Rows {
		return m
	}
	out := blas64.General{Cols: m.Cols, Stride: m.Stride}
	for _, p := range paths {
		out.Data = append(out.Data, part(m, p.first, p.outputs).Data...)
		out.Rows += p.outputs
	}
	return out
}

// place sets logits, values and probabilities of the paths from v.
func (b *descent) place(active []*path) error {
	n := rowsOf(active)
	z := part(b.spare, 0, n)
	if err := b.forward(pick(b.v, active), z, b.precision > single); err != nil {
		return err
	}
	eachPath(active, func(p *path, at int) {
		to := part(b.z, p.first, p.outputs)
		copy(to.Data, part(z, at, p.outputs).Data)
		if p.base != nil {
			floats.AddScaled(to.Data, p.scale, p.base)
		}
		loss, _ := b.trial(p, blas64.General{}, 0)
		v, half := part(b.v, p.first, p.outputs), 0.0
		for k := range p.outputs {
			w := v.Data[k*v.Stride:][:b.dim]
			half += floats.Dot(w, w) / 2
		}
		p.value = half + loss
	})
	return nil
}

// eachPath calls do for each path, on all processors, with the row at which it
// begins where the paths stand side by side.
func eachPath(paths []*path, do func(p *path, at int)) {
	at := make([]int, len(paths)+1)
	for i, p := range paths {
		at[i+1] = at[i] + p.outputs
	}
	each(len(paths), func(i int) { do(paths[i], at[i]) })
}

// gradients sets gradient and norm of the paths from their probabilities.
func (b *descent) gradients(active []*path) error {
	n := rowsOf(active)
	r, g := part(b.spare, 0, n), matrix(n, b.dim+1)
	eachPath(active, func(p *path, at int) {
		rows, prob := part(r, at, p.outputs), part(b.prob, p.first, p.outputs)
		for k := range p.outputs {
			out, of := rows.Data[k*rows.Stride:][:b.rows], prob.Data[k*prob.Stride:][:b.rows]
			for i, s := range p.weight {
				truth := 0.0
				if p.outputs == 1 && p.y[i] == 1 || p.outputs > 1 && p.y[i] == k {
					truth = 1
				}
				out[i] = p.c * s * (of[i] - truth)
			}
		}
	})
	if err := b.backward(r, g, b.precision > single); err != nil {
		return err
	}
	eachPath(active, func(p *path, at int) {
		to, v := part(b.g, p.first, p.outputs), part(b.v, p.first, p.outputs)
		copy(to.Data, part(g, at, p.outputs).Data)
		addPenalty(to, v)
		before := p.norm
		p.norm = floats.Norm(to.Data, 2)
		if p.reference == 0 {
			p.reference = max(p.norm, b.roundingScale(p.problem))
		}
		if p.stalled > 0 && p.norm < before/2 {
			p.stalled = 0
		}
	})
	return nil
}

// roundingScale is a gradient so small that 1e-12 of it is rounding error of
// the terms that make it up.
func (d *design) roundingScale(p *problem) float64 {
	return 1e-4 * p.c * (d.terms/float64(d.rows) + 1) * floats.Sum(p.weight)
}

// addPenalty adds the gradient of ½‖w‖² at v to g.
func addPenalty(g, v blas64.General) {
	for k := range g.Rows {
		floats.Add(g.Data[k*g.Stride:][:g.Cols-1], v.Data[k*v.Stride:][:g.Cols-1])
	}
}

// trial returns C·Σ s·loss at z + t·along and its slope along the line, and
// leaves the probabilities in prob. Without along it looks at z.
func (b *descent) trial(p *path, along blas64.General, t float64) (loss, slope float64) {
	z, prob := part(b.z, p.first, p.outputs), part(b.prob, p.first, p.outputs)
	if p.outputs > 1 {
		return b.softmaxTrial(p, along, t)
	}
	for i, s := range p.weight {
		if s == 0 {
			continue
		}
		logit, move := z.Data[i], 0.0
		if along.Data != nil {
			move = along.Data[i]
			logit += t * move
		}
		l, q := logLoss(logit, p.y[i])
		prob.Data[i] = q
		loss += s * l
		slope += s * (q - float64(p.y[i])) * move
	}
	return p.c * loss, p.c * slope
}

func (b *descent) softmaxTrial(p *path, along blas64.General, t float64) (loss, slope float64) {
	z, prob := part(b.z, p.first, p.outputs), part(b.prob, p.first, p.outputs)
	row, move := make([]float64, p.outputs), make([]float64, p.outputs)
	for i, s := range p.weight {
		if s == 0 {
			continue
		}
		for k := range row {
			row[k] = z.Data[k*z.Stride+i]
			if along.Data != nil {
				move[k] = along.Data[k*along.Stride+i]
				row[k] += t * move[k]
			}
		}
		own := row[p.y[i]]
		loss += s * (softmax(row) - own)
		for k, q := range row {
			prob.Data[k*prob.Stride+i] = q
		}
		slope += s * (floats.Dot(row, move) - move[p.y[i]])
	}
	return p.c * loss, p.c * slope
}

// logLoss returns log(1+e^(−±z)) for label 1 or 0, and the probability of 1.
func logLoss(z float64, label int) (loss, prob float64) {
	e := math.Exp(-math.Abs(z))
	loss, prob = math.Log1p(e), 1/(1+e)
	if z < 0 {
		prob = e * prob
	}
	if (z < 0) == (label == 1) {
		loss += math.Abs(z)
	}
	return loss, prob
}

// move takes each path to about the least point along its step.
func (b *descent) move(active []*path, steps blas64.General) error {
	along := part(b.spare, 0, steps.Rows)
	if err := b.forward(steps, along, b.precision == double); err != nil {
		return err
	}
	eachPath(active, func(p *path, at int) {
		d := part(steps, at, p.outputs)
		t := b.search(p, d, part(along, at, p.outputs))
		p.parked = t == 0
		p.iterations++
		floats.AddScaled(part(b.v, p.first, p.outputs).Data, t, d.Data)
		floats.AddScaled(part(b.z, p.first, p.outputs).Data, t, part(along, at, p.outputs).Data)
	})
	if b.precision > single {
		return b.place(active)
	}
	return nil
}

// search returns how far to go along d: to where the slope is small beside that
// at 0, by doubling, halving and secants; 0 where rounding allows no descent. It
// sets the path's value and probabilities to those found.
func (b *descent) search(p *path, d, along blas64.General) float64 {
	slope0, w0, w1 := floats.Dot(part(b.g, p.first, p.outputs).Data, d.Data), 0.0, 0.0
	v, half := part(b.v, p.first, p.outputs), 0.0
	for k := range p.outputs {
		w, dw := v.Data[k*v.Stride:][:b.dim], d.Data[k*d.Stride:][:b.dim]
		half, w0, w1 = half+floats.Dot(w, w)/2, w0+floats.Dot(w, dw), w1+floats.Dot(dw, dw)
	}
	rounding := []float64{1e-9, 1e-13, 1e-14}[b.precision] * math.Abs(p.value)
	low, high := 0.0, math.Inf(1)
	if slope0 < 0 {
		for t := 1.0; t > 1e-12 && t < 1e12; {
			loss, slope := b.trial(p, along, t)
			value := loss + half + t*w0 + t*t*w1/2
			slope += w0 + t*w1
			switch {
			case !(slope <= -0.5*slope0) || !(value <= p.value+rounding):
				high = t
				// Where the slope would be 0 if it were straight.
				next := low + (t-low)*slope0/(slope0-slope)
				t = min(max(next, low+(t-low)/10), low+(t-low)/2)
				if !(t > low) { // not a number
					t = low + (high-low)/2
				}
			case slope < 0.2*slope0 && !(value >= p.value-rounding) && high-t > 0.1*t:
				low = t
				t = min(2*t, t+(high-t)/2)
			default:
				if p.stalled++; p.value-value > rounding {
					p.stalled = 0
				}
				p.gain, p.value = p.value-value, value
				return t
			}
		}
	}
	b.trial(p, blas64.General{}, 0)
	return 0
}

// solutions says where the paths have come to.
func (b *descent) solutions(tolerance float64) []solution {
	all := make([]solution, len(b.paths))
	for i, p := range b.paths {
		s := solution{objective: p.value, iterations: p.taken + p.iterations, reference: p.reference, gradient: p.norm / p.reference}
		if p.reference == 0 {
			s.gradient = 0
		}
		s.converged = s.gradient <= max(tolerance, convergedTolerance)
		if p.needed {
			s.params = append(params(nil), part(b.v, p.first, p.outputs).Data...)
		}
		row := make([]float64, p.outputs)
		s.held = make([]float64, 0, len(p.held))
		for _, r := range p.held {
			for k := range row {
				row[k] = b.z.Data[(p.first+k)*b.z.Stride+r]
			}
			if p.base != nil {
				s.logits = append(s.logits, row...)
			}
			s.held = append(s.held, rowLoss(row, p.y[r]))
		}
		all[i] = s
	}
	return all
}

// rowLoss returns the log-loss of a row of logits, which it overwrites.
func rowLoss(z []float64, class int) float64 {
	if len(z) == 1 {
		loss, _ := logLoss(z[0], class)
		return loss
	}
	own := z[class]
	return softmax(z) - own
}
