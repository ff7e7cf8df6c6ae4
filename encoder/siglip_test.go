package encoder

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/medprobe/medprobe/internal/needs"
	"github.com/medprobe/medprobe/internal/npy"
)

// checkpoints are the folders of testdata that tools/reference/siglip.py made.
var checkpoints = []string{"siglip-f32", "siglip-f16", "siglip-bf16", "siglip-sharded", "siglip-erf"}

// needRuntime skips the test where ONNX Runtime is absent.
func needRuntime(t testing.TB) {
	t.Helper()
	if _, _, err := FindRuntime(""); err != nil {
		needs.Skip(t, err.Error())
	}
}

// imported imports a checkpoint into a folder of the test and opens it.
func imported(t testing.TB, checkpoint string) *Encoder {
	t.Helper()
	needRuntime(t)
	dir := t.TempDir()
	m, err := Import(context.Background(), checkpoint, ImportOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	e, err := Open(dir, m.Name, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// golden holds the arrays of a golden.npz, each cut into its rows.
type golden struct {
	pixels                                            [][]float32
	ids                                               [][]int64
	imageRaw, imageEmbeds, textRaw, textEmbeds, logit [][]float32
}

func readGolden(t testing.TB, path string) golden {
	t.Helper()
	a, err := npy.OpenArchive(path)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	array := func(name string) *npy.Array {
		x, err := a.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	floats := func(name string) [][]float32 {
		x := array(name)
		values, err := x.Float32()
		if err != nil {
			t.Fatal(err)
		}
		return rows(values, x.Shape[0])
	}
	ids := array("input_ids")
	values, err := ids.Int64()
	if err != nil {
		t.Fatal(err)
	}
	return golden{
		pixels: floats("pixels"), ids: rows(values, ids.Shape[0]),
		imageRaw: floats("image_raw"), imageEmbeds: floats("image_embeds"),
		textRaw: floats("text_raw"), textEmbeds: floats("text_embeds"), logit: floats("logits_per_image"),
	}
}

func rows[T any](values []T, n int) [][]T {
	out := make([][]T, n)
	for i := range out {
		out[i] = values[i*len(values)/n : (i+1)*len(values)/n]
	}
	return out
}

// The two forms of Gelu differ by 4e-4 on these checkpoints, every other
// mistake by more (tools/reference/siglip.py); float32 rounding by 1e-6.
func TestTowersAgreeWithPyTorch(t *testing.T) {
	t.Parallel()
	for _, name := range checkpoints {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkpoint := filepath.Join("testdata", name)
			checkTowers(t, checkpoint, filepath.Join(checkpoint, "golden.npz"))
		})
	}
}

// A checkpoint that may not be passed on, such as MedSigLIP's, is checked where
// it lies; tools/reference/siglip.py says how.
func TestOwnCheckpointAgreesWithPyTorch(t *testing.T) {
	checkpoint, golden := needs.Checkpoint(t)
	checkTowers(t, checkpoint, golden)
}

func checkTowers(t *testing.T, checkpoint, goldenFile string) {
	t.Helper()
	checkEncoder(t, imported(t, checkpoint), goldenFile)
}

func checkEncoder(t *testing.T, e *Encoder, goldenFile string) {
	t.Helper()
	want := readGolden(t, goldenFile)
	images, err := e.EncodePixels(t.Context(), want.pixels)
	if err != nil {
		t.Fatal(err)
	}
	texts, err := e.encodeIDs(t.Context(), want.ids)
	if err != nil {
		t.Fatal(err)
	}
	checkVectors(t, "image", images, want.imageRaw, want.imageEmbeds)
	checkVectors(t, "text", texts, want.textRaw, want.textEmbeds)
	worst := 0.
	for i := range images {
		for j := range texts {
			logit := cosineOf(images[i], texts[j])*e.LogitScale() + e.LogitBias()
			worst = max(worst, math.Abs(logit-float64(want.logit[i][j])))
		}
	}
	t.Logf("logits_per_image: largest difference %.1e", worst)
	if !(worst < 1e-4) {
		t.Errorf("logits_per_image differ by %.1e: want less than 1e-4", worst)
	}
}

func checkVectors(t *testing.T, what string, got, raw, embeds [][]float32) {
	t.Helper()
	if len(got) != len(raw) {
		t.Fatalf("%d %s vectors: want %d", len(got), what, len(raw))
	}
	lowest, farthest := 1., 0.
	for i := range got {
		lowest = min(lowest, cosineOf(got[i], embeds[i]))
		farthest = max(farthest, distance(got[i], raw[i]))
	}
	t.Logf("%s: 1 - cosine %.1e, distance %.1e", what, 1-lowest, farthest)
	if !(lowest > 1-1e-9) || !(farthest < 1e-5) {
		t.Errorf("%s: 1 - cosine %.1e, distance %.1e: want less than 1e-9 and 1e-5", what, 1-lowest, farthest)
	}
}

// distance is ‖a − b‖/‖b‖.
func distance(a, b []float32) float64 {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	var ab, bb float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		ab, bb = ab+(x-y)*(x-y), bb+y*y
	}
	return math.Sqrt(ab / bb)
}

// The same weights under another name, in another folder, or imported twice,
// are the same encoder; other weights are another.
func TestFingerprintFollowsTheWeights(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	seen := map[string]string{}
	for _, name := range checkpoints {
		m, err := Import(t.Context(), filepath.Join("testdata", name), ImportOptions{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[m.Fingerprint]; ok {
			t.Errorf("%s and %s share a fingerprint", name, other)
		}
		seen[m.Fingerprint] = name
	}
	moved := copyCheckpoint(t, "siglip-f32")
	m, err := Import(t.Context(), moved, ImportOptions{Dir: t.TempDir(), Name: "other", Source: "elsewhere"})
	if err != nil {
		t.Fatal(err)
	}
	if seen[m.Fingerprint] != "siglip-f32" {
		t.Errorf("a copy under another name has another fingerprint, %s", m.Fingerprint)
	}
	flip(t, filepath.Join(moved, "model.safetensors"), -1)
	changed, err := Import(t.Context(), moved, ImportOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if changed.Fingerprint == m.Fingerprint {
		t.Error("one changed bit of the weights leaves the fingerprint as it was")
	}
}

// copyCheckpoint copies a checkpoint of testdata, for tests that damage it.
func copyCheckpoint(t testing.TB, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", name))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// flip changes one bit of a file; a negative offset counts from the end.
func flip(t testing.TB, path string, offset int) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[(offset+len(data))%len(data)] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
