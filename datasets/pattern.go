package datasets

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
)

// pattern finds a patient in a text.
type pattern struct{ *regexp.Regexp }

func (s Spec) patientPattern() (pattern, error) {
	if s.PatientPattern == "" {
		return pattern{}, nil
	}
	re, err := regexp.Compile(s.PatientPattern)
	if err != nil {
		return pattern{}, fmt.Errorf("patient_pattern: %w", err)
	}
	return pattern{re}, nil
}

// of returns the patient that stands in the patient's column or, where that is
// empty, in the file's name or else in its path. A text that the pattern does
// not match is an error.
func (p pattern) of(patient, file string) (string, error) {
	if p.Regexp == nil {
		return patient, nil
	}
	in := cmp.Or(patient, file)
	found := p.FindStringSubmatch(cmp.Or(patient, path.Base(file)))
	if found == nil {
		found = p.FindStringSubmatch(in)
	}
	switch {
	case found == nil:
		return "", fmt.Errorf("patient_pattern %s does not match %q", p, in)
	case len(found) > 1:
		return found[1], nil
	}
	return found[0], nil
}
