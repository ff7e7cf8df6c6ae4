package embedcache

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"runtime"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"unsafe"

	"github.com/medprobe/medprobe/internal/float16"
	"golang.org/x/sync/errgroup"
	"gonum.org/v1/gonum/blas/blas32"
)

// errBroken says that a sidecar is not what was written.
var errBroken = errors.New("embedcache: the sidecar is damaged")

// candidate is a row of a sidecar that may be among the nearest.
type candidate struct {
	// score is within slack of the cosine, or infinite where that is not known.
	score float32
	row   int32
}

func (c candidate) known() bool      { return !math.IsInf(float64(c.score), 0) }
func (c candidate) score64() float64 { return float64(c.score) }

func (c candidate) compare(o candidate) int {
	if c.score != o.score {
		return cmp.Compare(o.score, c.score)
	}
	return cmp.Compare(c.row, o.row)
}

// slack bounds the difference of a cosine in float32 from that in float64. A sum of
// n products errs by at most n/(2²⁴−n) of the lengths' product, in any order of
// summing (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section
// 3.1); lengths and the last product add to that, by half as much again where the
// length is a sum too.
func (s shelf) slack() float64 { return 2 * float64(s.Dim+8) / (1 << 24) }

// best keeps the n first of what it is offered.
type best[T any] struct {
	n       int
	compare func(a, b T) int
	all     []T
	full    bool // the n-th of all bounds what can still come in
}

func (b *best[T]) offer(v T) {
	if b.full && b.compare(b.all[b.n-1], v) <= 0 {
		return
	}
	if b.all = append(b.all, v); len(b.all) == 2*b.n {
		b.all, b.full = b.sorted(), true
	}
}

// sorted returns them, the first first.
func (b *best[T]) sorted() []T {
	slices.SortFunc(b.all, b.compare)
	return b.all[:min(b.n, len(b.all))]
}

// scanRows is how many rows a goroutine takes at a time.
const scanRows = 1024

// nearest returns the n rows whose vectors have the highest scores against a
// vector of length one, the highest first, with their keys. It is deterministic.
func (sc *sidecar) nearest(ctx context.Context, to []float32, n int) (found []candidate, keys []Key, err error) {
	workers := runtime.GOMAXPROCS(0)
	parts := make([]best[candidate], workers)
	var next atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for w := range parts {
		parts[w] = best[candidate]{n: n, compare: candidate.compare}
		group.Go(func() error {
			return guarded(func() error {
				score := sc.scorer(to)
				for ctx.Err() == nil {
					last := int(next.Add(scanRows))
					if last-scanRows >= sc.rows {
						return nil
					}
					for row := last - scanRows; row < min(last, sc.rows); row++ {
						parts[w].offer(candidate{score: score(row), row: int32(row)})
					}
				}
				return ctx.Err()
			})
		})
	}
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	all := best[candidate]{n: n, compare: candidate.compare}
	for w := range parts {
		all.all = append(all.all, parts[w].sorted()...)
	}
	found = all.sorted()
	keys = make([]Key, len(found))
	return found, keys, guarded(func() error {
		for i, f := range found {
			keys[i] = sc.keyOf(int(f.row))
		}
		return nil
	})
}

// guarded runs what reads a mapped file.
func guarded(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if faulted(recover()) {
			err = errBroken
		}
	}()
	return do()
}

// scorer returns a function that scores a row; see candidate. One that is not a
// number, as damage may make it, is not known.
func (sc *sidecar) scorer(to []float32) func(row int) float32 {
	unknown := float32(math.Inf(1))
	if sc.tokens() > 1 {
		return sc.tokenScorer(to)
	}
	dot := sc.dot(to)
	return func(row int) float32 {
		// Products of numbers this small would lose their digits.
		scale := sc.scale(row)
		if score := dot(sc.row(row)) * scale; scale < 1<<60 && score == score {
			return score
		}
		return unknown
	}
}

// littleEndian says that numbers lie in memory as they do in the file.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// dot returns a function that multiplies a vector of the file.
func (sc *sidecar) dot(to []float32) func(data []byte) float32 {
	q := blas32.Vector{N: len(to), Inc: 1, Data: to}
	switch {
	case littleEndian && sc.store == Float16:
		return func(data []byte) float32 {
			return float16.Dot(unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(data))), len(to)), to)
		}
	case littleEndian:
		return func(data []byte) float32 {
			v := unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(data))), len(to))
			return blas32.Dot(blas32.Vector{N: len(v), Inc: 1, Data: v}, q)
		}
	}
	values := make([]float32, len(to))
	return func(data []byte) float32 {
		sc.store.decode(values, data)
		return blas32.Dot(blas32.Vector{N: len(values), Inc: 1, Data: values}, q)
	}
}

// tokenScorer scores rows of several vectors by the highest of them.
func (sc *sidecar) tokenScorer(to []float32) func(row int) float32 {
	values := make([]float32, sc.values())
	q := blas32.Vector{N: len(to), Inc: 1, Data: to}
	return func(row int) float32 {
		sc.store.decode(values, sc.row(row))
		highest := float32(math.Inf(-1))
		for token := range slices.Chunk(values, len(to)) {
			v := blas32.Vector{N: len(token), Inc: 1, Data: token}
			square := blas32.Dot(v, v)
			score := blas32.Dot(v, q) / float32(math.Sqrt(float64(square)))
			if !(square > 1e-30 && square < 1e30) || score != score {
				return float32(math.Inf(1))
			}
			highest = max(highest, score)
		}
		return highest
	}
}
