package trainer

import (
	"context"
	"math"
	"slices"
)

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
