package datasets

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/medprobe/medprobe/internal/near"
)

// negativeNames are class names that say that nothing was found. In a dataset
// of two classes the other one is the positive.
var negativeNames = []string{"normal", "negative", "no finding", "no_finding", "healthy", "benign", "normal, benign", "control", "none", "absent", "no", "false", "0"}

// labelByCell sets task, classes and labels from cells that hold the name of a
// class each, or a list of findings: names joined by spec.LabelSeparator. Where
// that is not said, "|" in any cell makes all of them lists. A finding that a
// list leaves out is absent; an empty cell says nothing.
func (d *Dataset) labelByCell(cells []string, s Spec) error {
	mark := cmp.Or(s.LabelSeparator, "|")
	isList := s.LabelSeparator != "" || slices.ContainsFunc(cells, func(cell string) bool { return strings.Contains(cell, mark) })
	if !isList {
		return d.labelByClass(cells, s)
	}
	return d.labelByList(cells, mark, s)
}

// labelByList is labelByCell where the cells are lists.
func (d *Dataset) labelByList(cells []string, mark string, s Spec) error {
	lists := make([][]string, len(cells))
	names := map[string]bool{}
	for i, cell := range cells {
		for name := range strings.SplitSeq(cell, mark) {
			if name = strings.TrimSpace(name); name != "" {
				lists[i] = append(lists[i], name)
				names[name] = true
			}
		}
	}
	findings, err := s.askedOf("finding", slices.Sorted(maps.Keys(names)))
	if err != nil {
		return fmt.Errorf("datasets: %s: no sample lists a finding asked for: %w", d.Spec, err)
	}
	if len(findings) == 0 {
		return fmt.Errorf("datasets: %s: no list names a finding", d.Spec)
	}
	d.labelByFinding(findings)
	place := map[string]int{}
	for c, name := range findings {
		place[name] = c
	}
	unlisted := Negative
	if s.Unlisted == asMissing {
		unlisted = Missing
	}
	for i, list := range lists {
		labels := make([]Label, len(findings))
		for c := range labels {
			if len(list) > 0 {
				labels[c] = unlisted
			}
		}
		for _, name := range list {
			if c, ok := place[name]; ok {
				labels[c] = Positive
			}
		}
		d.Samples[i].Labels = labels
	}
	return nil
}

// askedOf returns the classes that the spec asks for, or all that there are. One that
// is not there is an error.
func (s Spec) askedOf(what string, there []string) ([]string, error) {
	for _, class := range s.Classes {
		if err := near.Check(what, class, there); err != nil {
			return nil, err
		}
	}
	if len(s.Classes) > 0 {
		return s.Classes, nil
	}
	return there, nil
}

// labelByClass sets task, classes and labels of a dataset in which a sample
// belongs to at most one class: names holds the class name per sample, empty
// where it is not known. Two classes make a binary dataset whose one finding
// is the class spec.Positive, or else the one that is not a word for nothing
// found, or else the second by name.
func (d *Dataset) labelByClass(names []string, s Spec) error {
	if err := renameClasses(names, s); err != nil {
		return fmt.Errorf("datasets: %s: %w", d.Spec, err)
	}
	d.named = true
	classes := s.Classes
	if len(classes) > 0 {
		var err error
		if names, err = d.restrict(names, classes); err != nil {
			return err
		}
	} else {
		classes = slices.Compact(slices.Sorted(slices.Values(names)))
		classes = slices.DeleteFunc(classes, func(n string) bool { return n == "" })
	}
	switch len(classes) {
	case 0:
		return fmt.Errorf("datasets: %s: no sample has a class, and telling apart takes two", d.Spec)
	case 1:
		return fmt.Errorf("datasets: %s: the only class is %q, and telling apart takes two", d.Spec, classes[0])
	}
	if s.Positive != "" {
		if err := near.Check("positive class", s.Positive, classes); err != nil {
			return fmt.Errorf("datasets: %s: %w", d.Spec, err)
		}
	}
	d.warnOfLists(classes)
	if s.Positive != "" && len(classes) > 2 {
		d.problem(d.Spec, "positive: %s means nothing among %d classes, each of which is told from all others; with classes: [%s, …] two can be named", s.Positive, len(classes), s.Positive)
	}
	d.Task, d.Classes = Multiclass, classes
	if len(classes) == 2 {
		d.Task, d.Classes = Binary, []string{d.positiveOf(classes, s.Positive)}
		d.Other = classes[1-slices.Index(classes, d.Classes[0])]
	}
	for i, name := range names {
		labels := make([]Label, len(d.Classes))
		if name != "" {
			for c, class := range d.Classes {
				labels[c] = Negative
				if class == name {
					labels[c] = Positive
				}
			}
		}
		d.Samples[i].Labels = labels
	}
	return nil
}

