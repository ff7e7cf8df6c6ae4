package encoder

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/medprobe/medprobe/internal/near"
)

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

// layout says which towers a checkpoint holds, and how.
type layout struct {
	Vision towerConfig
	// Text is nil where there is no text tower.
	Text *towerConfig
	// Pooled says that an image's vector comes from the attention-pooling head;
	// otherwise it is the mean of the patch tokens.
	Pooled bool
	// Prefixes are what may stand before the names of the vision tower.
	Prefixes []string
	// Labels are the classes of a classifier over the vector, or nil.
	Labels []string
}

// maxImageSize bounds the side of the images that an encoder may see.
const maxImageSize = 1 << 14

const (
	// patchEmbedding is a tensor that every vision tower has.
	patchEmbedding = "vision_model.embeddings.patch_embedding.weight"
	classifier     = "classifier"
)

// needs reports whether a tensor is one of the towers' or the classifier's.
func (l *layout) needs(tensor string) bool {
	if l.Text != nil && (strings.HasPrefix(tensor, "text_model.") || strings.HasPrefix(tensor, "logit_")) {
		return true
	}
	if l.Labels != nil && strings.HasPrefix(tensor, classifier+".") {
		return true
	}
	return slices.ContainsFunc(l.Prefixes, func(p string) bool { return strings.HasPrefix(tensor, p+"vision_model.") })
}

// checkpointConfig is the part of config.json that says what a checkpoint is.
type checkpointConfig struct {
	Type          string            `json:"model_type"`
	Architectures []string          `json:"architectures"`
	Vision        json.RawMessage   `json:"vision_config"`
	Text          json.RawMessage   `json:"text_config"`
	Labels        map[string]string `json:"id2label"`
	UseHead       *bool             `json:"vision_use_head"`
}

// readLayout reads config.json.
func readLayout(path string) (layout, error) {
	var whole json.RawMessage
	if err := readJSON(path, &whole); err != nil {
		return layout{}, err
	}
	l, err := parseLayout(whole)
	if err != nil {
		return layout{}, fmt.Errorf("%s: %w", path, err)
	}
	return l, nil
}

func parseLayout(whole []byte) (l layout, err error) {
	var c checkpointConfig
	if err := json.Unmarshal(whole, &c); err != nil {
		return l, err
	}
	l.Prefixes = []string{""}
	switch c.Type {
	case "siglip_vision_model": // SiglipVisionModel: the tower alone
		c.Vision = whole
		l.Pooled = c.UseHead == nil || *c.UseHead
	case "siglip":
		if slices.Contains(c.Architectures, "SiglipForImageClassification") {
			if l.Labels, err = labelNames(c.Labels); err != nil {
				return l, err
			}
			break
		}
		l.Pooled, l.Text = true, &towerConfig{}
	case "gemma3", "paligemma": // MedGemma, PaliGemma: the tower of a language model
		l.Prefixes = []string{"vision_tower.", "model.vision_tower."}
	default:
		return l, near.Check("model_type", c.Type, []string{"siglip", "siglip_vision_model", "gemma3", "paligemma"})
	}
	tower := towerConfig{Width: 768, MLPWidth: 3072, Layers: 12, Heads: 12, Act: "gelu_pytorch_tanh", Eps: 1e-6}
	l.Vision = tower
	l.Vision.Channels, l.Vision.ImageSize, l.Vision.PatchSize = 3, 224, 16
	if err := unmarshal(c.Vision, &l.Vision, "vision_config"); err != nil {
		return l, err
	}
	if err := l.Vision.validateVision(); err != nil {
		return l, fmt.Errorf("vision_config: %w", err)
	}
	if l.Text == nil {
		return l, nil
	}
	*l.Text = tower
	l.Text.Vocabulary, l.Text.Positions = 32000, textLength
	if err := unmarshal(c.Text, l.Text, "text_config"); err != nil {
		return l, err
	}
	if l.Text.Projection == 0 {
		l.Text.Projection = l.Text.Width
	}
	if err := l.Text.validateText(l.Vision.Width); err != nil {
		return l, fmt.Errorf("text_config: %w", err)
	}
	return l, nil
}

func unmarshal(data json.RawMessage, v any, name string) error {
	if len(data) == 0 {
		return nil // every value has its default
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// labelNames puts the classes of id2label in the order of their numbers.
func labelNames(byNumber map[string]string) ([]string, error) {
	if len(byNumber) == 0 {
		return nil, fmt.Errorf("id2label is missing: want the classes of the classifier by number")
	}
	names := make([]string, len(byNumber))
	for number, name := range byNumber {
		i, err := strconv.Atoi(number)
		if err != nil || i < 0 || i >= len(names) {
			return nil, fmt.Errorf("id2label: number %q: want 0 to %d", number, len(names)-1)
		}
		names[i] = name
	}
	return names, nil
}

func (c *towerConfig) validate() error {
	for _, field := range []struct {
		name  string
		value int
	}{{"hidden_size", c.Width}, {"intermediate_size", c.MLPWidth}, {"num_hidden_layers", c.Layers}, {"num_attention_heads", c.Heads}} {
		if field.value < 1 || field.value > 1<<20 {
			return fmt.Errorf("%s = %d: want 1 to %d", field.name, field.value, 1<<20)
		}
	}
	if c.Width%c.Heads != 0 {
		return fmt.Errorf("hidden_size %d is not a multiple of %d heads", c.Width, c.Heads)
	}
	if _, ok := activations[c.Act]; !ok {
		return fmt.Errorf("hidden_act %q: want gelu_pytorch_tanh or gelu", c.Act)
	}
	if !(c.Eps > 0) {
		return fmt.Errorf("layer_norm_eps %v: want more than 0", c.Eps)
	}
	return nil
}

func (c *towerConfig) validateVision() error {
	switch {
	case c.Channels != 3:
		return fmt.Errorf("num_channels %d: want 3", c.Channels)
	case c.PatchSize < 1 || c.ImageSize < c.PatchSize || c.ImageSize > maxImageSize:
		return fmt.Errorf("patch_size %d and image_size %d: want 1 ≤ patch_size ≤ image_size ≤ %d", c.PatchSize, c.ImageSize, maxImageSize)
	}
	return c.validate()
}

// validateText checks the text tower beside a vision tower of a width.
func (c *towerConfig) validateText(vision int) error {
	switch {
	case c.Positions != textLength:
		return fmt.Errorf("max_position_embeddings %d: want %d", c.Positions, textLength)
	case c.Projection != vision:
		return fmt.Errorf("projection_size %d, vision hidden_size %d: want them equal", c.Projection, vision)
	case c.Vocabulary < 1 || c.Vocabulary > 1<<24:
		return fmt.Errorf("vocab_size %d: want 1 to %d", c.Vocabulary, 1<<24)
	}
	return c.validate()
}
