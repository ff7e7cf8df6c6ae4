package encoder

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/medprobe/medprobe/internal/needs"
	"github.com/medprobe/medprobe/internal/safetensors"
)

// many returns n images made of the golden ones, and what the encoder gives
// for each of them alone.
func many(t testing.TB, e *Encoder, checkpoint string, n int) (pixels, vectors [][]float32) {
	t.Helper()
	g := readGolden(t, filepath.Join(checkpoint, "golden.npz"))
	for i := range n {
		p := slices.Clone(g.pixels[i%len(g.pixels)])
		p[0] = float32(i) / float32(n)
		pixels = append(pixels, p)
		v, err := e.EncodePixels(t.Context(), [][]float32{p})
		if err != nil {
			t.Fatal(err)
		}
		vectors = append(vectors, v[0])
	}
	return pixels, vectors
}

func TestOrderAndBatchesDoNotMatter(t *testing.T) {
	t.Parallel()
	const checkpoint = "testdata/siglip-f16"
	e := imported(t, checkpoint)
	pixels, alone := many(t, e, checkpoint, 2*maxBatch+3)
	together, err := e.EncodePixels(t.Context(), pixels)
	if err != nil {
		t.Fatal(err)
	}
	for i := range alone {
		// The blocks of a matrix product depend on its size, and the last bits
		// with them.
		if d := distance(together[i], alone[i]); !(d < 2e-6) {
			t.Errorf("image %d: alone and in a batch differ by %.1e", i, d)
		}
	}
	if none, err := e.EncodePixels(t.Context(), nil); err != nil || len(none) != 0 {
		t.Errorf("no images: %v, %v", none, err)
	}
}

func TestConcurrentUseGivesTheSameVectors(t *testing.T) {
	t.Parallel()
	const checkpoint = "testdata/siglip-f16"
	e := imported(t, checkpoint)
	pixels, alone := many(t, e, checkpoint, 8)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i, p := range pixels {
				got, err := e.EncodePixels(context.Background(), [][]float32{p})
				if err != nil || !slices.Equal(got[0], alone[i]) {
					t.Errorf("image %d: other vector beside other runs (%v)", i, err)
				}
				if _, err := e.EncodeTexts(context.Background(), []string{fmt.Sprint("text ", i)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestEqualTextsHaveEqualVectorsOfTheirOwn(t *testing.T) {
	t.Parallel()
	e := imported(t, "testdata/siglip-f16")
	got, err := e.EncodeTexts(t.Context(), []string{"normal", "dark upper zone", "normal", ""})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got[0], got[2]) || slices.Equal(got[0], got[1]) || slices.Equal(got[0], got[3]) {
		t.Error("want vectors 0 and 2 equal, the others different")
	}
	got[0][0]++
	if got[0][0] == got[2][0] {
		t.Error("changing one vector changes another")
	}
}

func TestWrongNumberOfPixelsIsAnError(t *testing.T) {
	t.Parallel()
	e := imported(t, "testdata/siglip-f16")
	good := make([]float32, 3*32*32)
	_, err := e.EncodePixels(t.Context(), [][]float32{good, good[1:]})
	if err == nil || !strings.Contains(err.Error(), "image 1 has 3071 pixel values: want 3·32·32") {
		t.Errorf("%v", err)
	}
}

func TestCancelledBeforeABatch(t *testing.T) {
	t.Parallel()
	e := imported(t, "testdata/siglip-f16")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.EncodePixels(ctx, [][]float32{make([]float32, 3*32*32)}); !errors.Is(err, context.Canceled) {
		t.Errorf("pixels: %v", err)
	}
	if _, err := e.EncodeTexts(ctx, []string{"a"}); !errors.Is(err, context.Canceled) {
		t.Errorf("texts: %v", err)
	}
	if _, err := e.EncodeImages(ctx, []image.Image{image.NewGray(image.Rect(0, 0, 9, 9))}); !errors.Is(err, context.Canceled) {
		t.Errorf("images: %v", err)
	}
}

// overwrite puts a float32 over the first value of a tensor.
func overwrite(t *testing.T, path, tensor string, value float32) {
	t.Helper()
	f, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	at, ok := f.Tensor(tensor)
	if !ok || at.DType != "F32" {
		t.Fatalf("%s: %+v, %v", tensor, at, ok)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	binary.LittleEndian.PutUint32(data[at.Offset:], math.Float32bits(value))
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestVectorThatIsNotFiniteIsAnErrorThatNamesTheItem(t *testing.T) {
	t.Parallel()
	e := imported(t, "testdata/siglip-f32")
	pixels := make([][]float32, maxBatch+2)
	for i := range pixels {
		pixels[i] = make([]float32, 3*32*32)
	}
	pixels[maxBatch][5] = float32(math.NaN())
	if _, err := e.EncodePixels(t.Context(), pixels); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("image %d:", maxBatch)) {
		t.Errorf("NaN among the pixels: %v", err)
	}
	for _, value := range []float64{math.NaN(), math.Inf(1)} {
		checkpoint := copyCheckpoint(t, "siglip-f32")
		overwrite(t, filepath.Join(checkpoint, "model.safetensors"), "text_model.head.bias", float32(value))
		e := imported(t, checkpoint)
		if _, err := e.EncodeTexts(t.Context(), []string{"a", "a", "b"}); err == nil || !strings.Contains(err.Error(), `text 0, "a"`) {
			t.Errorf("%v among the weights: %v", value, err)
		}
	}
}

func TestEncodeImagesCountsOverBatches(t *testing.T) {
	t.Parallel()
	e := imported(t, "testdata/siglip-f16")
	images := make([]image.Image, maxBatch+3)
	for i := range images {
		images[i] = image.NewGray(image.Rect(0, 0, 9+i, 9))
	}
	vectors, err := e.EncodeImages(t.Context(), images)
	if err != nil || len(vectors) != len(images) {
		t.Fatalf("%d vectors, %v: want %d", len(vectors), err, len(images))
	}
	images[maxBatch+1] = image.NewGray(image.Rectangle{})
	if _, err := e.EncodeImages(t.Context(), images); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("image %d:", maxBatch+1)) {
		t.Errorf("an empty image: %v", err)
	}
}

func TestClosedEncoderSaysSo(t *testing.T) {
	t.Parallel()
	e := imported(t, "testdata/siglip-f16")
	pixels := [][]float32{make([]float32, 3*32*32)}
	if _, err := e.EncodePixels(t.Context(), pixels); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.EncodePixels(t.Context(), pixels); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a loaded tower after Close: %v", err)
	}
	if _, err := e.EncodeTexts(t.Context(), []string{"a"}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a tower that was never loaded, after Close: %v", err)
	}
}

// Close waits for runs under way.
func TestCloseBesideRuns(t *testing.T) {
	t.Parallel()
	e := imported(t, "testdata/siglip-f16")
	pixels := [][]float32{make([]float32, 3*32*32)}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				if _, err := e.EncodePixels(context.Background(), pixels); err != nil && !errors.Is(err, os.ErrClosed) {
					t.Error(err)
				}
			}
		})
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
}

