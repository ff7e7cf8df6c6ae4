package embedcache

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/medprobe/medprobe/internal/atomicfile"
	"github.com/medprobe/medprobe/internal/turns"
)

var speedRows = flag.Int("speed-rows", 100_000, "how many vectors TestSearchSpeed searches")

// syntheticSidecar writes a sidecar of random rows, without a database.
func syntheticSidecar(t *testing.T, store Store, rows int) *sidecar {
	t.Helper()
	s := shelf{Space: Space{Encoder: "synthetic", Dim: 1152}, store: store, mark: newMark()}
	path := filepath.Join(t.TempDir(), "synthetic.vectors")
	random := rand.New(rand.NewPCG(1, 2))
	// Rows are windows of one long vector: as random as they need be, and soon made.
	long := make([]float32, 1<<20)
	for i := range long {
		long[i] = float32(random.NormFloat64())
	}
	err := atomicfile.Write(path, func(w io.Writer) error {
		var keys, order []byte
		for row := range rows {
			at := random.IntN(len(long) - s.Dim)
			data, err := store.encode(long[at : at+s.Dim])
			if err != nil {
				return err
			}
			if _, err := w.Write(data); err != nil {
				return err
			}
			var key [keySize]byte
			binary.BigEndian.PutUint64(key[:], uint64(row))
			_, scale := lengthOf(long[at : at+s.Dim])
			binary.LittleEndian.PutUint32(key[keyScale:], math.Float32bits(scale))
			binary.LittleEndian.PutUint32(key[keySum:], rowSum(data, key[:]))
			keys = append(keys, key[:]...)
			order = binary.LittleEndian.AppendUint32(append(order, key[:8]...), uint32(row))
		}
		for _, part := range [][]byte{keys, order, s.footer(rows)} {
			if _, err := w.Write(part); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sc, err := openSidecar(path, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sc.close() })
	return sc
}

// readAll reads every byte once, by as many goroutines as a search has, and does
// next to nothing with it: what the memory gives.
func readAll(data []byte) {
	var work sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for part := range slices.Chunk(data, (len(data)+workers-1)/workers) {
		work.Go(func() { bytes.Count(part, []byte{'\xff'}) })
	}
	work.Wait()
}

// TestSearchSpeed notes how long an exact top-10 takes beside the mere reading of
// the same mapped bytes, in turns.
func TestSearchSpeed(t *testing.T) {
	rounds := turns.Rounds(t)
	to, err := newDirection(randomQuery(1152, 3), 1152)
	if err != nil {
		t.Fatal(err)
	}
	var contenders []func() float64
	for _, store := range []Store{Float32, Float16} {
		sc := syntheticSidecar(t, store, *speedRows)
		contenders = append(contenders,
			turns.Seconds(t, func() error { readAll(sc.vectors); return nil }),
			turns.Seconds(t, func() error {
				_, _, err := sc.nearest(t.Context(), to.single, 10+10/8+16)
				return err
			}))
	}
	took := turns.Take(rounds, contenders...)
	work := fmt.Sprintf("exact top 10 of %d × 1152, ", *speedRows)
	turns.Note(t,
		turns.Line{Work: work + "float32", Unit: "s", Ours: took[1], Peer: "reading the same bytes", Theirs: took[0], Goal: turns.Goal{Ratio: 1 / 1.3}},
		turns.Line{Work: work + "float16", Unit: "s", Ours: took[3], Peer: "reading the same bytes", Theirs: took[2], Goal: turns.Goal{Ratio: 1 / 1.3}},
		turns.Line{Work: work + "float16", Unit: "s", Ours: took[3], Peer: "the same in float32", Theirs: took[1], Goal: turns.Goal{Ratio: 2}})
}
