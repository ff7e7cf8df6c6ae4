package embedcache

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"

	"github.com/medprobe/medprobe/internal/vec"
)

// Query says what to look for.
type Query struct {
	// Vector is what images are compared with, [Dim]: a text's or an image's, of
	// any length but zero.
	Vector []float32
	// K is how many hits are wanted; where there are fewer images, fewer come.
	K int
	// Keys, if not nil, are the images to look among; otherwise it is all of the
	// space. A key that stands twice may be found twice.
	Keys []Key
	// MMR, if not 0, asks for hits that differ from one another: see
	// [Cache.Search]. It is above 0 and at most 1.
	MMR float64
	// Pool is how many of the nearest MMR chooses from; 0 means ten times K, and
	// at least 100.
	Pool int
}

// Hit is an image that was found.
type Hit struct {
	Key Key
	// Index is the key's place among the query's Keys; −1 where there are none.
	Index int
	// Cosine is that of the image's vector and the query's, in float64.
	Cosine float64
}

// Compare puts the nearest first, and what is as near in the order of its key, so
// that a search has one result.
func (h Hit) Compare(o Hit) int {
	if order := cmp.Compare(o.Cosine, h.Cosine); order != 0 {
		return order
	}
	return cmp.Or(bytes.Compare(h.Key.Content[:], o.Key.Content[:]), cmp.Compare(h.Key.Frame, o.Key.Frame),
		cmp.Compare(h.Key.region(), o.Key.region()), cmp.Compare(h.Index, o.Index))
}

// Search returns the K images of a space whose vectors have the largest cosine
// with the query's, the largest first. The result is exact: that of a ranking of
// all images by cosines in float64, ties in the order of the keys, on any number of
// processors. An image of several vectors counts with the largest of their
// cosines, as BLIP-2 and ELIXR compare one with a text (Xu et al., 2023,
// arXiv:2308.01317).
//
// All of a space is scanned in float32 in its sidecar; what may be a hit is then
// compared again with the vectors of the database, whose checksums are verified.
// A damaged sidecar never makes a wrong cosine; a damaged row of it may hide its
// image until Check has repaired it. Rows of the database that are damaged or have
// no direction are left out. Among Keys, every one is compared with a row that was
// verified, and one that cannot be had is an error as in [Cache.Matrix].
//
// With MMR = λ the first hit is the nearest, and each further one maximises
//
//	λ·cos(hit, query) − (1−λ)·max cos(hit, earlier hit)
//
// over the Pool: maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998).
// Hits then come in the order of their choice.
//
// A vector of another dimension or without direction, a K below 1 and an MMR
// outside [0, 1] are errors. A space without images has no hits.
func (c *Cache) Search(ctx context.Context, s Space, q Query) ([]Hit, error) {
	if q.K < 1 || q.Pool < 0 || !(q.MMR >= 0 && q.MMR <= 1) {
		return nil, fmt.Errorf("embedcache: search: K %d, pool %d, MMR %v: want K of 1 or more, a pool of 0 or more, an MMR from 0 to 1", q.K, q.Pool, q.MMR)
	}
	to, err := newDirection(q.Vector, s.Dim)
	if err != nil {
		return nil, err
	}
	n := q.K
	if q.MMR > 0 {
		n = max(q.K, cmp.Or(q.Pool, max(10*q.K, 100)))
	}
	var hits []Hit
	if q.Keys != nil {
		hits, err = c.nearestOf(ctx, s, q.Keys, to, n)
	} else {
		hits, err = c.nearestOfAll(ctx, s, to, n)
	}
	if err != nil || q.MMR == 0 {
		return hits, err
	}
	return c.diversify(ctx, s, hits, q.K, q.MMR)
}

// Cosines returns the cosine of each key's vector with another vector, [len(keys)],
// in float64: what [Cache.Search] ranks by. Its errors are those of [Cache.Matrix].
func (c *Cache) Cosines(ctx context.Context, s Space, vector []float32, keys []Key) ([]float64, error) {
	to, err := newDirection(vector, s.Dim)
	if err != nil {
		return nil, err
	}
	return c.cosines(ctx, s, to, keys)
}

func (c *Cache) cosines(ctx context.Context, s Space, to direction, keys []Key) ([]float64, error) {
	all := make([]float64, len(keys))
	return all, c.rows(ctx, s, keys, func(i int, p packed) (err error) {
		values := make([]float32, p.values())
		p.store.decode(values, p.data)
		all[i], err = to.cosine(values)
		return err
	})
}

// direction is a vector of length one, in both precisions.
type direction struct {
	single []float32
	double []float64
}

func newDirection(v []float32, dim int) (direction, error) {
	if len(v) != dim {
		return direction{}, fmt.Errorf("embedcache: search: the query has %d dimensions, the vectors have %d", len(v), dim)
	}
	d := direction{make([]float32, dim), make([]float64, dim)}
	if err := vec.Unit(d.single, v); err != nil {
		return d, fmt.Errorf("embedcache: search: %w", err)
	}
	length := norm(v)
	for i, x := range v {
		d.double[i] = float64(x) / length
	}
	return d, nil
}

func norm(v []float32) float64 {
	sum := 0.0
	for _, x := range v {
		sum += float64(float64(x) * float64(x))
	}
	return math.Sqrt(sum)
}

// cosine returns the largest cosine of the vectors in values. Those without
// direction do not count; if there are no others, it is an error.
func (d direction) cosine(values []float32) (float64, error) {
	largest := math.Inf(-1)
	for v := range slices.Chunk(values, len(d.double)) {
		dot := 0.0
		for i, x := range v {
			dot += float64(float64(x) * d.double[i]) // not fused: every machine sums alike
		}
		if cosine := dot / norm(v); cosine > largest {
			largest = cosine
		}
	}
	if math.IsInf(largest, 0) {
		return 0, errors.New("the vector has no direction: want a finite length above 0")
	}
	return largest, nil
}

