package experiment

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// choice is a chosen row and how many of those looked at are nearest to it.
type choice struct{ Index, StandsFor int }

// What choose looks at.
const (
	// prefilter is how many of the most uncertain are looked at for each to be
	// chosen.
	prefilter = 10
	// maxLookedAt bounds the rows that are clustered.
	maxLookedAt = 20000
	clusterings = 30
)

// choose names up to k rows of x [n][D], of length one, whose labels would teach
// most: of the 10·k most uncertain rows, grouped by k-means into k groups with
// the uncertainty as weight, the one nearest to the centre of each group. Without
// uncertainty (nil) all rows are looked at, and weigh the same. The largest group
// comes first.
//
// At most one row of a patient is chosen, and none of a patient in taught, as
// long as there are patients enough; after that, others. The same rows and seed
// give the same choice.
//
// Source: Zhdanov, Diverse mini-batch active learning, arXiv 1901.05954; the rule
// for patients is ours.
func choose(x [][]float32, uncertainty []float64, patients []string, taught map[string]bool, k int, seed uint64) []choice {
	k = min(k, len(x))
	if k <= 0 {
		return nil
	}
	// New patients first, one row of each; then their other rows, then those of
	// patients that have labels.
	var tiers [3][]int
	best := map[string]int{}
	for i := range x {
		if taught[patients[i]] {
			continue
		}
		if b, ok := best[patients[i]]; !ok || uncertainty != nil && uncertainty[i] > uncertainty[b] {
			best[patients[i]] = i
		}
	}
	for i := range x {
		switch {
		case taught[patients[i]]:
			tiers[2] = append(tiers[2], i)
		case best[patients[i]] == i:
			tiers[0] = append(tiers[0], i)
		default:
			tiers[1] = append(tiers[1], i)
		}
	}
	var chosen []choice
	for t, tier := range tiers {
		if want := k - len(chosen); want > 0 && len(tier) > 0 {
			chosen = append(chosen, chooseAmong(x, uncertainty, tier, min(want, len(tier)), seed+uint64(t))...)
		}
	}
	return chosen
}

// chooseAmong chooses k of the rows.
func chooseAmong(x [][]float32, uncertainty []float64, rows []int, k int, seed uint64) []choice {
	random := rand.New(rand.NewPCG(seed, 0x5e1ec7))
	rows = slices.Clone(rows)
	if uncertainty != nil {
		slices.SortStableFunc(rows, func(a, b int) int { return cmp.Compare(uncertainty[b], uncertainty[a]) })
		rows = rows[:min(len(rows), prefilter*k)]
	}
	if most := max(maxLookedAt, k); len(rows) > most {
		random.Shuffle(len(rows), func(a, b int) { rows[a], rows[b] = rows[b], rows[a] })
		rows = rows[:most]
	}
	weights := make([]float64, len(rows))
	for r, i := range rows {
		if weights[r] = 1; uncertainty != nil {
			weights[r] = uncertainty[i] + 1e-6
		}
	}
	centres := startCentres(x, rows, weights, k, random)
	group := make([]int, len(rows))
	for range clusterings {
		if !assign(x, rows, centres, group) {
			break
		}
		moveCentres(x, rows, weights, centres, group)
	}
	return nearest(x, rows, centres, group)
}

// startCentres draws the first centres as k-means++ does (Arthur and
// Vassilvitskii 2007), by weight times squared distance.
func startCentres(x [][]float32, rows []int, weights []float64, k int, random *rand.Rand) [][]float64 {
	far := make([]float64, len(rows))
	for r := range far {
		far[r] = 1
	}
	var centres [][]float64
	for len(centres) < k {
		total := 0.0
		for r := range rows {
			total += weights[r] * far[r]
		}
		pick, at := -1, random.Float64()*total
		for r := range rows {
			if at -= weights[r] * far[r]; pick < 0 && at < 0 && far[r] > 0 {
				pick = r
			}
		}
		if pick < 0 { // all that is left are copies
			pick = slices.IndexFunc(far, func(f float64) bool { return f > 0 })
		}
		if pick < 0 {
			pick = len(centres) % len(rows)
		}
		centre := make([]float64, len(x[0]))
		for j, v := range x[rows[pick]] {
			centre[j] = float64(v)
		}
		centres = append(centres, centre)
		for r, i := range rows {
			if d := toCentre(x[i], centre); len(centres) == 1 || d < far[r] {
				far[r] = d
			}
		}
	}
	return centres
}

func toCentre(x []float32, centre []float64) float64 {
	sum := 0.0
	for j, v := range x {
		d := float64(v) - centre[j]
		sum += d * d
	}
	return sum
}

// assign puts each row to its nearest centre and says whether any moved.
func assign(x [][]float32, rows []int, centres [][]float64, group []int) (moved bool) {
	for r, i := range rows {
		best, near := 0, math.Inf(1)
		for c, centre := range centres {
			if d := toCentre(x[i], centre); d < near {
				best, near = c, d
			}
		}
		if group[r] != best {
			group[r], moved = best, true
		}
	}
	return moved
}

// moveCentres puts each centre to the weighted mean of its rows; one without
// rows stays.
func moveCentres(x [][]float32, rows []int, weights []float64, centres [][]float64, group []int) {
	sums, totals := make([][]float64, len(centres)), make([]float64, len(centres))
	for c := range sums {
		sums[c] = make([]float64, len(centres[c]))
	}
	for r, i := range rows {
		totals[group[r]] += weights[r]
		for j, v := range x[i] {
			sums[group[r]][j] += weights[r] * float64(v)
		}
	}
	for c, total := range totals {
		for j := range centres[c] {
			if total > 0 {
				centres[c][j] = sums[c][j] / total
			}
		}
	}
}

// nearest returns the row nearest to each centre, each row once, the largest
// group first.
func nearest(x [][]float32, rows []int, centres [][]float64, group []int) []choice {
	sizes := make([]int, len(centres))
	for _, c := range group {
		sizes[c]++
	}
	order := upTo(len(centres))
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(sizes[b], sizes[a]) })
	taken := map[int]bool{}
	var chosen []choice
	for _, c := range order {
		best, near := -1, math.Inf(1)
		for _, i := range rows {
			if d := toCentre(x[i], centres[c]); !taken[i] && d < near {
				best, near = i, d
			}
		}
		taken[best] = true
		chosen = append(chosen, choice{best, sizes[c]})
	}
	return chosen
}
