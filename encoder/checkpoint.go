package encoder

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/medprobe/medprobe/internal/safetensors"
)

// maxJSON bounds the JSON files of a checkpoint; the index of a large sharded
// model has some hundred kilobytes.
const maxJSON = 64 << 20

// checkpoint is an open folder in Hugging Face's layout.
type checkpoint struct {
	dir    string
	config layout
	files  []*safetensors.File
	where  map[string]*safetensors.File
}

// openCheckpoint opens config.json and the weights that its layout needs.
func openCheckpoint(dir string) (*checkpoint, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, notAFolder(dir)
	}
	c := &checkpoint{dir: dir, where: map[string]*safetensors.File{}}
	if c.config, err = readLayout(filepath.Join(dir, "config.json")); err != nil {
		return nil, err
	}
	if err := c.openWeights(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	c.findPrefix()
	return c, nil
}

// findPrefix looks under which name the vision tower stands.
func (c *checkpoint) findPrefix() {
	for _, prefix := range c.config.Prefixes {
		if c.where[prefix+patchEmbedding] != nil {
			c.config.Prefixes = []string{prefix}
			return
		}
	}
}

// vision is the name of a tensor of the vision tower.
func (c *checkpoint) vision(name string) string { return c.config.Prefixes[0] + name }

// pickleEndings are files that hold Python pickles, which can run code.
var pickleEndings = []string{".bin", ".pt", ".pth", ".pkl", ".joblib", ".ckpt"}

const pickleRecipe = `pickle is not read; export safetensors where the file came from:
  model = transformers.SiglipModel.from_pretrained("FOLDER")
  model.save_pretrained("NEW_FOLDER", safe_serialization=True)`

func notAFolder(path string) error {
	if slices.Contains(pickleEndings, strings.ToLower(filepath.Ext(path))) {
		return fmt.Errorf("%s: %s", path, pickleRecipe)
	}
	return fmt.Errorf("%s: want the folder of a checkpoint, with config.json and model.safetensors, or a model in ONNX", path)
}

// WeightFiles returns the names of the files with weights that a checkpoint
// needs, by its config.json and, where the weights are in shards, by their
// index: model.safetensors, or the shards with tensors of its towers.
func WeightFiles(dir string) ([]string, error) {
	l, err := readLayout(filepath.Join(dir, "config.json"))
	if err != nil {
		return nil, fmt.Errorf("encoder: %w", err)
	}
	names, err := l.weightFiles(dir)
	if err != nil {
		return nil, fmt.Errorf("encoder: %w", err)
	}
	return names, nil
}

func (l *layout) weightFiles(dir string) ([]string, error) {
	index := filepath.Join(dir, "model.safetensors.index.json")
	if _, err := os.Stat(index); err != nil {
		return []string{"model.safetensors"}, nil
	}
	var shards struct {
		Map map[string]string `json:"weight_map"`
	}
	if err := readJSON(index, &shards); err != nil {
		return nil, err
	}
	var names []string
	for tensor, file := range shards.Map {
		if !l.needs(tensor) {
			continue // such as a language model, which is not touched
		}
		if filepath.Base(file) != file || !filepath.IsLocal(file) {
			return nil, fmt.Errorf("%s: tensor %q lies in %q: want a file beside the index", index, tensor, file)
		}
		names = append(names, file)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s: no tensor of a SigLIP tower", index)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// openWeights opens the files with weights.
func (c *checkpoint) openWeights() error {
	names, err := c.config.weightFiles(c.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		path := filepath.Join(c.dir, name)
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%s is missing%s", path, c.pickleBeside())
		}
		f, err := safetensors.Open(path)
		if err != nil {
			return err
		}
		c.files = append(c.files, f)
		for _, t := range f.Tensors() {
			if other := c.where[t.Name]; other != nil {
				return fmt.Errorf("tensor %q stands in %s and in %s", t.Name, other.Path(), path)
			}
			c.where[t.Name] = f
		}
	}
	return nil
}

func (c *checkpoint) pickleBeside() string {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return ""
	}
	for _, e := range entries {
		if slices.Contains(pickleEndings, strings.ToLower(filepath.Ext(e.Name()))) {
			return fmt.Sprintf("; there is %s, but %s", e.Name(), pickleRecipe)
		}
	}
	return ""
}

// tensor returns the file of a tensor that must have the shape.
func (c *checkpoint) tensor(name string, shape ...int) (*safetensors.File, error) {
	f := c.where[name]
	if f == nil {
		return nil, fmt.Errorf("%s: no tensor %q, which config.json asks for with shape %v", c.dir, name, shape)
	}
	if t, _ := f.Tensor(name); !slices.Equal(t.Shape, shape) {
		return nil, fmt.Errorf("%s: tensor %q has shape %v: want %v by config.json", f.Path(), name, t.Shape, shape)
	}
	return f, nil
}

// number reads a tensor of one value, stored with shape [] or [1].
func (c *checkpoint) number(name string) (float64, error) {
	shape := []int{1}
	if f := c.where[name]; f != nil {
		if t, _ := f.Tensor(name); len(t.Shape) == 0 {
			shape = nil
		}
	}
	f, err := c.tensor(name, shape...)
	if err != nil {
		return 0, err
	}
	values, err := f.Float32(name)
	if err != nil {
		return 0, err
	}
	return float64(values[0]), nil
}

// Close closes the weights.
func (c *checkpoint) Close() error {
	var errs []error
	for _, f := range c.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// readJSON reads a bounded JSON file.
func readJSON(path string, v any) error {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s is missing: want the folder of a checkpoint in Hugging Face's layout", path)
	}
	if err != nil {
		return err
	}
	if info.Size() > maxJSON {
		return fmt.Errorf("%s: %d bytes, more than %d", path, info.Size(), maxJSON)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
