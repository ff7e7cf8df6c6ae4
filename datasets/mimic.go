package datasets

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// readMIMIC reads MIMIC-CXR-JPG: a folder with the tables *chexpert.csv (or, as
// table: says, *negbio.csv), *metadata.csv and *split.csv, each of which may be
// gzipped. Labels are of studies and are joined to every image of the study.
func readMIMIC(ctx context.Context, d *Dataset, s Spec) error {
	root, err := openFiles(s, cmp.Or(s.Root, s.Path))
	if err != nil {
		return err
	}
	d.files = root
	of := func(kind string) (*table, error) {
		found, err := filepath.Glob(filepath.Join(escapeGlob(s.Path), "*"+kind+".csv*"))
		if err != nil || len(found) == 0 {
			return nil, fmt.Errorf("%s: no table *%s.csv or *%s.csv.gz", s.Path, kind, kind)
		}
		return openTable(Spec{}, found[len(found)-1])
	}
	labels := &studyLabels{spec: s}
	if s.Table != "" {
		labels.table, err = openTable(s, s.Table)
	} else {
		labels.table, err = of("chexpert")
	}
	if err != nil {
		return fmt.Errorf("datasets: mimic %w", err)
	}
	if err := labels.read(ctx); err != nil {
		return fmt.Errorf("datasets: mimic %w", err)
	}
	meta, err := of("metadata")
	if err != nil {
		return fmt.Errorf("datasets: mimic %w", err)
	}
	var parts map[string]string
	if split, err := of("split"); err == nil {
		if parts, err = split.lookup(ctx, "dicom_id", "split"); err != nil {
			return fmt.Errorf("datasets: mimic %w", err)
		}
	} else {
		d.problem(s.Path, "no table *split.csv: the images are in no part")
	}
	if err := d.addMIMICImages(ctx, meta, labels, parts, s); err != nil {
		return fmt.Errorf("datasets: mimic %w", err)
	}
	d.labelByFinding(labels.findings)
	if n := labels.unlabelled; n > 0 {
		d.problem(labels.path, "%d images are of studies that the table does not hold; all their labels are missing", n)
	}
	return nil
}

// studyLabels holds the labels of every study.
type studyLabels struct {
	*table
	spec       Spec
	findings   []string
	of         map[string][]Label
	unlabelled int
}

func (l *studyLabels) read(ctx context.Context) error {
	study, err := l.find("study", "study_id", nil)
	if err != nil {
		return fmt.Errorf("%s: %w", l.path, err)
	}
	if l.findings = l.spec.Labels; len(l.findings) == 0 {
		l.findings = l.behind("study_id", "subject_id")
	}
	var places []int
	for _, name := range l.findings {
		i, err := l.find("finding", name, nil)
		if err != nil {
			return fmt.Errorf("%s: %w", l.path, err)
		}
		places = append(places, i)
	}
	l.of = map[string][]Label{}
	for r, err := range l.rows(ctx) {
		if err != nil {
			return err
		}
		id := r.fields[study]
		if l.of[id] != nil {
			return fmt.Errorf("%s: study %s stands twice", l.at(r.line), id)
		}
		labels := make([]Label, len(places))
		for k, i := range places {
			if labels[k], err = parseLabel(r.fields[i]); err != nil {
				return fmt.Errorf("%s: %s = %w", l.at(r.line), l.header[i], err)
			}
		}
		l.of[id] = labels
	}
	return nil
}

func (d *Dataset) addMIMICImages(ctx context.Context, meta *table, labels *studyLabels, parts map[string]string, s Spec) error {
	var places [3]int
	for k, name := range []string{"dicom_id", "subject_id", "study_id"} {
		var err error
		if places[k], err = meta.find("metadata", name, nil); err != nil {
			return fmt.Errorf("%s: %w", meta.path, err)
		}
	}
	var attrs []int
	for _, name := range []string{"ViewPosition", "StudyDate"} {
		if i := slices.Index(meta.header, name); i >= 0 {
			attrs, d.Attributes = append(attrs, i), append(d.Attributes, name)
		}
	}
	for r, err := range meta.rows(ctx) {
		if err != nil {
			return err
		}
		image, subject, study := r.fields[places[0]], strings.TrimPrefix(r.fields[places[1]], "p"), strings.TrimPrefix(r.fields[places[2]], "s")
		if len(subject) < 2 || !filepath.IsLocal(image) || !filepath.IsLocal("p"+subject) || !filepath.IsLocal("s"+study) {
			d.exclude(fmt.Sprintf("row %d", r.line), "dicom_id %q, subject_id %q, study_id %q make no path", image, subject, study)
			continue
		}
		if err := s.checkView(meta.cells(r, "ViewPosition")...); err != nil {
			d.exclude(image, "%v", err)
			continue
		}
		sample := Sample{
			ID: image, Patient: subject, Study: study, Split: splitName(parts[image]), Labels: slices.Clone(labels.of[study]),
			Source: Source{Path: path.Join("files", "p"+subject[:2], "p"+subject, "s"+study, image+".jpg")},
		}
		for _, i := range attrs {
			sample.Attrs = append(sample.Attrs, r.fields[i])
		}
		if sample.Labels == nil {
			sample.Labels = make([]Label, len(labels.findings))
			labels.unlabelled++
		}
		d.Samples = append(d.Samples, sample)
	}
	return nil
}
