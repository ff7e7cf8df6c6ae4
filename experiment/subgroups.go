package experiment

import (
	"errors"
	"fmt"
	"slices"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/evaluate"
	"github.com/medprobe/medprobe/internal/near"
)

// attributes reads what the experiment names for subgroups.
func (c *Config) attributes() ([]evaluate.Attribute, error) {
	var all []evaluate.Attribute
	for _, text := range c.Subgroups {
		a, err := evaluate.ParseAttribute(text)
		if err != nil {
			return nil, fmt.Errorf("subgroups: %w", err)
		}
		if a.Column == "" || slices.ContainsFunc(all, func(b evaluate.Attribute) bool { return a.Column == b.Column }) {
			return nil, fmt.Errorf("subgroups: %q: want names of columns, each once, as in sex or age:40,65", text)
		}
		all = append(all, a)
	}
	return all, nil
}

func (c *Config) checkSubgroups() error {
	_, err := c.attributes()
	return err
}

// findSubgroups returns an error that names the columns that the data lacks, and
// those whose values make no subgroups.
func (c *Config) findSubgroups(d *datasets.Dataset) error {
	attributes, err := c.attributes()
	errs := []error{err}
	for _, a := range attributes {
		if !slices.Contains(d.Attributes, a.Column) {
			errs = append(errs, fmt.Errorf("experiment: subgroups: the data has no attribute %q%s; it has %q", a.Column, near.Hint(a.Column, d.Attributes), d.Attributes))
			continue
		}
		if _, err := a.Of(cells(d, a.Column, upTo(len(d.Samples)))); err != nil {
			errs = append(errs, fmt.Errorf("experiment: subgroups: %w", err))
		}
	}
	return errors.Join(errs...)
}

// cells returns an attribute of the rows.
func cells(d *datasets.Dataset, column string, rows []int) []string {
	values := make([]string, len(rows))
	for k, i := range rows {
		values[k] = d.Attr(i, column)
	}
	return values
}

// subgroups judges every method in every subgroup, at the first threshold that was
// chosen for it, or at .5.
func (l *lab) subgroups(methods []*method, tests []finding, findings []evaluate.Finding) ([]evaluate.Subgroup, error) {
	attributes, err := l.config.attributes()
	if err != nil || len(attributes) == 0 {
		return nil, err
	}
	var all []evaluate.Subgroup
	for c, trial := range l.trials(methods, tests) {
		rows := make([]int, len(tests[c].rows))
		for k, r := range tests[c].rows {
			rows[k] = l.test[r]
		}
		var by []evaluate.Attributed
		for _, a := range attributes {
			of, err := a.Of(cells(l.data, a.Column, rows))
			if err != nil {
				return nil, fmt.Errorf("experiment: subgroups: %w", err)
			}
			by = append(by, of)
		}
		for k, m := range methods {
			threshold, _ := findings[c].Methods[k].SharedThreshold()
			groups, err := trial.Subgroups(m.name, by, threshold, l.data.Unit)
			if err != nil {
				return nil, fmt.Errorf("experiment: finding %q: %w", trial.Name, err)
			}
			all = append(all, groups...)
		}
	}
	evaluate.AdjustSubgroups(all)
	return all, nil
}
