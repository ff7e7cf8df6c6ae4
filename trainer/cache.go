package trainer

import (
	"cmp"
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

// loss returns the sum of the log-losses of what the cache alone says.
func (c *Cache) loss(t *task, held *shots, likeness blas64.General) (sum float64) {
	for i, own := range held.y {
		row := make([]float64, t.outputs())
		c.score(likeness.Data[i*likeness.Stride:][:likeness.Cols], row, t.outputs() > 1)
		sum += rowLoss(row, own)
	}
	return sum
}
