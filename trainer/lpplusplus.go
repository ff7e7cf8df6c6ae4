package trainer

import (
	"context"
	"math"

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
