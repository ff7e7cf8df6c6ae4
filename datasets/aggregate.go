package datasets

import (
	"errors"

	"github.com/medprobe/medprobe/internal/near"
)

// Aggregate makes one vector of those of several samples, as users of CT and MRI
// do with slices.
type Aggregate struct {
	// By is what the samples have in common: "study", "series" or "patient".
	By string `yaml:"by"`
	// How is "mean" (the default) or "max", value by value; the result has
	// length one again.
	How string `yaml:"how"`
}

func (a Aggregate) check() error {
	if a == (Aggregate{}) {
		return nil
	}
	if a.By == "" {
		return errors.New("aggregate: by: is missing; want study, series or patient")
	}
	err := near.Check("aggregate by", a.By, []string{"study", "series", "patient"})
	if a.How != "" {
		err = errors.Join(err, near.Check("aggregate how", a.How, []string{"mean", "max"}))
	}
	return err
}

// Of returns the unit that the sample belongs to, or "" where the data does not
// say.
func (a Aggregate) Of(s *Sample) string {
	switch a.By {
	case "study":
		return s.Study
	case "series":
		return s.Series
	}
	return s.Patient
}
