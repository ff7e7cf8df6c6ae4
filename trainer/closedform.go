package trainer

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// fitPrototype classifies by the nearest class mean: the logits are −‖x − μ_k‖²,
// less ‖x‖², which all classes share: 2μ_k·x − ‖μ_k‖². It looks at no prompt.
//
// Source: Snell, Swersky and Zemel, Prototypical Networks for Few-shot Learning,
// NeurIPS 2017, eq. 1 and 2.
func (t *task) fitPrototype(_ context.Context, h *Head) error {
	return t.put(t.of(t.all()).prototype(), h)
}

func (s *shots) prototype() linear {
	l := newLinear(s.classes, s.dim)
	l.w = s.means()
	for k := range s.classes {
		mean := l.w.Data[k*s.dim : (k+1)*s.dim]
		l.b[k] = -floats.Dot(mean, mean)
		floats.Scale(2, mean)
	}
	return l
}

// means returns the mean of the vectors of each class.
func (s *shots) means() blas64.General {
	m := s.sums()
	for k, n := range s.counts() {
		floats.Scale(1/n, m.Data[k*s.dim:(k+1)*s.dim])
	}
	return m
}

// fitSSText fits the closed form of SS-Text: w_k = t_k + s/(N·λ)·Σ x over class
// k, λ = 1/N but at least 1e-3, with logits s·cos(x, w_k); s is the scale of the
// zero-shot logits.
//
// Source: Silva-Rodríguez et al., SS-Text and their code (jusiro/SS-Text,
// solvers/sstext.py, the balanced λ, without repelling).
func (t *task) fitSSText(_ context.Context, h *Head) error {
	s := t.of(t.all())
	return t.put(s.cosines(s.ssText()), h)
}

func (s *shots) ssText() blas64.General {
	n := float64(s.rows)
	w := s.sums()
	floats.Scale(s.scale/(n*max(1/n, 1e-3)), w.Data)
	floats.Add(w.Data, s.texts.Data)
	return w
}

// cosines returns the classifier with logits s·cos(x, w_k) for x of length one.
func (s *shots) cosines(w blas64.General) linear {
	l := newLinear(s.classes, s.dim)
	for k := range s.classes {
		row := w.Data[k*s.dim : (k+1)*s.dim]
		if length := floats.Norm(row, 2); length > 0 {
			floats.AddScaled(l.w.Data[k*s.dim:(k+1)*s.dim], s.scale/length, row)
		}
	}
	return l
}

// fitGDA adds Gaussian discriminant analysis to zero-shot: the logits are
// z + α(W·x + b), with W = Σ̂⁻¹μ, b = log π − ½μᵀΣ̂⁻¹μ, equal π, and
// Σ̂⁻¹ = D·((N−1)·cov + tr(cov)·1)⁻¹. α is chosen among 1e-4 … 100 by held-out
// log-loss; without a prior it is 1, where there are too few patients too.
//
// Source: Wang et al., A Hard-to-Beat Baseline for Training-Free CLIP-based
// Adaptation, ICLR 2024, eq. 5 to 7, and their code (mrflogs/ICLR24). There the
// accuracy on a validation set chooses α.
func (t *task) fitGDA(ctx context.Context, h *Head) error {
	f, grid := &t.fit, []float64{1e-4, 1e-3, 1e-2, 1e-1, 1, 10, 100}
	f.Alpha = 1
	switch {
	case t.o.Alpha != 0:
		f.Alpha = t.o.Alpha
	case t.o.Prior != nil:
		best, loss, ok, err := t.least(ctx, func(rest, fold []int) ([]float64, error) {
			g, err := t.of(rest).gda()
			if err != nil {
				return nil, err
			}
			held, losses := t.of(fold), make([]float64, len(grid))
			for k, alpha := range grid {
				l := held.zeroShotOf()
				l.plus(alpha, g)
				z, err := held.logits(l)
				if err != nil {
					return nil, err
				}
				losses[k] = held.errors(z)
			}
			return losses, nil
		}, func(k, _ int) (PathPoint, bool) { return PathPoint{Alpha: grid[k]}, true })
		if err != nil {
			return err
		}
		if f.Chosen = ok; ok {
			f.Alpha, f.HeldOut = grid[best], loss
		} else {
			t.note = t.title() + ": too few patients to choose α by cross-validation, α = 1 is taken"
		}
	}
	s := t.of(t.all())
	g, err := s.gda()
	if err != nil {
		return err
	}
	l := s.zeroShotOf()
	l.plus(f.Alpha, g)
	return t.put(l, h)
}

// gda returns W and b. Where all vectors are their class's mean there is no
// covariance, and W is 0, as a pseudo-inverse has it.
func (s *shots) gda() (linear, error) {
	l, means := newLinear(s.classes, s.dim), s.means()
	for k := range l.b {
		l.b[k] = -math.Log(float64(s.classes))
	}
	x, trace := matrix(s.rows, s.dim), 0.0
	for i, k := range s.y {
		row := x.Data[i*s.dim : (i+1)*s.dim]
		for j, v := range s.row(i) {
			row[j] = float64(v) - means.Data[k*s.dim+j]
		}
		trace += floats.Dot(row, row)
	}
	if s.rows < 2 || trace == 0 {
		return l, nil
	}
	ridge := trace / float64(s.rows-1)
	// M⁻¹μ, where M = XᵀX + ridge·1: directly, or with fewer rows than
	// dimensions by (μ − Xᵀ(XXᵀ + ridge·1)⁻¹Xμ)/ridge.
	side, transpose := s.dim, blas.Trans
	if s.rows < s.dim {
		side, transpose = s.rows, blas.NoTrans
	}
	gram := mat.NewSymDense(side, nil)
	blas64.Syrk(transpose, 1, x, 0, gram.RawSymmetric())
	for j := range side {
		gram.SetSym(j, j, gram.At(j, j)+ridge)
	}
	var factor mat.Cholesky
	if !factor.Factorize(gram) {
		return l, fmt.Errorf("the covariance of the vectors is singular; scale the vectors to length one")
	}
	all := mat.NewDense(s.rows, s.dim, x.Data)
	for k := range s.classes {
		mean := mat.NewVecDense(s.dim, means.Data[k*s.dim:(k+1)*s.dim])
		out := mat.NewVecDense(s.dim, l.w.Data[k*s.dim:(k+1)*s.dim])
		var inner, solved mat.VecDense
		if s.rows < s.dim {
			inner.MulVec(all, mean)
			if err := factor.SolveVecTo(&solved, &inner); err != nil {
				return l, fmt.Errorf("the covariance of the vectors is nearly singular: %w", err)
			}
			out.MulVec(all.T(), &solved)
			out.SubVec(mean, out)
			out.ScaleVec(float64(s.dim)/ridge, out)
		} else {
			if err := factor.SolveVecTo(out, mean); err != nil {
				return l, fmt.Errorf("the covariance of the vectors is nearly singular: %w", err)
			}
			out.ScaleVec(float64(s.dim), out)
		}
		l.b[k] -= mat.Dot(mean, out) / 2
	}
	return l, nil
}
