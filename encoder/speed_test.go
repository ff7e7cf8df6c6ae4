package encoder

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/datasets/phantom"
	"github.com/medprobe/medprobe/embedcache"
	"github.com/medprobe/medprobe/internal/needs"
	"github.com/medprobe/medprobe/internal/onnxgraph"
	"github.com/medprobe/medprobe/internal/safetensors"
	"github.com/medprobe/medprobe/internal/turns"
	"golang.org/x/image/draw"
)

// so400m writes a vision tower of MedSigLIP's width with random weights and few
// of its 27 layers: 448 pixels, patches of 14.
func so400m(t testing.TB, layers int) string {
	t.Helper()
	return randomTower(t, towerConfig{Width: 1152, MLPWidth: 4304, Layers: layers, Heads: 16, ImageSize: 448, PatchSize: 14}, false)
}

// randomTower writes a SiglipVisionModel. With outliers, a few channels of every
// normalisation are far larger than the others, as in trained towers.
func randomTower(t testing.TB, c towerConfig, outliers bool) string {
	t.Helper()
	random := rand.New(rand.NewPCG(4, 4))
	dir := t.TempDir()
	config := map[string]any{"model_type": "siglip_vision_model", "hidden_size": c.Width, "intermediate_size": c.MLPWidth,
		"num_hidden_layers": c.Layers, "num_attention_heads": c.Heads, "image_size": c.ImageSize, "patch_size": c.PatchSize}
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	var arrays []safetensors.Array
	add := func(name string, scale, shift float64, shape ...int) []float32 {
		n := 1
		for _, d := range shape {
			n *= d
		}
		data := make([]float32, n)
		for i := range data {
			data[i] = float32(shift + scale*random.NormFloat64())
		}
		arrays = append(arrays, safetensors.Array{Name: "vision_model." + name, Shape: shape, Data: data})
		return data
	}
	linear := func(name string, out, in int) {
		add(name+".weight", 1/math.Sqrt(float64(in)), 0, out, in)
		add(name+".bias", 0.1, 0, out)
	}
	norm := func(name string) {
		weight := add(name+".weight", 0.2, 1, c.Width)
		add(name+".bias", 0.1, 0, c.Width)
		if outliers {
			for k := range 6 {
				weight[(k*131+7)%c.Width] *= 25
			}
		}
	}
	grid := c.ImageSize / c.PatchSize
	add("embeddings.patch_embedding.weight", 0.02, 0, c.Width, 3, c.PatchSize, c.PatchSize)
	add("embeddings.patch_embedding.bias", 0.02, 0, c.Width)
	add("embeddings.position_embedding.weight", 0.1, 0, grid*grid, c.Width)
	for i := range c.Layers {
		layer := fmt.Sprintf("encoder.layers.%d", i)
		norm(layer + ".layer_norm1")
		norm(layer + ".layer_norm2")
		for _, p := range []string{"q_proj", "k_proj", "v_proj", "out_proj"} {
			linear(layer+".self_attn."+p, c.Width, c.Width)
		}
		linear(layer+".mlp.fc1", c.MLPWidth, c.Width)
		linear(layer+".mlp.fc2", c.Width, c.MLPWidth)
	}
	norm("post_layernorm")
	add("head.probe", 1, 0, 1, 1, c.Width)
	add("head.attention.in_proj_weight", 1/math.Sqrt(float64(c.Width)), 0, 3*c.Width, c.Width)
	add("head.attention.in_proj_bias", 0.1, 0, 3*c.Width)
	linear("head.attention.out_proj", c.Width, c.Width)
	norm("head.layernorm")
	linear("head.mlp.fc1", c.MLPWidth, c.Width)
	linear("head.mlp.fc2", c.Width, c.MLPWidth)

	write := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("config.json", text)
	write("preprocessor_config.json", []byte("{}"))
	f, err := os.Create(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := safetensors.Write(f, arrays, nil); err != nil {
		t.Fatal(err)
	}
	return dir
}

// plainTower is the vision tower in ONNX's own operators: what an exporter
// writes, and what the fused one is measured against.
func plainTower(from *checkpoint, location string, out io.Writer) ([]byte, error) {
	t := newTower("plain", from, from.config.Vision, int64(from.config.Vision.ImageSize/from.config.Vision.PatchSize), precisionFP32, location, out)
	t.tokens *= t.tokens
	g, c, w := t.g, t.c, t.c.Width
	size, patch := int64(c.ImageSize), int64(c.PatchSize)
	gelu := func(x string) string {
		cube := g.Op("Mul", []string{g.Op("Mul", []string{x, x}), x})
		inner := g.Op("Add", []string{x, g.Op("Mul", []string{cube, g.Floats(nil, 0.044715)})})
		tanh := g.Op("Tanh", []string{g.Op("Mul", []string{inner, g.Floats(nil, float32(math.Sqrt(2/math.Pi)))})})
		return g.Op("Mul", []string{g.Op("Mul", []string{x, g.Floats(nil, 0.5)}), g.Op("Add", []string{tanh, g.Floats(nil, 1)})})
	}
	pixels := g.Input("pixel_values", onnxgraph.Float, onnxgraph.Dim{Name: "batch"}, onnxgraph.Dim{Size: 3}, onnxgraph.Dim{Size: size}, onnxgraph.Dim{Size: size})
	const e = "vision_model.embeddings."
	x := g.Op("Conv", []string{pixels, t.tensor(e+"patch_embedding.weight", w, 3, c.PatchSize, c.PatchSize), t.tensor(e+"patch_embedding.bias", w)},
		attr("kernel_shape", []int64{patch, patch}), attr("strides", []int64{patch, patch}))
	x = g.Op("Transpose", []string{g.Op("Reshape", []string{x, g.Ints([]int{3}, -1, int64(w), t.tokens)})}, attr("perm", []int64{0, 2, 1}))
	x = t.rowsOf(g.Op("Add", []string{x, t.tensor(e+"position_embedding.weight", int(t.tokens), w)}))
	for i := range c.Layers {
		layer := fmt.Sprintf("vision_model.encoder.layers.%d", i)
		h, attn := t.layerNorm(x, layer+".layer_norm1"), layer+".self_attn"
		y := t.attend(t.linear(h, attn+".q_proj", w, w), t.linear(h, attn+".k_proj", w, w), t.linear(h, attn+".v_proj", w, w), t.tokens)
		x = g.Op("Add", []string{x, t.linear(y, attn+".out_proj", w, w)})
		h = t.linear(t.layerNorm(x, layer+".layer_norm2"), layer+".mlp.fc1", w, c.MLPWidth)
		x = g.Op("Add", []string{x, t.linear(gelu(h), layer+".mlp.fc2", c.MLPWidth, w)})
	}
	x = t.pool(t.layerNorm(x, "vision_model.post_layernorm"))
	g.Output("image_embeds", x, onnxgraph.Float, onnxgraph.Dim{Name: "batch"}, onnxgraph.Dim{Size: int64(w)})
	return g.Model(), t.finish()
}

func plainSession(t testing.TB, checkpoint string) *session {
	t.Helper()
	dir := t.TempDir()
	from, err := openCheckpoint(checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	out, err := os.Create(filepath.Join(dir, "plain.weights"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	graph, err := plainTower(from, "plain.weights", out)
	if err != nil {
		t.Fatal(err)
	}
	model := filepath.Join(dir, "plain.onnx")
	if err := os.WriteFile(model, graph, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := newSession(model, Graph{Input: "pixel_values", Output: "image_embeds"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.close() })
	return s
}

// TestSpeed notes how long a tower of MedSigLIP's width takes for one image, in
// turns with the same tower in plain operators, and with PyTorch.
func TestSpeed(t *testing.T) {
	rounds := turns.Rounds(t)
	needRuntime(t)
	const layers = 3
	checkpoint := so400m(t, layers)
	fp32, int8 := pair(t, checkpoint)
	plain := plainSession(t, checkpoint)
	size := fp32.ImageSize()
	pixels := [][]float32{make([]float32, 3*size*size)}
	random := rand.New(rand.NewPCG(2, 2))
	for i := range pixels[0] {
		pixels[0][i] = float32(2*random.Float64() - 1)
	}
	timed := func(encode func(context.Context, [][]float32) ([][]float32, error)) func() float64 {
		return turns.Seconds(t, func() error {
			_, err := encode(t.Context(), pixels)
			return err
		})
	}
	took := turns.Take(rounds,
		turns.First(turns.Peer(t, "torch", filepath.Join("..", "tools", "reference", "siglip_speed.py"), checkpoint), ""),
		timed(func(ctx context.Context, p [][]float32) ([][]float32, error) {
			return run(ctx, plain, p, 3, int64(size), int64(size))
		}),
		timed(fp32.EncodePixels), timed(int8.EncodePixels))
	torch, operators := took[0], took[1]
	work := fmt.Sprintf(", %d of 27 layers, one image", layers)
	turns.Note(t,
		turns.Line{Work: "fp32" + work, Unit: "s", Ours: took[2], Peer: "plain ONNX operators in ONNX Runtime", Theirs: operators, Goal: turns.Goal{Ratio: 1.08}},
		turns.Line{Work: "int8" + work, Unit: "s", Ours: took[3], Peer: "plain ONNX operators in ONNX Runtime, fp32", Theirs: operators, Goal: turns.Goal{Ratio: 2.9}},
		turns.Line{Work: "fp32" + work, Unit: "s", Ours: took[2], Peer: "PyTorch, fp32", Theirs: torch},
		turns.Line{Work: "int8" + work, Unit: "s", Ours: took[3], Peer: "PyTorch, fp32", Theirs: torch, Goal: turns.Goal{Ratio: 5.5}})
}

// TestPipelineSpeed notes how much of the bare session's throughput is left when
// images are read, decoded, resized, encoded and stored. Both do as many images,
// in turns; the cache begins empty each time.
func TestPipelineSpeed(t *testing.T) {
	rounds := turns.Rounds(t)
	needRuntime(t)
	const images = 8
	fp32, int8 := pair(t, so400m(t, 27))
	d, pixels := largeRadiographs(t, images, fp32)
	for _, e := range []*Encoder{fp32, int8} {
		took := turns.Take((rounds+2)/3,
			turns.Seconds(t, func() error {
				_, err := e.EncodePixels(t.Context(), pixels)
				return err
			}),
			turns.Seconds(t, func() error {
				cache, err := embedcache.Open(t.Context(), filepath.Join(t.TempDir(), "cache.db"))
				if err != nil {
					return err
				}
				defer cache.Close()
				f, err := cache.Fill(t.Context(), d, e, embedcache.FillOptions{})
				if err == nil && f.Embedded != images {
					err = fmt.Errorf("embedded %d of %d images", f.Embedded, images)
				}
				return err
			}))
		turns.Note(t, turns.Line{Work: fmt.Sprintf("embed %d PNG of 1024×1024 from file to cache, %s, all 27 layers", images, e.manifest.Precision),
			Unit: "s", Ours: took[1], Peer: "the same session alone, on pixels in memory", Theirs: took[0], Goal: turns.Goal{Ratio: 0.97}})
	}
}

// largeRadiographs writes drawn radiographs as PNG files of 1024×1024 pixels, and
// returns them as a dataset and as the encoder's pixels.
func largeRadiographs(t *testing.T, images int, e *Encoder) (d *datasets.Dataset, pixels [][]float32) {
	t.Helper()
	dir := t.TempDir()
	table := "path,y\n"
	for n := range images {
		img := phantom.NewPatient(5, uint64(n)).Radiograph(0).Image
		large := image.NewRGBA(image.Rect(0, 0, 1024, 1024))
		draw.BiLinear.Scale(large, large.Bounds(), img, img.Bounds(), draw.Src, nil)
		var b bytes.Buffer
		if err := png.Encode(&b, large); err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("%02d.png", n)
		if err := os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		table += fmt.Sprintf("%s,%d\n", name, n%2)
		p, err := e.Preprocess(large)
		if err != nil {
			t.Fatal(err)
		}
		pixels = append(pixels, p)
	}
	if err := os.WriteFile(filepath.Join(dir, "labels.csv"), []byte(table), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := datasets.Open(t.Context(), datasets.Spec{Format: "csv", Path: filepath.Join(dir, "labels.csv"), Labels: []string{"y"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d, pixels
}

func TestInt8SurvivesOutliers(t *testing.T) {
	needs.Time(t)
	t.Parallel()
	checkpoint := randomTower(t, towerConfig{Width: 1152, MLPWidth: 4304, Layers: 2, Heads: 16, ImageSize: 112, PatchSize: 14}, true)
	fp32, int8 := pair(t, checkpoint)
	random := rand.New(rand.NewPCG(9, 9))
	pixels := make([][]float32, 12)
	for i := range pixels {
		pixels[i] = make([]float32, 3*112*112)
		level := 2*random.Float64() - 1
		for k := range pixels[i] {
			pixels[i][k] = float32(max(-1, min(1, level+0.5*random.NormFloat64())))
		}
	}
	a, err := fp32.EncodePixels(t.Context(), pixels)
	if err != nil {
		t.Fatal(err)
	}
	b, err := int8.EncodePixels(t.Context(), pixels)
	if err != nil {
		t.Fatal(err)
	}
	if g := agreement(t, a, b); g.MeanCosine < 0.995 {
		t.Errorf("%+v: want a mean cosine of at least 0.995", g)
	}
}
