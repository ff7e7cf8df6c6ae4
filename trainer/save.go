package trainer

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/medprobe/medprobe/internal/atomicfile"
	"github.com/medprobe/medprobe/internal/safetensors"
	"gonum.org/v1/gonum/blas/blas32"
)

// headFormat is the version of the file; readers refuse others. valuesFormat is
// that of heads that give values, so that none is taken for a classifier.
const (
	headFormat   = "medprobe.head/1"
	valuesFormat = "medprobe.values/1"
)

// Save writes the head to a file; see [Head.Write].
func (h *Head) Save(path string) error {
	if err := atomicfile.Write(path, h.Write); err != nil {
		return fmt.Errorf("trainer: save: %w", err)
	}
	return nil
}

// Write writes the head as safetensors: weight [C, D], bias [C], those of a
// cache, cache.keys [N, D] and cache.values [C, N], and of networks,
// network.0.layer.0.weight [units, inputs] and bias [units], and the rest as
// strings in the metadata. The arrays of a [Part] stand under part.0., with its
// metadata as one object. The same head gives the same bytes.
func (h *Head) Write(w io.Writer) error {
	arrays, metadata, err := h.shelve()
	if err != nil {
		return err
	}
	return safetensors.Write(w, arrays, metadata)
}

// shelve returns the arrays and metadata of the head.
func (h *Head) shelve() ([]safetensors.Array, map[string]string, error) {
	metadata := map[string]string{
		"format": headFormat, "kind": h.Kind, "exclusive": strconv.FormatBool(h.Exclusive),
		"encoder": h.Space.Encoder, "preprocess": h.Space.Preprocess,
	}
	if h.GivesValues() {
		metadata["format"] = valuesFormat
	}
	texts := map[string]any{"classes": h.Classes, "fits": h.Fits, "notes": h.Notes}
	arrays := []safetensors.Array{
		{Name: "weight", Shape: []int{h.W.Rows, h.W.Cols}, Data: h.W.Data},
		{Name: "bias", Shape: []int{len(h.B)}, Data: h.B},
	}
	if h.Calibration != nil {
		texts["calibration"] = h.Calibration
	}
	if h.Covariates != nil {
		texts["covariates"] = h.Covariates
	}
	if h.Thresholds != nil {
		texts["thresholds"] = h.Thresholds
	}
	if c := h.Cache; c != nil {
		texts["cache"] = cacheText{c.Alpha, c.Beta, c.Neighbours, c.Temperature}
		arrays = append(arrays,
			safetensors.Array{Name: "cache.keys", Shape: []int{c.Keys.Rows, c.Keys.Cols}, Data: compact(c.Keys).Data},
			safetensors.Array{Name: "cache.values", Shape: []int{c.Values.Rows, c.Values.Cols}, Data: compact(c.Values).Data})
	}
	if h.Votes != nil {
		arrays = append(arrays, h.Votes.arrays()...)
	}
	for i, n := range h.Networks {
		for l, w := range n.Weights {
			name := layerName(i, l)
			arrays = append(arrays,
				safetensors.Array{Name: name + ".weight", Shape: []int{w.Rows, w.Cols}, Data: w.Data},
				safetensors.Array{Name: name + ".bias", Shape: []int{w.Rows}, Data: n.Biases[l]})
		}
	}
	for i, p := range h.Parts {
		own, facts, err := p.Head.shelve()
		if err != nil {
			return nil, nil, err
		}
		for _, a := range own {
			a.Name = partName(i) + a.Name
			arrays = append(arrays, a)
		}
		texts[partName(i)] = partText{p.First, p.Weights, facts}
	}
	for key, v := range texts {
		text, err := json.Marshal(v)
		if err != nil {
			return nil, nil, fmt.Errorf("trainer: write head: %s: %w", key, err)
		}
		metadata[key] = string(text)
	}
	return arrays, metadata, nil
}

// partText is what the metadata say of a part.
type partText struct {
	First    int               `json:"first"`
	Weights  []float64         `json:"weights"`
	Metadata map[string]string `json:"metadata"`
}

func partName(part int) string { return fmt.Sprintf("part.%d.", part) }

// tensors are the arrays of a head in a file.
type tensors interface {
	Tensor(name string) (safetensors.Tensor, bool)
	Float32(name string) ([]float32, error)
}

