package encoder

import (
	"os"
	"path/filepath"
	"testing"
)

// What stands beside a lone model in YAML.
func FuzzOnnxConfig(f *testing.F) {
	f.Add([]byte("mean: [0.5, 0.5, 0.5]\nstd: [0.5, 0.5, 0.5]\nresample: bilinear\n"))
	f.Add([]byte("mean: [.nan, 1, 2]\nstd: [0, -1, .inf]\nimage_size: 99999999999\ncrop: {a: b}\n"))
	f.Add([]byte("input: &a [*a]\n"))
	dir := f.TempDir()
	model := filepath.Join(dir, "m.onnx")
	if err := os.WriteFile(model, []byte("x"), 0o600); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(filepath.Join(dir, "m.yaml"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		if m, err := findONNX(model, ImportOptions{Precision: precisionFP32}); err == nil && m == nil {
			t.Error("neither a model nor an error")
		}
	})
}

func FuzzPreprocessorConfig(f *testing.F) {
	f.Add([]byte(`{"do_resize": true, "resample": 3, "size": {"height": 448, "width": 448}, "image_std": [0.5, 0.5, 0.5]}`))
	f.Add([]byte(`{"size": {"shortest_edge": 512}, "crop_size": 448, "do_center_crop": true, "rescale_factor": 1e-300}`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(dir, "preprocessor_config.json")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, profile := range Profiles() {
			if p, err := loadPreprocessor(path, 448, Profile(profile)); err == nil && p.Fingerprint() == "" {
				t.Error("a preprocessing without a fingerprint")
			}
		}
	})
}
