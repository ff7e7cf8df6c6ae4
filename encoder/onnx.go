package encoder

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/medprobe/medprobe/internal/atomicfile"
	"github.com/medprobe/medprobe/internal/near"
	"github.com/medprobe/medprobe/internal/onnxfile"
	"github.com/medprobe/medprobe/internal/yamlfile"
)

// modelConfig is the YAML file that says of an ONNX model what it does not say
// of itself: MODEL.yaml beside MODEL.onnx, or medprobe.yaml in the folder of an
// export. What the folder's preprocessor_config.json or the graph says may be
// left out.
type modelConfig struct {
	// Size is the side of the square that the encoder sees, in pixels.
	Size int `yaml:"size"`
	// Mean and Std are those of the channels, red first, for values of 0 to 1.
	Mean []float32 `yaml:"mean"`
	Std  []float32 `yaml:"std"`
	// Layout is nchw or nhwc.
	Layout string `yaml:"layout"`
	// Input and Output name those of the image graph.
	Input  string `yaml:"input"`
	Output string `yaml:"output"`
	// Pool makes one vector of an output with one per token: cls, the first, or
	// mean, the mean of all.
	Pool string `yaml:"pool"`
	// Resample is bilinear or bicubic.
	Resample string `yaml:"resample"`
	// Crop is the shorter side before the middle is cut out; without it images
	// are stretched to the square.
	Crop int `yaml:"crop"`
	// LogitScale is the factor of the cosine in a logit, exp(logit_scale) of the
	// checkpoint, and LogitBias what is added.
	LogitScale *float64 `yaml:"logit_scale"`
	LogitBias  *float64 `yaml:"logit_bias"`
}

// The kinds of pooling.
const (
	poolCLS  = "cls"
	poolMean = "mean"
)

// onnxModel is an encoder given as ONNX graphs.
type onnxModel struct {
	image, text string // paths of the graphs; text may be empty
	// beside is the folder of what else belongs to the model, or empty.
	beside string
	config modelConfig
	// said is the path of the YAML file, be it there or not.
	said string
}

