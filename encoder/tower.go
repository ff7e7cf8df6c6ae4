package encoder

import (
	"fmt"
	"io"
	"math"

	"github.com/medprobe/medprobe/internal/onnxgraph"
)

// GraphRevision changes whenever the same checkpoint gives other graphs: an
// encoder that was imported before has other fingerprints than one imported now.
const GraphRevision = 2

// textLength is the number of token ids of every text.
const textLength = 64

// tower builds the operators of one transformer tower. Hidden states are
// matrices with one token per row, [batch·tokens, width], so that every linear
// layer is one Gemm with the weight as PyTorch stores it, [out, in].
type tower struct {
	*weights
	g      *onnxgraph.Graph
	c      towerConfig
	tokens int64
	int8   *quantizer // nil in fp32 and fp16
}

func newTower(name string, from *checkpoint, c towerConfig, tokens int64, precision, location string, out io.Writer) *tower {
	g := onnxgraph.New(name)
	t := &tower{weights: newWeights(g, from, location, out), g: g, c: c, tokens: tokens}
	t.half = precision == precisionFP16
	if precision == precisionInt8 {
		t.int8 = &quantizer{weights: t.weights, seen: map[string]quantized{}, shares: map[string][]float32{}}
	}
	return t
}

func attr(name string, value any) onnxgraph.Attr { return onnxgraph.Attr{Name: name, Value: value} }

// inside turns float32 into what the tower computes in, and outside turns it
// back.
func (t *tower) inside(x string) string { return t.cast(x, onnxgraph.Float16) }

func (t *tower) outside(x string) string { return t.cast(x, onnxgraph.Float) }

func (t *tower) cast(x string, to int64) string {
	if !t.half {
		return x
	}
	return t.g.Op("Cast", []string{x}, attr("to", to))
}

// linear is y = x·Wᵀ + b.
func (t *tower) linear(x, name string, in, out int) string {
	if t.int8 != nil {
		return t.int8.linear(x, name, in, out)
	}
	return t.gemm(x, t.tensor(name+".weight", out, in), t.tensor(name+".bias", out))
}

func (t *tower) gemm(x, weight, bias string) string {
	return t.g.Op("Gemm", []string{x, weight, bias}, attr("transB", int64(1)))
}

func (t *tower) layerNorm(x, name string) string {
	scale, bias := t.tensor(name+".weight", t.c.Width), t.tensor(name+".bias", t.c.Width)
	return t.g.Op("LayerNormalization", []string{x, scale, bias}, attr("axis", int64(-1)), attr("epsilon", t.c.Eps))
}

// normFor is the layerNorm that the named linear layers read, each with so many
// outputs.
func (t *tower) normFor(x, name string, out int, readers ...string) string {
	if t.int8 == nil {
		return t.layerNorm(x, name)
	}
	scale, bias := t.int8.smoothed(name, t.c.Width, out, readers)
	y := t.g.Op("LayerNormalization", []string{x, scale.name, bias.name}, attr("axis", int64(-1)), attr("epsilon", t.c.Eps))
	t.int8.shares[y] = scale.shares
	return y
}

// activations are the functions between the two linear layers of an MLP, by
// the names of config.json.
var activations = map[string]func(g *onnxgraph.Graph, x string) string{
	"gelu_pytorch_tanh": tanhGelu,
	"gelu":              erfGelu,
}

// tanhGelu is ½x(1 + tanh(√(2/π)(x + 0.044715x³))), Hendrycks and Gimpel,
// arXiv 1606.08415, as one operator of ONNX Runtime.
func tanhGelu(g *onnxgraph.Graph, x string) string {
	return g.Ops(onnxgraph.Contrib, "FastGelu", []string{x}, 1)[0]
}

// erfGelu is ½x(1 + erf(x/√2)).
func erfGelu(g *onnxgraph.Graph, x string) string {
	return g.Ops(onnxgraph.Contrib, "Gelu", []string{x}, 1)[0]
}

func (t *tower) mlp(x, name string) string {
	hidden := t.linear(x, name+".fc1", t.c.Width, t.c.MLPWidth)
	return t.linear(activations[t.c.Act](t.g, hidden), name+".fc2", t.c.MLPWidth, t.c.Width)
}

