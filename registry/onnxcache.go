package registry

import (
	"slices"

	"github.com/medprobe/medprobe/internal/onnxgraph"
)

// leastProbability is what neighbours of one mind stand for: see trainer.Cache.
const leastProbability = 1e-12

// cache adds what the kept samples say: those columns of the logits that
// [trainer.Cache] adds. x is N×D, and so many rows of logits come out.
func (b *onnxBuilder) cache(x string) string {
	c := b.h.Cache
	likeness := b.Op("MatMul", []string{x, b.Op("Transpose", []string{b.tensor("cache.keys")}, perm(1, 0))})
	values := b.tensor("cache.values")
	if len(c.Neighbours) > 0 && b.h.Exclusive {
		return b.vote(likeness, values)
	}
	columns := make([]string, len(b.h.Classes))
	for k := range columns {
		samples := b.samples(k)
		if len(samples) == 0 {
			columns[k] = b.silent(x)
			continue
		}
		near, own := b.Op("Gather", []string{likeness, b.Ints([]int{len(samples)}, samples...)}, axis1), b.own(values, k, samples)
		if len(c.Neighbours) > 0 {
			columns[k] = b.finding(near, own, min(c.Neighbours[k], len(samples)))
		} else {
			columns[k] = b.affinity(near, own, c.Alpha[k], c.Beta[k])
		}
	}
	return b.columns(columns)
}

func perm(axes ...int64) onnxgraph.Attr { return onnxgraph.Attr{Name: "perm", Value: axes} }

// samples lists those that say something of class k.
func (b *onnxBuilder) samples(k int) (list []int64) {
	v := b.h.Cache.Values
	for i, said := range v.Data[k*v.Stride : k*v.Stride+v.Cols] {
		if said != 0 {
			list = append(list, int64(i))
		}
	}
	return list
}

// own returns what the samples say of class k, as a column.
func (b *onnxBuilder) own(values string, k int, samples []int64) string {
	row := b.Op("Gather", []string{values, b.Ints([]int{1}, int64(k))}, onnxgraph.Attr{Name: "axis", Value: int64(0)})
	row = b.Op("Gather", []string{row, b.Ints([]int{len(samples)}, samples...)}, axis1)
	return b.Op("Reshape", []string{row, b.Ints([]int{2}, -1, 1)})
}

// silent is the column of a class that no sample says anything of: 0 for each row
// of x. No vote is a probability of 0 to neighbours.
func (b *onnxBuilder) silent(x string) string {
	zero := b.Op("MatMul", []string{x, b.Doubles([]int{b.h.W.Cols, 1}, make([]float64, b.h.W.Cols)...)})
	if len(b.h.Cache.Neighbours) > 0 {
		return b.logit(zero)
	}
	return zero
}

// affinity is α·Σ valueᵢ·exp(−β(1 − likenessᵢ)).
func (b *onnxBuilder) affinity(likeness, values string, alpha, beta float64) string {
	z := b.Op("Sub", []string{likeness, b.Doubles(nil, 1)})
	z = b.Op("Exp", []string{b.Op("Mul", []string{z, b.Doubles(nil, beta)})})
	return b.Op("Mul", []string{b.Op("MatMul", []string{z, values}), b.Doubles(nil, alpha)})
}

// finding lets the k nearest samples vote for a finding.
func (b *onnxBuilder) finding(likeness, values string, k int) string {
	shares, nearest := b.nearest(likeness, k)
	positive := b.double(b.Op("Greater", []string{values, b.Doubles(nil, 0)}))
	flat := b.Op("Reshape", []string{positive, b.Ints([]int{1}, -1)})
	theirs := b.Op("Gather", []string{flat, nearest}, onnxgraph.Attr{Name: "axis", Value: int64(0)})
	ones := b.Doubles([]int{k, 1}, slices.Repeat([]float64{1}, k)...)
	return b.logit(b.Op("MatMul", []string{b.Op("Mul", []string{shares, theirs}), ones}))
}

// vote lets the nearest samples vote for one of the classes.
func (b *onnxBuilder) vote(likeness, values string) string {
	k, classes := min(b.h.Cache.Neighbours[0], b.h.Cache.Keys.Rows), int64(len(b.h.Classes))
	shares, nearest := b.nearest(likeness, k)
	byRow := b.Op("Transpose", []string{values}, perm(1, 0))
	theirs := b.Op("Gather", []string{byRow, nearest}, onnxgraph.Attr{Name: "axis", Value: int64(0)}) // N×k×C
	p := b.Op("MatMul", []string{b.Op("Reshape", []string{shares, b.Ints([]int{3}, -1, 1, int64(k))}), theirs})
	p = b.Op("Reshape", []string{p, b.Ints([]int{2}, -1, classes)})
	return b.Op("Log", []string{b.atLeast(p)})
}

// nearest returns the shares of the k nearest samples, which add up to 1, and their
// places. Of equally near ones the first wins, as TopK promises.
func (b *onnxBuilder) nearest(likeness string, k int) (shares, places string) {
	top := b.Ops("", "TopK", []string{likeness, b.Ints([]int{1}, int64(k))}, 2, axis1)
	shares = b.Op("Div", []string{top[0], b.Doubles(nil, b.h.Cache.Temperature)})
	return b.Op("Softmax", []string{shares}, axis1), top[1]
}

// logit is log(p/(1−p)), of probabilities that are not quite 0 or 1.
func (b *onnxBuilder) logit(p string) string {
	rest := b.Op("Sub", []string{b.Doubles(nil, 1), p})
	return b.Op("Sub", []string{b.Op("Log", []string{b.atLeast(p)}), b.Op("Log", []string{b.atLeast(rest)})})
}

func (b *onnxBuilder) atLeast(p string) string {
	return b.Op("Max", []string{p, b.Doubles(nil, leastProbability)})
}
