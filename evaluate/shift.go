package evaluate

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Shift compares the distribution of one score, or of any number, in two sets of
// samples: A, the reference, and B, what is seen now.
type Shift struct {
	// KS is the greatest distance of the two distribution functions, 0 to 1.
	KS float64 `json:"ks"`
	// Chance is what KS stays below in 95 of 100 arrangements without a shift,
	// P the share in which it is at least as great as here.
	Chance    float64 `json:"chance"`
	P         float64 `json:"p"`
	AdjustedP float64 `json:"p_adjusted"`
	// Wasserstein is the mean distance by which values have to move for the two
	// distributions to be one, in the unit of the values.
	Wasserstein float64 `json:"wasserstein"`
	// PSI is the population stability index over tenths of the reference.
	PSI float64 `json:"psi"`
	// MeanA and MeanB are the means.
	MeanA float64 `json:"mean_reference"`
	MeanB float64 `json:"mean"`
	// NA, NB, UnitsA and UnitsB are the samples and independent units compared.
	NA     int `json:"n_reference"`
	NB     int `json:"n"`
	UnitsA int `json:"units_reference"`
	UnitsB int `json:"units"`
}

// newShift compares two sets of finite values. groupsA and groupsB hold the
// independent unit of each value, usually the patient, or are nil; a unit that
// stands in both sets is taken for two. permutations is how often units change
// sides.
//
// KS is sup|F_A − F_B| over the values, F counting each value once. Its p value
// is from permutations in which whole units change sides, (1+#{KS* ≥ KS})/(1+B),
// which is exact whatever the values of one unit have in common, as long as
// units of both sets are alike without a shift. Wasserstein is ∫|F_A − F_B|. PSI
// is Σ(b−a)·ln(b/a) over the shares a and b of the ten bins that the tenths of A
// make, each share (count+½)/(n+bins/2) so that none is zero; equal tenths make
// one bin. Time is O(n log n + permutations·n).
//
// The order of the values does not matter as long as units keep theirs; the same
// seed gives the same p. An empty set, and a value that is not finite, is an
// error.
//
// Sources: Præstgaard, Scandinavian Journal of Statistics 22 (1995) 305–322, for
// the permutation of KS; Phipson and Smyth, SAGMB 9 (2010) 39, for its p; Siddiqi,
// Credit Risk Scorecards (2006), for PSI. Oracles: scipy.stats.ks_2samp and
// wasserstein_distance, and all arrangements of small sets
// (testdata/drift.json); p by simulation (TestShiftFalseAlarms).
func newShift(a, b []float64, groupsA, groupsB []string, permutations int, seed uint64) (Shift, error) {
	for k, values := range [][]float64{a, b} {
		if len(values) == 0 {
			return Shift{}, errors.New("evaluate: shift: a set without values")
		}
		for i, v := range values {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return Shift{}, fmt.Errorf("evaluate: shift: value %d of set %d is %v: want finite values", i, k+1, v)
			}
		}
	}
	s, err := newSides(len(a), groupsA, len(b), groupsB)
	if err != nil {
		return Shift{}, err
	}
	steps := newSteps(append(slices.Clone(a), b...), s.unit)
	r := s.permute(permutations, seed, func(inFirst []bool) float64 { return steps.ks(inFirst, s.size) })
	return Shift{
		KS: r.observed, Chance: r.chance, P: r.p, AdjustedP: r.p,
		Wasserstein: wasserstein(a, b), PSI: psi(a, b), MeanA: mean(a), MeanB: mean(b),
		NA: len(a), NB: len(b), UnitsA: s.first, UnitsB: len(s.size) - s.first,
	}, nil
}

// steps are pooled values in order: the unit of each, and where a value ends.
type steps struct {
	unit []int32
	last []bool
}

func newSteps(values []float64, unit []int32) steps {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		return cmp.Or(cmp.Compare(values[i], values[j]), cmp.Compare(unit[i], unit[j]))
	})
	s := steps{unit: make([]int32, len(order)), last: make([]bool, len(order))}
	for k, i := range order {
		s.unit[k] = unit[i]
		s.last[k] = k+1 == len(order) || values[order[k+1]] != values[i]
	}
	return s
}

// ks is the greatest distance of the distribution functions of the units that
// are in the first set and of the others.
func (s steps) ks(inFirst []bool, size []int) float64 {
	n := [2]int{}
	for u, first := range inFirst {
		if first {
			n[0] += size[u]
		} else {
			n[1] += size[u]
		}
	}
	below, greatest := [2]int{}, 0.0
	for k, u := range s.unit {
		if inFirst[u] {
			below[0]++
		} else {
			below[1]++
		}
		if s.last[k] {
			greatest = max(greatest, math.Abs(float64(below[0])/float64(n[0])-float64(below[1])/float64(n[1])))
		}
	}
	return greatest
}

// wasserstein is the area between two distribution functions.
func wasserstein(a, b []float64) float64 {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	all := slices.Sorted(slices.Values(append(slices.Clone(a), b...)))
	area, i, j := 0.0, 0, 0
	for k := range len(all) - 1 {
		for i < len(a) && a[i] <= all[k] {
			i++
		}
		for j < len(b) && b[j] <= all[k] {
			j++
		}
		area += float64((all[k+1] - all[k]) * math.Abs(float64(i)/float64(len(a))-float64(j)/float64(len(b))))
	}
	return area
}

// psi is the population stability index of b over tenths of a.
func psi(a, b []float64) float64 {
	const tenths = 10
	sorted := slices.Sorted(slices.Values(a))
	var edges []float64
	for k := 1; k < tenths; k++ {
		edges = append(edges, linearQuantile(sorted, float64(k)/tenths))
	}
	edges = slices.Compact(edges)
	count := func(values []float64) []float64 {
		n := make([]float64, len(edges)+1)
		for _, v := range values {
			at, _ := slices.BinarySearch(edges, v) // (lower, upper]
			n[at]++
		}
		for k := range n {
			n[k] = (n[k] + 0.5) / (float64(len(values)) + float64(len(n))/2)
		}
		return n
	}
	shareA, shareB := count(a), count(b)
	sum := 0.0
	for k := range shareA {
		sum += float64((shareB[k] - shareA[k]) * math.Log(shareB[k]/shareA[k]))
	}
	return sum
}

// linearQuantile returns the quantile q of sorted values, linear between them, as
// NumPy does.
func linearQuantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	k := min(int(at), len(sorted)-1)
	next := min(k+1, len(sorted)-1)
	return sorted[k] + float64((at-float64(k))*(sorted[next]-sorted[k]))
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}
