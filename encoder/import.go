package encoder

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/medprobe/medprobe/internal/atomicfile"
	"github.com/medprobe/medprobe/internal/near"
	"github.com/medprobe/medprobe/internal/safetensors"
)

// ImportOptions says where and as what to import.
type ImportOptions struct {
	// Dir is the folder of the imported encoders; see [DefaultDir].
	Dir string
	// Name is what the encoder will be called; default: the source folder's
	// name.
	Name string
	// Precision is "fp32", the default, "fp16", or "int8" for the linear layers.
	Precision string
	// Source is noted in the manifest; default: the name of the source folder.
	Source string
	// Config is a YAML file about an ONNX model; default: MODEL.yaml beside
	// MODEL.onnx, or medprobe.yaml in the folder of an export.
	Config string
	// Try runs an ONNX model for the first time; default: [Trial.Run], in this
	// process, which a hostile model may take down.
	Try func(context.Context, Trial) ([]int64, error)
}

// The files of an imported encoder.
const (
	visionGraph      = "vision.onnx"
	textGraph        = "text.onnx"
	vocabularyFile   = "spiece.model"
	preprocessorFile = "preprocessor_config.json"
)

// Import turns a checkpoint folder in Hugging Face's layout into an encoder:
// config.json, model.safetensors (or shards with their index),
// preprocessor_config.json and, where there is a text tower, spiece.model, in
// F32, F16 or BF16. It reads SiglipModel; SiglipVisionModel, which has no text
// tower; SiglipForImageClassification, whose vectors are the mean of the patch
// tokens and whose classifier is kept ([Encoder.Classifier]); and the vision tower
// of MedGemma and PaliGemma, as the mean of its tokens. The weights are streamed, a part of a tensor in memory at a time. The encoder appears under its
// name complete or not at all; one of the same name is replaced.
func Import(ctx context.Context, src string, o ImportOptions) (*Manifest, error) {
	m, err := importCheckpoint(ctx, src, o)
	if err != nil {
		return nil, fmt.Errorf("encoder: import: %w", err)
	}
	return m, nil
}

