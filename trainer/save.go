package trainer

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"github.com/medprobe/medprobe/internal/atomicfile"
	"github.com/medprobe/medprobe/internal/safetensors"
	"gonum.org/v1/gonum/blas/blas32"
)

// headFormat is the version of the file; readers refuse others.
const headFormat = "medprobe.head/1"

// Save writes the head to a file; see [Head.Write].
func (h *Head) Save(path string) error {
	if err := atomicfile.Write(path, h.Write); err != nil {
		return fmt.Errorf("trainer: save: %w", err)
	}
	return nil
}

// Write writes the head as safetensors: weight [C, D], bias [C], and the rest
// as strings in the metadata. The same head gives the same bytes.
func (h *Head) Write(w io.Writer) error {
	metadata := map[string]string{
		"format": headFormat, "kind": h.Kind, "exclusive": strconv.FormatBool(h.Exclusive),
		"encoder": h.Space.Encoder, "preprocess": h.Space.Preprocess,
	}
	for key, v := range map[string]any{"classes": h.Classes, "fits": h.Fits, "notes": h.Notes} {
		text, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("trainer: write head: %s: %w", key, err)
		}
		metadata[key] = string(text)
	}
	return safetensors.Write(w, []safetensors.Array{
		{Name: "weight", Shape: []int{h.W.Rows, h.W.Cols}, Data: h.W.Data},
		{Name: "bias", Shape: []int{len(h.B)}, Data: h.B},
	}, metadata)
}

// LoadHead reads a head that Save wrote.
func LoadHead(path string) (*Head, error) {
	h, err := loadHead(path)
	if err != nil {
		return nil, fmt.Errorf("trainer: load head %s: %w", path, err)
	}
	return h, nil
}

func loadHead(path string) (*Head, error) {
	f, err := safetensors.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	metadata := f.Metadata()
	if metadata["format"] != headFormat {
		return nil, fmt.Errorf("format %q: want %s", metadata["format"], headFormat)
	}
	h := &Head{Kind: metadata["kind"], Space: Space{metadata["encoder"], metadata["preprocess"]}}
	if h.Exclusive, err = strconv.ParseBool(metadata["exclusive"]); err != nil {
		return nil, fmt.Errorf("exclusive: %w", err)
	}
	for key, v := range map[string]any{"classes": &h.Classes, "fits": &h.Fits, "notes": &h.Notes} {
		if err := json.Unmarshal([]byte(metadata[key]), v); err != nil {
			return nil, fmt.Errorf("metadata %s: %w", key, err)
		}
	}
	weight, ok := f.Tensor("weight")
	if !ok || len(weight.Shape) != 2 || weight.Shape[0] != len(h.Classes) {
		return nil, fmt.Errorf("weight %v: want [%d classes, dimensions]", weight.Shape, len(h.Classes))
	}
	h.W = blas32.General{Rows: weight.Shape[0], Cols: weight.Shape[1], Stride: max(1, weight.Shape[1])}
	if h.W.Data, err = f.Float32("weight"); err != nil {
		return nil, err
	}
	if h.B, err = f.Float32("bias"); err != nil {
		return nil, err
	}
	if len(h.B) != len(h.Classes) {
		return nil, fmt.Errorf("bias of %d: want %d, one per class", len(h.B), len(h.Classes))
	}
	if err := finite(h.W); err != nil {
		return nil, fmt.Errorf("weight: %w", err)
	}
	if err := finite(blas32.General{Rows: 1, Cols: len(h.B), Stride: len(h.B), Data: h.B}); err != nil {
		return nil, fmt.Errorf("bias: %w", err)
	}
	return h, nil
}

// Summary is what `medprobe fit --json` prints.
type Summary struct {
	Head    string   `json:"head"`
	Classes []string `json:"classes"`
	// Objective and Iterations are sums over the fits, GradientNorm is the
	// greatest and Converged holds if each has.
	Objective    float64    `json:"objective"`
	Iterations   int        `json:"iterations"`
	Converged    bool       `json:"converged"`
	GradientNorm float64    `json:"gradient_norm"`
	Labels       []ClassFit `json:"labels"`
	Notes        []string   `json:"notes"`
}

// Summary gathers the account of all fits.
func (h *Head) Summary() Summary {
	s := Summary{Head: h.Kind, Classes: h.Classes, Converged: true, Labels: h.Fits, Notes: append([]string{}, h.Notes...)}
	for _, f := range h.Fits {
		s.Objective += f.Objective
		s.Iterations += f.Iterations
		s.Converged = s.Converged && f.Converged
		s.GradientNorm = max(s.GradientNorm, f.GradientNorm)
	}
	return s
}
