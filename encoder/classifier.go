package encoder

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/medprobe/medprobe/internal/safetensors"
)

// Classifier is the linear classifier that a fine-tuned checkpoint brought: the
// logits of an image are Weight·v + Bias for its vector v as the tower gives it,
// not of length one; a softmax over them, its probabilities.
type Classifier struct {
	Labels []string
	// Weight is [len(Labels), Dim], row by row.
	Weight []float32
	Bias   []float32
}

// Classifier returns the classifier that came with the encoder, or nil.
func (e *Encoder) Classifier() *Classifier { return e.classifier }

// loadClassifier returns the classifier of an encoder, or nil if it has none.
func loadClassifier(dir, name string) (*Classifier, error) {
	m, err := Show(dir, name)
	if err != nil || m.Labels == nil {
		return nil, err
	}
	path := filepath.Join(dir, name, classifierFile)
	f, err := safetensors.Open(path)
	if err != nil {
		return nil, fmt.Errorf("encoder: %w", err)
	}
	defer f.Close()
	c := &Classifier{Labels: m.Labels}
	for _, part := range []struct {
		name  string
		shape []int
		into  *[]float32
	}{{"weight", []int{len(m.Labels), m.Dim}, &c.Weight}, {"bias", []int{len(m.Labels)}, &c.Bias}} {
		t, ok := f.Tensor(part.name)
		if !ok || !slices.Equal(t.Shape, part.shape) {
			return nil, fmt.Errorf("encoder: %s: tensor %q has shape %v: want %v; import %s again", path, part.name, t.Shape, part.shape, name)
		}
		if *part.into, err = f.Float32(part.name); err != nil {
			return nil, fmt.Errorf("encoder: %w", err)
		}
	}
	return c, nil
}
