package trainer

import (
	"context"
	"math"

	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
)

// fitCLAP fits CLAP: logits s·‖t_k‖·cos(x, w_k), w starting at the texts t, with
// the mean cross-entropy + mean_k λ_k·‖w_k − t_k‖², where λ_k is the mean
// zero-shot probability of class k over its own shots. Stochastic gradients:
// step .1 falling by a cosine over 300 epochs, momentum .9, batches of 256.
//
// Source: Silva-Rodríguez et al., A Closer Look at the Few-Shot Adaptation of
// Large Vision-Language Models, CVPR 2024, eq. 8 and 11, and their code
// (jusiro/CLAP, trainers/adapters.py). Their texts have length one.
func (t *task) fitCLAP(ctx context.Context, h *Head) error {
	s := t.of(t.all())
	w, err := s.clap(ctx)
	if err != nil {
		return err
	}
	return t.put(s.directions(w), h)
}

// directions returns the classifier with logits s·‖t_k‖·cos(x, w_k).
func (s *shots) directions(w blas64.General) linear {
	l := s.cosines(w)
	for k := range s.classes {
		floats.Scale(floats.Norm(s.texts.Data[k*s.dim:(k+1)*s.dim], 2), l.w.Data[k*s.dim:(k+1)*s.dim])
	}
	return l
}

// ownProbability returns the mean zero-shot probability of each class over its
// own shots.
func (s *shots) ownProbability() ([]float64, error) {
	z, err := s.logits(s.zeroShotOf())
	if err != nil {
		return nil, err
	}
	s.errors(z)
	mean, counts := make([]float64, s.classes), s.counts()
	for i, k := range s.y {
		mean[k] += (z.Data[k*z.Stride+i] + 1) / counts[k]
	}
	return mean, nil
}

func (s *shots) clap(ctx context.Context) (blas64.General, error) {
	const step, batch = 0.1, 256
	w, speed := matrix(s.classes, s.dim), matrix(s.classes, s.dim)
	copy(w.Data, s.texts.Data)
	lambda, err := s.ownProbability()
	if err != nil {
		return w, err
	}
	random := newRandom(s.seed, 4)
	order := upTo(s.rows)
	for epoch := range epochs {
		rate := step * (1 + math.Cos(math.Pi*float64(epoch)/epochs)) / 2
		if s.rows > batch {
			random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		}
		for from := 0; from < s.rows; from += batch {
			if err := ctx.Err(); err != nil {
				return w, err
			}
			some := s
			if s.rows > batch {
				some = s.choose(order[from:min(s.rows, from+batch)])
			}
			g, err := some.clapGradient(w, lambda)
			if err != nil {
				return w, err
			}
			floats.Scale(momentum, speed.Data)
			floats.Add(speed.Data, g.Data)
			floats.AddScaled(w.Data, -rate, speed.Data)
		}
	}
	return w, nil
}

// clapGradient is that of CLAP's objective at w.
func (s *shots) clapGradient(w blas64.General, lambda []float64) (blas64.General, error) {
	z, err := s.logits(s.directions(w))
	if err != nil {
		return w, err
	}
	s.errors(z)
	g, err := s.gradient(z)
	if err != nil {
		return w, err
	}
	for k := range s.classes {
		grad, row, text := g.w.Data[k*s.dim:(k+1)*s.dim], w.Data[k*s.dim:(k+1)*s.dim], s.texts.Data[k*s.dim:(k+1)*s.dim]
		length := floats.Norm(row, 2)
		if length == 0 {
			clear(grad)
			continue
		}
		// Through the normalisation: what lies along w has no effect.
		floats.Scale(s.scale*floats.Norm(text, 2)/float64(s.rows)/length, grad)
		floats.AddScaled(grad, -floats.Dot(grad, row)/(length*length), row)
		pull := 2 * lambda[k] / float64(s.classes)
		floats.AddScaled(grad, pull, row)
		floats.AddScaled(grad, -pull, text)
	}
	return g.w, nil
}

// choose returns some of the rows.
func (s *shots) choose(rows []int) *shots {
	some := *s
	x := blas32.General{Rows: len(rows), Cols: s.dim, Stride: s.dim, Data: make([]float32, 0, len(rows)*s.dim)}
	some.y = make([]int, len(rows))
	for k, i := range rows {
		x.Data = append(x.Data, s.row(i)...)
		some.y[k] = s.y[i]
	}
	some.design = rawDesign(x, s.multiplier)
	return &some
}