func importCheckpoint(ctx context.Context, src string, o ImportOptions) (_ *Manifest, err error) {
	abs, err := filepath.Abs(src)
	if err != nil {
		return nil, err
	}
	if o.Name == "" {
		o.Name = filepath.Base(abs)
	}
	if o.Source == "" {
		o.Source = filepath.Base(abs)
	}
	if o.Precision == "" {
		o.Precision = precisionFP32
	}
	if err := near.Check("precision", o.Precision, Precisions()); err != nil {
		return nil, err
	}
	if err := checkName(o.Name); err != nil {
		return nil, err
	}
	from, err := openSource(src, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	tmp, err := atomicfile.TemporaryFolder(o.Dir, importing)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	m, err := from.fill(ctx, tmp, o)
	if err != nil {
		return nil, err
	}
	if err := m.seal(tmp); err != nil {
		return nil, err
	}
	return m, replace(tmp, filepath.Join(o.Dir, o.Name))
}

// importing begins the name of the folder of an import under way.
const importing = ".import-"

// source is what an encoder is made of.
type source interface {
	// fill writes the encoder's files, but for the manifest, into the folder dir.
	fill(ctx context.Context, dir string, o ImportOptions) (*Manifest, error)
	Close() error
}

func openSource(src string, o ImportOptions) (source, error) {
	if m, err := findONNX(src, o); m != nil || err != nil {
		return m, err
	}
	if o.Config != "" {
		return nil, fmt.Errorf("%s: no ONNX model, so %s has nothing to say of it", src, o.Config)
	}
	return openCheckpoint(src)
}

func newManifest(o ImportOptions) *Manifest {
	return &Manifest{
		Schema: 1, Name: o.Name, Precision: o.Precision, Preprocess: string(ProfileHF), Source: o.Source, Files: map[string]string{},
	}
}

func (c *checkpoint) fill(ctx context.Context, dir string, o ImportOptions) (*Manifest, error) {
	m, vision := newManifest(o), c.config.Vision
	m.Dim, m.ImageSize, m.HasText, m.Labels = vision.Width, vision.ImageSize, c.config.Text != nil, c.config.Labels
	if err := copyFile(filepath.Join(c.dir, preprocessorFile), filepath.Join(dir, preprocessorFile)); err != nil {
		return nil, err
	}
	if _, err := loadPreprocessor(filepath.Join(c.dir, preprocessorFile), m.ImageSize, ProfileHF); err != nil {
		return nil, err
	}
	if err := copyLicences(c.dir, dir, m); err != nil {
		return nil, err
	}
	if m.HasText {
		if err := m.addText(c, dir); err != nil {
			return nil, err
		}
	}
	if m.Labels != nil {
		if err := writeClassifier(c, dir); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return m, m.writeTower(c, dir, visionGraph, buildVision)
}

// addText adds what a text tower needs: scale and bias, vocabulary, graph.
func (m *Manifest) addText(from *checkpoint, dir string) error {
	scale, err := from.number("logit_scale")
	if err != nil {
		return err
	}
	bias, err := from.number("logit_bias")
	if err != nil {
		return err
	}
	m.LogitScale, m.LogitBias = math.Exp(scale), bias
	if x := m.LogitScale - m.LogitBias; math.IsNaN(x) || math.IsInf(x, 0) {
		return fmt.Errorf("%s: logit_scale %v and logit_bias %v: want exp(logit_scale) and logit_bias finite", from.dir, scale, bias)
	}
	if err := copyTokenizer(from.dir, dir); err != nil {
		return err
	}
	tokenizer, err := loadTokenizer(filepath.Join(from.dir, vocabularyFile))
	if err != nil {
		return err
	}
	if n := tokenizer.Vocabulary(); n > from.config.Text.Vocabulary {
		return fmt.Errorf("%s has %d pieces, config.json a vocabulary of %d", vocabularyFile, n, from.config.Text.Vocabulary)
	}
	return m.writeTower(from, dir, textGraph, buildText)
}

func copyTokenizer(from, to string) error {
	if err := checkTokenizer(from); err != nil {
		return err
	}
	if err := copyFile(filepath.Join(from, vocabularyFile), filepath.Join(to, vocabularyFile)); err != nil {
		return err
	}
	_, err := loadTokenizer(filepath.Join(from, vocabularyFile))
	return err
}

// checkTokenizer refuses a checkpoint whose texts are cut up in another way
// than ours, as SigLIP 2's are by Gemma's tokenizer: the ids would be wrong and
// nothing would say so.
func checkTokenizer(dir string) error {
	path := filepath.Join(dir, "tokenizer_config.json")
	var c struct {
		Class string `json:"tokenizer_class"`
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil // spiece.model alone is SiglipTokenizer's
	}
	if err := readJSON(path, &c); err != nil {
		return err
	}
	if c.Class != "" && c.Class != "SiglipTokenizer" && c.Class != "SiglipTokenizerFast" {
		return fmt.Errorf("%s: tokenizer_class %q: want SiglipTokenizer; SigLIP 2 with Gemma's tokenizer cannot be imported with its text tower: save its vision tower alone, as SiglipVisionModel", path, c.Class)
	}
	return nil
}

// classifierFile holds the classifier of a fine-tuned checkpoint over the
// tower's vectors as they are, not of length one.
const classifierFile = "classifier.safetensors"

func writeClassifier(from *checkpoint, dir string) error {
	classes, width := len(from.config.Labels), from.config.Vision.Width
	arrays := []safetensors.Array{{Name: "weight", Shape: []int{classes, width}}, {Name: "bias", Shape: []int{classes}}}
	for i, a := range arrays {
		name := classifier + "." + a.Name
		f, err := from.tensor(name, a.Shape...)
		if err != nil {
			return err
		}
		if arrays[i].Data, err = f.Float32(name); err != nil {
			return err
		}
	}
	return atomicfile.Write(filepath.Join(dir, classifierFile), func(w io.Writer) error {
		return safetensors.Write(w, arrays, nil)
	})
}

func (m *Manifest) writeTower(from *checkpoint, dir, file string, build func(from *checkpoint, precision, location string, out io.Writer) ([]byte, error)) error {
	weights := file + ".weights"
	var graph []byte
	err := atomicfile.Write(filepath.Join(dir, weights), func(w io.Writer) (err error) {
		graph, err = build(from, m.Precision, weights, w)
		return err
	})
	if err != nil {
		return err
	}
	return atomicfile.WriteBytes(filepath.Join(dir, file), graph)
}

// seal notes the digests of the files, derives the fingerprint from them and
// writes the manifest.
func (m *Manifest) seal(dir string) error {
	files, err := filesIn(dir)
	if err != nil {
		return err
	}
	for _, file := range files {
		if m.Files[file], err = fileDigest(filepath.Join(dir, file)); err != nil {
			return err
		}
	}
	m.Fingerprint = m.fingerprint()
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.WriteBytes(filepath.Join(dir, manifestFile), append(data, '\n'))
}

// fingerprint digests what decides a vector: weights, graphs, vocabulary,
// precision. Name, source and place do not count.
func (m *Manifest) fingerprint() string {
	h := sha256.New()
	fmt.Fprintf(h, "medprobe encoder 1\nprecision %s\nlogit %v %v\n", m.Precision, m.LogitScale, m.LogitBias)
	for _, g := range []*Graph{m.Vision, m.Text} {
		if g != nil {
			fmt.Fprintf(h, "graph {File:%s Input:%s Output:%s Layout:%s Pool:%s OneByOne:%t}\n", g.File, g.Input, g.Output, g.Layout, g.Pool, g.OneByOne)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Files)) {
		// The preprocessing has a fingerprint of its own; licences do not count.
		if name == visionGraph || name == textGraph || name == vocabularyFile || filepath.Ext(name) == ".weights" || strings.Contains(name, "/") {
			fmt.Fprintf(h, "%s %s\n", name, m.Files[name])
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// replace puts the folder tmp at path. Where another one stands, it is moved
// aside first, so that a kill leaves the old one, none, or the new one whole.
// Of several at a time the last one stays.
func replace(tmp, path string) error {
	if err := os.Chmod(tmp, 0o700); err != nil {
		return err
	}
	old := tmp + ".old"
	for {
		aside := os.Rename(path, old)
		if aside != nil && !errors.Is(aside, fs.ErrNotExist) {
			return aside
		}
		err := os.Rename(tmp, path)
		if err == nil {
			return os.RemoveAll(old)
		}
		if _, there := os.Stat(path); there != nil {
			if aside == nil {
				err = errors.Join(err, os.Rename(old, path))
			}
			return err
		}
		// Another import came between the two renames.
		if err := os.RemoveAll(old); err != nil {
			return err
		}
	}
}
