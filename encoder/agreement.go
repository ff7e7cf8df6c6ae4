package encoder

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// neighbours is how many nearest images an [Agreement] compares.
const neighbours = 10

// Agreement says how alike the vectors of two encoders are.
type Agreement struct {
	Images int `json:"images"`
	// MeanCosine and WorstCosine are between the two vectors of each image.
	MeanCosine  float64 `json:"mean_cosine"`
	WorstCosine float64 `json:"worst_cosine"`
	// Overlap is the share of an image's ten nearest others, by cosine, that both
	// encoders agree on; of all others where there are fewer.
	Overlap float64 `json:"overlap_at_10"`
}

// ErrWidths says that two encoders give vectors of different lengths, which have
// no cosine.
var ErrWidths = errors.New("encoders of one width can be compared")

// Agree compares two encoders' vectors of the same images, [n][D] each, as the
// towers give them. Fewer than two images, and vectors of different lengths or
// of length zero, are errors that name the image.
func Agree(a, b [][]float32) (Agreement, error) {
	if len(a) != len(b) || len(a) < 2 {
		return Agreement{}, fmt.Errorf("encoder: %d and %d vectors to compare: want as many, and at least two", len(a), len(b))
	}
	g := Agreement{Images: len(a), WorstCosine: 1}
	k := min(neighbours, len(a)-1)
	same := 0
	for i := range a {
		if len(a[i]) != len(b[i]) {
			return Agreement{}, fmt.Errorf("encoder: image %d has vectors of %d and %d dimensions: %w", i, len(a[i]), len(b[i]), ErrWidths)
		}
		c := cosineOf(a[i], b[i])
		if math.IsNaN(c) {
			return Agreement{}, fmt.Errorf("encoder: image %d has a vector of length zero", i)
		}
		g.MeanCosine += c / float64(len(a))
		g.WorstCosine = min(g.WorstCosine, c)
		near := nearest(a, i, k)
		for _, j := range nearest(b, i, k) {
			if slices.Contains(near, j) {
				same++
			}
		}
	}
	g.Overlap = float64(same) / float64(k*len(a))
	return g, nil
}

// nearest lists the k other vectors with the greatest cosine to vector i.
func nearest(x [][]float32, i, k int) []int {
	type other struct {
		index  int
		cosine float64
	}
	var others []other
	for j := range x {
		if j != i {
			others = append(others, other{j, cosineOf(x[i], x[j])})
		}
	}
	slices.SortFunc(others, func(p, q other) int {
		return cmp.Or(cmp.Compare(q.cosine, p.cosine), cmp.Compare(p.index, q.index))
	})
	indices := make([]int, k)
	for n := range indices {
		indices[n] = others[n].index
	}
	return indices
}

func cosineOf(a, b []float32) float64 {
	var ab, aa, bb float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		ab, aa, bb = ab+x*y, aa+x*x, bb+y*y
	}
	return ab / math.Sqrt(aa*bb)
}
