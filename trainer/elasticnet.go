package trainer

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/floats"
)

const (
	elasticTolerance = 1e-8 // of the head
	elasticRough     = 1e-4 // of the fits of a cross-validation
	elasticRounds    = 500  // Newton steps
	elasticSweeps    = 200  // over the coordinates, within one step
)

// elastic is scikit-learn's elastic net on some rows:
//
//	(1−ρ)/2·‖w‖² + ρ‖w‖₁ + C·Σ sᵢ·loss(yᵢ, w·xᵢ + b)
//
// with an unpenalised intercept, binary or as a softmax. It is minimised by
// Newton steps, class after class, each by descent along the coordinates:
// Friedman, Hastie and Tibshirani, Journal of Statistical Software 33 (2010),
// with a line search. The norm of the least subgradient, relative to that at
// the start, says how far it came.
//
// Oracle: scikit-learn's saga (testdata/elasticnet).
type elastic struct {
	rows, dim, outputs int
	columns            []float64 // dim × rows, centred and, if asked to, scaled
	mean, dev          []float64
	y                  []int
	weight             []float64
	ratio, c           float64

	w, b []float64 // outputs×dim and outputs
	z    []float64 // rows×outputs
}

// elasticOn gathers rows of the task, whose columns are centred and scaled by
// the mean and deviation of them alone.
func (t *task) elasticOn(rows []int) *elastic {
	d := t.design
	e := &elastic{rows: len(rows), dim: d.dim, outputs: t.outputs(), ratio: t.o.L1Ratio, mean: make([]float64, d.dim), dev: make([]float64, d.dim)}
	e.columns = make([]float64, e.dim*e.rows)
	for i, r := range rows {
		e.y, e.weight = append(e.y, t.y[r]), append(e.weight, t.weight[r])
		for j, v := range d.row(t.rows[r]) {
			e.columns[j*e.rows+i] = float64(v)
		}
	}
	for j := range e.dim {
		column := e.column(j)
		e.mean[j], e.dev[j] = floats.Sum(column)/float64(e.rows), 1
		floats.AddConst(-e.mean[j], column)
		dev := floats.Norm(column, 2) / math.Sqrt(float64(e.rows))
		if dev <= 10*0x1p-52*math.Abs(e.mean[j]) {
			clear(column) // constant but for rounding
		} else if t.o.Standardize {
			e.dev[j] = dev
			floats.Scale(1/dev, column)
		}
	}
	e.w, e.b, e.z = make([]float64, e.outputs*e.dim), make([]float64, e.outputs), make([]float64, e.rows*e.outputs)
	return e
}

func (e *elastic) column(j int) []float64 { return e.columns[j*e.rows : (j+1)*e.rows] }

// loss is C·Σ sᵢ·loss at logits z.
func (e *elastic) loss(z []float64) float64 {
	sum, row := 0.0, make([]float64, e.outputs)
	for i, class := range e.y {
		copy(row, z[i*e.outputs:])
		sum += e.weight[i] * rowLoss(row, class)
	}
	return e.c * sum
}

// penalty is that of the weights of some outputs.
func (e *elastic) penalty(w []float64) float64 {
	return (1-e.ratio)/2*floats.Dot(w, w) + e.ratio*floats.Norm(w, 1)
}

func (e *elastic) objective() float64 { return e.loss(e.z) + e.penalty(e.w) }

// curvature sets the derivatives of the loss by the logits of output k, and
// second ones.
func (e *elastic) curvature(k int, first, second []float64) {
	row := make([]float64, e.outputs)
	for i, class := range e.y {
		copy(row, e.z[i*e.outputs:(i+1)*e.outputs])
		p, target := 0.0, 0.0
		if e.outputs == 1 {
			p, target = sigmoid(row[0]), float64(class)
		} else {
			softmax(row)
			if p = row[k]; class == k {
				target = 1
			}
		}
		s := e.c * e.weight[i]
		first[i], second[i] = s*(p-target), s*p*(1-p)
	}
}

