package main

import (
	"encoding/binary"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/internal/needs"
	"github.com/medprobe/medprobe/internal/onnxgraph"
)

const onnxConfig = "mean: [0.5, 0.5, 0.5]\nstd: [0.5, 0.5, 0.5]\nresample: bilinear\n"

// onnxImport imports a model, with what there is to say of it, and returns what
// was said and the exit code.
func (m *machine) onnxImport(model []byte) (string, int) {
	m.Helper()
	path := filepath.Join(m.home, "model.onnx")
	for file, data := range map[string][]byte{path: model, filepath.Join(m.home, "model.yaml"): []byte(onnxConfig)} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			m.Fatal(err)
		}
	}
	return m.run(m.command("encoder", "import", path, "--json"))
}

// imageModel is a graph from images of 8×8 pixels to what build makes of them.
func imageModel(build func(g *onnxgraph.Graph, pixels string) string) []byte {
	g := onnxgraph.New("images")
	pixels := g.Input("pixels", onnxgraph.Float, onnxgraph.Dim{Name: "batch"}, onnxgraph.Dim{Size: 3}, onnxgraph.Dim{Size: 8}, onnxgraph.Dim{Size: 8})
	g.Output("vectors", build(g, pixels), onnxgraph.Float, onnxgraph.Dim{Name: "batch"}, onnxgraph.Dim{Size: 3})
	return g.Model()
}

// channelMeans is the mean of each channel: [batch, 3].
func channelMeans(g *onnxgraph.Graph, pixels string) string {
	return g.Op("ReduceMean", []string{pixels}, onnxgraph.Attr{Name: "axes", Value: []int64{2, 3}}, onnxgraph.Attr{Name: "keepdims", Value: int64(0)})
}

func TestLoneModelIsImportedAndUsed(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	text, code := m.onnxImport(imageModel(channelMeans))
	var got struct {
		Name      string
		Dim       int
		ImageSize int  `json:"image_size"`
		HasText   bool `json:"has_text"`
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil || code != 0 || got.Name != "model" || got.Dim != 3 || got.ImageSize != 8 || got.HasText {
		t.Fatalf("exit %d, %v: %s", code, err, text)
	}
	folder := filepath.Join(m.home, "images")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for i, level := range []uint8{40, 200} {
		if err := os.WriteFile(filepath.Join(folder, string(rune('a'+i))+".png"), picture(t, level), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if text, code := m.run(m.command("encode", "texts", "--encoder", "model", "--out", filepath.Join(m.home, "t.npy"), "a")); code != exitError || !strings.Contains(text, "no text tower") {
		t.Errorf("texts: exit %d: %s", code, text)
	}
	m.must("encode", "images", "--encoder", "model", "--raw", "--out", filepath.Join(m.home, "x.npy"), filepath.Join(folder, "a.png"), filepath.Join(folder, "b.png"))
	data, err := os.ReadFile(filepath.Join(m.home, "x.npy"))
	if err != nil {
		t.Fatal(err)
	}
	if values := data[len(data)-2*3*4:]; binary.LittleEndian.Uint32(values) == binary.LittleEndian.Uint32(values[12:]) {
		t.Error("a dark and a light image have the same vector")
	}
}

// A model that asks for too much, or makes no sense, ends the first run; the
// command says so and ends with 1.
func TestHostileModelsEndOnlyTheirFirstRun(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	models := 0
	bomb := imageModel(func(g *onnxgraph.Graph, pixels string) string {
		large := g.Op("Tile", []string{pixels, g.Ints([]int{4}, 1<<11, 1<<11, 1<<11, 1)})
		return g.Op("ReduceMean", []string{large}, onnxgraph.Attr{Name: "axes", Value: []int64{2, 3}}, onnxgraph.Attr{Name: "keepdims", Value: int64(0)})
	})
	for name, c := range map[string]struct {
		model []byte
		want  string
	}{
		"tile bomb":       {bomb, "Tile"},
		"no such kernel":  {imageModel(func(g *onnxgraph.Graph, x string) string { return g.Op("Nonsense", []string{x}) }), "Nonsense"},
		"undefined value": {imageModel(func(g *onnxgraph.Graph, x string) string { return g.Op("Add", []string{x, "nobody"}) }), "nobody"},
		"wrong type":      {imageModel(func(g *onnxgraph.Graph, x string) string { return g.Op("MatMulInteger", []string{x, x}) }), "MatMulInteger"},
		"one vector only": {imageModel(func(g *onnxgraph.Graph, x string) string {
			return g.Op("Reshape", []string{channelMeans(g, x), g.Ints([]int{2}, 1, -1)})
		}), "want one row for each"},
	} {
		text, code := m.onnxImport(c.model)
		if code != exitError || !strings.Contains(text, c.want) || strings.Contains(text, "goroutine") {
			t.Errorf("%s: exit %d: %.400s: want %q", name, code, text, c.want)
		}
		models++
	}
	t.Logf("measured: %d of %d models that the runtime refuses or chokes on end with exit 1", models, models)
}

// Whatever a byte of a real model is changed to, the command comes back with an
// exit code of its own.
func TestChangedModelsNeverTakeTheCommandDown(t *testing.T) {
	t.Parallel()
	model, err := os.ReadFile(filepath.Join(needs.Root(t), "encoder", "testdata", "onnx", "siglip", "vision_model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	m := newMachine(t)
	rng := rand.New(rand.NewPCG(1, 2))
	tries := 100
	if testing.Short() {
		tries = 10
	}
	refused := 0
	for range tries {
		changed := append([]byte(nil), model...)
		for range 1 + rng.IntN(8) {
			changed[rng.IntN(len(changed))] = byte(rng.Uint32())
		}
		text, code := m.onnxImport(changed[:len(changed)-rng.IntN(2)*rng.IntN(len(changed))])
		switch {
		case code == exitError && strings.HasPrefix(text, "medprobe: encoder: import: "):
			refused++
		case code != exitOK:
			t.Fatalf("exit %d: %.400s", code, text)
		}
	}
	t.Logf("measured: %d of %d changed models refused, the others imported; 0 deaths by signal", refused, tries)
}
