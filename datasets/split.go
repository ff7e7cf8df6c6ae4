package datasets

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// Part is one side of a split and the share of the patients it gets.
type Part struct {
	Name  string
	Share float64
}

// Split returns the name of the part of each sample. All samples of a patient
// fall into one part; a sample without a patient is a patient of its own.
//
// The patients are stratified by the rarest class they are positive for. In
// each stratum they are ordered by a hash of seed and patient and dealt out in
// proportion to the shares, so that the split depends neither on the order of
// rows nor on chance beyond the seed, and a patient added later moves at most
// the few that stood next to a border. Shares must be positive and add up to 1
// within 1e-6.
func Split(d *Dataset, parts []Part, seed uint64) ([]string, error) {
	total := 0.0
	for _, p := range parts {
		if !(p.Share > 0) {
			return nil, fmt.Errorf("datasets: split: share %v for %q: want more than 0", p.Share, p.Name)
		}
		total += p.Share
	}
	if math.Abs(total-1) > 1e-6 {
		return nil, fmt.Errorf("datasets: split: the shares add up to %v: want 1", total)
	}
	partOf := map[string]string{}
	for stratum, groups := range strata(d) {
		slices.SortFunc(groups, func(a, b string) int {
			return cmp.Or(cmp.Compare(hash(seed, a), hash(seed, b)), cmp.Compare(a, b))
		})
		// A random start keeps small strata from always falling to the first part.
		start := float64(hash(seed, fmt.Sprintf("stratum %d", stratum))>>11) / (1 << 53)
		for rank, group := range groups {
			at, sum := (float64(rank)+start)/float64(len(groups)), 0.0
			partOf[group] = parts[len(parts)-1].Name
			for _, p := range parts {
				if sum += p.Share / total; at < sum {
					partOf[group] = p.Name
					break
				}
			}
		}
	}
	assigned := make([]string, len(d.Samples))
	for i := range d.Samples {
		assigned[i] = partOf[d.Samples[i].Group()]
	}
	return assigned, nil
}

// strata lists the groups by the rarest class they are positive for, counted
// in groups; key -1 holds those positive for none.
func strata(d *Dataset) map[int][]string {
	positive := map[string]map[int]bool{}
	count := make([]int, len(d.Classes))
	for i := range d.Samples {
		group := d.Samples[i].Group()
		if positive[group] == nil {
			positive[group] = map[int]bool{}
		}
		for c, label := range d.Samples[i].Labels {
			if label == Positive && !positive[group][c] {
				positive[group][c] = true
				count[c]++
			}
		}
	}
	byClass := map[int][]string{}
	for group, classes := range positive {
		rarest := -1
		for c := range classes {
			if rarest < 0 || count[c] < count[rarest] || count[c] == count[rarest] && c < rarest {
				rarest = c
			}
		}
		byClass[rarest] = append(byClass[rarest], group)
	}
	return byClass
}

// hash gives every name a place that depends on the seed and the name alone.
func hash(seed uint64, name string) uint64 {
	h := sha256.New()
	binary.Write(h, binary.LittleEndian, seed)
	h.Write([]byte(name))
	return binary.LittleEndian.Uint64(h.Sum(nil))
}
