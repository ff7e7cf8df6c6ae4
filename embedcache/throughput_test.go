package embedcache

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/medprobe/medprobe/internal/needs"
	"github.com/medprobe/medprobe/internal/npy"
	"github.com/medprobe/medprobe/internal/turns"
)

var (
	cacheRows  = flag.Int("cache-rows", 50_000, "vectors that the cache is measured with")
	cacheFiles = flag.Int("cache-files", 100_000, "files that are embedded twice")
	exportRows = flag.Int("export-rows", 1_000_000, "vectors that are exported while memory is watched")
)

// TestCacheSpeed notes how fast the cache takes vectors in and gives them back,
// beside NumPy on the same vectors, in turns.
func TestCacheSpeed(t *testing.T) {
	rounds := turns.Rounds(t)
	s := Space{Encoder: "e", Dim: 1152}
	c := newCache(t)
	keys, inserting := insertTimed(t, c, s, *cacheRows)
	rows, size := float64(len(keys)), float64(len(keys))*4*1152
	inserts := []float64{rows / inserting}
	for range rounds - 1 {
		_, seconds := insertTimed(t, newCache(t), s, *cacheRows)
		inserts = append(inserts, rows/seconds)
	}
	start := time.Now()
	sidecarOf(t, c, s)
	building := time.Since(start).Seconds()

	dir := t.TempDir()
	plain := filepath.Join(dir, "plain.npy")
	values := raw(t, c, s, keys)
	file(t, dir, "plain.npy", func(w io.Writer) error { return npy.Write(w, []int{len(keys), 1152}, values) })
	took := turns.Take(rounds,
		turns.Seconds(t, func() error {
			_, err := c.Matrix(t.Context(), s, keys)
			return err
		}),
		turns.First(turns.Peer(t, "numpy", filepath.Join("..", "tools", "reference", "npz_speed.py"), plain), ""))
	var rate []float64
	for _, seconds := range took[0] {
		rate = append(rate, size/seconds/1e9)
	}
	matrix := fmt.Sprintf("all %d vectors into a matrix of rows of length one, checksums verified", len(keys))
	turns.Note(t,
		turns.Line{Work: fmt.Sprintf("insert %d vectors of 1152 float32, %d a transaction, outliving a loss of power", len(keys), writeBatch), Unit: "rows/s", Rate: true, Ours: inserts, Goal: turns.Goal{Least: 25_000}},
		turns.Line{Work: fmt.Sprintf("make the file to be mapped of %d vectors", len(keys)), Unit: "GB/s", Rate: true, Ours: []float64{size / building / 1e9}},
		turns.Line{Work: matrix, Unit: "GB/s", Rate: true, Ours: rate, Goal: turns.Goal{Least: 1.5}},
		turns.Line{Work: matrix, Unit: "s", Ours: took[0], Peer: "NumPy, from a compressed npz", Theirs: took[1], Goal: turns.Goal{Ratio: 5}})
}

// insertTimed stores n random vectors and returns the seconds that storing took.
func insertTimed(t *testing.T, c *Cache, s Space, n int) (keys []Key, seconds float64) {
	t.Helper()
	shelf, err := c.open(t.Context(), s, "")
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(5, 5))
	for at := 0; at < n; at += writeBatch {
		batch := make([]stored, min(writeBatch, n-at))
		for i := range batch {
			batch[i] = stored{key: Key{Content: sha256.Sum256([]byte(strconv.Itoa(at + i)))}, values: make([]float32, s.Dim)}
			for j := range batch[i].values {
				batch[i].values[j] = float32(random.NormFloat64())
			}
			keys = append(keys, batch[i].key)
		}
		start := time.Now()
		if err := c.write(t.Context(), shelf, batch, nil); err != nil {
			t.Fatal(err)
		}
		seconds += time.Since(start).Seconds()
	}
	return keys, seconds
}

// TestSecondFillSpeed notes how long a fill takes that has nothing to do.
func TestSecondFillSpeed(t *testing.T) {
	rounds := turns.Rounds(t)
	d, _ := old(t, *cacheFiles)
	c, enc := newCache(t), &brightness{name: "e"}
	mustFill(t, c, d, enc, FillOptions{Batch: 512})
	took := turns.Take(rounds, turns.Seconds(t, func() error {
		f, err := c.Fill(t.Context(), d, enc, FillOptions{})
		if err == nil && f.Embedded > 0 {
			err = fmt.Errorf("%d were embedded again", f.Embedded)
		}
		return err
	}))
	turns.Note(t, turns.Line{Work: fmt.Sprintf("embed %d files that have not changed", *cacheFiles), Unit: "s", Ours: took[0], Goal: turns.Goal{Most: 5}})
}

// TestExportMemory notes how much memory an export of many vectors takes.
func TestExportMemory(t *testing.T) {
	turns.Rounds(t)
	path := filepath.Join(t.TempDir(), "cache.db")
	c := openCache(t, path)
	s := Space{Encoder: "e", Dim: 1152}
	insertTimed(t, c, s, *exportRows)
	debug.FreeOSMemory()
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // forget the peak
	n, err := c.Export(t.Context(), s, filepath.Join(t.TempDir(), "out.npz"), ExportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	turns.Note(t, turns.Line{Work: fmt.Sprintf("most memory of the process while %d vectors are exported", n), Unit: "MB",
		Ours: []float64{float64(resident(t, "VmHWM"))}, Goal: turns.Goal{Most: 200}})
}

// resident returns a figure of this process's memory in MB.
func resident(t *testing.T, name string) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	needs.Granted(t, "proc", err)
	for line := range strings.Lines(string(status)) {
		if figure, ok := strings.CutPrefix(line, name+":"); ok {
			kB, err := strconv.Atoi(strings.Fields(figure)[0])
			if err != nil {
				t.Fatal(err)
			}
			return kB / 1000
		}
	}
	t.Fatalf("no %s", name)
	return 0
}
