package trainer

import (
	"context"
	"math"

	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
)

// shots is what a published head is fitted on: rows of known class. A finding is
// two classes, of which 1 is its presence.
//
// The papers have a text vector for each class, of length one. Of a finding the
// prior knows the difference t of two; since only differences of the two logits
// matter where they are linear in the texts, ±t/2 stand for them.
type shots struct {
	*design // the vectors as they are
	y       []int
	classes int
	texts   blas64.General // classes × D; empty without a prior
	scale   float64
	bias    float64 // of a finding's zero-shot score
	seed    uint64
}

// linear is a classifier: the logits of x are W·x + b, one for each class.
type linear struct {
	w blas64.General
	b []float64
}

func newLinear(classes, dim int) linear {
	return linear{matrix(classes, dim), make([]float64, classes)}
}

// rawDesign is a design that is neither centred nor spanned.
func rawDesign(x blas32.General, m Multiplier) *design {
	if m == nil {
		m = gonum{}
	}
	d := &design{rows: x.Rows, dim: x.Cols, fast: x, mean: make([]float64, x.Cols), unit: 1, multiplier: m}
	if x.Stride != x.Cols {
		d.fast = compact(x)
	}
	return d
}

// shotTasks returns the tasks of heads that have no penalty.
func shotTasks(x blas32.General, y Targets, groups []string, o Options) ([]*task, error) {
	return tasksOn(rawDesign(x, o.Multiplier), x, y, groups, o)
}

// of returns the rows of the task, given as indices into t.rows.
func (t *task) of(rows []int) *shots {
	d := t.design
	x := blas32.General{Rows: len(rows), Cols: d.dim, Stride: d.dim, Data: make([]float32, 0, len(rows)*d.dim)}
	s := &shots{classes: t.kinds(), seed: t.o.Seed}
	for _, r := range rows {
		x.Data = append(x.Data, d.row(t.rows[r])...)
		s.y = append(s.y, t.y[r])
	}
	s.design = rawDesign(x, d.multiplier)
	if p := t.o.Prior; p != nil {
		s.texts, s.scale = matrix(s.classes, d.dim), p.Scale
		if t.outputs() == 1 {
			s.bias = p.Bias
		}
		for k := range s.classes {
			c, factor := t.classes[min(k, len(t.classes)-1)], 1.0
			if t.outputs() == 1 {
				factor = float64(k) - 0.5
			}
			for j, v := range p.T.Data[c*p.T.Stride : c*p.T.Stride+d.dim] {
				s.texts.Data[k*d.dim+j] = factor * float64(v)
			}
		}
	}
	return s
}

// counts returns the samples of each class.
func (s *shots) counts() []float64 {
	n := make([]float64, s.classes)
	for _, k := range s.y {
		n[k]++
	}
	return n
}

// sums returns the sum of the vectors of each class.
func (s *shots) sums() blas64.General {
	m := matrix(s.classes, s.dim)
	for i, k := range s.y {
		row := m.Data[k*s.dim : (k+1)*s.dim]
		for j, v := range s.row(i) {
			row[j] += float64(v)
		}
	}
	return m
}

// logits returns W·x + b, classes × rows.
func (s *shots) logits(l linear) (blas64.General, error) {
	v, z := matrix(s.classes, s.dim+1), matrix(s.classes, s.rows)
	for k := range s.classes {
		copy(v.Data[k*v.Stride:], l.w.Data[k*l.w.Stride:][:s.dim])
		v.Data[k*v.Stride+s.dim] = l.b[k]
	}
	return z, s.forward(v, z, s.small())
}

// small says that products in float64 take no longer.
func (s *shots) small() bool { return s.rows*s.dim <= 1<<22 }

// errors turns logits, classes × rows, into probabilities less the truth, and
// returns the sum of the log-losses.
func (s *shots) errors(z blas64.General) (loss float64) {
	row := make([]float64, s.classes)
	for i, own := range s.y {
		for k := range row {
			row[k] = z.Data[k*z.Stride+i]
		}
		truth := row[own]
		loss += softmax(row) - truth
		row[own]--
		for k, v := range row {
			z.Data[k*z.Stride+i] = v
		}
	}
	return loss
}

