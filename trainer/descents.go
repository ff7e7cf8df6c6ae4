package trainer

import (
	"context"
	"math"

	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
)

const (
	momentum = 0.9
	// epochs is how many of them LP++ and CLAP take.
	epochs = 300
)

// fitLPPlusPlus fits LP++: logits W·x + b + α_k·(x·t_k) with the mean
// cross-entropy, where W starts at the sums of the classes and every α at 250
// times the mean over classes of the mean x·t_k of their samples. Steps are
// 4N/λmax(XᵀX) for W and b, with momentum .9 over 300 epochs, and
// N/(4·max_k Σ(x·t_k)²) for α, at every tenth epoch.
//
// The last epoch is kept: theirs is the best on a validation set. Their code
// adds up the gradient of α over the epochs before; here it is that of the tenth,
// as the paper has it.
//
// Source: Huang, Shakeri et al., LP++: A Surprisingly Strong Linear Probe for
// Few-Shot CLIP, CVPR 2024, and their code
// (FereshteShakeri/FewShot-CLIP-Strong-Baseline, methods/linear_probe_p2.py).
func (t *task) fitLPPlusPlus(ctx context.Context, h *Head) error {
	l, err := t.of(t.all()).lpPlusPlus(ctx)
	if err != nil {
		return err
	}
	return t.put(l, h)
}

func (s *shots) lpPlusPlus(ctx context.Context) (linear, error) {
	n := float64(s.rows)
	texts, err := s.logits(linear{s.texts, make([]float64, s.classes)}) // x·t_k
	if err != nil {
		return linear{}, err
	}
	most, alpha0 := 0.0, 0.0
	counts := s.counts()
	for k := range s.classes {
		row := texts.Data[k*texts.Stride:][:s.rows]
		most = max(most, floats.Dot(row, row))
		for i, own := range s.y {
			if own == k {
				alpha0 += 250 * row[i] / counts[k] / float64(s.classes)
			}
		}
	}
	curvature, err := s.greatestEigenvalue()
	if err != nil {
		return linear{}, err
	}
	l := newLinear(s.classes, s.dim)
	l.w = s.sums()
	speed := newLinear(s.classes, s.dim)
	alpha := make([]float64, s.classes)
	floats.AddConst(alpha0, alpha)
	for epoch := 1; epoch <= epochs; epoch++ {
		if err := ctx.Err(); err != nil {
			return l, err
		}
		z, err := s.logits(l)
		if err != nil {
			return l, err
		}
		for k, a := range alpha {
			floats.AddScaled(z.Data[k*z.Stride:][:s.rows], a, texts.Data[k*texts.Stride:][:s.rows])
		}
		s.errors(z)
		g, err := s.gradient(z)
		if err != nil {
			return l, err
		}
		speed.scale(momentum)
		speed.plus(1/n, g)
		l.plus(-4*n/curvature, speed)
		if epoch%10 == 0 && most > 0 {
			for k := range alpha {
				slope := floats.Dot(z.Data[k*z.Stride:][:s.rows], texts.Data[k*texts.Stride:][:s.rows]) / n
				alpha[k] -= n / (4 * most) * slope
			}
		}
	}
	for k, a := range alpha {
		floats.AddScaled(l.w.Data[k*s.dim:(k+1)*s.dim], a, s.texts.Data[k*s.dim:(k+1)*s.dim])
	}
	return l, nil
}

func (l linear) scale(factor float64) {
	floats.Scale(factor, l.w.Data)
	floats.Scale(factor, l.b)
}

// greatestEigenvalue returns λmax(XᵀX), by power iterations.
func (s *shots) greatestEigenvalue() (float64, error) {
	v, z := matrix(1, s.dim+1), matrix(1, s.rows)
	for i := range s.rows {
		for j, x := range s.row(i) {
			v.Data[j] += float64(x) // the mean points almost along it
		}
	}
	random := newRandom(s.seed, 3)
	for j := range s.dim {
		v.Data[j] += 1e-3 * random.NormFloat64()
	}
	value := 0.0
	for range 1000 {
		v.Data[s.dim] = 0
		length := floats.Norm(v.Data, 2)
		if length == 0 {
			return 1, nil
		}
		floats.Scale(1/length, v.Data)
		if err := s.forward(v, z, s.small()); err != nil {
			return 0, err
		}
		before := value
		value = floats.Dot(z.Data, z.Data)
		if math.Abs(value-before) <= 1e-12*value {
			break
		}
		if err := s.backward(z, v, s.small()); err != nil {
			return 0, err
		}
	}
	if value == 0 {
		return 1, nil
	}
	return value, nil
}

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

// upTo lists the numbers from 0 to n−1.
func upTo(n int) []int {
	numbers := make([]int, n)
	for i := range numbers {
		numbers[i] = i
	}
	return numbers
}
