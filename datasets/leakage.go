package datasets

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
)

// Leak is something that stands on more than one side of a split.
type Leak struct {
	// Kind is "patient", "content" (the same bytes) or "pixels" (the same
	// pixels).
	Kind string `json:"kind"`
	// What is the patient, or the id of the first of the samples that show the
	// same.
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

// Leaks lists the patients and, as far as they are known, the identical contents
// and pixels that stand in more than one part. parts has one entry per sample;
// samples with an empty part are left out. Pixels of files whose bytes are the
// same are not listed twice.
func Leaks(d *Dataset, parts []string, c Contents) []Leak {
	type seen struct {
		kind, what string
		parts      []string
		samples    int
		contents   map[string]bool // of pixels: the contents they come from
	}
	found := map[string]*seen{}
	note := func(key, kind, what, part string) {
		s := found[key]
		if s == nil {
			s = &seen{kind: kind, what: what, contents: map[string]bool{}}
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
		content := ""
		if c.Bytes != nil && c.Bytes[i] != [sha256.Size]byte{} {
			content = fmt.Sprintf("content %x %v %d", c.Bytes[i], s.Source.Region, s.Source.Frame)
			note(content, "content", s.ID, parts[i])
		}
		if c.Pixels != nil && c.Pixels[i] != [sha256.Size]byte{} {
			key := fmt.Sprintf("pixels %x", c.Pixels[i])
			note(key, "pixels", s.ID, parts[i])
			found[key].contents[content] = true
		}
	}
	var leaks []Leak
	for _, s := range found {
		if len(s.parts) > 1 && (s.kind != "pixels" || len(s.contents) > 1) {
			slices.Sort(s.parts)
			leaks = append(leaks, Leak{Kind: s.kind, What: s.what, Parts: s.parts, Samples: s.samples})
		}
	}
	slices.SortFunc(leaks, func(a, b Leak) int {
		return cmp.Or(-cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.What, b.What))
	})
	return leaks
}
