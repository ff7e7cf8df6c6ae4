package trainer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/blas/blas64"
)

// Cache is the part of a head that compares vectors with samples it keeps.
type Cache struct {
	// Keys is N×D, the samples; Values is C×N: what a sample says of a class.
	// Of a finding that is 1 or −1, and 0 where it is not known; of exclusive
	// classes 1 for the sample's own and 0 for the others.
	Keys, Values blas32.General
	// Alpha and Beta, for each class, are those of Tip-Adapter: the logits get
	//
	//	α·Σᵢ valueᵢ·exp(−β(1 − x·keyᵢ))
	//
	// They are empty where Neighbours is not.
	Alpha, Beta []float64
	// Neighbours holds, for each class, among how many nearest samples they
	// vote, each with a weight of exp(x·keyᵢ/Temperature).
	Neighbours  []int
	Temperature float64
}

// temperature is that of DINO's and DINOv2's neighbours.
const temperature = 0.07

// least and most are the probabilities that neighbours of one mind stand for.
const leastProbability = 1e-12

// scoredRows is how many rows are compared with the keys at a time.
const scoredRows = 256

// add adds to the logits z, n×C, of the rows of x.
func (c *Cache) add(x blas32.General, z blas64.General, exclusive bool) error {
	keys := rawDesign(c.Keys, nil)
	for from := 0; from < x.Rows; from += scoredRows {
		n := min(scoredRows, x.Rows-from)
		v, likeness := matrix(n, x.Cols+1), matrix(n, c.Keys.Rows)
		for i := range n {
			for j, f := range x.Data[(from+i)*x.Stride : (from+i)*x.Stride+x.Cols] {
				v.Data[i*v.Stride+j] = float64(f)
			}
		}
		if err := keys.forward(v, likeness, true); err != nil {
			return err
		}
		each(n, func(i int) {
			c.score(likeness.Data[i*likeness.Stride:][:c.Keys.Rows], z.Data[(from+i)*z.Stride:][:z.Cols], exclusive)
		})
	}
	return nil
}

// values returns what the samples say of class k.
func (c *Cache) values(k int) []float32 {
	return c.Values.Data[k*c.Values.Stride:][:c.Values.Cols]
}

// score adds to the logits of one row; likeness holds its products with the keys.
func (c *Cache) score(likeness, logits []float64, exclusive bool) {
	if len(c.Neighbours) == 0 {
		for k := range logits {
			sum := 0.0
			for i, v := range c.values(k) {
				if v != 0 {
					sum += float64(v) * math.Exp(-c.Beta[k]*(1-likeness[i]))
				}
			}
			logits[k] += c.Alpha[k] * sum
		}
		return
	}
	if exclusive {
		votes := make([]float64, len(logits))
		order := nearest(likeness, func(int) bool { return true })
		vote(order[:min(c.Neighbours[0], len(order))], likeness, c.Temperature, func(i int, share float64) {
			for k := range votes {
				votes[k] += share * float64(c.values(k)[i])
			}
		})
		for k, p := range votes {
			logits[k] += math.Log(max(p, leastProbability))
		}
		return
	}
	for k := range logits {
		values, p := c.values(k), 0.0
		order := nearest(likeness, func(i int) bool { return values[i] != 0 })
		vote(order[:min(c.Neighbours[k], len(order))], likeness, c.Temperature, func(i int, share float64) {
			if values[i] > 0 {
				p += share
			}
		})
		logits[k] += logit(p)
	}
}

// logit is log(p/(1−p)), of probabilities that are not quite 0 or 1.
func logit(p float64) float64 {
	return math.Log(max(p, leastProbability)) - math.Log(max(1-p, leastProbability))
}

// nearest lists the samples that may be used, the nearest first.
func nearest(likeness []float64, may func(i int) bool) []int {
	order := make([]int, 0, len(likeness))
	for i := range likeness {
		if may(i) {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(likeness[b], likeness[a]), cmp.Compare(a, b))
	})
	return order
}

// vote gives each neighbour its share: exp(likeness/T), of a sum of 1.
func vote(neighbours []int, likeness []float64, temperature float64, do func(i int, share float64)) {
	shares := make([]float64, len(neighbours))
	for k, i := range neighbours {
		shares[k] = likeness[i] / temperature
	}
	if len(shares) > 0 {
		softmax(shares)
	}
	for k, i := range neighbours {
		do(i, shares[k])
	}
}

// validate checks the shapes of a cache for a head.
func (c *Cache) validate(classes, dim int) error {
	n := c.Keys.Rows
	if c.Keys.Cols != dim || c.Values.Rows != classes || c.Values.Cols != n || n < 1 {
		return fmt.Errorf("cache of %d×%d keys and %d×%d values: want %d dimensions, and a value for each of %d classes", n, c.Keys.Cols, c.Values.Rows, c.Values.Cols, dim, classes)
	}
	if err := errors.Join(finite(c.Keys), finite(c.Values)); err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	if len(c.Neighbours) == 0 {
		if len(c.Alpha) != classes || len(c.Beta) != classes {
			return fmt.Errorf("cache with %d alphas and %d betas: want %d", len(c.Alpha), len(c.Beta), classes)
		}
		return nil
	}
	if len(c.Neighbours) != classes || slices.Min(c.Neighbours) < 1 || !(c.Temperature > 0) {
		return fmt.Errorf("cache with %v neighbours at temperature %v: want a positive number for each of %d classes", c.Neighbours, c.Temperature, classes)
	}
	return nil
}

