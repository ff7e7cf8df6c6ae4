// Package near finds the name that was meant by one that was mistyped.
package near

import (
	"fmt"
	"slices"
	"strings"
)

// Check returns nil if name is one of known, otherwise an error that names
// what, quotes the name and offers the nearest of the known ones.
func Check(what, name string, known []string) error {
	if slices.Contains(known, name) {
		return nil
	}
	return fmt.Errorf("unknown %s %q%s", what, name, Hint(name, known))
}

// Hint returns "; did you mean …?" when one of the known names is near, or
// else "; known: …". Near is what a few slips of the hand lead to, and fewer
// than would make any short name of another, or the whole of what was begun.
func Hint(name string, known []string) string {
	best, bestDistance := "", 1+len(name)/3
	for _, k := range known {
		a, b := strings.ToLower(name), strings.ToLower(k)
		d := distance(a, b)
		if len(a) >= 3 && strings.HasPrefix(b, a) {
			d = min(d, 1)
		} else if 2*d > max(len(a), len(b)) {
			continue
		}
		if d <= bestDistance && (best == "" || d < bestDistance) {
			best, bestDistance = k, d
		}
	}
	if best != "" {
		return fmt.Sprintf("; did you mean %q?", best)
	}
	if len(known) == 0 {
		return "; there is none"
	}
	if len(known) > 20 {
		known = append(slices.Clone(known[:20]), "…")
	}
	return "; known: " + strings.Join(known, ", ")
}

// distance counts the slips between a and b, byte by byte: one too many, one
// missing, another one, or two swapped (optimal string alignment).
func distance(a, b string) int {
	before, above, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, above, row = above, row, before
		row[0] = i + 1
		for j := range len(b) {
			cost := above[j]
			if a[i] != b[j] {
				cost++
			}
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				cost = min(cost, before[j-1]+1)
			}
			row[j+1] = min(cost, row[j]+1, above[j+1]+1)
		}
	}
	return row[len(b)]
}
