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
	config siglipConfig
	files  []*safetensors.File
	where  map[string]*safetensors.File
}

// towerConfig is the part that both towers' configurations share, under the
// names and with the defaults of Hugging Face's SiglipVisionConfig and
// SiglipTextConfig; saved configurations leave defaults out.
type towerConfig struct {
	Width     int     `json:"hidden_size"`
	MLPWidth  int     `json:"intermediate_size"`
	Layers    int     `json:"num_hidden_layers"`
	Heads     int     `json:"num_attention_heads"`
	Act       string  `json:"hidden_act"`
	Eps       float32 `json:"layer_norm_eps"`
	Channels  int     `json:"num_channels"`
	ImageSize int     `json:"image_size"`
	PatchSize int     `json:"patch_size"`

	Vocabulary int `json:"vocab_size"`
	Positions  int `json:"max_position_embeddings"`
	Projection int `json:"projection_size"`
}

type siglipConfig struct {
	ModelType string      `json:"model_type"`
	Vision    towerConfig `json:"vision_config"`
	Text      towerConfig `json:"text_config"`
}

func defaultConfig() siglipConfig {
	tower := towerConfig{Width: 768, MLPWidth: 3072, Layers: 12, Heads: 12, Act: "gelu_pytorch_tanh", Eps: 1e-6}
	c := siglipConfig{Vision: tower, Text: tower}
	c.Vision.Channels, c.Vision.ImageSize, c.Vision.PatchSize = 3, 224, 16
	c.Text.Vocabulary, c.Text.Positions = 32000, 64
	return c
}

// openCheckpoint opens config.json and the weights of a SiglipModel.
func openCheckpoint(dir string) (*checkpoint, error) {
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		return nil, notAFolder(dir)
	}
	c := &checkpoint{dir: dir, config: defaultConfig(), where: map[string]*safetensors.File{}}
	if err := readJSON(filepath.Join(dir, "config.json"), &c.config); err != nil {
		return nil, err
	}
	if err := c.config.validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, "config.json"), err)
	}
	if err := c.openWeights(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// pickleEndings are files that hold Python pickles, which can run code.
var pickleEndings = []string{".bin", ".pt", ".pth", ".pkl", ".joblib", ".ckpt"}

const pickleRecipe = `pickle is not read; export safetensors where the file came from:
  model = transformers.SiglipModel.from_pretrained("FOLDER")
  model.save_pretrained("NEW_FOLDER", safe_serialization=True)`

func notAFolder(path string) error {
	if slices.Contains(pickleEndings, strings.ToLower(filepath.Ext(path))) {
		return fmt.Errorf("%s: %s", path, pickleRecipe)
	}
	return fmt.Errorf("%s: want the folder of a checkpoint, with config.json and model.safetensors", path)
}

func (c *siglipConfig) validate() error {
	if c.ModelType != "siglip" {
		return fmt.Errorf("model_type %q: want siglip", c.ModelType)
	}
	if c.Text.Projection == 0 {
		c.Text.Projection = c.Text.Width
	}
	for _, tower := range []struct {
		name string
		*towerConfig
	}{{"vision_config", &c.Vision}, {"text_config", &c.Text}} {
		for field, v := range map[string]int{"hidden_size": tower.Width, "intermediate_size": tower.MLPWidth, "num_hidden_layers": tower.Layers, "num_attention_heads": tower.Heads} {
			if v < 1 || v > 1<<20 {
				return fmt.Errorf("%s: %s = %d: want 1 to %d", tower.name, field, v, 1<<20)
			}
		}
		if tower.Width%tower.Heads != 0 {
			return fmt.Errorf("%s: hidden_size %d is not a multiple of %d heads", tower.name, tower.Width, tower.Heads)
		}
		if _, ok := activations[tower.Act]; !ok {
			return fmt.Errorf("%s: hidden_act %q: want gelu_pytorch_tanh or gelu", tower.name, tower.Act)
		}
		if !(tower.Eps > 0) {
			return fmt.Errorf("%s: layer_norm_eps %v: want more than 0", tower.name, tower.Eps)
		}
	}
	v := c.Vision
	switch {
	case v.Channels != 3:
		return fmt.Errorf("vision_config: num_channels %d: want 3", v.Channels)
	case v.PatchSize < 1 || v.ImageSize < v.PatchSize || v.ImageSize > 1<<14:
		return fmt.Errorf("vision_config: patch_size %d and image_size %d: want 1 ≤ patch_size ≤ image_size ≤ %d", v.PatchSize, v.ImageSize, 1<<14)
	case c.Text.Positions != textLength:
		return fmt.Errorf("text_config: max_position_embeddings %d: want %d", c.Text.Positions, textLength)
	case c.Text.Projection != v.Width:
		return fmt.Errorf("text_config: projection_size %d, vision hidden_size %d: want them equal", c.Text.Projection, v.Width)
	case c.Text.Vocabulary < 1 || c.Text.Vocabulary > 1<<24:
		return fmt.Errorf("text_config: vocab_size %d: want 1 to %d", c.Text.Vocabulary, 1<<24)
	}
	return nil
}

// openWeights opens model.safetensors or the shards that its index lists.
func (c *checkpoint) openWeights() error {
	names := []string{"model.safetensors"}
	index := filepath.Join(c.dir, "model.safetensors.index.json")
	if _, err := os.Stat(index); err == nil {
		var shards struct {
			Map map[string]string `json:"weight_map"`
		}
		if err := readJSON(index, &shards); err != nil {
			return err
		}
		names = nil
		for tensor, file := range shards.Map {
			if filepath.Base(file) != file || !filepath.IsLocal(file) {
				return fmt.Errorf("%s: tensor %q lies in %q: want a file beside the index", index, tensor, file)
			}
			names = append(names, file)
		}
		slices.Sort(names)
		names = slices.Compact(names)
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
