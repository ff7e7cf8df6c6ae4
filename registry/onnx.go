package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/medprobe/medprobe/internal/onnxgraph"
	"github.com/medprobe/medprobe/trainer"
)

// ONNX returns a linear head as an ONNX model of core operators (IR 8, opset 17).
//
// The input "embedding" is float32 [N, D]: vectors of length one, as the head was
// trained on. The outputs are "probabilities", float32 [N, C], calibrated as
// [trainer.Head.Probabilities] gives them, and "label", string [N]: the class with
// the greatest probability where classes exclude one another, and otherwise the most
// probable finding, or "" where none reaches .5. The metadata name the classes, the
// encoder and the preprocessing. A head that is not linear is an error.
//
// Oracle: ONNX Runtime against Head.Probabilities, within 1e-5; the reference
// checker of package onnx.
func ONNX(h *trainer.Head) ([]byte, error) {
	if h.Covariates != nil {
		return nil, errors.New("registry: onnx: the head takes covariates beside the vector, which this export does not carry; export safetensors")
	}
	if !h.Linear() {
		return nil, fmt.Errorf("registry: onnx: a %s head keeps vectors or layers beside its weights, which this export does not carry; export safetensors", h.Kind)
	}
	g := onnxgraph.New("medprobe-head")
	classes, err := json.Marshal(h.Classes)
	if err != nil {
		return nil, fmt.Errorf("registry: onnx: %w", err)
	}
	for _, kv := range [][2]string{
		{"medprobe.classes", string(classes)}, {"medprobe.exclusive", fmt.Sprint(h.Exclusive)}, {"medprobe.head", h.Kind},
		{"medprobe.encoder", h.Space.Encoder}, {"medprobe.preprocess", h.Space.Preprocess},
	} {
		g.Meta(kv[0], kv[1])
	}
	x := g.Input("embedding", onnxgraph.Float, onnxgraph.Dim{Name: "N"}, onnxgraph.Dim{Size: int64(h.W.Cols)})
	p := probabilities(g, h, x)
	g.Output("label", label(g, h, p), onnxgraph.String, onnxgraph.Dim{Name: "N"})
	g.Output("probabilities", p, onnxgraph.Float, onnxgraph.Dim{Name: "N"}, onnxgraph.Dim{Size: int64(len(h.Classes))})
	return g.Model(), nil
}

// probabilities adds what turns vectors into probabilities. Products are in double
// precision, as the head's own are: an isotonic curve may be steep.
func probabilities(g *onnxgraph.Graph, h *trainer.Head, x string) string {
	c, d := len(h.Classes), h.W.Cols
	weights, bias := make([]float64, d*c), make([]float64, c)
	for k := range c {
		slope, intercept := folded(h, k)
		bias[k] = float64(slope*float64(h.B[k])) + intercept
		for j := range d {
			weights[j*c+k] = slope * float64(h.W.Data[k*h.W.Stride+j])
		}
	}
	z := g.Op("Cast", []string{x}, onnxgraph.Attr{Name: "to", Value: int64(onnxgraph.Double)})
	z = g.Op("MatMul", []string{z, g.Doubles([]int{d, c}, weights...)})
	z = g.Op("Add", []string{z, g.Doubles([]int{c}, bias...)})
	var p string
	switch {
	case h.Exclusive:
		p = g.Op("Softmax", []string{z}, onnxgraph.Attr{Name: "axis", Value: int64(1)})
	case !slices.ContainsFunc(h.Calibration, isotonic):
		p = g.Op("Sigmoid", []string{z})
	default:
		p = curves(g, h, z)
	}
	return g.Op("Cast", []string{p}, onnxgraph.Attr{Name: "to", Value: int64(onnxgraph.Float)})
}

func isotonic(c trainer.Calibration) bool { return c.Kind == trainer.Isotonic }

// folded returns the slope and intercept that the calibration puts on the logits of
// a class.
func folded(h *trainer.Head, class int) (slope, intercept float64) {
	switch {
	case h.Calibration == nil:
		return 1, 0
	case h.Exclusive:
		return h.Calibration[0].Slope, 0
	case isotonic(h.Calibration[class]):
		return 1, 0
	}
	return h.Calibration[class].Slope, h.Calibration[class].Intercept
}

// curves adds each finding's own curve and joins their columns.
func curves(g *onnxgraph.Graph, h *trainer.Head, z string) string {
	columns := []string{z}
	if c := len(h.Classes); c > 1 {
		columns = g.Split(z, 1, slices.Repeat([]int64{1}, c)...)
	}
	for k, column := range columns {
		if isotonic(h.Calibration[k]) {
			columns[k] = curve(g, &h.Calibration[k], column)
		} else {
			columns[k] = g.Op("Sigmoid", []string{column})
		}
	}
	return g.Op("Concat", columns, onnxgraph.Attr{Name: "axis", Value: int64(1)})
}

// curve adds the line through the corners of an isotonic calibration, flat beyond
// them: p₀ + Σ slope_k · min(max(z − from_k, 0), width_k) for a column z, N×1.
func curve(g *onnxgraph.Graph, c *trainer.Calibration, z string) string {
	n := len(c.Logits) - 1
	first := g.Doubles([]int{1}, c.Probabilities[0])
	if n == 0 {
		return g.Op("Add", []string{g.Op("Mul", []string{z, g.Doubles([]int{1}, 0)}), first})
	}
	from, width, slope := make([]float64, n), make([]float64, n), make([]float64, n)
	for k := range n {
		from[k], width[k] = c.Logits[k], c.Logits[k+1]-c.Logits[k]
		if width[k] > 0 {
			slope[k] = (c.Probabilities[k+1] - c.Probabilities[k]) / width[k]
		}
	}
	rise := g.Op("Sub", []string{z, g.Doubles([]int{1, n}, from...)})
	rise = g.Op("Max", []string{rise, g.Doubles([]int{1}, 0)})
	rise = g.Op("Min", []string{rise, g.Doubles([]int{1, n}, width...)})
	return g.Op("Add", []string{g.Op("MatMul", []string{rise, g.Doubles([]int{n, 1}, slope...)}), first})
}

// label adds what names the class of each row of probabilities.
func label(g *onnxgraph.Graph, h *trainer.Head, p string) string {
	axis, flat := onnxgraph.Attr{Name: "axis", Value: int64(1)}, onnxgraph.Attr{Name: "keepdims", Value: int64(0)}
	best := g.Op("ArgMax", []string{p}, axis, flat)
	names := slices.Clone(h.Classes)
	if !h.Exclusive {
		highest := g.Op("ReduceMax", []string{p}, onnxgraph.Attr{Name: "axes", Value: []int64{1}}, flat)
		present := g.Op("GreaterOrEqual", []string{highest, g.Floats(nil, 0.5)})
		best = g.Op("Where", []string{present, best, g.Ints(nil, int64(len(names)))})
		names = append(names, "")
	}
	return g.Op("Gather", []string{g.Strings([]int{len(names)}, names...), best}, onnxgraph.Attr{Name: "axis", Value: int64(0)})
}