// slack returns the norm of the least subgradient.
func (e *elastic) slack() float64 {
	first, second, sum := make([]float64, e.rows), make([]float64, e.rows), 0.0
	for k := range e.outputs {
		e.curvature(k, first, second)
		b := floats.Sum(first)
		sum += b * b
		for j, w := range e.w[k*e.dim : (k+1)*e.dim] {
			g := floats.Dot(first, e.column(j)) + (1-e.ratio)*w
			if w != 0 {
				g += math.Copysign(e.ratio, w)
			} else {
				g = max(0, math.Abs(g)-e.ratio)
			}
			sum += g * g
		}
	}
	return math.Sqrt(sum)
}

// minimize goes to the minimum for C from where it stands. start is the slack
// that the tolerance is relative to.
func (e *elastic) minimize(ctx context.Context, c, start, tolerance float64) (rounds int, slack float64, err error) {
	e.c = c
	first, second := make([]float64, e.rows), make([]float64, e.rows)
	for {
		if slack = e.slack(); slack <= tolerance*start || rounds >= elasticRounds {
			return rounds, slack, ctx.Err()
		}
		if err := ctx.Err(); err != nil {
			return rounds, slack, err
		}
		moved := false
		for k := range e.outputs {
			e.curvature(k, first, second)
			moved = e.step(k, first, second) || moved
		}
		rounds++
		if !moved {
			return rounds, slack, nil // as near as rounding allows
		}
	}
}

// step takes a Newton step of output k, and reports whether it lowered the
// objective.
func (e *elastic) step(k int, first, second []float64) bool {
	old := e.w[k*e.dim : (k+1)*e.dim]
	next, shift, along := append([]float64(nil), old...), 0.0, make([]float64, e.rows)
	slope := append([]float64(nil), first...) // of the quadratic, by the logits
	squares := make([]float64, e.dim)
	total := floats.Sum(second)
	for j := range squares {
		squares[j] = -1 // not known yet
	}
	move := func(j int) (gain float64) {
		column := e.column(j)
		if squares[j] < 0 {
			squares[j] = 0
			for i, v := range column {
				squares[j] += second[i] * v * v
			}
		}
		curve := squares[j] + 1 - e.ratio
		if squares[j] == 0 {
			return 0
		}
		raw := squares[j]*next[j] - floats.Dot(slope, column)
		by := math.Copysign(max(0, math.Abs(raw)-e.ratio), raw)/curve - next[j]
		if by == 0 {
			return 0
		}
		next[j] += by
		for i, v := range column {
			along[i] += by * v
			slope[i] += by * second[i] * v
		}
		return by * by * curve
	}
	// Full sweeps, and between them those over what is not 0.
	greatest, full := 0.0, true
	for range elasticSweeps {
		gain := 0.0
		if total > 0 {
			by := -floats.Sum(slope) / total
			shift += by
			for i := range slope {
				along[i] += by
				slope[i] += by * second[i]
			}
			gain += by * by * total
		}
		for j := range next {
			if full || next[j] != 0 {
				gain += move(j)
			}
		}
		greatest = max(greatest, gain)
		if settled := gain <= 1e-8*greatest; settled && full {
			break
		} else {
			full = settled
		}
	}
	return e.search(k, next, shift, along, first)
}

// search goes along the step as far as the objective falls.
func (e *elastic) search(k int, next []float64, shift float64, along, first []float64) bool {
	old := e.w[k*e.dim : (k+1)*e.dim]
	before, penalty := e.loss(e.z), e.penalty(old)
	slope := floats.Dot(first, along) + e.penalty(next) - penalty
	if !(slope < 0) {
		return false
	}
	z, w := make([]float64, len(e.z)), make([]float64, e.dim)
	for t := 1.0; t > 1e-10; t /= 2 {
		copy(z, e.z)
		for i, v := range along {
			z[i*e.outputs+k] += t * v
		}
		for j := range w {
			if w[j] = next[j]; t < 1 {
				w[j] = old[j] + t*(next[j]-old[j])
			}
		}
		if e.loss(z)+e.penalty(w) <= before+penalty+1e-4*t*slope+1e-15*before {
			copy(e.z, z)
			copy(old, w)
			e.b[k] += t * shift
			return true
		}
	}
	return false
}