// stackCaches returns a cache of the classes of several, each with samples of
// its own.
func stackCaches(caches []*Cache) *Cache {
	all := &Cache{Temperature: caches[0].Temperature}
	rows, classes := 0, 0
	for _, c := range caches {
		rows, classes = rows+c.Keys.Rows, classes+c.Values.Rows
	}
	all.Keys = blas32.General{Rows: rows, Cols: caches[0].Keys.Cols, Stride: caches[0].Keys.Cols}
	all.Values = blas32.General{Rows: classes, Cols: rows, Stride: rows, Data: make([]float32, classes*rows)}
	row, class := 0, 0
	for _, c := range caches {
		all.Keys.Data = append(all.Keys.Data, compact(c.Keys).Data...)
		for k := range c.Values.Rows {
			copy(all.Values.Data[(class+k)*rows+row:], c.values(k))
		}
		row, class = row+c.Keys.Rows, class+c.Values.Rows
		all.Alpha, all.Beta, all.Neighbours = append(all.Alpha, c.Alpha...), append(all.Beta, c.Beta...), append(all.Neighbours, c.Neighbours...)
	}
	return all
}

// cacheOf returns the samples of the rows and what they say of the task's
// classes.
func (t *task) cacheOf(rows []int) *Cache {
	s := t.of(rows)
	c := &Cache{Keys: s.fast, Temperature: temperature}
	c.Values = blas32.General{Rows: t.outputs(), Cols: s.rows, Stride: s.rows, Data: make([]float32, t.outputs()*s.rows)}
	for i, own := range s.y {
		if t.outputs() == 1 {
			c.Values.Data[i] = float32(2*own - 1)
		} else {
			c.Values.Data[own*s.rows+i] = 1
		}
	}
	return c
}

// keep adds the task's cache to the head.
func (t *task) keep(c *Cache, h *Head) {
	if h.Cache == nil {
		h.Cache = c
	} else {
		h.Cache = stackCaches([]*Cache{h.Cache, c})
	}
}

// likeness returns the products of rows of the task with the keys.
func (c *Cache) likeness(s *shots) (blas64.General, error) {
	v, z := matrix(s.rows, s.dim+1), matrix(s.rows, c.Keys.Rows)
	for i := range s.rows {
		for j, f := range s.row(i) {
			v.Data[i*v.Stride+j] = float64(f)
		}
	}
	return z, rawDesign(c.Keys, s.multiplier).forward(v, z, s.small())
}

// fitKNN lets the k nearest samples vote, each with exp(cos/0.07). k is chosen
// among 10, 20, 100 and 200, as far as there are samples, by held-out log-loss;
// 10 where there are too few patients. Where all neighbours are of one mind the
// probability is 1e-12 or 1 − 1e-12.
//
// Source: Wu et al., CVPR 2018, eq. 10, as in DINOv2's evaluation
// (facebookresearch/dinov2, dinov2/eval/knn.py).
func (t *task) fitKNN(ctx context.Context, h *Head) error {
	f, grid := &t.fit, []int{10, 20, 100, 200}
	f.Neighbours = 10
	if t.o.Neighbours != 0 {
		f.Neighbours = t.o.Neighbours
	} else {
		best, loss, ok, err := t.least(ctx, func(rest, fold []int) ([]float64, error) {
			c, held, losses := t.cacheOf(rest), t.of(fold), make([]float64, len(grid))
			likeness, err := c.likeness(held)
			if err != nil {
				return nil, err
			}
			for g, k := range grid {
				if g > 0 && grid[g-1] >= len(rest) { // the same as the one before
					losses[g] = math.Inf(1)
					continue
				}
				c.Neighbours = slices.Repeat([]int{k}, t.outputs())
				losses[g] = c.loss(t, held, likeness)
			}
			return losses, nil
		}, func(k, _ int) (PathPoint, bool) { return PathPoint{Neighbours: grid[k]}, true })
		if err != nil {
			return err
		}
		if f.Chosen = ok; ok {
			f.Neighbours, f.HeldOut = grid[best], loss
		} else {
			t.note = t.title() + ": too few patients to choose k by cross-validation, k = 10 is taken"
		}
	}
	c := t.cacheOf(t.all())
	c.Neighbours = slices.Repeat([]int{f.Neighbours}, t.outputs())
	t.keep(c, h)
	return nil
}

// loss returns the sum of the log-losses of what the cache alone says.
func (c *Cache) loss(t *task, held *shots, likeness blas64.General) (sum float64) {
	for i, own := range held.y {
		row := make([]float64, t.outputs())
		c.score(likeness.Data[i*likeness.Stride:][:likeness.Cols], row, t.outputs() > 1)
		sum += rowLoss(row, own)
	}
	return sum
}

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
