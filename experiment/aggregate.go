package experiment

import (
	"fmt"
	"math"
	"slices"

	"github.com/medprobe/medprobe/datasets"
	"gonum.org/v1/gonum/blas/blas32"
)

// aggregate makes one sample, with one vector, of those of a study, series or
// patient, as the spec of the data says. A unit is positive for a finding if one
// of its samples is, negative if one is and none is positive or uncertain; a
// class that excludes others must be that of all its samples. A number is the
// mean of those known.
func (l *lab) aggregate() (warning string, err error) {
	a := l.config.Data.Aggregate
	if a.By == "" {
		return "", nil
	}
	odd := 0
	members, err := l.unitsOfParts(a)
	if err != nil {
		return "", err
	}
	data := *l.data
	data.Samples = make([]datasets.Sample, len(members))
	x := blas32.General{Rows: len(members), Cols: l.x.Cols, Stride: max(1, l.x.Cols), Data: make([]float32, len(members)*l.x.Cols)}
	for k, rows := range members {
		s := l.data.Samples[rows[0]]
		s.ID = a.Of(&s)
		var agreed bool
		if s.Labels, agreed = unitLabels(l.data, rows); !agreed {
			odd++
		}
		if s.Values != nil {
			if s.Values, agreed = unitValues(l.data, rows); !agreed {
				odd++
			}
		}
		data.Samples[k] = s
		if err := pool(row(x, k), l.x, rows, a.How); err != nil {
			return "", fmt.Errorf("experiment: aggregate %s %q: %w", a.By, s.ID, err)
		}
	}
	n := len(l.data.Samples)
	l.data, l.x = &data, x
	warning = fmt.Sprintf("the vectors of %d images were made one for each %s: %d", n, a.By, len(members))
	if odd > 0 {
		warning += fmt.Sprintf("; the labels of %d differ among their images", odd)
	}
	return warning, nil
}

// unitsOfParts returns the samples of each unit, those in two parts as two, and puts
// the numbers of the units in the place of those of the samples.
func (l *lab) unitsOfParts(a datasets.Aggregate) (members [][]int, err error) {
	for _, rows := range []*[]int{&l.train, &l.test, &l.validation} {
		units, numbers := map[string]int{}, []int(nil)
		for _, i := range *rows {
			unit := a.Of(&l.data.Samples[i])
			if unit == "" {
				return nil, fmt.Errorf("experiment: aggregate by %s: sample %q names none", a.By, l.data.Samples[i].ID)
			}
			k, known := units[unit]
			if !known {
				k = len(members)
				units[unit], numbers, members = k, append(numbers, k), append(members, nil)
			}
			members[k] = append(members[k], i)
		}
		*rows = numbers
	}
	return members, nil
}

// unitLabels returns the labels of samples that are one, and whether those of
// all of them are the same.
func unitLabels(d *datasets.Dataset, rows []int) (labels []datasets.Label, agreed bool) {
	labels = slices.Clone(d.Samples[rows[0]].Labels)
	agreed = true
	for _, i := range rows[1:] {
		for c, label := range d.Samples[i].Labels {
			if label == labels[c] {
				continue
			}
			agreed = false
			labels[c] = stronger(labels[c], label)
		}
	}
	if !agreed && d.Exclusive() {
		clear(labels) // of two classes it can be neither
	}
	return labels, agreed
}

// stronger orders labels: positive, uncertain, negative, missing.
func stronger(a, b datasets.Label) datasets.Label {
	for _, label := range []datasets.Label{datasets.Positive, datasets.Uncertain, datasets.Negative} {
		if a == label || b == label {
			return label
		}
	}
	return datasets.Missing
}

// pool makes one vector of length one of several: their mean, or the greatest of
// each of their values.
func pool(to []float32, x blas32.General, rows []int, how string) error {
	norm := 0.0
	for k := range to {
		v := 0.0
		if how == "max" {
			v = math.Inf(-1)
		}
		for _, i := range rows {
			if one := float64(x.Data[i*x.Stride+k]); how == "max" {
				v = max(v, one)
			} else {
				v += one / float64(len(rows))
			}
		}
		to[k] = float32(v)
		norm += v * v
	}
	if norm == 0 {
		return fmt.Errorf("the vectors add up to zero")
	}
	for k := range to {
		to[k] = float32(float64(to[k]) / math.Sqrt(norm))
	}
	return nil
}
