package registry

import (
	"slices"

	"github.com/medprobe/medprobe/internal/onnxgraph"
	"github.com/medprobe/medprobe/trainer"
)

// probabilities adds what the calibration makes of the logits.
func (b *onnxBuilder) probabilities(z string) string {
	h := b.h
	switch {
	case h.Exclusive:
		if h.Calibration != nil {
			z = b.Op("Mul", []string{z, b.Doubles(nil, h.Calibration[0].Slope)})
		}
		return b.Op("Softmax", []string{z}, axis1)
	case h.Calibration == nil:
		return b.Op("Sigmoid", []string{z})
	case !slices.ContainsFunc(h.Calibration, isotonic):
		return b.Op("Sigmoid", []string{b.scaled(z)})
	}
	return b.curves(z)
}

func isotonic(c trainer.Calibration) bool { return c.Kind == trainer.Isotonic }

// scaled adds slopes and intercepts, a column each.
func (b *onnxBuilder) scaled(z string) string {
	var slopes, intercepts []float64
	for _, c := range b.h.Calibration {
		slopes, intercepts = append(slopes, c.Slope), append(intercepts, c.Intercept)
	}
	n := []int{len(slopes)}
	return b.Op("Add", []string{b.Op("Mul", []string{z, b.Doubles(n, slopes...)}), b.Doubles(n, intercepts...)})
}

// curves adds each finding's own curve and joins their columns.
func (b *onnxBuilder) curves(z string) string {
	columns := []string{z}
	if c := len(b.h.Classes); c > 1 {
		columns = b.Split(z, 1, slices.Repeat([]int64{1}, c)...)
	}
	for k, column := range columns {
		if c := &b.h.Calibration[k]; isotonic(*c) {
			columns[k] = curve(b.Graph, c, column)
		} else {
			column = b.Op("Mul", []string{column, b.Doubles(nil, c.Slope)})
			columns[k] = b.Op("Sigmoid", []string{b.Op("Add", []string{column, b.Doubles(nil, c.Intercept)})})
		}
	}
	return b.columns(columns)
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
