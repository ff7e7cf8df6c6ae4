package evaluate

import (
	"math"
	"math/rand/v2"
	"slices"
)

// sides puts two sets of samples side by side: units of the first before those
// of the second, a unit being of one set only.
type sides struct {
	// unit is that of each row, the first set's rows before the second's.
	unit []int32
	// size counts the rows of each unit; the units below first are the first
	// set's.
	size  []int
	first int
}

// newSides numbers the units. a and b hold one group for each row; nil groups
// make each of n rows a unit. A name that stands in both sets is two units.
func newSides(nA int, a []string, nB int, b []string) (s sides, err error) {
	unitA, unitsA, err := unitsOf(nA, a)
	if err != nil {
		return s, err
	}
	unitB, unitsB, err := unitsOf(nB, b)
	if err != nil {
		return s, err
	}
	s.first = unitsA
	s.unit = slices.Clone(unitA)
	for _, u := range unitB {
		s.unit = append(s.unit, u+int32(unitsA))
	}
	s.size = make([]int, unitsA+unitsB)
	for _, u := range s.unit {
		s.size[u]++
	}
	return s, nil
}

// rows returns the numbers of rows of both sets.
func (s sides) rows() (a, b int) {
	for u, n := range s.size {
		if u < s.first {
			a += n
		} else {
			b += n
		}
	}
	return a, b
}

// permuted is what a statistic comes to when whole units change sides.
type permuted struct {
	// observed is the statistic as the sets are, p the share of arrangements,
	// that one among them, in which it is at least as great.
	observed, p float64
	// chance is what it stays below in 95 of 100 arrangements.
	chance float64
}

// permute computes a statistic for the sets as they are and for n arrangements
// in which as many units, drawn at random, are in the first set. inFirst has
// one entry for each unit.
func (s sides) permute(n int, seed uint64, statistic func(inFirst []bool) float64) permuted {
	inFirst := make([]bool, len(s.size))
	for u := range s.first {
		inFirst[u] = true
	}
	r := permuted{observed: statistic(inFirst)}
	random := rand.New(rand.NewPCG(seed, 0x6d70_6472_6966_7430)) //nolint:gosec // repeatable, not secret
	values := make([]float64, n)
	// Rounding must not make an equal arrangement a lesser one.
	least, atLeast := r.observed-1e-12*(1+math.Abs(r.observed)), 1
	for k := range values {
		random.Shuffle(len(inFirst), func(i, j int) { inFirst[i], inFirst[j] = inFirst[j], inFirst[i] })
		values[k] = statistic(inFirst)
		if values[k] >= least {
			atLeast++
		}
	}
	slices.Sort(values)
	r.p = float64(atLeast) / float64(n+1)
	if n > 0 {
		r.chance = values[int(math.Ceil(Level*float64(n)))-1]
	}
	return r
}
