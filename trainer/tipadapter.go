package trainer

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/blas/blas64"
)

const (
	// The grids of α and β, as wide as the authors' and not as fine.
	alphaSteps, alphaMost = 20, 3.0
	betaSteps, betaMost   = 20, 7.0
	leastStep             = 0.1
	// What the authors train with on ImageNet, and we where there are too few
	// patients to choose.
	alphaDefault, betaDefault = 1.17, 1.0
)

// fitTipAdapter adds to zero-shot what the samples say: z + α·Σ exp(−β(1 −
// x·f))·label. α in 0.1…3 and β in 0.1…7, in 20 steps each, are chosen by
// held-out log-loss, and fixed then; tip-adapter-f trains the samples' vectors
// with them.
//
// Source: Zhang et al., Tip-Adapter: Training-free Adaption of CLIP for Few-shot
// Classification, ECCV 2022, eq. 3 and 4, and their code
// (gaopengcuhk/Tip-Adapter), where the accuracy on a validation set chooses, of
// tip-adapter-f after training.
func (t *task) fitTipAdapter(ctx context.Context, h *Head) error {
	f := &t.fit
	f.Alpha, f.Beta = cmp.Or(t.o.Alpha, alphaDefault), cmp.Or(t.o.Beta, betaDefault)
	if t.o.Alpha == 0 || t.o.Beta == 0 {
		alphas, betas := steps(t.o.Alpha, alphaSteps, alphaMost), steps(t.o.Beta, betaSteps, betaMost)
		best, loss, ok, err := t.least(ctx, func(rest, fold []int) ([]float64, error) { return t.tipLosses(rest, fold, alphas, betas) },
			func(k, best int) (PathPoint, bool) {
				n := len(alphas)
				return PathPoint{Alpha: alphas[k%n], Beta: betas[k/n]}, k%n == best%n || k/n == best/n
			})
		if err != nil {
			return err
		}
		if f.Chosen = ok; ok {
			f.Alpha, f.Beta, f.HeldOut = alphas[best%len(alphas)], betas[best/len(alphas)], loss
		} else {
			t.note = fmt.Sprintf("%s: too few patients to choose α and β by cross-validation, α = %v and β = %v are taken", t.title(), f.Alpha, f.Beta)
		}
	}
	c, s := t.cacheOf(t.all()), t.of(t.all())
	c.Alpha, c.Beta = slices.Repeat([]float64{f.Alpha}, t.outputs()), slices.Repeat([]float64{f.Beta}, t.outputs())
	zero := s.zeroShotOf()
	if t.o.Head == TipAdapterF {
		if err := t.trainKeys(ctx, c, s, zero); err != nil {
			return err
		}
	}
	t.keep(c, h)
	return t.put(zero, h)
}

// steps returns the values to choose from, or the one given.
func steps(given float64, n int, most float64) []float64 {
	if given != 0 {
		return []float64{given}
	}
	values := make([]float64, n)
	for k := range values {
		values[k] = leastStep + float64(k)*(most-leastStep)/float64(n)
	}
	return values
}

// tipLosses returns the losses on the fold for each β and each α in turn.
func (t *task) tipLosses(rest, fold []int, alphas, betas []float64) ([]float64, error) {
	c, held := t.cacheOf(rest), t.of(fold)
	likeness, err := c.likeness(held)
	if err != nil {
		return nil, err
	}
	zero, err := held.logits(held.zeroShotOf())
	if err != nil {
		return nil, err
	}
	outputs := t.outputs()
	losses := make([]float64, len(alphas)*len(betas))
	each(len(betas), func(b int) {
		one := *c
		one.Alpha, one.Beta = slices.Repeat([]float64{1}, outputs), slices.Repeat(betas[b:b+1], outputs)
		said, row := make([]float64, outputs), make([]float64, outputs)
		for i, own := range held.y {
			clear(said)
			one.score(likeness.Data[i*likeness.Stride:][:likeness.Cols], said, outputs > 1)
			for a, alpha := range alphas {
				for k := range row {
					row[k] = alpha*said[k] + zeroLogit(zero, outputs, k, i)
				}
				losses[b*len(alphas)+a] += rowLoss(row, own)
			}
		}
	})
	return losses, nil
}