// heads turns [batch·tokens, width] into [batch, heads, tokens, head width], or
// into its transposed [batch, heads, head width, tokens].
func (t *tower) heads(x string, tokens int64, transposed bool) string {
	shape := t.g.Ints([]int{4}, -1, tokens, int64(t.c.Heads), int64(t.c.Width/t.c.Heads))
	perm := []int64{0, 2, 1, 3}
	if transposed {
		perm = []int64{0, 2, 3, 1}
	}
	return t.g.Op("Transpose", []string{t.g.Op("Reshape", []string{x, shape})}, attr("perm", perm))
}

// attend is softmax(q·kᵀ/√head width)·v, joined over the heads to
// [batch·queries, width]; q, k and v are [batch·tokens, width].
func (t *tower) attend(q, k, v string, queries int64) string {
	scale := t.inside(t.g.Floats(nil, float32(1/math.Sqrt(float64(t.c.Width/t.c.Heads)))))
	q = t.heads(t.g.Op("Mul", []string{q, scale}), queries, false)
	scores := t.g.Op("MatMul", []string{q, t.heads(k, t.tokens, true)})
	mixed := t.g.Op("MatMul", []string{t.g.Op("Softmax", []string{scores}, attr("axis", int64(-1))), t.heads(v, t.tokens, false)})
	joined := t.g.Op("Transpose", []string{mixed}, attr("perm", []int64{0, 2, 1, 3}))
	return t.rowsOf(joined)
}

// attendFused is attend as one operator of ONNX Runtime, which does not keep the
// scores of all heads. Queries and keys are of the same images.
func (t *tower) attendFused(q, k, v string) string {
	perImage := t.g.Ints([]int{3}, -1, t.tokens, int64(t.c.Width))
	inputs := []string{q, k, v}
	for i, x := range inputs {
		inputs[i] = t.g.Op("Reshape", []string{x, perImage})
	}
	return t.rowsOf(t.g.Ops(onnxgraph.Contrib, "MultiHeadAttention", inputs, 1, attr("num_heads", int64(t.c.Heads)))[0])
}

// rowsOf makes x a matrix with rows of the tower's width.
func (t *tower) rowsOf(x string) string {
	return t.g.Op("Reshape", []string{x, t.g.Ints([]int{2}, -1, int64(t.c.Width))})
}

// layers runs the pre-norm transformer layers NAME.0, NAME.1, …
func (t *tower) layers(x, name string) string {
	w := t.c.Width
	for i := range t.c.Layers {
		if t.err != nil {
			return x // a configuration may claim a million layers
		}
		layer := fmt.Sprintf("%s.%d", name, i)
		attn := layer + ".self_attn"
		h := t.normFor(x, layer+".layer_norm1", w, attn+".q_proj", attn+".k_proj", attn+".v_proj")
		q, k, v := t.linear(h, attn+".q_proj", w, w), t.linear(h, attn+".k_proj", w, w), t.linear(h, attn+".v_proj", w, w)
		x = t.g.Op("Add", []string{x, t.linear(t.attendFused(q, k, v), attn+".out_proj", w, w)})
		x = t.g.Op("Add", []string{x, t.mlp(t.normFor(x, layer+".layer_norm2", t.c.MLPWidth, layer+".mlp.fc1"), layer+".mlp")})
	}
	return x
}