// findONNX returns the ONNX graphs in what is to be imported: a single model, or
// a folder as transformers.js lays it out and without weights to build from; nil
// where there are none.
func findONNX(src string, o ImportOptions) (*onnxModel, error) {
	info, err := os.Stat(src)
	if err != nil {
		return nil, nil
	}
	var m *onnxModel
	switch {
	case info.Mode().IsRegular() && strings.EqualFold(filepath.Ext(src), ".onnx"):
		if o.Precision != precisionFP32 {
			return nil, fmt.Errorf("%s: an ONNX model is taken as it is: --precision is for checkpoints", src)
		}
		m = &onnxModel{image: src, beside: filepath.Dir(src), said: strings.TrimSuffix(src, filepath.Ext(src)) + ".yaml"}
	case info.IsDir() && !exists(src, "model.safetensors") && !exists(src, "model.safetensors.index.json"):
		if m, err = findExport(src, o.Precision); err != nil || m == nil {
			return nil, err
		}
	default:
		return nil, nil
	}
	if o.Config != "" {
		m.said = o.Config
	}
	if _, err := os.Stat(m.said); err == nil || o.Config != "" {
		if err := yamlfile.Load(m.said, &m.config); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func exists(elements ...string) bool {
	_, err := os.Stat(filepath.Join(elements...))
	return err == nil
}

// exportEndings are how the names of an export's graphs end in each precision.
var exportEndings = map[string][]string{
	precisionFP32: {".onnx"}, precisionFP16: {"_fp16.onnx"}, precisionInt8: {"_int8.onnx", "_quantized.onnx"},
}

// exportGraphs returns the graphs of an export, by slash-separated path: of both
// towers, of the image tower, or of a model that has no other; empty for none.
func exportGraphs(has func(name string) bool, precision string) (image, text string) {
	graph := func(kind string) string {
		for _, ending := range exportEndings[precision] {
			if name := "onnx/" + kind + ending; has(name) {
				return name
			}
		}
		return ""
	}
	return cmp.Or(graph("vision_model"), graph("model")), graph("text_model")
}

// ExportFiles returns which of the files of a repository are the graphs of an
// export and their weights; none where there are safetensors to build from.
func ExportFiles(all []string, precision string) []string {
	has := func(name string) bool { return slices.Contains(all, name) }
	if has("model.safetensors") || has("model.safetensors.index.json") {
		return nil
	}
	image, text := exportGraphs(has, precision)
	return slices.DeleteFunc(slices.Clone(all), func(name string) bool {
		return !slices.ContainsFunc([]string{image, text}, func(graph string) bool {
			// Weights outside the graph stand beside it, as GRAPH_data, GRAPH_data_1
			// or GRAPH.data.
			return graph != "" && (name == graph || strings.HasPrefix(name, graph+"_data") || strings.HasPrefix(name, graph+".data"))
		})
	})
}

// findExport looks for the graphs of an export in a folder.
func findExport(dir, precision string) (*onnxModel, error) {
	image, text := exportGraphs(func(name string) bool { return exists(dir, name) }, precision)
	m := &onnxModel{beside: dir, said: filepath.Join(dir, "medprobe.yaml")}
	if text != "" {
		m.text = filepath.Join(dir, text)
	}
	if image != "" {
		m.image = filepath.Join(dir, image)
		return m, nil
	}
	others, _ := filepath.Glob(filepath.Join(dir, "onnx", "*.onnx"))
	if len(others) == 0 {
		return nil, nil
	}
	for i, other := range others {
		others[i] = filepath.Base(other)
	}
	return nil, fmt.Errorf("%s: no vision_model%s for --precision %s; there are %s", filepath.Join(dir, "onnx"), exportEndings[precision][0], precision, strings.Join(others, ", "))
}

// fill copies the graphs into the folder dir, with what they need to run.
func (m *onnxModel) fill(ctx context.Context, dir string, o ImportOptions) (*Manifest, error) {
	out := newManifest(o)
	image, bytes, err := m.imageTower(ctx, dir, out)
	if err != nil {
		return nil, err
	}
	shape, err := o.try(ctx, Trial{Model: filepath.Join(dir, image.File), Graph: *image, Size: out.ImageSize, Bytes: bytes})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.image, err)
	}
	if err := image.checkShape(shape); err != nil {
		return nil, fmt.Errorf("%s: output %q: %w; say it in %s", m.image, image.Output, err, m.said)
	}
	out.Vision, out.Dim = image, int(shape[len(shape)-1])
	if m.text != "" {
		if err := m.fillText(ctx, dir, out, o); err != nil {
			return nil, err
		}
	}
	return out, copyLicences(m.beside, dir, out)
}

// imageTower copies the image graph and returns how it is run and its size in
// bytes.
func (m *onnxModel) imageTower(ctx context.Context, dir string, out *Manifest) (_ *Graph, bytes int64, err error) {
	graph, err := onnxfile.Inspect(m.image)
	if err != nil {
		return nil, 0, err
	}
	t := &Graph{Layout: m.config.Layout, Pool: m.config.Pool}
	input, err := pick(graph.Inputs, m.config.Input, "input", m.said, "pixel_values")
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", m.image, err)
	}
	if len(graph.Inputs) > 1 {
		return nil, 0, fmt.Errorf("%s: inputs %s: want images only", m.image, names(graph.Inputs))
	}
	output, err := pick(graph.Outputs, m.config.Output, "output", m.said, "image_embeds", "pooler_output")
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", m.image, err)
	}
	t.Input, t.Output = input.Name, output.Name
	if out.ImageSize, err = t.readInput(input, m.config.Size); err != nil {
		return nil, 0, fmt.Errorf("%s: input %q: %w", m.image, input.Name, err)
	}
	if out.ImageSize, err = m.preprocessor(dir, out.ImageSize); err != nil {
		return nil, 0, err
	}
	if t.Pool != "" {
		if err := near.Check("pool", t.Pool, []string{poolCLS, poolMean}); err != nil {
			return nil, 0, fmt.Errorf("%s: %w", m.said, err)
		}
	}
	t.File, err = copyGraph(ctx, m.image, graph, dir, "vision")
	return t, graph.Size, err
}

