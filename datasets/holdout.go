package datasets

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/medprobe/medprobe/internal/near"
)

// holdout makes a test part of what the spec describes: the samples whose
// attribute has a value (holdout: site=B), or those of a day and later (after:
// 2020-01-01). Everything else is train, without the samples of patients who
// stand in test too: those are in no part.
func (d *Dataset) holdout(s Spec) error {
	if s.Holdout == "" && s.After == "" {
		return nil
	}
	isTest, err := d.heldOut(s)
	if err != nil {
		return fmt.Errorf("datasets: %s: %w", d.Spec, err)
	}
	tested := map[string]bool{}
	n := 0
	for i := range d.Samples {
		if isTest[i] {
			tested[d.Samples[i].Group()] = true
			n++
		}
	}
	if n == 0 || n == len(d.Samples) {
		return fmt.Errorf("datasets: %s: holdout %s%s: %d of %d samples are held out: want some and not all", d.Spec, s.Holdout, s.After, n, len(d.Samples))
	}
	between := 0
	for i := range d.Samples {
		sample := &d.Samples[i]
		switch {
		case isTest[i]:
			sample.Split = "test"
		case tested[sample.Group()]:
			sample.Split = ""
			between++
		default:
			sample.Split = "train"
		}
	}
	if between > 0 {
		d.problem(d.Spec, "%d samples that are not held out are in no part: their patients are held out too", between)
	}
	return nil
}

// dateColumns are the names that dates are found under.
var dateColumns = []string{"date", "study_date", "studydate", "StudyDate", "acquired", "year"}

// heldOut says which samples the spec's holdout describes.
func (d *Dataset) heldOut(s Spec) ([]bool, error) {
	is := slices.Repeat([]bool{true}, len(d.Samples))
	if s.Holdout != "" {
		column, value, _ := cutPair(s.Holdout)
		if err := d.hasAttribute("holdout", column); err != nil {
			return nil, err
		}
		seen := map[string]bool{}
		for i := range d.Samples {
			v := d.Attr(i, column)
			seen[v] = true
			is[i] = v == value
		}
		if !seen[value] {
			return nil, fmt.Errorf("holdout %s: no sample has this value; known: %s", s.Holdout, firstOnes(slices.Sorted(maps.Keys(seen))))
		}
	}
	if s.After != "" {
		column := cmp.Or(s.Date, firstOf(d.Attributes, dateColumns))
		if err := d.hasAttribute("date", column); err != nil {
			return nil, err
		}
		unknown := 0
		first, _ := day(s.After)
		for i := range d.Samples {
			text := strings.TrimSpace(d.Attr(i, column))
			on, ok := day(text)
			switch {
			case text == "":
				unknown++
			case !ok:
				return nil, fmt.Errorf("%s of %q = %q: want a day such as 2020-01-31, the year first", column, d.Samples[i].ID, text)
			}
			is[i] = is[i] && ok && on >= first[:min(len(on), len(first))]
		}
		if unknown > 0 {
			d.problem(d.Spec, "%d samples have no %s and are taken as before %s", unknown, column, s.After)
		}
	}
	return is, nil
}

var pair = regexp.MustCompile(`^\s*([^=]+?)\s*=\s*(.*?)\s*$`)

// cutPair divides COLUMN=VALUE.
func cutPair(text string) (column, value string, ok bool) {
	found := pair.FindStringSubmatch(text)
	if found == nil {
		return "", "", false
	}
	return found[1], found[2], true
}

// day returns a date as year, month and day, or as much of them as are there,
// so that days compare as texts: 2020-01-31, 2020/1/31, 2020.01 and 20200131; what
// follows the day is dropped. Only where the year comes first is it clear which
// number is the month.
func day(date string) (string, bool) {
	date, _, _ = strings.Cut(strings.TrimSpace(date), "T")
	date, _, _ = strings.Cut(date, " ")
	parts := strings.FieldsFunc(date, func(r rune) bool { return r == '-' || r == '/' || r == '.' })
	for i, part := range parts {
		if strings.Trim(part, "0123456789") != "" || i > 0 && len(part) > 2 {
			return "", false
		}
		if len(part) == 1 {
			parts[i] = "0" + part
		}
	}
	whole := strings.Join(parts, "")
	if len(parts) == 1 && len(whole) == 14 { // with a time, as DICOM has it
		whole = whole[:8]
	}
	plain := len(parts) == 1 && slices.Contains([]int{4, 6, 8}, len(whole))
	parted := len(parts) > 1 && len(parts) < 4 && len(parts[0]) == 4
	return whole, plain || parted
}

func (d *Dataset) hasAttribute(what, column string) error {
	if slices.Contains(d.Attributes, column) {
		return nil
	}
	return fmt.Errorf("no column %q for %s%s", column, what, near.Hint(column, d.Attributes))
}

func firstOnes(names []string) string {
	if len(names) > 12 {
		names = append(names[:12], "…")
	}
	return strings.Join(names, ", ")
}
