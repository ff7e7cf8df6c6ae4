package trainer

import (
	"errors"
	"fmt"
	"slices"
)

// What is known of one class in one sample.
const (
	Unknown  int8 = -1
	Negative int8 = 0
	Positive int8 = 1
)

// Targets holds the labels of n samples.
type Targets struct {
	Classes []string
	// Exclusive says that every labelled sample belongs to exactly one class;
	// otherwise each class is a finding of its own.
	Exclusive bool
	// Values is n × len(Classes) of Positive, Negative or Unknown. A row of
	// exclusive classes holds one Positive, or Unknown throughout.
	Values [][]int8
}

// maxFaults is how many faults of the labels are listed one by one.
const maxFaults = 20

// validate reports the faults of the labels, up to twenty of them.
func (y Targets) validate(n int) error {
	var faults []error
	count := 0
	fault := func(format string, args ...any) {
		if count++; count <= maxFaults {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	if len(y.Classes) == 0 || y.Exclusive && len(y.Classes) < 2 {
		fault("%d classes: want at least 1, or 2 that exclude one another", len(y.Classes))
	}
	for c, name := range y.Classes {
		if slices.Contains(y.Classes[:c], name) {
			fault("class %q stands twice", name)
		}
	}
	if len(y.Values) != n {
		fault("%d rows of labels for %d vectors: want as many", len(y.Values), n)
	}
	for i, row := range y.Values {
		positives, unknown := 0, 0
		for c, v := range row {
			switch v {
			case Positive:
				positives++
			case Unknown:
				unknown++
			case Negative:
			default:
				fault("row %d: class %d = %d: want 1, 0 or -1", i, c, v)
			}
		}
		switch {
		case len(row) != len(y.Classes):
			fault("row %d: %d labels for %d classes", i, len(row), len(y.Classes))
		case y.Exclusive && positives != 1 && unknown != len(row):
			fault("row %d: %d positives among classes that exclude one another: want 1", i, positives)
		}
	}
	if count > maxFaults {
		faults = append(faults, fmt.Errorf("and %d more", count-maxFaults))
	}
	return errors.Join(faults...)
}

// oneSided is the error of labels that say nothing.
func (y Targets) oneSided() error {
	var errs []error
	for _, name := range y.Classes {
		if y.Exclusive {
			errs = append(errs, fmt.Errorf("class %q has no sample: want at least one of each class", name))
		} else {
			errs = append(errs, oneSided(name, 0, 0))
		}
	}
	return errors.Join(errs...)
}
