package evaluate

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Apart says how far two sets of vectors lie apart: A, the reference, and B,
// what is seen now.
type Apart struct {
	// MMD2 is the squared maximum mean discrepancy, unbiased: about 0, on either
	// side of it, where both are alike, and at most 2.
	MMD2 float64 `json:"mmd2"`
	// Chance is what MMD2 stays below in 95 of 100 arrangements without a shift,
	// P the share in which it is at least as great as here.
	Chance    float64 `json:"chance"`
	P         float64 `json:"p"`
	AdjustedP float64 `json:"p_adjusted"`
	// Bandwidth is σ of the kernel exp(−d²/2σ²).
	Bandwidth float64 `json:"bandwidth"`
	// Dim is the length of the vectors that were compared.
	Dim int `json:"dim"`
	// NA, NB, UnitsA and UnitsB are the samples and independent units compared.
	NA     int `json:"n_reference"`
	NB     int `json:"n"`
	UnitsA int `json:"units_reference"`
	UnitsB int `json:"units"`
}

// newApart compares two sets of finite vectors of one length. groupsA and
// groupsB hold the independent unit of each, usually the patient, or are nil; a
// unit that stands in both sets is taken for two. permutations is how often units
// change sides.
//
// With k(x, y) = exp(−‖x−y‖²/2σ²) and the sums over pairs of different units,
//
//	MMD² = Σk(a,a′)/#(a,a′) + Σk(b,b′)/#(b,b′) − 2·Σk(a,b)/(n_A·n_B)
//
// which is Gretton's unbiased estimator where every vector is its own unit: the
// vectors of one patient are alike and would add to it. σ is the median distance
// of pooled vectors of different units; the mean distance where that is 0. The p
// value is from permutations in which whole units change sides,
// (1+#{MMD²* ≥ MMD²})/(1+B), and so exact whatever the vectors of one unit have in
// common, as long as units of both sets are alike without a shift.
//
// Time is O(n²·dim + permutations·units²), memory O(n²): give a thousand vectors,
// not a million. The same seed gives the same p. Where
// all vectors are the same, MMD² is 0 and p is 1. A set of fewer than two units,
// vectors of other lengths and values that are not finite are errors.
//
// Source: Gretton et al., Journal of Machine Learning Research 13 (2012) 723–773,
// eq. 3, and section 8 for the median. Oracle: NumPy and SciPy, and all
// arrangements of small sets (testdata/drift.json); p by simulation
// (TestShiftFalseAlarms, TestDrawnUnitsFalseAlarms).
func newApart(a, b [][]float32, groupsA, groupsB []string, permutations int, seed uint64) (Apart, error) {
	s, err := newSides(len(a), groupsA, len(b), groupsB)
	if err != nil {
		return Apart{}, err
	}
	if s.first < 2 || len(s.size)-s.first < 2 {
		return Apart{}, errors.New("evaluate: embedding distance: want at least two units in each set")
	}
	x := append(slices.Clone(a), b...)
	for i, v := range x {
		if len(v) != len(x[0]) || len(v) == 0 {
			return Apart{}, fmt.Errorf("evaluate: embedding distance: vector %d has %d values, the first has %d", i, len(v), len(x[0]))
		}
		for _, value := range v {
			if f := float64(value); math.IsNaN(f) || math.IsInf(f, 0) {
				return Apart{}, fmt.Errorf("evaluate: embedding distance: vector %d holds %v: want finite values", i, f)
			}
		}
	}
	squares := squaredDistances(x)
	k := newKernel(squares, s)
	r := s.permute(permutations, seed, k.mmd2)
	nA, nB := s.rows()
	return Apart{
		MMD2: r.observed, Chance: r.chance, P: r.p, AdjustedP: r.p, Bandwidth: k.bandwidth, Dim: len(x[0]),
		NA: nA, NB: nB, UnitsA: s.first, UnitsB: len(s.size) - s.first,
	}, nil
}

// squaredDistances returns ‖xᵢ−xⱼ‖² for i > j, row by row: (1,0), (2,0), (2,1), ….
func squaredDistances(x [][]float32) []float64 {
	d := make([]float64, 0, len(x)*(len(x)-1)/2)
	for i, a := range x {
		for _, b := range x[:i] {
			sum := 0.0
			for k := range a {
				v := float64(a[k]) - float64(b[k])
				sum += float64(v * v)
			}
			d = append(d, sum)
		}
	}
	return d
}

// kernel holds the kernel's sums between units.
type kernel struct {
	bandwidth float64
	units     int
	// sum is units×units, symmetric, with a diagonal of zeros: Σk over the pairs
	// of two units. total sums it all, of sums each row.
	sum   []float64
	of    []float64
	total float64
	size  []int
}

func newKernel(squares []float64, s sides) kernel {
	k := kernel{units: len(s.size), size: s.size, of: make([]float64, len(s.size))}
	k.sum = make([]float64, k.units*k.units)
	k.bandwidth = bandwidth(squares, s.unit)
	at := 0
	for i, u := range s.unit {
		for _, v := range s.unit[:i] {
			if u != v {
				value := 1.0
				if k.bandwidth > 0 {
					value = math.Exp(-squares[at] / (2 * k.bandwidth * k.bandwidth))
				}
				k.sum[int(u)*k.units+int(v)] += value
				k.sum[int(v)*k.units+int(u)] += value
			}
			at++
		}
	}
	for u := range k.units {
		for _, v := range k.sum[u*k.units : (u+1)*k.units] {
			k.of[u] += v
		}
		k.total += k.of[u]
	}
	return k
}

// bandwidth is the median distance of rows of different units, or their mean
// distance where that is 0.
func bandwidth(squares []float64, unit []int32) float64 {
	distances := make([]float64, 0, len(squares))
	at, sum := 0, 0.0
	for i, u := range unit {
		for _, v := range unit[:i] {
			if u != v {
				distances = append(distances, math.Sqrt(squares[at]))
				sum += distances[len(distances)-1]
			}
			at++
		}
	}
	slices.Sort(distances)
	if median := linearQuantile(distances, 0.5); median > 0 {
		return median
	}
	return sum / float64(len(distances))
}

// mmd2 is the statistic for the units that are in the first set.
func (k kernel) mmd2(inFirst []bool) float64 {
	// One set is summed pair by pair, the rest follows from the totals: the
	// smaller one.
	var members []int
	n := [2]int{}
	square := [2]int{}
	count := 0
	for _, first := range inFirst {
		if first {
			count++
		}
	}
	smaller := 2*count <= len(inFirst)
	for u, first := range inFirst {
		side := 1
		if first == smaller {
			members = append(members, u)
			side = 0
		}
		n[side] += k.size[u]
		square[side] += k.size[u] * k.size[u]
	}
	within, all := 0.0, 0.0
	for i, u := range members {
		row := k.sum[u*k.units : (u+1)*k.units]
		for _, v := range members[:i] {
			within += row[v]
		}
		all += k.of[u]
	}
	within *= 2
	across := all - within
	others := k.total - within - 2*across
	pairs := func(side int) float64 { return float64(n[side]*n[side] - square[side]) }
	return float64(within/pairs(0)) + float64(others/pairs(1)) - float64(2*across/(float64(n[0])*float64(n[1])))
}
