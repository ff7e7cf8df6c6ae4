package datasets

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/medprobe/medprobe/internal/near"
)

// Scenario says which samples a few labelled ones are.
type Scenario string

// The scenarios, of which the first is the one where nothing is said.
const (
	// Balanced takes as many of each class, or as many positives as negatives.
	Balanced Scenario = "balanced"
	// Population takes as many in all, of whatever class they happen to be.
	Population Scenario = "population"
	// MissingClasses leaves half of the classes out, or, of one finding, its
	// positives or its negatives.
	MissingClasses Scenario = "missing-classes"
)

// Scenarios lists the scenarios.
func Scenarios() []string {
	return []string{string(Balanced), string(Population), string(MissingClasses)}
}

// Shots says what to draw: K samples per class, with a seed and the number of
// the draw. Draws of the same seed and number are nested: 8 shots contain the 4.
type Shots struct {
	K        int
	Scenario Scenario
	Seed     uint64
	Draw     int
}

// ShortError says that a draw asked for more samples of a kind than there are. A draw
// is never filled up in silence.
type ShortError struct {
	// Of is the kind, such as "positive effusion".
	Of         string
	Want, Have int
}

func (e *ShortError) Error() string {
	return fmt.Sprintf("datasets: %d shots of %s samples asked for, %d there", e.Want, e.Of, e.Have)
}

// first returns the first n of the candidates, in ascending order.
func first(n int, candidates []int, of string) ([]int, error) {
	if len(candidates) < n {
		return nil, &ShortError{Of: of, Want: n, Have: len(candidates)}
	}
	shots := slices.Clone(candidates[:n])
	slices.Sort(shots)
	return shots, nil
}

// side is what K samples are taken of: a label of a class.
type side struct {
	class int
	label Label
}

// of names a side of a dataset.
func (s side) of(d *Dataset) string { return s.label.String() + " " + d.Classes[s.class] }

// Draw returns indices of samples from pool, in ascending order: for one class,
// K positives and K negatives; for classes that exclude one another, K of each.
//
// Samples are taken in the order of a hash of seed, draw and id, first one of
// every patient, then a second of each: few shots are spread over patients.
// Where a split file ranks the samples, draw 0 takes them in that order. With
// too few samples of one side the error is a *[ShortError].
func Draw(d *Dataset, pool, classes []int, s Shots) ([]int, error) {
	if err := near.Check("scenario", string(cmp.Or(s.Scenario, Balanced)), Scenarios()); err != nil {
		return nil, fmt.Errorf("datasets: %w", err)
	}
	var sides []side
	for _, c := range classes {
		sides = append(sides, side{c, Positive})
	}
	if len(classes) == 1 {
		sides = append(sides, side{classes[0], Negative})
	}
	switch s.Scenario {
	case Population:
		return d.drawAny(pool, classes, len(sides)*s.K, s)
	case MissingClasses:
		place := func(a side) uint64 {
			return hash(s.Seed, fmt.Sprintf("draw %d without %d %v", s.Draw, a.class, a.label))
		}
		slices.SortFunc(sides, func(a, b side) int { return cmp.Compare(place(a), place(b)) })
		sides = sides[:(len(sides)+1)/2]
	}
	var shots []int
	for _, side := range sides {
		some, err := d.take(pool, side, s)
		if err != nil {
			return nil, err
		}
		shots = append(shots, some...)
	}
	slices.Sort(shots)
	return shots, nil
}

// drawAny takes n samples of which anything is known.
func (d *Dataset) drawAny(pool, classes []int, n int, s Shots) ([]int, error) {
	known := func(i int) bool {
		return slices.ContainsFunc(classes, func(c int) bool {
			l := d.Samples[i].Labels[c]
			return l == Positive || l == Negative
		})
	}
	return first(n, d.inOrder(pool, known, s), "labelled")
}

func (d *Dataset) take(pool []int, side side, s Shots) ([]int, error) {
	is := func(i int) bool { return d.Samples[i].Labels[side.class] == side.label }
	candidates := d.inOrder(pool, is, s)
	if ranked := d.byRank(pool, is, side.class); s.Draw == 0 && len(ranked) > 0 {
		candidates = ranked
	}
	return first(s.K, candidates, side.of(d))
}

// DrawValues returns indices of s.K samples from pool whose value of the target is
// known, in ascending order, drawn as [Draw] draws: spread over patients, and nested
// over K. With too few of them the error is a *[ShortError].
func DrawValues(d *Dataset, pool []int, target int, s Shots) ([]int, error) {
	known := func(i int) bool { return !math.IsNaN(d.Samples[i].Values[target]) }
	return first(s.K, d.inOrder(pool, known, s), "known "+d.Classes[target])
}

// byRank returns the samples that a split file ranks, in the order of ranks.
func (d *Dataset) byRank(pool []int, is func(int) bool, class int) []int {
	var ranked []int
	for _, i := range pool {
		if s := &d.Samples[i]; s.Shots != nil && s.Shots[class] > 0 && is(i) {
			ranked = append(ranked, i)
		}
	}
	slices.SortFunc(ranked, func(a, b int) int {
		return cmp.Or(cmp.Compare(d.Samples[a].Shots[class], d.Samples[b].Shots[class]), cmp.Compare(d.Samples[a].ID, d.Samples[b].ID))
	})
	return ranked
}

// inOrder returns the samples of the pool that are wanted, in the order in which
// they are drawn.
func (d *Dataset) inOrder(pool []int, wanted func(int) bool, s Shots) []int {
	type candidate struct {
		index, turn int
		place       uint64
	}
	var candidates []candidate
	for _, i := range pool {
		if wanted(i) {
			candidates = append(candidates, candidate{index: i, place: hash(s.Seed, fmt.Sprintf("draw %d %s", s.Draw, d.Samples[i].ID))})
		}
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
	order := make([]int, len(candidates))
	for k := range candidates {
		order[k] = candidates[k].index
	}
	return order
}

// Ranks returns, for each sample and class, the rank from 1 to s.K at which the
// sample is drawn from pool, or 0; see [Division]. A class with fewer samples
// than K is named in short with how many there are.
func Ranks(d *Dataset, pool []int, s Shots) (ranks [][]int, short []*ShortError) {
	ranks = make([][]int, len(d.Samples))
	for i := range ranks {
		ranks[i] = make([]int, len(d.Classes))
	}
	rank := func(side side) {
		candidates := d.inOrder(pool, func(i int) bool { return d.Samples[i].Labels[side.class] == side.label }, s)
		if len(candidates) < s.K {
			short = append(short, &ShortError{Of: side.of(d), Want: s.K, Have: len(candidates)})
		}
		for r, i := range candidates[:min(s.K, len(candidates))] {
			if !d.Exclusive() {
				ranks[i][side.class] = r + 1
				continue
			}
			for c := range ranks[i] { // one rank, whatever the class
				ranks[i][c] = r + 1
			}
		}
	}
	for c := range d.Classes {
		rank(side{c, Positive})
		if !d.Exclusive() {
			rank(side{c, Negative})
		}
	}
	return ranks, short
}
