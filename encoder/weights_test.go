package encoder

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/internal/needs"
)

func TestFP16StaysCloseToFP32(t *testing.T) {
	t.Parallel()
	needs.Time(t)
	needRuntime(t)
	for _, checkpoint := range []string{"siglip-f32", "siglip-erf", "towers/medgemma"} {
		folder := filepath.Join("testdata", filepath.FromSlash(checkpoint))
		full, _ := openImport(t, folder, ImportOptions{})
		half, m := openImport(t, folder, ImportOptions{Precision: "fp16"})
		if m.Precision != "fp16" || half.Fingerprint() == full.Fingerprint() {
			t.Errorf("%s: %+v", checkpoint, m)
		}
		pixels := array(t, filepath.Join(folder, "golden.npz"), "pixels")
		a, err := full.EncodePixels(t.Context(), pixels)
		if err != nil {
			t.Fatal(err)
		}
		b, err := half.EncodePixels(t.Context(), pixels)
		if err != nil {
			t.Fatal(err)
		}
		if g := agreement(t, a, b); g.WorstCosine < 0.9999 || g.WorstCosine == 1 {
			t.Errorf("%s: cosine %v", checkpoint, g.WorstCosine)
		}
	}
}

func TestWeightBeyondFloat16IsRefusedByName(t *testing.T) {
	t.Parallel()
	dir := copyCheckpoint(t, "siglip-f32")
	overwrite(t, filepath.Join(dir, "model.safetensors"), "vision_model.post_layernorm.bias", 1e6)
	_, err := Import(t.Context(), dir, ImportOptions{Dir: t.TempDir(), Precision: "fp16"})
	if err == nil || !strings.Contains(err.Error(), `"vision_model.post_layernorm.bias": value 0 is 1e+06: float16 ends at 65504`) {
		t.Error(err)
	}
}