// under are the arrays whose names begin with a prefix.
type under struct {
	tensors
	prefix string
}

func (u under) Tensor(name string) (safetensors.Tensor, bool) {
	return u.tensors.Tensor(u.prefix + name)
}
func (u under) Float32(name string) ([]float32, error) { return u.tensors.Float32(u.prefix + name) }

// cacheText is what the metadata say of a cache.
type cacheText struct {
	Alpha       []float64 `json:"alpha,omitempty"`
	Beta        []float64 `json:"beta,omitempty"`
	Neighbours  []int     `json:"neighbours,omitempty"`
	Temperature float64   `json:"temperature"`
}

func layerName(network, layer int) string { return fmt.Sprintf("network.%d.layer.%d", network, layer) }

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
	return readHead(f, f.Metadata())
}

// ReadHead reads a head that [Head.Write] wrote and that is in memory; errors call
// it by a name.
func ReadHead(name string, file []byte) (*Head, error) {
	f, err := safetensors.Read(name, file)
	if err != nil {
		return nil, fmt.Errorf("trainer: read head: %w", err)
	}
	h, err := readHead(f, f.Metadata())
	if err != nil {
		return nil, fmt.Errorf("trainer: read head %s: %w", name, err)
	}
	return h, nil
}

func readHead(f tensors, metadata map[string]string) (h *Head, err error) {
	h = &Head{Kind: metadata["kind"], Space: Space{metadata["encoder"], metadata["preprocess"]}}
	want := headFormat
	if h.GivesValues() {
		want = valuesFormat
	}
	if metadata["format"] != want {
		return nil, fmt.Errorf("format %q of a head %q: want %s", metadata["format"], h.Kind, want)
	}
	if h.Exclusive, err = strconv.ParseBool(metadata["exclusive"]); err != nil {
		return nil, fmt.Errorf("exclusive: %w", err)
	}
	for key, v := range map[string]any{"classes": &h.Classes, "fits": &h.Fits, "notes": &h.Notes} {
		if err := json.Unmarshal([]byte(metadata[key]), v); err != nil {
			return nil, fmt.Errorf("metadata %s: %w", key, err)
		}
	}
	if h.W, err = readMatrix(f, "weight"); err != nil {
		return nil, err
	}
	if h.W.Rows != len(h.Classes) {
		return nil, fmt.Errorf("weight of %d×%d: want [%d classes, dimensions]", h.W.Rows, h.W.Cols, len(h.Classes))
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
	if err := h.loadCalibration(metadata); err != nil {
		return nil, err
	}
	if text := metadata["covariates"]; text != "" {
		if err := json.Unmarshal([]byte(text), &h.Covariates); err != nil {
			return nil, fmt.Errorf("metadata covariates: %w", err)
		}
	}
	if err := h.checkCovariates(); err != nil {
		return nil, err
	}
	if err := h.loadCache(f, metadata["cache"]); err != nil {
		return nil, err
	}
	if h.Votes, err = readVotes(f); err != nil {
		return nil, err
	}
	if h.Votes != nil {
		if err := h.Votes.validate(len(h.Classes), h.W.Cols); err != nil {
			return nil, err
		}
	}
	if err := h.loadParts(f, metadata); err != nil {
		return nil, err
	}
	return h, h.loadNetworks(f)
}

func readMatrix(f tensors, name string) (m blas32.General, err error) {
	t, ok := f.Tensor(name)
	if !ok || len(t.Shape) != 2 {
		return m, fmt.Errorf("%s %v: want a matrix", name, t.Shape)
	}
	m = blas32.General{Rows: t.Shape[0], Cols: t.Shape[1], Stride: max(1, t.Shape[1])}
	m.Data, err = f.Float32(name)
	return m, err
}

// loadCalibration reads calibrations and thresholds, if there are any.
func (h *Head) loadCalibration(metadata map[string]string) error {
	for key, v := range map[string]any{"calibration": &h.Calibration, "thresholds": &h.Thresholds} {
		if text := metadata[key]; text != "" {
			if err := json.Unmarshal([]byte(text), v); err != nil {
				return fmt.Errorf("metadata %s: %w", key, err)
			}
		}
	}
	want := len(h.Classes)
	if h.Exclusive {
		want = 1
	}
	if n := len(h.Calibration); h.Calibration != nil && n != want {
		return fmt.Errorf("%d calibrations: want %d", n, want)
	}
	for i := range h.Calibration {
		if err := h.Calibration[i].validate(); err != nil {
			return err
		}
	}
	return nil
}

// loadCache reads the cache, if the file holds one.
func (h *Head) loadCache(f tensors, text string) (err error) {
	if text == "" {
		return nil
	}
	var c cacheText
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return fmt.Errorf("metadata cache: %w", err)
	}
	h.Cache = &Cache{Alpha: c.Alpha, Beta: c.Beta, Neighbours: c.Neighbours, Temperature: c.Temperature}
	if h.Cache.Keys, err = readMatrix(f, "cache.keys"); err != nil {
		return err
	}
	if h.Cache.Values, err = readMatrix(f, "cache.values"); err != nil {
		return err
	}
	return h.Cache.validate(len(h.Classes), h.W.Cols)
}