// nearestOf finds the n nearest of the keys.
func (c *Cache) nearestOf(ctx context.Context, s Space, keys []Key, to direction, n int) ([]Hit, error) {
	cosines, err := c.cosines(ctx, s, to, keys)
	if err != nil {
		return nil, err
	}
	found := best[Hit]{n: n, compare: Hit.Compare}
	for i, cosine := range cosines {
		found.offer(Hit{keys[i], i, cosine})
	}
	return found.sorted(), nil
}

// nearestOfAll finds the n nearest of a space: by its sidecar, or where there can
// be none, or a broken one, by the database.
func (c *Cache) nearestOfAll(ctx context.Context, s Space, to direction, n int) ([]Hit, error) {
	shelf, err := c.find(ctx, c.db, s)
	if err != nil || shelf.id == 0 {
		return nil, err
	}
	vectors, err := c.sidecar(ctx, shelf, true)
	if err == nil {
		hits, err := c.nearestBySidecar(ctx, vectors, to, n)
		err = errors.Join(err, vectors.close())
		if !errors.Is(err, errBroken) {
			return hits, err
		}
		if err := os.Remove(c.sidecarPath(shelf)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("embedcache: the sidecar is damaged: %w", err)
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return c.nearestByDatabase(ctx, shelf, to, n)
}

// nearestBySidecar asks the sidecar for some more rows than are wanted, and for
// more yet until none that was left out can be among the n nearest.
func (c *Cache) nearestBySidecar(ctx context.Context, vectors *sidecar, to direction, n int) ([]Hit, error) {
	n = min(n, vectors.rows)
	for pool := n + n/8 + 16; ; pool *= 4 {
		found, keys, err := vectors.nearest(ctx, to.single, pool)
		if err != nil {
			return nil, err
		}
		hits, err := c.verified(ctx, vectors.shelf, found, keys, to)
		if err != nil {
			return nil, err
		}
		slices.SortFunc(hits, Hit.Compare)
		if len(found) == vectors.rows {
			return hits[:min(n, len(hits))], nil
		}
		if lowest := found[len(found)-1]; hits[n-1].Cosine > lowest.score64()+vectors.slack() {
			return hits[:n], nil
		}
	}
}

// verified compares what a sidecar found with the vectors of the database. It
// fails with errBroken where the sidecar says something else.
func (c *Cache) verified(ctx context.Context, s shelf, found []candidate, keys []Key, to direction) ([]Hit, error) {
	query, err := c.db.PrepareContext(ctx, selectVector)
	if err != nil {
		return nil, c.explain(err)
	}
	defer query.Close()
	hits, values := make([]Hit, len(found)), make([]float32, s.values())
	for i, f := range found {
		data, err := c.read(ctx, query, s, keys[i])
		if errors.Is(err, ErrNotStored) || errors.Is(err, ErrDamaged) {
			return nil, errBroken
		}
		if err != nil {
			return nil, err
		}
		s.store.decode(values, data)
		cosine, err := to.cosine(values)
		if err != nil || f.known() && math.Abs(cosine-f.score64()) > s.slack() {
			return nil, errBroken
		}
		hits[i] = Hit{keys[i], -1, cosine}
	}
	return hits, nil
}

// nearestByDatabase leaves out the rows that a sidecar has not.
func (c *Cache) nearestByDatabase(ctx context.Context, s shelf, to direction, n int) ([]Hit, error) {
	found := best[Hit]{n: n, compare: Hit.Compare}
	values, mean := make([]float32, s.values()), make([]float32, s.Dim)
	err := c.snapshot(ctx, func(conn *sql.Conn) error {
		return c.eachRow(ctx, conn, s, func(r row) error {
			if !r.readable || !s.intact(r.key, r.data, r.sum) {
				return nil
			}
			s.store.decode(values, r.data)
			pool(mean, values)
			if _, scale := lengthOf(mean); scale == 0 {
				return nil
			}
			if cosine, err := to.cosine(values); err == nil {
				found.offer(Hit{r.key, -1, cosine})
			}
			return nil
		})
	})
	return found.sorted(), err
}

// diversify chooses k of the pool by maximal marginal relevance; of several
// vectors per image, their mean tells how much two images are alike.
func (c *Cache) diversify(ctx context.Context, s Space, pool []Hit, k int, lambda float64) ([]Hit, error) {
	keys := make([]Key, len(pool))
	for i := range pool {
		keys[i] = pool[i].Key
	}
	m, err := c.Matrix(ctx, s, keys)
	if err != nil || len(pool) == 0 {
		return nil, err
	}
	alike := func(a, b int) (dot float64) {
		for j, x := range m.Data[a*m.Stride : (a+1)*m.Stride] {
			dot += float64(float64(x) * float64(m.Data[b*m.Stride+j]))
		}
		return dot
	}
	left := make([]int, len(pool)-1)
	closest := make([]float64, len(pool)) // to what was chosen
	for i := range left {
		left[i], closest[i+1] = i+1, math.Inf(-1)
	}
	chosen := []Hit{pool[0]}
	for last := 0; len(chosen) < k && len(left) > 0; {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		at, highest := 0, math.Inf(-1)
		for i, row := range left {
			closest[row] = max(closest[row], alike(row, last))
			if gain := float64(lambda*pool[row].Cosine) - float64((1-lambda)*closest[row]); gain > highest {
				at, highest = i, gain
			}
		}
		last = left[at]
		chosen, left = append(chosen, pool[last]), slices.Delete(left, at, at+1)
	}
	return chosen, nil
}
