package embedcache

import (
	"bufio"
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/medprobe/medprobe/internal/npy"
)

var (
	cacheRows  = flag.Int("cache-rows", 50_000, "vectors that the cache is measured with")
	cacheFiles = flag.Int("cache-files", 100_000, "files that are embedded twice")
	exportRows = flag.Int("export-rows", 1_000_000, "vectors that are exported while memory is watched")
)

// TestCacheSpeed prints how fast the cache takes vectors in and gives them back,
// beside NumPy on the same vectors, in turns. It asserts nothing: machines are
// shared.
func TestCacheSpeed(t *testing.T) {
	if *speed == 0 {
		t.Skip("make bench-cache runs it")
	}
	s := Space{Encoder: "e", Dim: 1152}
	c := newCache(t)
	keys, inserting := insertTimed(t, c, s, *cacheRows)
	start := time.Now()
	sidecarOf(t, c, s)
	building := time.Since(start).Seconds()

	size := float64(len(keys)) * 4 * 1152
	python := newNumPy(t, raw(t, c, s, keys), len(keys))
	var ours, theirs []float64
	for range *speed {
		start = time.Now()
		if _, err := c.Matrix(t.Context(), s, keys); err != nil {
			t.Fatal(err)
		}
		ours = append(ours, time.Since(start).Seconds())
		if python != nil {
			theirs = append(theirs, python())
		}
	}
	fmt.Printf("\n%d vectors of 1152 float32, %d processors, median of %d in turns\n\n| what | seconds | spread | rate |\n|---|---|---|---|\n", len(keys), runtime.GOMAXPROCS(0), *speed)
	fmt.Printf("| insert, %d a transaction, outliving a loss of power | %.2f | | %.0f rows/s |\n", writeBatch, inserting, float64(len(keys))/inserting)
	fmt.Printf("| make the sidecar | %.2f | | %.2f GB/s |\n", building, size/building/1e9)
	line := func(what string, seconds []float64) float64 {
		m := slices.Sorted(slices.Values(seconds))[len(seconds)/2]
		fmt.Printf("| %s | %.3f | %.3f–%.3f | %.2f GB/s |\n", what, m, slices.Min(seconds), slices.Max(seconds), size/m/1e9)
		return m
	}
	m := line("read all into a matrix of rows of length one, checksums verified", ours)
	if python != nil {
		fmt.Printf("\nNumPy from a compressed npz takes %.1f times as long\n", line("NumPy: load them from a compressed npz", theirs)/m)
	}
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

// newNumPy returns a function that lets NumPy load the vectors from a compressed
// archive and returns its seconds; nil where there is no NumPy.
func newNumPy(t *testing.T, values []float32, rows int) func() float64 {
	t.Helper()
	dir := t.TempDir()
	file(t, dir, "plain.npy", func(w io.Writer) error { return npy.Write(w, []int{rows, 1152}, values) })
	cmd := exec.CommandContext(t.Context(), "/usr/bin/python3", "-c", `
import sys, time, numpy
numpy.savez_compressed("x.npz", x=numpy.load("plain.npy"))
print("ready", flush=True)
for _ in sys.stdin:
    start = time.perf_counter()
    x = numpy.load("x.npz")["x"]
    print(time.perf_counter() - start, flush=True)`)
	cmd.Dir = dir
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if cmd.Start() != nil {
		return nil
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait() // it has said what it had to say
	})
	answers := bufio.NewScanner(out)
	if !answers.Scan() {
		return nil
	}
	return func() float64 {
		fmt.Fprintln(in)
		answers.Scan()
		seconds, err := strconv.ParseFloat(answers.Text(), 64)
		if err != nil {
			t.Fatalf("NumPy said %q", answers.Text())
		}
		return seconds
	}
}

// TestSecondFillSpeed prints how long a fill takes that has nothing to do.
func TestSecondFillSpeed(t *testing.T) {
	if *speed == 0 {
		t.Skip("make bench-cache runs it")
	}
	d, _ := old(t, *cacheFiles)
	c, enc := newCache(t), &brightness{name: "e"}
	start := time.Now()
	mustFill(t, c, d, enc, FillOptions{Batch: 512})
	first := time.Since(start)
	var again []float64
	for range *speed {
		start = time.Now()
		if f := mustFill(t, c, d, enc, FillOptions{}); f.Embedded > 0 {
			t.Fatalf("%d were embedded again", f.Embedded)
		}
		again = append(again, time.Since(start).Seconds())
	}
	fmt.Printf("\n%d files: %.1f s the first time; unchanged, %.2f s (%.2f–%.2f) the second time\n", *cacheFiles, first.Seconds(),
		slices.Sorted(slices.Values(again))[len(again)/2], slices.Min(again), slices.Max(again))
}

// TestExportMemory prints how much memory an export of many vectors takes.
func TestExportMemory(t *testing.T) {
	if *speed == 0 {
		t.Skip("make bench-cache runs it")
	}
	path := filepath.Join(t.TempDir(), "cache.db")
	c := openCache(t, path)
	s := Space{Encoder: "e", Dim: 1152}
	insertTimed(t, c, s, *exportRows)
	debug.FreeOSMemory()
	before := resident(t, "VmRSS")
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // forget the peak
	start := time.Now()
	n, err := c.Export(t.Context(), s, filepath.Join(t.TempDir(), "out.npz"), ExportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("\nexport of %d vectors: %.1f s, %d MB at most, %d MB before\n", n, time.Since(start).Seconds(), resident(t, "VmHWM"), before)
}

// resident returns a figure of this process's memory in MB.
func resident(t *testing.T, name string) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip("no /proc here")
	}
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
