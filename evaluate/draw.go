package evaluate

import (
	"math/rand/v2"
	"slices"
)

// DrawUnits returns the numbers of at most most samples, at most each of a unit (0:
// all of it), in order. Units are drawn by the seed until the next would be too many,
// and all are taken where all fit; of a unit with more than each, the seed draws
// which. What is drawn of a unit does not depend on the others, so that sets drawn
// with the same each can be compared by permuting units.
func DrawUnits(groups []string, most, each int, seed uint64) []int {
	members := map[string][]int{}
	var order []string
	total := 0
	for i, g := range groups {
		if members[g] == nil {
			order = append(order, g)
		}
		members[g] = append(members[g], i)
		if each <= 0 || len(members[g]) <= each {
			total++
		}
	}
	random := rand.New(rand.NewPCG(seed, 0x6d70_6472_6177)) //nolint:gosec // repeatable, not secret
	if total > most {
		random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	}
	var drawn []int
	for _, g := range order {
		of := members[g]
		if each > 0 && len(of) > each {
			random.Shuffle(len(of), func(i, j int) { of[i], of[j] = of[j], of[i] })
			of = of[:each]
		}
		if len(drawn)+len(of) > most {
			break
		}
		drawn = append(drawn, of...)
	}
	slices.Sort(drawn)
	return drawn
}

func pickGroups(groups []string, at []int) []string {
	picked := make([]string, len(at))
	for k, i := range at {
		picked[k] = groups[i]
	}
	return picked
}

func pickRows(rows [][]float32, at []int) [][]float32 {
	picked := make([][]float32, len(at))
	for k, i := range at {
		picked[k] = rows[i]
	}
	return picked
}
