package encoder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// damages are what can be wrong with a checkpoint, and what the error must
// say: the file or tensor, what is there and what was expected.
var damages = []struct {
	name, checkpoint string
	damage           func(t *testing.T, dir string)
	says             []string
}{
	{"no config", "siglip-f32", remove("config.json"), []string{"config.json is missing"}},
	{"no weights", "siglip-f32", remove("model.safetensors"), []string{"model.safetensors is missing"}},
	{"no vocabulary", "siglip-f32", remove("spiece.model"), []string{"spiece.model is missing"}},
	{"no preprocessor_config", "siglip-f32", remove("preprocessor_config.json"), []string{"preprocessor_config.json is missing"}},
	{"config is no JSON", "siglip-f32", put("config.json", "{nonsense"), []string{"config.json", "invalid character"}},
	{"another model", "siglip-f32", change("config.json", `"model_type": "siglip",`, `"model_type": "clip",`), []string{`unknown model_type "clip"; known: siglip`}},
	{"wider than the tensors", "siglip-f32", change("config.json", `"intermediate_size": 64`, `"intermediate_size": 65`),
		[]string{"text_model.encoder.layers.0.mlp.fc1.weight", "[64 32]", "want [65 32] by config.json"}},
	{"image larger than the positions", "siglip-f32", func(t *testing.T, dir string) {
		change("config.json", `"image_size": 32`, `"image_size": 48`)(t, dir)
		put("preprocessor_config.json", "{}")(t, dir)
	},
		[]string{"vision_model.embeddings.position_embedding.weight", "[16 32]", "want [36 32]"}},
	{"more layers than there are", "siglip-sharded", change("config.json", `"num_hidden_layers": 1`, `"num_hidden_layers": 2`),
		[]string{`no tensor "vision_model.encoder.layers.1.layer_norm1.weight"`}},
	{"a million layers", "siglip-sharded", change("config.json", `"num_hidden_layers": 1`, `"num_hidden_layers": 1000000`), []string{"layers.1."}},
	{"heads that do not divide the width", "siglip-f32", change("config.json", `"num_attention_heads": 2`, `"num_attention_heads": 5`), []string{"hidden_size 32 is not a multiple of 5 heads"}},
	{"unknown activation", "siglip-erf", change("config.json", `"hidden_act": "gelu"`, `"hidden_act": "relu"`), []string{`hidden_act "relu"`}},
	{"projection of another width", "siglip-bf16", change("config.json", `"projection_size": 48`, `"projection_size": 47`), []string{"projection_size 47", "48"}},
	{"vocabulary smaller than spiece.model", "siglip-f32", change("config.json", `"vocab_size": 300`, `"vocab_size": 299`), []string{"spiece.model has 300 pieces", "299"}},
	{"preprocessor of another size", "siglip-f32", change("preprocessor_config.json", `"height": 32`, `"height": 33`), []string{"33", "32"}},
	{"weights cut short", "siglip-f32", cut("model.safetensors"), []string{"model.safetensors", "the file holds"}},
	{"weights are a pickle", "siglip-f32", put("model.safetensors", "\x80\x04\x95\x1e\x00\x00\x00\x00\x00\x00\x00\x8c\x08builtins."), []string{"pickle is not read"}},
	{"only pickled weights", "siglip-f32", func(t *testing.T, dir string) {
		remove("model.safetensors")(t, dir)
		put("pytorch_model.bin", "PK\x03\x04")(t, dir)
	}, []string{"pytorch_model.bin", "pickle is not read", "safe_serialization=True"}},
	{"scale that is not finite", "siglip-f32", func(t *testing.T, dir string) {
		overwrite(t, filepath.Join(dir, "model.safetensors"), "logit_scale", 1000)
	}, []string{"logit_scale 1000"}},
	{"bias that is not a number", "siglip-f32", func(t *testing.T, dir string) {
		overwrite(t, filepath.Join(dir, "model.safetensors"), "logit_bias", float32(math.NaN()))
	}, []string{"logit_bias NaN"}},
	{"shard missing", "siglip-sharded", remove("model-00002-of-00003.safetensors"), []string{"model-00002-of-00003.safetensors is missing"}},
	{"shard elsewhere", "siglip-sharded", change("model.safetensors.index.json", `"model-00001-of-00003.safetensors"`, `"../model-00001-of-00003.safetensors"`),
		[]string{"index.json", `"../model-00001-of-00003.safetensors"`, "beside the index"}},
	{"tensor in two shards", "siglip-sharded", func(t *testing.T, dir string) {
		data, err := os.ReadFile(filepath.Join(dir, "model-00001-of-00003.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		put("model-00002-of-00003.safetensors", string(data))(t, dir)
	}, []string{"stands in", "model-00001", "model-00002"}},
}

func remove(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

func put(name, text string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func change(name, old, new string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(data), old) {
			t.Fatalf("%s does not contain %q", name, old)
		}
		put(name, strings.Replace(string(data), old, new, 1))(t, dir)
	}
}

func cut(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		path := filepath.Join(dir, name)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, info.Size()-1); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDamagedCheckpointIsRefusedAndLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, d := range damages {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			src, dir := copyCheckpoint(t, d.checkpoint), t.TempDir()
			d.damage(t, src)
			_, err := Import(t.Context(), src, ImportOptions{Dir: dir})
			if err == nil {
				t.Fatal("imported")
			}
			for _, part := range d.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%v: want %q", err, part)
				}
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

func TestPickledFilesAreRefusedWithTheWayToConvertThem(t *testing.T) {
	t.Parallel()
	names := []string{"model.pt", "pytorch_model.bin", "m.pkl", "m.joblib", "M.PTH", "m.ckpt"}
	for _, name := range names {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte("\x80\x04"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Import(t.Context(), path, ImportOptions{Dir: t.TempDir()})
		if err == nil || !strings.Contains(err.Error(), "pickle is not read; export safetensors") || strings.Count(err.Error(), "\n") != 2 {
			t.Errorf("%s: %v: want the reason and two lines of recipe", name, err)
		}
	}
	t.Logf("measured: %d of %d names of pickles refused", len(names), len(names))
}

func TestImportTellsWhatWasImported(t *testing.T) {
	t.Parallel()
	src := copyCheckpoint(t, "siglip-bf16")
	put("LICENSE", "free")(t, src)
	dir := filepath.Join(t.TempDir(), "a b", "ü\nx") // made by Import
	m, err := Import(t.Context(), src, ImportOptions{Dir: dir, Name: "bf.16-x_y"})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{"name": "bf.16-x_y", "dim": 48., "image_size": 30., "has_text": true, "precision": "fp32", "preprocess": "hf", "source": "siglip-bf16"} {
		if got[key] != want {
			t.Errorf("%s: %v: want %v", key, got[key], want)
		}
	}
	folder := filepath.Join(dir, m.Name)
	if text, err := os.ReadFile(filepath.Join(folder, "LICENSE")); err != nil || string(text) != "free" {
		t.Errorf("licence: %q, %v", text, err)
	}
	if info, err := os.Stat(folder); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder: %v, %v", info.Mode(), err)
	}
	shown, err := Show(dir, m.Name)
	if err != nil || shown.Fingerprint != m.Fingerprint {
		t.Errorf("shown: %+v, %v", shown, err)
	}
}

func TestNamesThatLeadElsewhereAreRefused(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"..", "../x", "a/b", ".hidden", "-x", "a b", "ü", "a\x00", strings.Repeat("a", 101)} {
		dir := t.TempDir()
		if _, err := Import(t.Context(), "testdata/siglip-f16", ImportOptions{Dir: dir, Name: name}); err == nil || !strings.Contains(err.Error(), "name") {
			t.Errorf("import as %q: %v", name, err)
		}
		if _, err := Open(dir, name, Options{}); err == nil || !strings.Contains(err.Error(), "name") {
			t.Errorf("open %q: %v", name, err)
		}
	}
}

func TestImportReplacesWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := Import(t.Context(), "testdata/siglip-f16", ImportOptions{Dir: dir, Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Import(ctx, "testdata/siglip-f32", ImportOptions{Dir: dir, Name: "x"}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if m, err := Show(dir, "x"); err != nil || m.Fingerprint != first.Fingerprint {
		t.Errorf("after a cancelled import: %+v, %v", m, err)
	}
	second, err := Import(t.Context(), "testdata/siglip-f32", ImportOptions{Dir: dir, Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	all, err := List(dir)
	if err != nil || len(all) != 1 || all[0].Fingerprint != second.Fingerprint {
		t.Errorf("after a second import: %+v, %v", all, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestImportsOfOneNameAtATime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			src := filepath.Join("testdata", checkpoints[i%len(checkpoints)])
			if _, err := Import(context.Background(), src, ImportOptions{Dir: dir, Name: "x"}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := Verify(dir, "x"); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestListAndShow(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if all, err := List(filepath.Join(dir, "absent")); err != nil || len(all) != 0 {
		t.Errorf("no folder: %v, %v", all, err)
	}
	if _, err := Show(dir, "x"); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "medprobe encoder import") {
		t.Errorf("nothing imported: %v", err)
	}
	for _, name := range []string{"b", "a"} {
		if _, err := Import(t.Context(), "testdata/siglip-f16", ImportOptions{Dir: dir, Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	all, err := List(dir)
	if err != nil || len(all) != 2 || all[0].Name != "a" || all[1].Name != "b" {
		t.Errorf("list: %+v, %v", all, err)
	}
	if _, err := Show(dir, "c"); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "imported: a, b") {
		t.Errorf("another name: %v", err)
	}
	change(manifestFile, `"schema": 1`, `"schema": 2`)(t, filepath.Join(dir, "a"))
	if _, err := Show(dir, "a"); err == nil || !strings.Contains(err.Error(), "schema 2, this medprobe knows 1") {
		t.Errorf("manifest of the future: %v", err)
	}
}

func TestVerifyFindsEveryChange(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m, err := Import(t.Context(), "testdata/siglip-f16", ImportOptions{Dir: dir, Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(dir, "x")
	if err := Verify(dir, "x"); err != nil {
		t.Fatal(err)
	}
	want := []string{"preprocessor_config.json", "spiece.model", "text.onnx", "text.onnx.weights", "vision.onnx", "vision.onnx.weights"}
	var files []string
	for file := range m.Files {
		files = append(files, file)
	}
	slices.Sort(files)
	if !slices.Equal(files, want) {
		t.Errorf("files %q: want %q", files, want)
	}
	for _, file := range want {
		path := filepath.Join(folder, file)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		expect := func(what string) {
			t.Helper()
			if err := Verify(dir, "x"); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q %s", file, what)) {
				t.Errorf("%s %s: %v", file, what, err)
			}
		}
		for _, offset := range []int{0, len(whole) / 2, -1} {
			flip(t, path, offset)
			expect("has SHA-256")
			flip(t, path, offset)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		expect("is missing")
		if err := os.Symlink("/dev/null", path); err != nil {
			t.Fatal(err)
		}
		expect("is not a plain file")
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		put(file, string(whole))(t, folder)
	}
	put("extra", "")(t, folder)
	if err := Verify(dir, "x"); err == nil || !strings.Contains(err.Error(), `"extra" was added`) {
		t.Errorf("added file: %v", err)
	}
	remove("extra")(t, folder)
	change(manifestFile, m.Fingerprint, strings.Repeat("0", 64))(t, folder)
	if err := Verify(dir, "x"); err == nil || !strings.Contains(err.Error(), "fingerprint") {
		t.Errorf("changed fingerprint: %v", err)
	}
}

func TestDamagedStoreIsAnErrorNotACrash(t *testing.T) {
	t.Parallel()
	needRuntime(t)
	for _, file := range []string{"vision.onnx", "vision.onnx.weights"} {
		dir := t.TempDir()
		if _, err := Import(t.Context(), "testdata/siglip-f16", ImportOptions{Dir: dir, Name: "x"}); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(filepath.Join(dir, "x", file), 1000); err != nil {
			t.Fatal(err)
		}
		e, err := Open(dir, "x", Options{})
		if err == nil {
			_, err = e.EncodePixels(t.Context(), [][]float32{make([]float32, 3*32*32)})
			e.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "import x again") {
			t.Errorf("%s cut short: %v", file, err)
		}
	}
}

func TestEncoderWithoutATextTowerSaysSo(t *testing.T) {
	t.Parallel()
	needRuntime(t)
	dir := t.TempDir()
	if _, err := Import(t.Context(), "testdata/siglip-f16", ImportOptions{Dir: dir, Name: "x"}); err != nil {
		t.Fatal(err)
	}
	change(manifestFile, `"has_text": true`, `"has_text": false`)(t, filepath.Join(dir, "x"))
	e, err := Open(dir, "x", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if _, err := e.EncodeTexts(t.Context(), []string{"a"}); !errors.Is(err, ErrNoText) {
		t.Errorf("texts: %v", err)
	}
	if ids := e.Tokenize("a"); ids != nil {
		t.Errorf("ids: %v", ids)
	}
	if _, err := e.EncodePixels(t.Context(), [][]float32{make([]float32, 3*32*32)}); err != nil {
		t.Errorf("images: %v", err)
	}
}

// Every vector and head that is kept stands under it: a new field of a manifest must
// not change the fingerprint of an encoder that was imported before.
func TestFingerprintOfAGraphIsThatOfEarlierVersions(t *testing.T) {
	t.Parallel()
	m := &Manifest{
		Precision: "fp32", LogitScale: 10, LogitBias: -2, Files: map[string]string{"vision/model.onnx": "ab", "LICENSE": "cd"},
		Vision: &Graph{File: "vision/model.onnx", Input: "pixel_values", Output: "last_hidden_state", Layout: "nhwc", Pool: "cls", OneByOne: true},
	}
	if got, want := m.fingerprint(), "74ef81b1d78a2f61fbf510c8fcc28d4e6824377bb2d30fd63a10c53bc89a5259"; got != want {
		t.Errorf("fingerprint %s: want %s", got, want)
	}
}
