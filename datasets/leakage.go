package datasets

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
)

// Leak is something that stands on more than one side of a split.
type Leak struct {
	// Kind is "patient" or "content".
	Kind string `json:"kind"`
	// What is the patient, or the id of the first of the samples with the same
	// content.
	What string `json:"what"`
	// Parts are the sides it stands on, in alphabetical order.
	Parts []string `json:"parts"`
	// Samples is how many samples it concerns.
	Samples int `json:"samples"`
}

// String returns the leak in words.
func (l Leak) String() string {
	return fmt.Sprintf("%s %q stands in %v (%d samples)", l.Kind, l.What, l.Parts, l.Samples)
}

// Leaks lists the patients and, where digests of the contents are given, the
// identical contents that stand in more than one part. parts and digests have
// one entry per sample; samples with an empty part are left out, and digests
// may be nil.
func Leaks(d *Dataset, parts []string, digests [][sha256.Size]byte) []Leak {
	type seen struct {
		kind, what string
		parts      []string
		samples    int
	}
	found := map[string]*seen{}
	note := func(key, kind, what, part string) {
		s := found[key]
		if s == nil {
			s = &seen{kind: kind, what: what}
			found[key] = s
		}
		s.samples++
		if !slices.Contains(s.parts, part) {
			s.parts = append(s.parts, part)
		}
	}
	for i := range d.Samples {
		s := &d.Samples[i]
		if parts[i] == "" {
			continue
		}
		if s.Patient != "" {
			note("patient "+s.Patient, "patient", s.Patient, parts[i])
		}
		if digests != nil && digests[i] != [sha256.Size]byte{} {
			note(fmt.Sprintf("content %x %v %d", digests[i], s.Source.Region, s.Source.Frame), "content", s.ID, parts[i])
		}
	}
	var leaks []Leak
	for _, s := range found {
		if len(s.parts) > 1 {
			slices.Sort(s.parts)
			leaks = append(leaks, Leak{Kind: s.kind, What: s.what, Parts: s.parts, Samples: s.samples})
		}
	}
	slices.SortFunc(leaks, func(a, b Leak) int {
		return cmp.Or(-cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.What, b.What))
	})
	return leaks
}
