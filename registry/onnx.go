package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/medprobe/medprobe/internal/onnxgraph"
	"github.com/medprobe/medprobe/trainer"
)

// What an ONNX model is called by, and what it carries so that it can become a
// version again: the head's own tensors, under a prefix, and as metadata the texts
// of the head's file, the version's document and its card.
const (
	onnxInput     = "embedding"
	onnxPrefix    = "head/"
	onnxText      = "medprobe.file."
	onnxDocument  = "medprobe.version"
	onnxModelCard = "medprobe.card"
)

// ONNX returns a head as an ONNX model of core operators (IR 8, opset 17), which
// mean the same in opsets 13 to 22.
//
// The input "embedding" is float32 [N, D]: vectors of length one, as the head was
// trained on. The outputs are "probabilities", float32 [N, C], calibrated as
// [trainer.Head.Probabilities] gives them, and "label", string [N]: the class with
// the greatest probability where classes exclude one another, and otherwise the most
// probable finding, or "" where none reaches .5; "" too for a vector with NaN. The metadata name the classes, the
// encoder and the preprocessing. Heads with a cache (tip-adapter, knn) or with
// networks (mlp) are carried whole. A head that takes covariates, or gives values, is
// an error.
//
// Sums are in double precision, as the head's own are: an isotonic curve may be
// steep, and an order of neighbours close. A network's are too, where the head's are
// in single precision.
//
// Oracle: ONNX Runtime against Head.Probabilities, within 1e-6; the reference
// checker of package onnx.
func ONNX(h *trainer.Head) ([]byte, error) {
	file, err := encodeHead(h)
	if err != nil {
		return nil, fmt.Errorf("registry: onnx: %w", err)
	}
	model, err := onnxModel(h, file, nil)
	if err != nil {
		return nil, fmt.Errorf("registry: onnx: %w", err)
	}
	return model, nil
}

// errNoONNX is why a head has no ONNX form.
var errNoONNX = errors.New("export safetensors")

// onnxModel returns the head, whose file is given, with more metadata.
func onnxModel(h *trainer.Head, file []byte, more [][2]string) ([]byte, error) {
	p, err := takeApart(file)
	if err != nil {
		return nil, err
	}
	switch unknown := p.unknown(); {
	case h.Covariates != nil:
		return nil, fmt.Errorf("the head takes the covariates %q beside the vector, which this format does not carry; %w", h.Covariates.Names(), errNoONNX)
	case h.GivesValues():
		return nil, fmt.Errorf("a %s head gives values and no probabilities, which this format does not carry; %w", h.Kind, errNoONNX)
	case unknown != "":
		return nil, fmt.Errorf("a %s head keeps %q, which this format does not carry; %w", h.Kind, unknown, errNoONNX)
	}
	g := onnxgraph.New("medprobe-head")
	g.Prefix = onnxPrefix
	if err := describeONNX(g, h, p, more); err != nil {
		return nil, err
	}
	x := g.Input(onnxInput, onnxgraph.Float, onnxgraph.Dim{Name: "N"}, onnxgraph.Dim{Size: int64(h.W.Cols)})
	b := &onnxBuilder{g, h, p}
	z := b.logits(b.double(x))
	probabilities := g.Op("Cast", []string{b.probabilities(z)}, to(onnxgraph.Float))
	g.Output("label", b.label(probabilities), onnxgraph.String, onnxgraph.Dim{Name: "N"})
	g.Output("probabilities", probabilities, onnxgraph.Float, onnxgraph.Dim{Name: "N"}, onnxgraph.Dim{Size: int64(len(h.Classes))})
	return g.Model(), nil
}

// describeONNX adds the metadata.
func describeONNX(g *onnxgraph.Graph, h *trainer.Head, p *parts, more [][2]string) error {
	classes, err := json.Marshal(h.Classes)
	if err != nil {
		return err
	}
	for _, kv := range append([][2]string{
		{"medprobe.classes", string(classes)}, {"medprobe.exclusive", fmt.Sprint(h.Exclusive)}, {"medprobe.head", h.Kind},
		{"medprobe.encoder", h.Space.Encoder}, {"medprobe.preprocess", h.Space.Preprocess},
	}, more...) {
		g.Meta(kv[0], kv[1])
	}
	for _, key := range slices.Sorted(maps.Keys(p.texts)) {
		g.Meta(onnxText+key, p.texts[key])
	}
	return nil
}

func to(elem int64) onnxgraph.Attr { return onnxgraph.Attr{Name: "to", Value: elem} }

// onnxBuilder adds what turns vectors into probabilities and labels. All values
// between are of double precision.
type onnxBuilder struct {
	*onnxgraph.Graph
	h *trainer.Head
	p *parts
}

func (b *onnxBuilder) double(x string) string {
	return b.Op("Cast", []string{x}, to(onnxgraph.Double))
}

// tensor returns a tensor of the head's file, in double precision.
func (b *onnxBuilder) tensor(name string) string {
	t := b.p.tensors[name]
	return b.double(b.Tensor(onnxPrefix+name, onnxgraph.Float, t.shape, t.raw))
}

// linear is x·Wᵀ + b.
func (b *onnxBuilder) linear(x, weight, bias string) string {
	return b.Op("Gemm", []string{x, b.tensor(weight), b.tensor(bias)}, onnxgraph.Attr{Name: "transB", Value: int64(1)})
}

// logits adds those of the head: W·x + b, and what cache and networks add.
func (b *onnxBuilder) logits(x string) string {
	z := b.linear(x, "weight", "bias")
	if b.h.Cache != nil {
		z = b.Op("Add", []string{z, b.cache(x)})
	}
	if len(b.h.Networks) == 0 {
		return z
	}
	var outputs []string
	for i, n := range b.h.Networks {
		y := x
		for l := range n.Weights {
			if l > 0 {
				y = b.Op("Relu", []string{y})
			}
			layer := fmt.Sprintf("network.%d.layer.%d", i, l)
			y = b.linear(y, layer+".weight", layer+".bias")
		}
		outputs = append(outputs, y)
	}
	return b.Op("Add", []string{z, b.columns(outputs)})
}

// columns joins matrices side by side.
func (b *onnxBuilder) columns(parts []string) string {
	if len(parts) == 1 {
		return parts[0]
	}
	return b.Op("Concat", parts, axis1)
}

var axis1 = onnxgraph.Attr{Name: "axis", Value: int64(1)}

// label adds what names the class of each row of probabilities.
func (b *onnxBuilder) label(p string) string {
	best := b.Op("ArgMax", []string{p}, axis1, onnxgraph.Attr{Name: "keepdims", Value: int64(1)})
	names, least := append(slices.Clone(b.h.Classes), ""), float32(0) // which NaN does not reach
	if !b.h.Exclusive {
		least = 0.5
	}
	highest := b.Op("GatherElements", []string{p, best}, axis1)
	present := b.Op("GreaterOrEqual", []string{highest, b.Floats(nil, least)})
	best = b.Op("Where", []string{present, best, b.Ints(nil, int64(len(b.h.Classes)))})
	best = b.Op("Reshape", []string{best, b.Ints([]int{1}, -1)})
	return b.Op("Gather", []string{b.Strings([]int{len(names)}, names...), best}, onnxgraph.Attr{Name: "axis", Value: int64(0)})
}