// THREATS row 25.
func TestManyRunsDoNotGrowTheProcess(t *testing.T) {
	needs.Time(t)
	needs.System(t, "linux") // measured by /proc
	e := imported(t, "testdata/siglip-f16")
	pixels := [][]float32{make([]float32, 3*32*32), make([]float32, 3*32*32)}
	run := func(n int) {
		for i := range n {
			if _, err := e.EncodePixels(t.Context(), pixels[:1+i%2]); err != nil {
				t.Fatal(err)
			}
			if _, err := e.EncodeTexts(t.Context(), []string{"normal"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	run(1000)
	before := resident(t)
	run(2000)
	// 4 MB are noise; 2,000 lost inputs would be 36.
	after := resident(t)
	if float64(after) > 1.05*float64(before)+4096 {
		t.Errorf("resident memory grew from %d to %d kB over 2,000 runs", before, after)
	}
	t.Logf("measured: 2,000 runs of both towers: resident memory %+.1f %% of %d MB", 100*float64(after-before)/float64(before), before>>10)
}

// resident is the process's resident memory in kB, after a collection.
func resident(t *testing.T) (kB int) {
	t.Helper()
	runtime.GC()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			if _, err := fmt.Sscanf(rest, "%d kB", &kB); err != nil {
				t.Fatal(err)
			}
		}
	}
	return kB
}

func BenchmarkEncodePixels(b *testing.B) {
	e := imported(b, "testdata/siglip-f32")
	g := readGolden(b, "testdata/siglip-f32/golden.npz")
	batch := make([][]float32, 0, maxBatch)
	for len(batch) < maxBatch {
		batch = append(batch, g.pixels[len(batch)%len(g.pixels)])
	}
	for b.Loop() {
		if _, err := e.EncodePixels(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*maxBatch)/b.Elapsed().Seconds(), "images/s")
}