// readInput reads layout and size off the input where the graph says them, and
// returns the size, 0 where neither says it.
func (t *Graph) readInput(v onnxfile.Value, size int) (int, error) {
	if v.Elem != onnxfile.Float {
		return 0, fmt.Errorf("element type %d: want float32 (1)", v.Elem)
	}
	if len(v.Dims) != 4 {
		return 0, fmt.Errorf("shape %v: want four dimensions, such as [batch, 3, height, width]", v.Dims)
	}
	if t.Layout == "" {
		t.Layout = layoutNCHW
		if v.Dims[1] != 3 && v.Dims[3] == 3 {
			t.Layout = layoutNHWC
		}
	}
	if err := near.Check("layout", t.Layout, []string{layoutNCHW, layoutNHWC}); err != nil {
		return 0, err
	}
	channels, height, width := v.Dims[1], v.Dims[2], v.Dims[3]
	if t.Layout == layoutNHWC {
		height, width, channels = v.Dims[1], v.Dims[2], v.Dims[3]
	}
	if channels != 3 && channels != -1 {
		return 0, fmt.Errorf("shape %v with %d channels in layout %s: want 3", v.Dims, channels, t.Layout)
	}
	for _, side := range []int64{height, width} {
		if size == 0 && side > 0 {
			size = int(min(side, math.MaxInt32))
		}
		if side > 0 && side != int64(size) {
			return 0, fmt.Errorf("shape %v: want a square, of %d pixels a side", v.Dims, size)
		}
	}
	switch v.Dims[0] {
	case -1:
	case 1:
		t.OneByOne = true
	default:
		return 0, fmt.Errorf("shape %v takes batches of %d images: export it with an open batch size, or with 1", v.Dims, v.Dims[0])
	}
	return size, nil
}

// preprocessor writes preprocessor_config.json for images of a size (0: as that
// file says) and returns the size.
func (m *onnxModel) preprocessor(dir string, size int) (int, error) {
	beside, to := filepath.Join(m.beside, preprocessorFile), filepath.Join(dir, preprocessorFile)
	c, source := defaultPreprocessor(), m.said
	switch own := m.config.Mean != nil || m.config.Std != nil; {
	case !own && exists(beside):
		source = beside
		if err := readJSON(beside, &c); err != nil {
			return 0, err
		}
		side, _, err := c.square()
		if err != nil {
			return 0, fmt.Errorf("%s: %w", beside, err)
		}
		if size = cmp.Or(size, side); side != size {
			return 0, fmt.Errorf("%s: size %d, the encoder sees %d", beside, side, size)
		}
		if err := copyFile(beside, to); err != nil {
			return 0, err
		}
	default:
		if size == 0 || len(m.config.Mean) != 3 || len(m.config.Std) != 3 {
			return 0, fmt.Errorf("%s: how its images are made ready is not known; write into %s, for its own training:\n  size: %d\n  mean: [0.485, 0.456, 0.406]\n  std: [0.229, 0.224, 0.225]\n  resample: bicubic", m.image, m.said, cmp.Or(size, 224))
		}
		if err := m.config.preprocessor(&c, size); err != nil {
			return 0, fmt.Errorf("%s: %w", m.said, err)
		}
		data, err := json.MarshalIndent(c, "", "  ")
		if err != nil {
			return 0, err
		}
		if err := atomicfile.WriteBytes(to, append(data, '\n')); err != nil {
			return 0, err
		}
	}
	if size < 1 || size > maxImageSize {
		return 0, fmt.Errorf("%s: size %d: want 1 to %d", source, size, maxImageSize)
	}
	if _, err := loadPreprocessor(to, size, ProfileHF); err != nil {
		return 0, fmt.Errorf("%s: %w", source, err)
	}
	return size, nil
}

// preprocessor turns what the YAML file says into a preprocessor_config.json.
func (c *modelConfig) preprocessor(p *preprocessorConfig, size int) error {
	number, err := filterNumber(cmp.Or(c.Resample, "bicubic"))
	if err != nil {
		return err
	}
	p.Resample, p.Mean, p.Std = number, [3]float32(c.Mean), [3]float32(c.Std)
	p.Size = sizeConfig{Height: size, Width: size}
	if c.Crop != 0 {
		p.DoCrop, p.Crop, p.Size = true, p.Size, sizeConfig{Shortest: c.Crop}
	}
	return nil
}

