package datasets

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
)

// readCheXpert reads CheXpert's tables: a folder with train.csv and valid.csv,
// or one of them. Every column behind AP/PA is a finding of four values, blank
// being missing; patient, study and part stand in the path, whose first folder,
// CheXpert-v1.0 or CheXpert-v1.0-small, need not be there on the disk.
func readCheXpert(ctx context.Context, d *Dataset, s Spec) error {
	tables, dir, err := tablesOf(s.Path, "train.csv", "valid.csv", "val.csv", "test.csv")
	if err != nil {
		return fmt.Errorf("datasets: chexpert %s: %w", s.Path, err)
	}
	root, err := openFiles(s, cmp.Or(s.Root, dir))
	if err != nil {
		return err
	}
	d.files = root
	first := variants{root, map[string]bool{}}
	var findings []string
	for _, name := range tables {
		t, err := openTable(s, name)
		if err != nil {
			return fmt.Errorf("datasets: chexpert %w", err)
		}
		own := s
		own.Image = cmp.Or(s.Image, "Path")
		if own.Labels = s.Labels; len(own.Labels) == 0 {
			own.Labels = t.behind("AP/PA", "Path")
		}
		cols, err := t.columns(ctx, d, own)
		if err != nil {
			return fmt.Errorf("datasets: chexpert %s: %w", name, err)
		}
		reader := &rowReader{table: t, columns: cols, spec: own, root: root}
		reader.locate = func(name string) (string, error) { return root.find(first.onDisk(name)) }
		reader.adjust = func(r row, sample *Sample) error {
			sample.ID = stripVariant(sample.Source.Path)
			fromCheXpertPath(sample)
			return s.checkView(t.cells(r, "AP/PA", "Frontal/Lateral")...)
		}
		if err := reader.addTo(ctx, d); err != nil {
			return err
		}
		if found := t.names(cols.findings); findings == nil {
			findings = found
		} else if !slices.Equal(findings, found) {
			return fmt.Errorf("datasets: chexpert %s: findings %s, and %s has %s: name those of both under labels", name, strings.Join(found, ", "), tables[0], strings.Join(findings, ", "))
		}
	}
	d.labelByFinding(findings)
	return nil
}

// stripVariant drops the first folder of a path if it names a variant of
// CheXpert, so that all variants have the same ids.
func stripVariant(name string) string {
	if first, rest, ok := strings.Cut(name, "/"); ok && strings.HasPrefix(strings.ToLower(first), "chexpert") {
		return rest
	}
	return name
}

// variants remembers which first folders of paths are there on the disk.
type variants struct {
	root  *folder
	there map[string]bool
}

// onDisk returns the path as it is on the disk: with its first folder if that
// is there.
func (v variants) onDisk(name string) string {
	rest := stripVariant(name)
	if rest == name {
		return name
	}
	first, _, _ := strings.Cut(name, "/")
	there, known := v.there[first]
	if !known {
		_, err := v.root.root.Lstat(first)
		there = err == nil
		v.there[first] = there
	}
	if there {
		return name
	}
	return rest
}

// fromCheXpertPath reads patient, study and part from the path.
func fromCheXpertPath(s *Sample) {
	patient, study := patientAndStudy(s.Source.Path)
	s.Patient, s.Study = cmp.Or(s.Patient, patient), cmp.Or(s.Study, study)
	if first, _, ok := strings.Cut(s.ID, "/"); ok && s.Split == "" {
		s.Split = splitNames[strings.ToLower(first)]
	}
}

// patientAndStudy returns the folder patientN of a path, and patientN/studyN.
func patientAndStudy(name string) (patient, study string) {
	for from := 0; from < len(name); {
		folder, rest, within := strings.Cut(name[from:], "/")
		if within && isNumbered(folder, "patient") {
			if next, _, within := strings.Cut(rest, "/"); within && isNumbered(next, "study") {
				study = name[from : from+len(folder)+1+len(next)]
			}
			return folder, study
		}
		from += len(folder) + 1
	}
	return "", ""
}

// isNumbered reports whether a name is the word and a number.
func isNumbered(name, word string) bool {
	number, ok := strings.CutPrefix(name, word)
	return ok && number != "" && strings.Trim(number, "0123456789") == ""
}