// warnOfLists notes a class whose name seems to be a list of others.
func (d *Dataset) warnOfLists(classes []string) {
	for _, mark := range []string{",", ";"} {
		for _, class := range classes {
			parts := strings.Split(class, mark)
			if len(parts) < 2 || !slices.ContainsFunc(parts, func(p string) bool { return slices.Contains(classes, strings.TrimSpace(p)) }) {
				continue
			}
			d.problem(d.Spec, "the class %q looks like a list; if cells may name several findings, say label_separator: %q", class, mark)
			return
		}
	}
}

// renameClasses gives classes the names that the spec says.
func renameClasses(names []string, s Spec) error {
	if len(s.Rename) == 0 {
		return nil
	}
	present := slices.Compact(slices.Sorted(slices.Values(names)))
	for old := range s.Rename {
		if err := near.Check("class to rename", old, present); err != nil {
			return err
		}
	}
	for i, name := range names {
		names[i] = s.renamed(name)
	}
	return nil
}

// restrict excludes the samples whose class is not asked for, and returns the
// names of the others. A class that no sample is of is an error.
func (d *Dataset) restrict(names, asked []string) ([]string, error) {
	present := slices.Compact(slices.Sorted(slices.Values(names)))
	for _, class := range asked {
		if err := near.Check("class", class, present); err != nil {
			return nil, fmt.Errorf("datasets: %s: no sample is of a class asked for: %w", d.Spec, err)
		}
	}
	var samples []Sample
	var kept []string
	for i, name := range names {
		if name != "" && !slices.Contains(asked, name) {
			d.exclude(d.Samples[i].ID, "class %q is not among the classes asked for", name)
			continue
		}
		samples, kept = append(samples, d.Samples[i]), append(kept, name)
	}
	d.Samples = samples
	return kept, nil
}

func (d *Dataset) positiveOf(two []string, asked string) string {
	if asked != "" {
		return asked
	}
	isNegative := func(name string) bool { return slices.Contains(negativeNames, strings.ToLower(name)) }
	switch {
	case isNegative(two[0]) && !isNegative(two[1]):
		return two[1]
	case isNegative(two[1]) && !isNegative(two[0]):
		return two[0]
	}
	d.problem(d.Spec, "of the two classes %q and %q, %q is taken as the positive one; say positive: %s to turn it round", two[0], two[1], two[1], two[0])
	return two[1]
}

// labelBy sets task and classes to those of a table of labels whose rows the samples
// are to take theirs from, and takes over what is odd about it.
func (d *Dataset) labelBy(table *Dataset) {
	d.Task, d.Classes, d.Other, d.named = table.Task, table.Classes, table.Other, table.named
	d.Problems = append(d.Problems, table.Problems...)
}

// labelByFinding sets task and classes of a dataset whose samples have one
// label per finding.
func (d *Dataset) labelByFinding(findings []string) {
	d.Task, d.Classes = Multilabel, findings
	if len(findings) == 1 {
		d.Task = Binary
	}
}

// labelByNames labels by class names that may be numbers: where classes are
// named, in the order of the numbers, they are.
func (d *Dataset) labelByNames(names []string, s Spec) error {
	if len(d.Samples) == 0 {
		return nil
	}
	for i, name := range names {
		n, err := strconv.Atoi(name)
		if err == nil && n >= 0 && n < len(s.Classes) && !slices.Contains(s.Classes, name) {
			names[i] = s.Classes[n]
		}
	}
	return d.labelByCell(names, s)
}

func numbered(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint(i)
	}
	return names
}
