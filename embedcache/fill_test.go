package embedcache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/internal/vec"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// brightness is an encoder whose vector is known: mean brightness, width,
// height. It refuses images that are all black.
type brightness struct {
	name    string
	images  atomic.Int64
	onBatch func()
}

func (b *brightness) Fingerprint() string           { return b.name }
func (b *brightness) PreprocessFingerprint() string { return "grey" }
func (b *brightness) Dim() int                      { return 3 }

func (b *brightness) Preprocess(img image.Image) ([]float32, error) {
	r, sum := img.Bounds(), 0
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			sum += int(color.GrayModel.Convert(img.At(x, y)).(color.Gray).Y)
		}
	}
	return []float32{float32(sum) / float32(r.Dx()*r.Dy()), float32(r.Dx()), float32(r.Dy())}, nil
}

func (b *brightness) EncodePixels(ctx context.Context, pixels [][]float32) ([][]float32, error) {
	if b.onBatch != nil {
		b.onBatch()
	}
	if slices.ContainsFunc(pixels, func(p []float32) bool { return p[0] == 0 }) {
		return nil, errors.New("too dark")
	}
	b.images.Add(int64(len(pixels)))
	return slices.Clone(pixels), ctx.Err()
}

func greyPNG(t testing.TB, level uint8, w, h int) []byte {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, w, h))
	for i := range img.Pix {
		img.Pix[i] = level
	}
	var buf bytes.Buffer
	if err := png.Encode(&buf, img); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// dataset writes n grey images and opens them as a dataset.
func dataset(t testing.TB, n int, more map[string][]byte) *datasets.Dataset {
	t.Helper()
	return datasetIn(t, t.TempDir(), n, more)
}

