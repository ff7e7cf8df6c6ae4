package encoder

import (
	"io"
	"os"
	"path/filepath"
	"testing"
)

// FuzzConfig: whatever config.json says of the tensors, the answer is a graph
// or an error.
func FuzzConfig(f *testing.F) {
	for _, name := range checkpoints {
		text, err := os.ReadFile(filepath.Join("testdata", name, "config.json"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"model_type":"siglip"}`))
	f.Add([]byte(`{"model_type":"siglip","vision_config":{"num_hidden_layers":1048576,"image_size":16384,"patch_size":1}}`))
	f.Add([]byte(`{"model_type":"siglip","text_config":null,"vision_config":[]}`))
	dir := copyCheckpoint(f, "siglip-f16")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(filepath.Join(dir, "config.json"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := openCheckpoint(dir)
		if err != nil {
			return
		}
		defer c.Close()
		for _, precision := range Precisions() {
			if model, err := buildVision(c, precision, "w", io.Discard); err == nil && len(model) == 0 {
				t.Error("neither graph nor error")
			}
			if c.config.Text == nil {
				continue
			}
			if model, err := buildText(c, precision, "w", io.Discard); err == nil && len(model) == 0 {
				t.Error("neither graph nor error")
			}
		}
	})
}
