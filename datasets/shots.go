package datasets

import (
	"cmp"
	"fmt"
	"slices"
)

// ShortError says that a draw asked for more samples of a class than there
// are. A draw is never filled up in silence.
type ShortError struct {
	Class      string
	Label      Label
	Want, Have int
}

func (e *ShortError) Error() string {
	return fmt.Sprintf("datasets: %d shots of %s %s samples asked for, %d there", e.Want, e.Label, e.Class, e.Have)
}

// Draw returns the indices of k positive and k negative samples of the class,
// taken from pool, in ascending order; for exclusive classes, see [DrawEach].
//
// Samples are taken in the order of a hash of seed, draw and id, first one of
// every patient, then a second of each: few shots are spread over patients.
// Draws with the same seed and draw number are nested: 8 shots contain the 4.
// With too few samples of one side the error is a *[ShortError].
func Draw(d *Dataset, pool []int, class, k int, seed uint64, draw int) ([]int, error) {
	var shots []int
	for _, label := range []Label{Positive, Negative} {
		some, err := d.take(pool, class, label, k, seed, draw)
		if err != nil {
			return nil, err
		}
		shots = append(shots, some...)
	}
	slices.Sort(shots)
	return shots, nil
}

// DrawEach returns the indices of k samples of every class of a dataset whose
// classes exclude one another; see [Draw].
func DrawEach(d *Dataset, pool []int, k int, seed uint64, draw int) ([]int, error) {
	var shots []int
	for class := range d.Classes {
		some, err := d.take(pool, class, Positive, k, seed, draw)
		if err != nil {
			return nil, err
		}
		shots = append(shots, some...)
	}
	slices.Sort(shots)
	return shots, nil
}

func (d *Dataset) take(pool []int, class int, label Label, k int, seed uint64, draw int) ([]int, error) {
	type candidate struct {
		index, turn int
		place       uint64
	}
	var candidates []candidate
	for _, i := range pool {
		if d.Samples[i].Labels[class] == label {
			candidates = append(candidates, candidate{index: i, place: hash(seed, fmt.Sprintf("draw %d %s", draw, d.Samples[i].ID))})
		}
	}
	if len(candidates) < k {
		return nil, &ShortError{Class: d.Classes[class], Label: label, Want: k, Have: len(candidates)}
	}
	byPlace := func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.place, b.place), cmp.Compare(d.Samples[a.index].ID, d.Samples[b.index].ID))
	}
	slices.SortFunc(candidates, byPlace)
	turns := map[string]int{}
	for i := range candidates {
		group := d.Samples[candidates[i].index].Group()
		candidates[i].turn = turns[group]
		turns[group]++
	}
	slices.SortFunc(candidates, func(a, b candidate) int { return cmp.Or(cmp.Compare(a.turn, b.turn), byPlace(a, b)) })
	taken := make([]int, k)
	for i := range taken {
		taken[i] = candidates[i].index
	}
	return taken, nil
}