// fillText adds the text graph of an export whose texts are cut up as ours.
func (m *onnxModel) fillText(ctx context.Context, dir string, out *Manifest, o ImportOptions) error {
	if !exists(m.beside, vocabularyFile) {
		out.NoText = fmt.Sprintf("%s is there, but no %s: only SigLIP's tokenizer is known", filepath.Base(m.text), vocabularyFile)
		return nil
	}
	graph, err := onnxfile.Inspect(m.text)
	if err != nil {
		return err
	}
	t := &Graph{}
	if len(graph.Inputs) != 1 || graph.Inputs[0].Elem != onnxfile.Int64 || len(graph.Inputs[0].Dims) != 2 {
		return fmt.Errorf("%s: inputs %s: want one, [batch, %d] of int64", m.text, names(graph.Inputs), textLength)
	}
	input := graph.Inputs[0]
	if n := input.Dims[1]; n != -1 && n != textLength {
		return fmt.Errorf("%s: input %q has shape %v: want %d tokens", m.text, input.Name, input.Dims, textLength)
	}
	output, err := pick(graph.Outputs, "", "output", m.said, "text_embeds", "pooler_output")
	if err != nil {
		return fmt.Errorf("%s: %w", m.text, err)
	}
	t.Input, t.Output, t.OneByOne = input.Name, output.Name, input.Dims[0] == 1
	if t.File, err = copyGraph(ctx, m.text, graph, dir, "text"); err != nil {
		return err
	}
	shape, err := o.try(ctx, Trial{Model: filepath.Join(dir, t.File), Graph: *t, Bytes: graph.Size})
	if err == nil && (len(shape) != 2 || shape[1] != int64(out.Dim)) {
		err = fmt.Errorf("output %q has shape %v: want [batch, %d], as the images' vectors", t.Output, shape, out.Dim)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", m.text, err)
	}
	if err := copyTokenizer(m.beside, dir); err != nil {
		return err
	}
	out.Text, out.HasText = t, true
	return m.readLogits(out)
}

// readLogits finds scale and bias of the logits: in the YAML file, or among the
// weights of an export of the whole model. Exports of the towers hold neither;
// ranks do not need them, and what does says so.
func (m *onnxModel) readLogits(out *Manifest) error {
	scale, bias := m.config.LogitScale, m.config.LogitBias
	whole := filepath.Join(filepath.Dir(m.image), "model.onnx")
	if scale == nil && whole != m.image && exists(whole) {
		graph, err := onnxfile.Inspect(whole)
		if err != nil {
			return err
		}
		if v, ok := graph.Scalars["logit_scale"]; ok {
			v = math.Exp(v)
			scale = &v
		}
		if v, ok := graph.Scalars["logit_bias"]; ok {
			bias = &v
		}
	}
	if scale == nil || bias == nil {
		return nil
	}
	if !(*scale > 0) || math.IsInf(*scale, 0) || math.IsNaN(*bias) || math.IsInf(*bias, 0) {
		return fmt.Errorf("logit_scale %v and logit_bias %v: want a finite scale above 0 and a finite bias", *scale, *bias)
	}
	out.LogitScale, out.LogitBias = *scale, *bias
	return nil
}

// pick returns the value that is named or, of those there are, one of the usual
// names or the only one.
func pick(values []onnxfile.Value, name, what, said string, usual ...string) (onnxfile.Value, error) {
	if name != "" {
		usual = []string{name}
	}
	for _, n := range usual {
		if i := slices.IndexFunc(values, func(v onnxfile.Value) bool { return v.Name == n }); i >= 0 {
			return values[i], nil
		}
	}
	switch {
	case name != "":
		return onnxfile.Value{}, fmt.Errorf("no %s %q; there are %s", what, name, names(values))
	case len(values) != 1:
		return onnxfile.Value{}, fmt.Errorf("%ss %s: name one in %s, as %s: NAME", what, names(values), said, what)
	}
	return values[0], nil
}

func names(values []onnxfile.Value) string {
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = v.Name
	}
	return strings.Join(all, ", ")
}

// copyGraph copies a graph and the files with its weights into a folder of their
// own and returns the graph's path within dir.
func copyGraph(ctx context.Context, path string, graph *onnxfile.Model, dir, folder string) (string, error) {
	to := filepath.Join(dir, folder)
	if err := os.Mkdir(to, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	for _, name := range append([]string{filepath.Base(path)}, graph.External...) {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(to, name)), 0o700); err != nil {
			return "", err
		}
		if _, err := copyLarge(ctx, filepath.Join(filepath.Dir(path), name), filepath.Join(to, name)); err != nil {
			return "", err
		}
	}
	return folder + "/" + filepath.Base(path), nil
}

// Close has nothing to close.
func (m *onnxModel) Close() error { return nil }
