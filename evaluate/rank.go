package evaluate

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// ranked is a sample and its score.
type ranked struct {
	score  float64
	sample int32
}

// ascending returns the samples by score, those with one score negatives first.
func ascending(scores []float64, labels []bool) ([]ranked, error) {
	if len(scores) != len(labels) {
		return nil, fmt.Errorf("evaluate: %d scores for %d labels: want as many", len(scores), len(labels))
	}
	if len(scores) > math.MaxInt32 {
		return nil, fmt.Errorf("evaluate: %d scores: want at most %d", len(scores), math.MaxInt32)
	}
	negatives := 0
	for _, positive := range labels {
		if !positive {
			negatives++
		}
	}
	order, next := make([]ranked, len(scores)), [2]int{0, negatives}
	for i, s := range scores {
		if math.IsNaN(s) {
			return nil, fmt.Errorf("evaluate: score %d: %w", i, ErrScore)
		}
		class := 0
		if labels[i] {
			class = 1
		}
		order[next[class]] = ranked{s + 0, int32(i)} // −0 becomes 0
		next[class]++
	}
	if len(order) < 100 {
		slices.SortStableFunc(order, func(a, b ranked) int { return cmp.Compare(a.score, b.score) })
		return order, nil
	}
	return radixSort(order), nil
}

// radixSort sorts stably by score: by sign, exponent and the first 21 bits of the
// fraction, eleven bits at a time from the lowest, and then the few that have all
// of these in common among themselves.
func radixSort(order []ranked) []ranked {
	const bits, size, digits, from = 11, 1 << 11, 3, 64 - 3*11
	var counts [digits][size]int32
	for _, r := range order {
		key := sortable(r.score) >> from
		for digit := range counts {
			counts[digit][key>>(bits*digit)&(size-1)]++
		}
	}
	spare := make([]ranked, len(order))
	for digit := range counts {
		at, sum, shift := &counts[digit], int32(0), from+bits*digit
		if at[sortable(order[0].score)>>shift&(size-1)] == int32(len(order)) {
			continue // all alike
		}
		for k, n := range at {
			at[k], sum = sum, sum+n
		}
		for _, r := range order {
			k := sortable(r.score) >> shift & (size - 1)
			spare[at[k]] = r
			at[k]++
		}
		order, spare = spare, order
	}
	for start := 0; start < len(order); {
		end, sorted := start+1, true
		for ; end < len(order) && sortable(order[end].score)>>from == sortable(order[start].score)>>from; end++ {
			sorted = sorted && order[end-1].score <= order[end].score
		}
		if !sorted {
			slices.SortStableFunc(order[start:end], func(a, b ranked) int { return cmp.Compare(a.score, b.score) })
		}
		start = end
	}
	return order
}

// sortable maps numbers to integers of the same order.
func sortable(x float64) uint64 {
	bits := math.Float64bits(x)
	if bits>>63 == 1 {
		return ^bits
	}
	return bits | 1<<63
}
