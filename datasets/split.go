package datasets

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Part is one side of a split and the share of the patients it gets.
type Part struct {
	Name  string
	Share float64
}

// Split returns the name of the part of each sample. All samples of a patient
// fall into one part; a sample without a patient is a patient of its own.
//
// It is iterative stratification (Sechidis, Tsoumakas and Vlahavas, ECML 2011)
// over patients: the class that the fewest of the patients left are positive for
// is dealt out first, in proportion to what each part still lacks of it, then
// the next, and at last those positive for none. Within a class patients stand
// in the order of a hash of seed and patient and are cut where the shares say,
// so that the split depends neither on the order of rows nor on chance beyond
// the seed, and patients added later move only the few that stand next to a
// cut. Shares must be positive and add up to 1 within 1e-6.
func Split(d *Dataset, parts []Part, seed uint64) ([]string, error) {
	total := 0.0
	for _, p := range parts {
		if !(p.Share > 0) {
			return nil, fmt.Errorf("datasets: split: share %v for %q: want more than 0", p.Share, p.Name)
		}
		total += p.Share
	}
	if math.Abs(total-1) > 1e-6 {
		return nil, fmt.Errorf("datasets: split: the shares add up to %.6g: want 1, as 0.7,0.1,0.2 do", total)
	}
	shares := make([]float64, len(parts))
	for k, p := range parts {
		shares[k] = p.Share / total
	}
	assigned := make([]string, len(d.Samples))
	for i, k := range deal(d, shares, seed) {
		assigned[i] = parts[k].Name
	}
	return assigned, nil
}

// Folds returns the fold, from 1 to k, of each sample, dealt out as [Split]
// does. Repeats with other numbers are independent of one another.
func Folds(d *Dataset, k int, seed uint64, repeat int) ([]int, error) {
	if k < 2 {
		return nil, fmt.Errorf("datasets: %d folds: want 2 or more", k)
	}
	shares := slices.Repeat([]float64{1 / float64(k)}, k)
	folds := deal(d, shares, hash(seed, fmt.Sprintf("repeat %d", repeat)))
	count := make([]int, k)
	for i := range folds {
		count[folds[i]]++
		folds[i]++
	}
	if slices.Contains(count, 0) {
		return nil, fmt.Errorf("datasets: %d folds: too few patients, one fold is empty", k)
	}
	return folds, nil
}

// owner is a patient, or whatever must not be divided.
type owner struct {
	name    string
	place   uint64
	classes []int // it is positive for
}

// deal returns the number of the share that each sample falls to.
func deal(d *Dataset, shares []float64, seed uint64) []int {
	owners, left := owners(d, seed)
	lack := make([][]float64, len(d.Classes)+1) // by class and share; the last row is of everybody
	for c := range lack {
		lack[c] = make([]float64, len(shares))
		for k, share := range shares {
			lack[c][k] = share * float64(len(owners))
			if c < len(d.Classes) {
				lack[c][k] = share * float64(left[c])
			}
		}
	}
	part := map[string]int{}
	for len(owners) > 0 {
		class := rarest(left)
		of := func(o owner) bool { return class == len(left) || slices.Contains(o.classes, class) }
		var stratum, rest []owner
		for _, o := range owners {
			if of(o) {
				stratum = append(stratum, o)
			} else {
				rest = append(rest, o)
			}
		}
		start := float64(hash(seed, fmt.Sprintf("stratum %d", class))>>11) / (1 << 53)
		for k, some := range cut(stratum, lack[class], shares, start) {
			for _, o := range some {
				part[o.name] = k
				lack[len(left)][k]--
				for _, c := range o.classes {
					lack[c][k]--
					left[c]--
				}
			}
		}
		owners = rest
	}
	parts := make([]int, len(d.Samples))
	for i := range d.Samples {
		parts[i] = part[d.Samples[i].Group()]
	}
	return parts
}

// owners lists the patients in the order of their hashes, and counts how many
// are positive for each class.
func owners(d *Dataset, seed uint64) (all []owner, count []int) {
	place := map[string]int{}
	count = make([]int, len(d.Classes))
	for i := range d.Samples {
		group := d.Samples[i].Group()
		k, known := place[group]
		if !known {
			k = len(all)
			place[group] = k
			all = append(all, owner{name: group, place: hash(seed, group)})
		}
		for c, label := range d.Samples[i].Labels {
			if label == Positive && !slices.Contains(all[k].classes, c) {
				all[k].classes = append(all[k].classes, c)
				count[c]++
			}
		}
	}
	slices.SortFunc(all, func(a, b owner) int { return cmp.Or(cmp.Compare(a.place, b.place), cmp.Compare(a.name, b.name)) })
	return all, count
}

// rarest returns the class that the fewest are left of, or len(left) where none
// is left.
func rarest(left []int) int {
	class := len(left)
	for c, n := range left {
		if n > 0 && (class == len(left) || n < left[class]) {
			class = c
		}
	}
	return class
}

// cut divides the patients of a stratum in proportion to what each part lacks.
// start, from 0 to 1, keeps small strata from always falling to the first part.
func cut(stratum []owner, lack, shares []float64, start float64) [][]owner {
	total := 0.0
	for _, v := range lack {
		total += max(0, v)
	}
	parts := make([][]owner, len(shares))
	for rank, o := range stratum {
		at, sum, k := (float64(rank)+start)/float64(len(stratum)), 0.0, 0
		for ; k < len(shares)-1; k++ {
			share := shares[k]
			if total > 0 {
				share = max(0, lack[k]) / total
			}
			if sum += share; at < sum {
				break
			}
		}
		parts[k] = append(parts[k], o)
	}
	return parts
}

// hash gives every name a place that depends on the seed and the name alone.
func hash(seed uint64, name string) uint64 {
	h := sha256.New()
	binary.Write(h, binary.LittleEndian, seed)
	h.Write([]byte(name))
	return binary.LittleEndian.Uint64(h.Sum(nil))
}

// splitNames maps what people call the parts of a dataset to our names.
var splitNames = map[string]string{
	"train": "train", "training": "train",
	"val": "validation", "valid": "validation", "validation": "validation", "validate": "validation", "dev": "validation",
	"test": "test", "testing": "test",
}

// splitName returns our name for a part, or name itself if it is none of the
// usual ones.
func splitName(name string) string {
	return cmp.Or(splitNames[strings.ToLower(name)], name)
}