// weights returns those of output k for vectors as they were given, and the
// intercept.
func (e *elastic) weights(k int) (w []float64, b float64) {
	w, b = append([]float64(nil), e.w[k*e.dim:(k+1)*e.dim]...), e.b[k]
	for j := range w {
		w[j] /= e.dev[j]
		b -= w[j] * e.mean[j]
	}
	return w, b
}

// start returns the slack of no weights, which tolerances are relative to.
func (e *elastic) start(c float64) float64 {
	none := *e
	none.c, none.w, none.b, none.z = c, make([]float64, len(e.w)), make([]float64, len(e.b)), make([]float64, len(e.z))
	// The gradient, and not the least subgradient: it is 0 where the penalty
	// holds every weight at 0.
	none.ratio = 0
	return none.slack()
}

// fitElastic fits logistic regression with an elastic net for each finding, or
// all exclusive classes; C is chosen by the same folds and grid as without.
func fitElastic(ctx context.Context, x blas32.General, y Targets, groups []string, o Options, h *Head) error {
	tasks, err := shotTasks(x, y, groups, o)
	if err != nil {
		return err
	}
	for _, t := range tasks {
		t.fit = ClassFit{Class: t.name, C: o.C, L1Ratio: o.L1Ratio}
		if t.fit.count(t.y); t.name == "" {
			t.fit.Positives, t.fit.Negatives = len(t.y), 0
		}
		if err := t.chooseElastic(ctx); err != nil {
			return err
		}
		e, f := t.elasticOn(t.all()), &t.fit
		start, slack := e.start(f.C), 0.0
		if f.Iterations, slack, err = e.minimize(ctx, f.C, start, elasticTolerance); err != nil {
			return err
		}
		f.Lambda, f.Objective = lambdaOf(f.C), e.objective()
		if start > 0 {
			f.GradientNorm = slack / start
		}
		if f.Converged = f.GradientNorm <= elasticTolerance; !f.Converged {
			t.note = fmt.Sprintf("%s: stopped after %d iterations with a subgradient of %.1e of the gradient at the start", t.title(), f.Iterations, f.GradientNorm)
		}
		for k, c := range t.classes {
			w, b := e.weights(k)
			for _, v := range w {
				if v != 0 {
					f.Nonzero++
				}
			}
			if err := h.set(c, w, b); err != nil {
				return err
			}
		}
		h.Fits = append(h.Fits, *f)
		if t.note != "" {
			h.Notes = append(h.Notes, t.note)
		}
	}
	return nil
}

// chooseElastic sets C of the task by cross-validation, if it is not given.
func (t *task) chooseElastic(ctx context.Context) error {
	grid := t.o.candidates(false)
	if t.o.C != 0 {
		return nil
	}
	if t.fit.C = grid[0]; len(grid) == 1 {
		return nil
	}
	s := &study{grid: grid, folds: t.folds()}
	if s.folds == nil {
		t.fit.C, t.note = 1, t.title()+": too few patients to choose C by cross-validation, C = 1 is taken"
		return nil
	}
	var solutions []solution
	for _, fold := range s.folds {
		e := t.elasticOn(t.without(fold))
		for _, c := range grid {
			if _, _, err := e.minimize(ctx, c, e.start(c), elasticRough); err != nil {
				return err
			}
			solutions = append(solutions, solution{held: t.elasticLosses(e, fold)})
		}
	}
	held := t.heldOut(s, solutions)
	t.fit.Chosen, t.fit.Path = true, held.path(grid)
	for _, p := range t.fit.Path {
		if p.Weight > 0 {
			t.fit.C = p.C
		}
	}
	return nil
}

// elasticLosses returns the losses of rows of the task.
func (t *task) elasticLosses(e *elastic, rows []int) []float64 {
	losses, z := make([]float64, len(rows)), make([]float64, len(rows)*e.outputs)
	for k := range e.outputs {
		w, b := e.weights(k)
		for i, r := range rows {
			sum := b
			for j, v := range t.design.row(t.rows[r]) {
				sum += w[j] * float64(v)
			}
			z[i*e.outputs+k] = sum
		}
	}
	for i, r := range rows {
		losses[i] = rowLoss(z[i*e.outputs:(i+1)*e.outputs], t.y[r])
	}
	return losses
}