// loadParts reads the parts that the file holds. A part has none of its own.
func (h *Head) loadParts(f tensors, metadata map[string]string) error {
	for i := 0; metadata[partName(i)] != ""; i++ {
		var text partText
		if err := json.Unmarshal([]byte(metadata[partName(i)]), &text); err != nil {
			return fmt.Errorf("metadata %s: %w", partName(i), err)
		}
		if text.Metadata[partName(0)] != "" {
			return fmt.Errorf("%s: a part of a part", partName(i))
		}
		own, err := readHead(under{f, partName(i)}, text.Metadata)
		if err != nil {
			return fmt.Errorf("%s: %w", partName(i), err)
		}
		p := &Part{Head: own, First: text.First, Weights: text.Weights}
		if err := p.validate(h); err != nil {
			return fmt.Errorf("%s: %w", partName(i), err)
		}
		h.Parts = append(h.Parts, p)
	}
	return nil
}

// validate checks a part for its head.
func (p *Part) validate(h *Head) error {
	dim := h.W.Cols
	if h.Covariates != nil {
		dim -= h.Covariates.Width()
	}
	last := p.First + len(p.Weights)
	if p.First < 0 || last > len(h.Classes) || !slices.Equal(p.Head.Classes, h.Classes[p.First:last]) || p.Head.W.Cols != dim || p.Head.Covariates != nil {
		return fmt.Errorf("a %s of %d dimensions for %q, with %d weights from class %d on: want %d dimensions, and classes of %q", p.Head.Kind, p.Head.W.Cols, p.Head.Classes, len(p.Weights), p.First, dim, h.Classes)
	}
	return nil
}

// loadNetworks reads the networks that the file holds.
func (h *Head) loadNetworks(f tensors) error {
	outputs := 0
	for i := 0; ; i++ {
		n := &Network{}
		for l := 0; ; l++ {
			name := layerName(i, l)
			if _, ok := f.Tensor(name + ".weight"); !ok {
				break
			}
			w, err := readMatrix(f, name+".weight")
			if err != nil {
				return err
			}
			b, err := f.Float32(name + ".bias")
			if err != nil {
				return err
			}
			n.Weights, n.Biases = append(n.Weights, w), append(n.Biases, b)
		}
		if len(n.Weights) == 0 {
			break
		}
		if err := n.validate(h.W.Cols); err != nil {
			return err
		}
		h.Networks = append(h.Networks, n)
		outputs += n.outputs()
	}
	if len(h.Networks) > 0 && outputs != len(h.Classes) {
		return fmt.Errorf("networks of %d outputs: want %d, one per class", outputs, len(h.Classes))
	}
	return nil
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
	// Calibration and Thresholds are there where they were asked for.
	Calibration []Calibration `json:"calibration,omitempty"`
	Thresholds  []Threshold   `json:"thresholds,omitempty"`
	Notes       []string      `json:"notes"`
}

// Summary gathers the account of all fits.
func (h *Head) Summary() Summary {
	s := Summary{Head: h.Kind, Classes: h.Classes, Converged: true, Labels: h.Fits, Calibration: h.Calibration, Thresholds: h.Thresholds, Notes: append([]string{}, h.Notes...)}
	for _, f := range h.Fits {
		s.Objective += f.Objective
		s.Iterations += f.Iterations
		s.Converged = s.Converged && f.Converged
		s.GradientNorm = max(s.GradientNorm, f.GradientNorm)
	}
	return s
}