// zeroLogit is the logit of output k of row i: the difference of its two classes
// for a finding.
func zeroLogit(z blas64.General, outputs, k, i int) float64 {
	if outputs == 1 {
		return z.Data[z.Stride+i] - z.Data[i]
	}
	return z.Data[k*z.Stride+i]
}

// trainKeys trains the keys of a cache on its own samples: cross-entropy of
// zero-shot and cache, AdamW with a step of 1e-3 that falls by a cosine, ε =
// 1e-4, a decay of 0.01, batches of 256 and 20 epochs.
func (t *task) trainKeys(ctx context.Context, c *Cache, s *shots, zero linear) error {
	const batch, keyEpochs = 256, 20
	texts, err := s.logits(zero)
	if err != nil {
		return err
	}
	dim, n := s.dim, s.rows
	keys := make([]float64, n*dim)
	for i, v := range compact(c.Keys).Data {
		keys[i] = float64(v)
	}
	adam := newAdam(1e-3, 1e-4, 0.01, n*dim)
	order, random := upTo(n), newRandom(s.seed, 5)
	total := keyEpochs * ((n + batch - 1) / batch)
	for range keyEpochs {
		if n > batch {
			random.Shuffle(n, func(i, j int) { order[i], order[j] = order[j], order[i] })
		}
		for from := 0; from < n; from += batch {
			if err := ctx.Err(); err != nil {
				return err
			}
			g, err := t.keyGradient(c, s, texts, keys, order[from:min(n, from+batch)])
			if err != nil {
				return err
			}
			rate := (1 + math.Cos(math.Pi*float64(adam.steps)/float64(total))) / 2
			adam.step(keys, g, rate)
		}
	}
	c.Keys = blas32.General{Rows: n, Cols: dim, Stride: dim, Data: make([]float32, n*dim)}
	for i, v := range keys {
		c.Keys.Data[i] = float32(v)
	}
	return nil
}

// keyGradient returns the gradient by keys of the mean cross-entropy of a batch.
func (t *task) keyGradient(c *Cache, s *shots, texts blas64.General, keys []float64, batch []int) ([]float64, error) {
	dim, n, outputs := s.dim, s.rows, t.outputs()
	x := s.choose(batch)
	// likeness is keys × batch.
	likeness := matrix(n, len(batch))
	v := matrix(n, dim+1)
	for i := range n {
		copy(v.Data[i*v.Stride:], keys[i*dim:(i+1)*dim])
	}
	if err := x.forward(v, likeness, x.small()); err != nil {
		return nil, err
	}
	weights := make([]float64, outputs)
	column := make([]float64, n)
	for b, i := range batch {
		for k := range weights {
			weights[k] = zeroLogit(texts, outputs, k, i)
		}
		for j := range n {
			column[j] = likeness.Data[j*likeness.Stride+b]
		}
		c.score(column, weights, outputs > 1)
		// weights become the errors of the logits.
		if outputs == 1 {
			weights[0] = sigmoid(weights[0]) - float64(s.y[i])
		} else {
			softmax(weights)
			weights[s.y[i]]--
		}
		for j := range n {
			slope := 0.0
			for k, e := range weights {
				slope += e * float64(c.values(k)[j])
			}
			likeness.Data[j*likeness.Stride+b] = slope * c.Alpha[0] * c.Beta[0] * math.Exp(-c.Beta[0]*(1-column[j])) / float64(len(batch))
		}
	}
	g := matrix(n, dim+1)
	if err := x.backward(likeness, g, x.small()); err != nil {
		return nil, err
	}
	out := make([]float64, 0, n*dim)
	for i := range n {
		out = append(out, g.Data[i*g.Stride:][:dim]...)
	}
	return out, nil
}
