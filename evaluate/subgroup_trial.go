package evaluate

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/medprobe/medprobe/internal/near"
)

// ParseAttribute reads COLUMN, or COLUMN:CUT,CUT for bands of numbers, such as
// "age:40,65".
func ParseAttribute(text string) (Attribute, error) {
	column, list, bands := strings.Cut(text, ":")
	a := Attribute{Column: column}
	if !bands {
		return a, nil
	}
	for cell := range strings.SplitSeq(list, ",") {
		cut, err := strconv.ParseFloat(strings.TrimSpace(cell), 64)
		if err != nil || math.IsNaN(cut) || math.IsInf(cut, 0) {
			return a, fmt.Errorf("%q: %q: want numbers after the colon, as in age:40,65", text, cell)
		}
		if n := len(a.Cuts); n > 0 && cut <= a.Cuts[n-1] {
			return a, fmt.Errorf("%q: want cuts that rise", text)
		}
		a.Cuts = append(a.Cuts, cut)
	}
	return a, nil
}

// Of returns the attribute with the subgroup of each cell. A cell that is no
// number where bands are asked for, and more than [MaxSubgroups] values, are
// errors.
func (a Attribute) Of(cells []string) (Attributed, error) {
	of := Attributed{Attribute: a, Values: make([]string, len(cells))}
	for k, cell := range cells {
		group, err := a.group(strings.TrimSpace(cell))
		if err != nil {
			return of, fmt.Errorf("%s: %q: want %w", a.Column, cell, err)
		}
		of.Values[k] = group
	}
	if n := len(a.groups(of.Values)); n > MaxSubgroups {
		return of, fmt.Errorf("%s: %d values: want at most %d, or bands, as in %s:40,65", a.Column, n, MaxSubgroups, a.Column)
	}
	return of, nil
}

// Subgroups returns the figures of one method of the trial for each subgroup;
// Values have one entry per sample. Scores are the probabilities where the method
// gives them, at the threshold that all subgroups share. Holm's p is over the
// subgroups of the trial; see [AdjustSubgroups].
func (t Trial) Subgroups(method string, by []Attributed, threshold float64, unit string) ([]Subgroup, error) {
	k := slices.IndexFunc(t.Methods, func(m Scored) bool { return m.Method == method })
	if k < 0 {
		return nil, near.Check("method", method, t.names())
	}
	m := t.Methods[k]
	all := Column{Scores: m.Scores, Labels: t.Labels, Groups: t.Groups}
	o := SummaryOptions{}
	if m.Probabilities != nil {
		all.Scores, o.Threshold = m.Probabilities, &threshold
	}
	var out []Subgroup
	for _, a := range by {
		if len(a.Values) != len(all.Labels) {
			return nil, fmt.Errorf("evaluate: %s: %d values for %d samples", a.Column, len(a.Values), len(all.Labels))
		}
		for _, name := range a.groups(a.Values) {
			in, rest := all.divide(func(j int) bool { return a.Values[j] == name })
			g, err := newSubgroup(in, rest, m.Probabilities != nil, o, unit)
			if err != nil {
				return nil, fmt.Errorf("%s %q: %w", a.Column, name, err)
			}
			g.By, g.Group, g.Label, g.Score = a.Column, name, t.Name, m.Method
			out = append(out, g)
		}
	}
	adjustSubgroups(out)
	return out, nil
}

func (t Trial) names() []string {
	var names []string
	for _, m := range t.Methods {
		names = append(names, m.Method)
	}
	return names
}

// AdjustSubgroups sets Holm's p over the subgroups of every finding together, for
// each score by itself.
func AdjustSubgroups(all []Subgroup) {
	at := map[string][]int{}
	for k, g := range all {
		at[g.Score] = append(at[g.Score], k)
	}
	for _, places := range at {
		of := make([]Subgroup, len(places))
		for k, i := range places {
			of[k] = all[i]
		}
		adjustSubgroups(of)
		for k, i := range places {
			all[i] = of[k]
		}
	}
}
