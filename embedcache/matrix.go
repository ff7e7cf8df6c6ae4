package embedcache

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"

	"github.com/medprobe/medprobe/internal/vec"
	"golang.org/x/sync/errgroup"
	"gonum.org/v1/gonum/blas/blas32"
)

// Matrix returns the vectors of the keys, [len(keys) × s.Dim], one per row and in
// their order, each scaled to Euclidean length one; of several vectors per image,
// their mean. A key that is not stored is an error that wraps [ErrNotStored], a
// row that fails its checksum one that wraps [ErrDamaged], and a vector of length
// zero or with a value that is not finite an error; each names the row.
func (c *Cache) Matrix(ctx context.Context, s Space, keys []Key) (blas32.General, error) {
	m := blas32.General{Rows: len(keys), Cols: s.Dim, Stride: s.Dim, Data: make([]float32, len(keys)*s.Dim)}
	return m, c.rows(ctx, s, keys, func(i int, p packed) error {
		return p.unit(m.Data[i*s.Dim : (i+1)*s.Dim])
	})
}

// packed is a row as it is kept.
type packed struct {
	shelf
	data []byte
	// length is that of the mean of the vectors; 0 where it is not known.
	length float64
}

// unit writes the mean of the vectors, of length one, to row.
func (p packed) unit(row []float32) error {
	if p.tokens() == 1 && p.length > 0 && p.store == Float32 {
		unpackScaled(row, p.data, p.length)
		return nil
	}
	if p.tokens() == 1 {
		p.store.decode(row, p.data)
	} else {
		values := make([]float32, p.values())
		p.store.decode(values, p.data)
		pool(row, values)
	}
	return vec.Unit(row, row)
}

// unpackScaled is decode and [vec.Scale] in one pass.
func unpackScaled(row []float32, data []byte, length float64) {
	data = data[:4*len(row)]
	inverse := 1 / length
	for i := range row {
		row[i] = float32(float64(math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))) * inverse)
	}
}

// pool writes the mean of the vectors in values to row.
func pool(row, values []float32) {
	copy(row, values)
	for token := range slices.Chunk(values[len(row):], len(row)) {
		for j, v := range token {
			row[j] += v
		}
	}
	if n := len(values) / len(row); n > 1 {
		for j := range row {
			row[j] /= float32(n)
		}
	}
}

// Raw returns the values of the keys as the tower gave them, one row for each:
// [len(keys) × s.Dim], and where an image has several vectors, one after the
// other, [len(keys) × s.Tokens·s.Dim]. Its errors are those of [Cache.Matrix],
// but for the length, which may be any.
func (c *Cache) Raw(ctx context.Context, s Space, keys []Key) (blas32.General, error) {
	n := s.values()
	m := blas32.General{Rows: len(keys), Cols: n, Stride: n, Data: make([]float32, len(keys)*n)}
	return m, c.rows(ctx, s, keys, func(i int, p packed) error {
		p.store.decode(m.Data[i*n:(i+1)*n], p.data)
		return nil
	})
}

// worthSidecar is how many vectors are read before a sidecar is made for them.
const worthSidecar = 4096

// rows lets take have the row of each key, from several goroutines and in any order,
// valid during the call only; one may be offered twice, and then counts the second
// time. The first key that cannot be had
// is an error that names its row.
func (c *Cache) rows(ctx context.Context, s Space, keys []Key, take func(i int, p packed) error) error {
	shelf, err := c.find(ctx, c.db, s)
	if err != nil {
		return err
	}
	vectors, err := c.sidecar(ctx, shelf, len(keys) >= worthSidecar)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		vectors = nil // the database has them all
	}
	defer vectors.close()
	workers := runtime.GOMAXPROCS(0)
	size := max(64, (len(keys)+workers-1)/workers)
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	failed := make([]error, (len(keys)+size-1)/size)
	for part := range failed {
		group.Go(func() error {
			first := part * size
			failed[part] = c.someRows(groupCtx, shelf, vectors, keys[first:min(first+size, len(keys))], first, take)
			return nil
		})
	}
	_ = group.Wait() // the errors are in failed
	for _, err := range failed {
		if err != nil {
			return err
		}
	}
	return nil
}

// someRows is rows for a run of keys, the first of which is row first.
func (c *Cache) someRows(ctx context.Context, s shelf, from *sidecar, keys []Key, first int, take func(int, packed) error) error {
	query, err := c.db.PrepareContext(ctx, selectVector)
	if err != nil {
		return c.explain(err)
	}
	defer query.Close()
	for i, key := range keys {
		if i%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		var err error
		if !from.use(key, func(data []byte, length float64) { err = take(first+i, packed{s, data, length}) }) {
			var data []byte
			if data, err = c.read(ctx, query, s, key); err == nil {
				err = take(first+i, packed{s, data, 0})
			}
		}
		if err != nil {
			return c.rowError(first+i, key, err)
		}
	}
	return nil
}

func (c *Cache) rowError(row int, key Key, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("embedcache: %s: row %d, content %x: %w", c.path, row, key.Content[:6], err)
}
