package datasets

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
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
			return viewAsked(s.Views, t, r, "AP/PA", "Frontal/Lateral")
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

// tablesOf returns the table that path is, or those of the names that the folder
// path holds, and their folder.
func tablesOf(path string, names ...string) (tables []string, dir string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, "", cause(err)
	}
	if !info.IsDir() {
		return []string{path}, filepath.Dir(path), nil
	}
	for _, name := range names {
		found, err := filepath.Glob(filepath.Join(escapeGlob(path), name))
		if err != nil {
			return nil, "", err
		}
		tables = append(tables, found...)
	}
	if len(tables) == 0 {
		return nil, "", fmt.Errorf("the folder holds none of %s", strings.Join(names, ", "))
	}
	return tables, path, nil
}

// escapeGlob makes a path match itself alone.
func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// behind returns the columns to the right of the first of the named ones that
// is there.
func (t *table) behind(names ...string) []string {
	for _, name := range names {
		if i := slices.Index(t.header, name); i >= 0 {
			return slices.DeleteFunc(slices.Clone(t.header[i+1:]), func(h string) bool { return h == "" })
		}
	}
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

// viewAsked returns an error if views are asked for and none of the columns
// names one of them.
func viewAsked(views []string, t *table, r row, columns ...string) error {
	if len(views) == 0 {
		return nil
	}
	var has []string
	for _, name := range columns {
		if i := slices.Index(t.header, name); i >= 0 {
			has = append(has, strings.TrimSpace(r.fields[i]))
		}
	}
	for _, view := range views {
		if slices.ContainsFunc(has, func(h string) bool { return strings.EqualFold(h, view) }) {
			return nil
		}
	}
	return fmt.Errorf("view %s is not among those asked for", path.Join(has...))
}