// buildVision builds pixels [batch, 3, size, size] → image_embeds [batch,
// width], before normalisation: SiglipVisionTransformer with its
// attention-pooling head, or without it the mean of its tokens. It returns the model and writes the weights to out.
func buildVision(from *checkpoint, precision, location string, out io.Writer) ([]byte, error) {
	c := from.config.Vision
	grid := int64(c.ImageSize / c.PatchSize)
	t := newTower("vision", from, c, grid*grid, precision, location, out)
	g := t.g
	size, patch, w := int64(c.ImageSize), int64(c.PatchSize), c.Width

	pixels := g.Input("pixel_values", onnxgraph.Float, onnxgraph.Dim{Name: "batch"}, onnxgraph.Dim{Size: 3}, onnxgraph.Dim{Size: size}, onnxgraph.Dim{Size: size})
	embeddings := from.vision("vision_model.embeddings.")
	x := g.Op("Conv", []string{t.inside(pixels), t.tensor(embeddings+"patch_embedding.weight", w, 3, c.PatchSize, c.PatchSize), t.tensor(embeddings+"patch_embedding.bias", w)},
		attr("kernel_shape", []int64{patch, patch}), attr("strides", []int64{patch, patch}))
	x = g.Op("Reshape", []string{x, g.Ints([]int{3}, -1, int64(w), t.tokens)})
	x = g.Op("Transpose", []string{x}, attr("perm", []int64{0, 2, 1}))
	x = g.Op("Add", []string{x, t.tensor(embeddings+"position_embedding.weight", int(t.tokens), w)})
	x = t.layers(t.rowsOf(x), from.vision("vision_model.encoder.layers"))
	x = t.layerNorm(x, from.vision("vision_model.post_layernorm"))
	if from.config.Pooled {
		x = t.pool(x)
	} else {
		x = t.mean(x)
	}
	g.Output("image_embeds", t.outside(x), onnxgraph.Float, onnxgraph.Dim{Name: "batch"}, onnxgraph.Dim{Size: int64(w)})
	return g.Model(), t.finish()
}

// pool is SiglipMultiheadAttentionPoolingHead: a learned probe attends to the
// tokens.
func (t *tower) pool(x string) string {
	head := t.from.vision("vision_model.head.")
	w := t.c.Width
	weight := t.rows(head+"attention.in_proj_weight", 3, 3*w, w)
	bias := t.rows(head+"attention.in_proj_bias", 3, 3*w)
	probe := t.rowsOf(t.tensor(head+"probe", 1, 1, w))
	project := func(x string, part int) string {
		if t.int8 != nil && x != probe {
			return t.int8.part(x, head+"attention.in_proj_weight", bias[part], part, w)
		}
		return t.gemm(x, weight[part], bias[part])
	}
	y := t.attend(project(probe, 0), project(x, 1), project(x, 2), 1)
	y = t.linear(y, head+"attention.out_proj", w, w)
	return t.g.Op("Add", []string{y, t.mlp(t.layerNorm(y, head+"layernorm"), head+"mlp")})
}

// mean is the mean of each image's tokens, as SiglipForImageClassification takes
// it.
func (t *tower) mean(x string) string {
	x = t.g.Op("Reshape", []string{x, t.g.Ints([]int{3}, -1, t.tokens, int64(t.c.Width))})
	return t.g.Op("ReduceMean", []string{x}, attr("axes", []int64{1}), attr("keepdims", int64(0)))
}

// buildText builds input_ids [batch, 64] → text_embeds [batch, projection],
// before normalisation: SiglipTextTransformer, pooled at the last position.
func buildText(from *checkpoint, precision, location string, out io.Writer) ([]byte, error) {
	c := *from.config.Text
	t := newTower("text", from, c, textLength, precision, location, out)
	g := t.g
	ids := g.Input("input_ids", onnxgraph.Int64, onnxgraph.Dim{Name: "batch"}, onnxgraph.Dim{Size: textLength})
	const embeddings = "text_model.embeddings."
	x := g.Op("Gather", []string{t.tensor(embeddings+"token_embedding.weight", c.Vocabulary, c.Width), ids}, attr("axis", int64(0)))
	x = g.Op("Add", []string{x, t.tensor(embeddings+"position_embedding.weight", textLength, c.Width)})
	x = t.layers(t.rowsOf(x), "text_model.encoder.layers")
	x = t.layerNorm(x, "text_model.final_layer_norm")
	x = g.Op("Reshape", []string{x, g.Ints([]int{3}, -1, textLength, int64(c.Width))})
	last := g.Op("Gather", []string{x, g.Ints(nil, textLength-1)}, attr("axis", int64(1)))
	g.Output("text_embeds", t.outside(t.linear(last, "text_model.head", c.Width, c.Projection)), onnxgraph.Float, onnxgraph.Dim{Name: "batch"}, onnxgraph.Dim{Size: int64(c.Projection)})
	return g.Model(), t.finish()
}
