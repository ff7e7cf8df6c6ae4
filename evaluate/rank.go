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
	order := make([]ranked, 0, len(scores))
	for _, class := range []bool{false, true} {
		for i, s := range scores {
			if math.IsNaN(s) {
				return nil, fmt.Errorf("evaluate: score %d: %w", i, ErrScore)
			}
			if labels[i] == class {
				order = append(order, ranked{s + 0, int32(i)}) // −0 becomes 0
			}
		}
	}
	if len(order) < 1000 {
		slices.SortStableFunc(order, func(a, b ranked) int { return cmp.Compare(a.score, b.score) })
		return order, nil
	}
	return radixSort(order), nil
}

// radixSort sorts stably by score, eleven bits at a time from the lowest.
func radixSort(order []ranked) []ranked {
	const bits, size = 11, 1 << 11
	var counts [6][size]int32
	for _, r := range order {
		key := sortable(r.score)
		for digit := range counts {
			counts[digit][key>>(bits*digit)&(size-1)]++
		}
	}
	spare := make([]ranked, len(order))
	for digit := range counts {
		at, sum := &counts[digit], int32(0)
		if at[sortable(order[0].score)>>(bits*digit)&(size-1)] == int32(len(order)) {
			continue // all alike
		}
		for k, n := range at {
			at[k], sum = sum, sum+n
		}
		for _, r := range order {
			k := sortable(r.score) >> (bits * digit) & (size - 1)
			spare[at[k]] = r
			at[k]++
		}
		order, spare = spare, order
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
