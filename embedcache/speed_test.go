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
	"time"

	"github.com/medprobe/medprobe/internal/atomicfile"
)

var (
	speed     = flag.Int("speed", 0, "measure the cache this many times, in turns (make bench-cache)")
	speedRows = flag.Int("speed-rows", 100_000, "how many vectors are searched")
)

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

// TestSearchSpeed prints how long an exact top-10 takes beside the mere reading of
// the same mapped bytes, in turns. It asserts nothing: machines are shared.
func TestSearchSpeed(t *testing.T) {
	if *speed == 0 {
		t.Skip("make bench-cache runs it")
	}
	to, err := newDirection(randomQuery(1152, 3), 1152)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("\nexact top-10 over %d × 1152, %d goroutines, median of %d in turns\n\n| store | bytes scanned | reading them | search | spread | search, GB/s | against reading |\n|---|---|---|---|---|---|---|\n", *speedRows, runtime.GOMAXPROCS(0), *speed)
	stores := []Store{Float32, Float16}
	seconds := map[Store][2][]float64{}
	var sidecars []*sidecar
	for _, store := range stores {
		sidecars = append(sidecars, syntheticSidecar(t, store, *speedRows))
	}
	for turn := range *speed + 1 {
		for i, sc := range sidecars {
			start := time.Now()
			readAll(sc.vectors)
			read := time.Since(start).Seconds()
			start = time.Now()
			if _, _, err := sc.nearest(t.Context(), to.single, 10+10/8+16); err != nil {
				t.Fatal(err)
			}
			found := time.Since(start).Seconds()
			if turn > 0 { // the first maps the pages
				s := seconds[stores[i]]
				seconds[stores[i]] = [2][]float64{append(s[0], read), append(s[1], found)}
			}
		}
	}
	median := func(store Store, what int) float64 {
		return slices.Sorted(slices.Values(seconds[store][what]))[*speed/2]
	}
	for i, store := range stores {
		size, read, found := float64(len(sidecars[i].vectors)), median(store, 0), median(store, 1)
		fmt.Printf("| %s | %.2f GB | %.3f s | %.3f s | %.3f–%.3f s | %.1f | %.2f× |\n", store, size/1e9, read, found,
			slices.Min(seconds[store][1]), slices.Max(seconds[store][1]), size/found/1e9, found/read)
	}
	fmt.Printf("\nf16 against f32: %.2f of the time\n", median(Float16, 1)/median(Float32, 1))
}
