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
	"time"

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
	// Precision of the linear layers: "fp32", the default, or "int8".
	Precision string
	// Source is noted in the manifest; default: the name of the source folder.
	Source string
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
// tokens and whose classifier is kept ([LoadClassifier]); and the vision tower
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
	from, err := openCheckpoint(src)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	sweepAbandoned(o.Dir)
	tmp, err := os.MkdirTemp(o.Dir, importing)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	m, err := fillFolder(ctx, from, tmp, o)
	if err != nil {
		return nil, err
	}
	return m, replace(tmp, filepath.Join(o.Dir, o.Name))
}

// importing begins the name of the folder of an import under way.
const importing = ".import-"

// sweepAbandoned removes what imports left behind that were killed. Younger
// folders may be those of imports under way; what cannot be removed is in
// nobody's way.
func sweepAbandoned(dir string) {
	folders, _ := filepath.Glob(filepath.Join(dir, importing+"*"))
	for _, folder := range folders {
		if info, err := os.Stat(folder); err == nil && time.Since(info.ModTime()) > 24*time.Hour {
			os.RemoveAll(folder)
		}
	}
}

// fillFolder writes all files of the encoder into the folder dir.
func fillFolder(ctx context.Context, from *checkpoint, dir string, o ImportOptions) (*Manifest, error) {
	vision := from.config.Vision
	m := &Manifest{
		Schema: 1, Name: o.Name, Dim: vision.Width, ImageSize: vision.ImageSize, HasText: from.config.Text != nil,
		Precision: o.Precision, Preprocess: string(ProfileHF), Labels: from.config.Labels, Source: o.Source, Files: map[string]string{},
	}
	if err := copyFile(filepath.Join(from.dir, preprocessorFile), filepath.Join(dir, preprocessorFile)); err != nil {
		return nil, err
	}
	if _, err := LoadPreprocessor(filepath.Join(from.dir, preprocessorFile), m.ImageSize, ProfileHF); err != nil {
		return nil, err
	}
	for _, name := range []string{"LICENSE", "LICENSE.md", "LICENSE.txt"} {
		if err := copyFile(filepath.Join(from.dir, name), filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if m.HasText {
		if err := m.addText(from, dir); err != nil {
			return nil, err
		}
	}
	if m.Labels != nil {
		if err := writeClassifier(from, dir); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := m.writeTower(from, dir, visionGraph, buildVision); err != nil {
		return nil, err
	}
	if err := m.seal(dir); err != nil {
		return nil, err
	}
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, err
	}
	return m, atomicfile.WriteBytes(filepath.Join(dir, manifestFile), append(data, '\n'))
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
	if err := checkTokenizer(from.dir); err != nil {
		return err
	}
	if err := copyFile(filepath.Join(from.dir, vocabularyFile), filepath.Join(dir, vocabularyFile)); err != nil {
		return err
	}
	tokenizer, err := LoadTokenizer(filepath.Join(from.dir, vocabularyFile))
	if err != nil {
		return err
	}
	if n := tokenizer.Vocabulary(); n > from.config.Text.Vocabulary {
		return fmt.Errorf("%s has %d pieces, config.json a vocabulary of %d", vocabularyFile, n, from.config.Text.Vocabulary)
	}
	return m.writeTower(from, dir, textGraph, buildText)
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

// seal notes the digests of the files and derives the fingerprint from them.
func (m *Manifest) seal(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if m.Files[e.Name()], err = fileDigest(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	m.Fingerprint = m.fingerprint()
	return nil
}

// fingerprint digests what decides a vector: weights, graphs, vocabulary,
// precision. Name, source and place do not count.
func (m *Manifest) fingerprint() string {
	h := sha256.New()
	fmt.Fprintf(h, "medprobe encoder 1\nprecision %s\nlogit %v %v\n", m.Precision, m.LogitScale, m.LogitBias)
	for _, name := range slices.Sorted(maps.Keys(m.Files)) {
		// The preprocessing has a fingerprint of its own; licences do not count.
		if name == visionGraph || name == textGraph || name == vocabularyFile || filepath.Ext(name) == ".weights" {
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

// maxSmallFile bounds the files that are copied as they are.
const maxSmallFile = 64 << 20

func copyFile(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return fmt.Errorf("%s is missing: %w", from, err)
	}
	if info.Size() > maxSmallFile {
		return fmt.Errorf("%s: %d bytes, more than %d", from, info.Size(), maxSmallFile)
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return atomicfile.WriteBytes(to, data)
}
