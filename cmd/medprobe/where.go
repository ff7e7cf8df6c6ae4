package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/internal/near"
	"github.com/spf13/cobra"
)

// checkWhere looks at the form of --where.
func checkWhere(cmd *cobra.Command, conditions []string) error {
	for _, c := range conditions {
		if name, _, ok := strings.Cut(c, "="); !ok || name == "" {
			return usagef(cmd, "--where %q: want NAME=VALUE, such as effusion=positive", c)
		}
	}
	return nil
}

// keepWhere leaves in d the samples that all the conditions hold for. NAME is a
// finding, split or an attribute, and the first of these that bears the name.
func keepWhere(d *datasets.Dataset, conditions []string) error {
	for _, c := range conditions {
		name, value, _ := strings.Cut(c, "=")
		var err error
		switch {
		case slices.Contains(d.Classes, name):
			err = keepLabel(d, name, value)
		case name == "split":
			err = keepValue(d, name, value, func(i int) string { return d.Samples[i].Split })
		case slices.Contains(d.Attributes, name):
			err = keepValue(d, name, value, func(i int) string { return d.Attr(i, name) })
		default:
			known := slices.Concat(d.Classes, []string{"split"}, d.Attributes)
			err = near.Check("label or attribute", name, known)
		}
		if err != nil {
			return fmt.Errorf("--where %s: %w", c, err)
		}
	}
	return nil
}

// labelValues are the words and numbers for labels.
var labelValues = map[string]datasets.Label{
	"1": datasets.Positive, "0": datasets.Negative, "-1": datasets.Uncertain, "": datasets.Missing,
	datasets.Positive.String(): datasets.Positive, datasets.Negative.String(): datasets.Negative,
	datasets.Uncertain.String(): datasets.Uncertain, datasets.Missing.String(): datasets.Missing,
}

func keepLabel(d *datasets.Dataset, name, value string) error {
	label, ok := labelValues[strings.ToLower(value)]
	if !ok {
		return fmt.Errorf("label %q: want positive, negative, uncertain or missing, or 1, 0 or -1", value)
	}
	class := slices.Index(d.Classes, name)
	return keep(d, func(i int) bool { return d.Samples[i].Labels[class] == label })
}

// keepValue keeps the samples of a value, and says which values there are if none
// has it.
func keepValue(d *datasets.Dataset, name, value string, of func(i int) string) error {
	var known []string
	for i := range d.Samples {
		known = append(known, cmp.Or(of(i), `""`))
	}
	slices.Sort(known)
	known = slices.Compact(known)
	if err := near.Check(name, cmp.Or(value, `""`), known); err != nil {
		return err
	}
	return keep(d, func(i int) bool { return of(i) == value })
}

func keep(d *datasets.Dataset, wanted func(i int) bool) error {
	var kept []datasets.Sample
	for i := range d.Samples {
		if wanted(i) {
			kept = append(kept, d.Samples[i])
		}
	}
	if len(kept) == 0 {
		return fmt.Errorf("none of %d samples is left", len(d.Samples))
	}
	d.Samples = kept
	return nil
}