func datasetIn(t testing.TB, dir string, n int, more map[string][]byte) *datasets.Dataset {
	t.Helper()
	var table strings.Builder
	table.WriteString("path,effusion\n")
	for i := range n {
		name := fmt.Sprintf("%03d.png", i)
		if err := os.WriteFile(filepath.Join(dir, name), greyPNG(t, uint8(1+i%250), 8, 4+i/250), 0o600); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&table, "%s,%d\n", name, i%2)
	}
	for name, data := range more {
		if data != nil {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		table.WriteString(name + ",1\n")
	}
	path := filepath.Join(dir, "labels.csv")
	if err := os.WriteFile(path, []byte(table.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := datasets.Open(t.Context(), datasets.Spec{Format: "csv", Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func openCache(t testing.TB, path string) *Cache {
	t.Helper()
	c, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func newCache(t testing.TB) *Cache { return openCache(t, filepath.Join(t.TempDir(), "cache.db")) }

func mustFill(t testing.TB, c *Cache, d *datasets.Dataset, enc ImageEncoder, o FillOptions) *Filled {
	t.Helper()
	f, err := c.Fill(t.Context(), d, enc, o)
	if err != nil {
		t.Fatal(err)
	}
	if f.Embedded+f.Cached+len(f.Failed) != f.Samples || len(f.Keys) != f.Samples {
		t.Fatalf("%d embedded + %d cached + %d failed, %d keys: want %d samples", f.Embedded, f.Cached, len(f.Failed), len(f.Keys), f.Samples)
	}
	return f
}

func TestSecondFillEncodesNothing(t *testing.T) {
	c, d, enc := newCache(t), dataset(t, 50, nil), &brightness{name: "e"}
	first := mustFill(t, c, d, enc, FillOptions{})
	second := mustFill(t, c, d, enc, FillOptions{})
	if first.Embedded != 50 || second.Cached != 50 || enc.images.Load() != 50 {
		t.Errorf("first %d embedded, second %d cached, %d encoder calls: want 50 each", first.Embedded, second.Cached, enc.images.Load())
	}
}

func TestHitEqualsRecomputationWhateverTheWorkers(t *testing.T) {
	d := dataset(t, 40, nil)
	var want []float32
	for _, workers := range []int{1, 2, 7} {
		c, enc := newCache(t), &brightness{name: "e"}
		mustFill(t, c, d, enc, FillOptions{Workers: workers, Batch: 3})
		f := mustFill(t, c, d, enc, FillOptions{Workers: workers})
		m, err := c.Matrix(t.Context(), SpaceOf(enc), f.Keys)
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = m.Data
		}
		if !slices.Equal(m.Data, want) {
			t.Errorf("%d workers give other vectors", workers)
		}
	}
	for i := 0; i < len(want); i += 3 {
		if n := want[i]*want[i] + want[i+1]*want[i+1] + want[i+2]*want[i+2]; n < 0.99999 || n > 1.00001 {
			t.Errorf("row %d has squared length %v, want 1", i/3, n)
		}
	}
}

func TestAnotherEncoderPixelOrRegionIsNoHit(t *testing.T) {
	c, enc := newCache(t), &brightness{name: "e"}
	mustFill(t, c, dataset(t, 1, nil), enc, FillOptions{})
	if f := mustFill(t, c, dataset(t, 1, nil), &brightness{name: "other"}, FillOptions{}); f.Embedded != 1 {
		t.Error("vectors of one encoder served for another")
	}
	d := dataset(t, 1, nil)
	d.Samples[0].Source.Region = image.Rect(0, 0, 4, 4)
	if f := mustFill(t, c, d, enc, FillOptions{}); f.Embedded != 1 {
		t.Error("vector of the whole image served for a region")
	}
	if f := mustFill(t, c, dataset(t, 1, nil), enc, FillOptions{}); f.Cached != 1 {
		t.Error("the same bytes under another path are not a hit")
	}
}

func TestTwinsAreEncodedOnce(t *testing.T) {
	grey := greyPNG(t, 77, 3, 3)
	c, enc := newCache(t), &brightness{name: "e"}
	f := mustFill(t, c, dataset(t, 0, map[string][]byte{"a.png": grey, "b.png": grey, "c.png": grey}), enc, FillOptions{Batch: 2})
	if f.Embedded != 1 || f.Cached != 2 {
		t.Errorf("%d embedded, %d cached: want 1 and 2", f.Embedded, f.Cached)
	}
	dark := greyPNG(t, 0, 3, 3)
	f = mustFill(t, c, dataset(t, 0, map[string][]byte{"a.png": dark, "b.png": dark}), enc, FillOptions{MaxFailures: -1})
	if len(f.Failed) != 2 {
		t.Errorf("failed %v: want both twins", f.Failed)
	}
}

func TestOneBadImageCostsOnlyItself(t *testing.T) {
	c, enc := newCache(t), &brightness{name: "e"}
	d := dataset(t, 20, map[string][]byte{
		"dark.png": greyPNG(t, 0, 5, 5), "text.png": []byte("not an image"), "cut.png": greyPNG(t, 9, 50, 50)[:60],
		"missing.png": nil, "empty.png": {},
	})
	f := mustFill(t, c, d, enc, FillOptions{MaxFailures: -1})
	if f.Embedded != 20 || len(f.Failed) != 5 {
		t.Fatalf("%d embedded, failed %v: want 20 and 5", f.Embedded, f.Failed)
	}
	for _, failure := range f.Failed {
		want := map[string]string{"dark.png": "too dark", "missing.png": "no such file", "empty.png": "empty", "text.png": "", "cut.png": ""}[failure.ID]
		if failure.Reason == "" || !strings.Contains(failure.Reason, want) {
			t.Errorf("%s failed with %q, want it to say %q", failure.ID, failure.Reason, want)
		}
	}
}

func TestTooManyFailuresStopTheRun(t *testing.T) {
	c := newCache(t)
	d := dataset(t, 5, map[string][]byte{"a.png": nil, "b.png": nil, "c.png": nil})
	_, err := c.Fill(t.Context(), d, &brightness{name: "e"}, FillOptions{MaxFailures: 1})
	var tooMany *TooManyFailuresError
	if !errors.As(err, &tooMany) || tooMany.Limit != 1 || tooMany.Failed != 2 {
		t.Errorf("Fill = %v, want a TooManyFailuresError after 2", err)
	}
}

func TestInterruptedFillGoesOnWhereItWas(t *testing.T) {
	c, d := newCache(t), dataset(t, 64, nil)
	ctx, cancel := context.WithCancel(t.Context())
	batches := 0
	enc := &brightness{name: "e"}
	enc.onBatch = func() {
		if batches++; batches == 3 {
			cancel()
		}
	}
	if _, err := c.Fill(ctx, d, enc, FillOptions{Batch: 8}); !errors.Is(err, context.Canceled) {
		t.Fatalf("Fill = %v, want the cancellation", err)
	}
	enc.onBatch = nil
	f := mustFill(t, c, d, enc, FillOptions{Batch: 8})
	if f.Cached != 16 || f.Embedded != 48 {
		t.Errorf("%d cached, %d embedded: want the 16 of two full batches, and 48", f.Cached, f.Embedded)
	}
}

func TestDamagedVectorIsFoundAndReplaced(t *testing.T) {
	c, d, enc := newCache(t), dataset(t, 10, nil), &brightness{name: "e"}
	f := mustFill(t, c, d, enc, FillOptions{})
	if _, err := c.db.Exec(`UPDATE vector SET data = zeroblob(12) WHERE id = 4`); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Matrix(t.Context(), SpaceOf(enc), f.Keys); !errors.Is(err, ErrDamaged) {
		t.Errorf("Matrix over a damaged row: %v, want ErrDamaged", err)
	}
	if again := mustFill(t, c, d, enc, FillOptions{}); again.Embedded != 1 || again.Cached != 9 {
		t.Errorf("%d embedded, %d cached: want the damaged one replaced", again.Embedded, again.Cached)
	}
	if _, err := c.Matrix(t.Context(), SpaceOf(enc), f.Keys); err != nil {
		t.Errorf("Matrix after the repair: %v", err)
	}
	if _, err := c.db.Exec(`UPDATE vector SET data = (SELECT data FROM vector WHERE id = 2), sum = (SELECT sum FROM vector WHERE id = 2) WHERE id = 3`); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Matrix(t.Context(), SpaceOf(enc), f.Keys); !errors.Is(err, ErrDamaged) {
		t.Errorf("Matrix over a row with another row's vector and checksum: %v, want ErrDamaged", err)
	}
}

func TestMatrixNamesTheMissingRow(t *testing.T) {
	c := newCache(t)
	_, err := c.Matrix(t.Context(), Space{Encoder: "e", Preprocess: "p", Dim: 3}, []Key{{Content: [32]byte{0xab}}})
	if !errors.Is(err, ErrNotStored) || !strings.Contains(err.Error(), "row 0, content ab") {
		t.Errorf("Matrix = %v", err)
	}
}

func TestParseMaxFailures(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text string
		want int
		ok   bool
	}{{"0", 0, true}, {"7", 7, true}, {"5%", 10, true}, {"inf", -1, true}, {"-1", 0, false}, {"x", 0, false}, {"101%", 0, false}, {"", 0, false}, {"NaN%", 0, false}} {
		got, err := ParseMaxFailures(tt.text, 200)
		if (err == nil) != tt.ok || got != tt.want {
			t.Errorf("ParseMaxFailures(%q) = %d, %v", tt.text, got, err)
		}
	}
}

func TestRawVectorsAreThoseOfTheTower(t *testing.T) {
	t.Parallel()
	c, enc := newCache(t), &brightness{name: "a"}
	d := dataset(t, 3, nil)
	filled := mustFill(t, c, d, enc, FillOptions{})
	raw, err := c.Raw(t.Context(), SpaceOf(enc), filled.Keys)
	if err != nil {
		t.Fatal(err)
	}
	unit, err := c.Matrix(t.Context(), SpaceOf(enc), filled.Keys)
	if err != nil {
		t.Fatal(err)
	}
	longer := 0
	for i := range raw.Rows {
		row := slices.Clone(raw.Data[i*raw.Stride : i*raw.Stride+raw.Cols])
		if vec.Unit(row, row) != nil || !slices.Equal(row, unit.Data[i*unit.Stride:i*unit.Stride+unit.Cols]) {
			t.Errorf("row %d: %v scaled is not %v", i, raw.Data[i*raw.Stride:], unit.Data[i*unit.Stride:])
		}
		if !slices.Equal(row, raw.Data[i*raw.Stride:i*raw.Stride+raw.Cols]) {
			longer++
		}
	}
	if longer == 0 {
		t.Error("every raw vector has length one: the test tests nothing")
	}
}
