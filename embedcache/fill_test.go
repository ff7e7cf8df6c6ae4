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

// Which failure ends the run does not depend on which worker was first: the bad image
// takes long to be read, the missing one no time.
func TestTheFirstFailureIsNamedWhateverTheWorkers(t *testing.T) {
	t.Parallel()
	broken := greyPNG(t, 9, 900, 900)
	for range 20 {
		c := newCache(t)
		d := dataset(t, 3, map[string][]byte{"a.png": broken[:len(broken)-20], "b.png": nil, "c.png": nil})
		r, err := c.Fill(t.Context(), d, &brightness{name: "e"}, FillOptions{Workers: 4})
		var tooMany *TooManyFailuresError
		if !errors.As(err, &tooMany) || len(r.Failed) != 1 || r.Failed[0] != tooMany.First || tooMany.First.ID != firstOf(d, "a.png", "b.png", "c.png") || tooMany.Failed != 1 {
			t.Fatalf("Fill = %v, want the first in the order of the samples", err)
		}
	}
}

// firstOf returns which of the samples comes first.
func firstOf(d *datasets.Dataset, ids ...string) string {
	for _, s := range d.Samples {
		if slices.Contains(ids, s.ID) {
			return s.ID
		}
	}
	return ""
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