// gradient returns Σ error·x by class, and Σ error.
func (s *shots) gradient(errors blas64.General) (linear, error) {
	g, l := matrix(s.classes, s.dim+1), newLinear(s.classes, s.dim)
	if err := s.backward(errors, g, s.small()); err != nil {
		return l, err
	}
	for k := range s.classes {
		copy(l.w.Data[k*s.dim:(k+1)*s.dim], g.Data[k*g.Stride:])
		l.b[k] = g.Data[k*g.Stride+s.dim]
	}
	return l, nil
}

// zeroShotOf returns the zero-shot classifier as the papers write it.
func (s *shots) zeroShotOf() linear {
	l := newLinear(s.classes, s.dim)
	if s.texts.Data != nil {
		floats.AddScaled(l.w.Data, s.scale, s.texts.Data)
		l.b[s.classes-1] += s.bias
	}
	return l
}

// plus adds factor·m.
func (l linear) plus(factor float64, m linear) {
	floats.AddScaled(l.w.Data, factor, m.w.Data)
	floats.AddScaled(l.b, factor, m.b)
}

// put writes the classifier to the rows of the head that are the task's.
func (t *task) put(l linear, h *Head) error {
	dim := l.w.Cols
	for k, c := range t.classes {
		w, b := l.w.Data[k*dim:(k+1)*dim], l.b[k]
		if t.outputs() == 1 {
			w, b = make([]float64, dim), l.b[1]-l.b[0]
			floats.SubTo(w, l.w.Data[dim:2*dim], l.w.Data[:dim])
		}
		if err := h.set(c, w, b); err != nil {
			return err
		}
	}
	return nil
}

// least returns the number of the candidate with the least held-out log-loss,
// and that loss per sample, by the folds of a cross-validation; losses returns
// the sum for each candidate on the fold when fitted on the rest. It reports
// false where there are too few patients. What was tried is kept in fit.Path, point
// naming each candidate; those whose loss is infinite are none, and those that
// point returns false for are not kept.
func (t *task) least(ctx context.Context, losses func(rest, fold []int) ([]float64, error), point func(k, best int) (PathPoint, bool)) (best int, loss float64, ok bool, err error) {
	folds := t.folds()
	if folds == nil {
		return 0, 0, false, nil
	}
	var sums []float64
	var scores [][]float64 // candidates × folds
	held := 0.0
	for _, fold := range folds {
		if err := ctx.Err(); err != nil {
			return 0, 0, false, err
		}
		some, err := losses(t.without(fold), fold)
		if err != nil {
			return 0, 0, false, err
		}
		if sums == nil {
			sums, scores = make([]float64, len(some)), make([][]float64, len(some))
		}
		floats.Add(sums, some)
		for k, v := range some {
			scores[k] = append(scores[k], v/float64(len(fold)))
		}
		held += float64(len(fold))
	}
	for k, v := range sums {
		if v < sums[best] || math.IsNaN(sums[best]) {
			best = k
		}
	}
	for k, v := range sums {
		p, ok := point(k, best)
		if !ok || math.IsInf(v, 0) || math.IsNaN(v) {
			continue
		}
		p.Loss, p.Excess, p.Folds = v/held, (v-sums[best])/held, sixDigits(scores[k])
		if k == best {
			p.Weight = 1
		}
		t.fit.Path = append(t.fit.Path, p)
	}
	return best, sums[best] / held, true, nil
}

// byTask fits the heads of papers, each class by itself.
func byTask(fit func(*task, context.Context, *Head) error) fitting {
	return func(ctx context.Context, x blas32.General, y Targets, groups []string, o Options, h *Head) error {
		tasks, err := shotTasks(x, y, groups, o)
		if err != nil {
			return err
		}
		for _, t := range tasks {
			t.fit = ClassFit{Class: t.name, Converged: true}
			t.fit.count(t.y)
			if t.name == "" {
				t.fit.Positives, t.fit.Negatives = len(t.y), 0
			}
			if err := fit(t, ctx, h); err != nil {
				return err
			}
			h.Fits = append(h.Fits, t.fit)
			if t.note != "" {
				h.Notes = append(h.Notes, t.note)
			}
		}
		return nil
	}
}
