package trainer

import (
	"context"
	"math"

	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
)

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

func (d *design) newDescent(problems []*problem) *descent {
	outputs := outputsOf(problems)
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
	return b
}

// run descends to the tolerance, precision by precision, and says where the
// paths have come to.
func (b *descent) run(ctx context.Context, tolerance float64) ([]solution, error) {
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
			return nil, err
		}
	}
	return b.solutions(tolerance), nil
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

// place sets logits, values and probabilities of the paths from v.
func (b *descent) place(active []*path) error {
	n := rowsOf(active)
	z := part(b.spare, 0, n)
	if err := b.forward(pick(b.v, active), z, b.precision > single); err != nil {
		return err
	}
	b.eachPath(active, func(p *path, at int) {
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

// gradients sets gradient and norm of the paths from their probabilities.
func (b *descent) gradients(active []*path) error {
	n := rowsOf(active)
	r, g := part(b.spare, 0, n), matrix(n, b.dim+1)
	b.eachPath(active, func(p *path, at int) {
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
	b.eachPath(active, func(p *path, at int) {
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

// eachPath calls do for each path, with the row at which it begins where the
// paths stand side by side.
func (b *descent) eachPath(paths []*path, do func(p *path, at int)) {
	at := make([]int, len(paths)+1)
	for i, p := range paths {
		at[i+1] = at[i] + p.outputs
	}
	b.each(len(paths), func(i int) { do(paths[i], at[i]) })
}

func matrix(rows, columns int) blas64.General {
	return blas64.General{Rows: rows, Cols: columns, Stride: columns, Data: make([]float64, rows*columns)}
}

// part returns rows of m.
func part(m blas64.General, first, rows int) blas64.General {
	m.Rows, m.Data = rows, m.Data[first*m.Stride:(first+rows)*m.Stride]
	return m
}
