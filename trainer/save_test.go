package trainer

import (
	"os"
	"path/filepath"
	"testing"
)

// Whatever a file holds, LoadHead returns an error or a head that scores.
func FuzzLoadHead(f *testing.F) {
	s, prior := draw(4, 5, 1)
	h, err := Fit(f.Context(), s.X, binaryTargets(s.Labels), s.Groups, Options{Prior: prior})
	if err != nil {
		f.Fatal(err)
	}
	path := filepath.Join(f.TempDir(), "head.safetensors")
	if err := h.Save(path); err != nil {
		f.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:len(data)-1])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "head.safetensors")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		h, err := LoadHead(path)
		if err != nil {
			return
		}
		h.Summary()
		_, _ = h.Probabilities(h.W) // rows of the right dimension; the logits may overflow
	})
}
