package encoder

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/internal/npy"
)

// array reads one array of a golden.npz, cut into its rows.
func array(t testing.TB, path, name string) [][]float32 {
	t.Helper()
	a, err := npy.OpenArchive(path)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	x, err := a.Read(name)
	if err != nil {
		t.Fatal(err)
	}
	values, err := x.Float32()
	if err != nil {
		t.Fatal(err)
	}
	return rows(values, x.Shape[0])
}

// Checkpoints without a text tower, made by tools/reference/siglip_towers.py:
// with the pooling head or the mean of the tokens, and with the tensors under
// other names beside a language model whose shard is not there.
func TestVisionTowersAgreeWithPyTorch(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"vision", "vision-without-head", "classification", "medgemma", "paligemma"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := filepath.Join("testdata", "towers", name)
			golden := filepath.Join(folder, "golden.npz")
			e := imported(t, folder)
			got, err := e.EncodePixels(t.Context(), array(t, golden, "pixels"))
			if err != nil {
				t.Fatal(err)
			}
			want := array(t, golden, "image_raw")
			checkVectors(t, "image", got, want, want)
			if _, err := e.EncodeTexts(t.Context(), []string{"x"}); !errors.Is(err, ErrNoText) || e.HasText() {
				t.Errorf("a text was encoded, %v", err)
			}
		})
	}
}

func TestClassifierOfAFineTuneIsKept(t *testing.T) {
	t.Parallel()
	needRuntime(t)
	dir, folder := t.TempDir(), filepath.Join("testdata", "towers", "classification")
	m, err := Import(t.Context(), folder, ImportOptions{Dir: dir, Name: "tuned"})
	if err != nil {
		t.Fatal(err)
	}
	if err := Verify(dir, "tuned"); err != nil {
		t.Error(err)
	}
	c, err := loadClassifier(dir, "tuned")
	if err != nil || !slices.Equal(c.Labels, []string{"normal", "pneumonia", "tuberculosis"}) || !slices.Equal(m.Labels, c.Labels) {
		t.Fatalf("%+v, %v", c, err)
	}
	golden := filepath.Join(folder, "golden.npz")
	vectors, want := array(t, golden, "image_raw"), array(t, golden, "class_logits")
	for i, v := range vectors {
		for k := range c.Labels {
			logit := float64(c.Bias[k])
			for j, w := range c.Weight[k*m.Dim : (k+1)*m.Dim] {
				logit += float64(w) * float64(v[j])
			}
			if d := logit - float64(want[i][k]); d > 1e-5 || d < -1e-5 {
				t.Errorf("image %d, %s: logit %v: want %v", i, c.Labels[k], logit, want[i][k])
			}
		}
	}
	if none, err := Import(t.Context(), filepath.Join("testdata", "towers", "vision"), ImportOptions{Dir: dir, Name: "plain"}); err != nil || none.Labels != nil {
		t.Fatal(none, err)
	}
	if c, err := loadClassifier(dir, "plain"); c != nil || err != nil {
		t.Errorf("%+v, %v: want no classifier", c, err)
	}
}

func TestLayoutsThatDoNotFitAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ config, want string }{
		{`{"model_type": "siglip2"}`, `did you mean "siglip"?`},
		{`{"model_type": "siglip", "architectures": ["SiglipForImageClassification"]}`, "id2label is missing"},
		{`{"model_type": "siglip", "architectures": ["SiglipForImageClassification"], "id2label": {"0": "a", "2": "b"}}`, `number "2"`},
		{`{"model_type": "siglip_vision_model", "patch_size": 0}`, "vision_config: patch_size 0"},
		{`{"model_type": "gemma3", "vision_config": {"hidden_size": 30, "num_attention_heads": 7}}`, "not a multiple of 7 heads"},
		{`{"model_type": "siglip", "text_config": {"max_position_embeddings": 16}}`, "text_config: max_position_embeddings 16"},
		{`{"model_type": "siglip", "text_config": []}`, "text_config: "},
	} {
		if _, err := parseLayout([]byte(c.config)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v: want %q", c.config, err, c.want)
		}
	}
}

func TestGemmasTokenizerIsRefused(t *testing.T) {
	t.Parallel()
	dir := copyCheckpoint(t, "siglip-f32")
	put("tokenizer_config.json", `{"tokenizer_class": "GemmaTokenizerFast"}`)(t, dir)
	_, err := Import(t.Context(), dir, ImportOptions{Dir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "want SiglipTokenizer") {
		t.Errorf("error %v: want the tokenizer refused", err)
	}
}
