package datasets

import (
	"context"
	"fmt"
	"image"
	"path"
	"slices"
	"strings"
)

// rowReader turns the rows of one table into samples.
type rowReader struct {
	*table
	columns
	spec    Spec
	root    *folder // nil where there are no images
	patient pattern
	// locate finds the file of an image; nil: by the path as it stands.
	locate func(name string) (string, error)
	// adjust, if not nil, completes a sample; an error excludes it.
	adjust func(row, *Sample) error
	// names holds the cell of class names of each sample.
	names []string
}

// addRows turns the rows of the table into the samples of the dataset.
func (d *Dataset) addRows(ctx context.Context, t *table, cols columns, s Spec, root *folder) error {
	d.sayFindings(s, t.names(cols.findings))
	reader := &rowReader{table: t, columns: cols, spec: s, root: root}
	if err := reader.addTo(ctx, d); err != nil {
		return err
	}
	return reader.classes(d)
}

// sayFindings notes which columns were taken for findings without being named.
func (d *Dataset) sayFindings(s Spec, findings []string) {
	if len(s.Labels) == 0 && len(findings) > 0 {
		d.problem(s.Path, "no column was named as a finding; taken by their values: %s", strings.Join(findings, ", "))
	}
}

// addTo adds the rows to the samples of the dataset; labels that are class
// names are kept for classes.
func (t *rowReader) addTo(ctx context.Context, d *Dataset) error {
	var err error
	if t.patient, err = t.spec.patientPattern(); err != nil {
		return fmt.Errorf("datasets: %s: %w", t.path, err)
	}
	if t.spec.Frame != "" && t.frame >= 0 {
		return fmt.Errorf("datasets: %s: frame: %s, and the column %s says the frame too: want one of them", t.path, t.spec.Frame, t.header[t.frame])
	}
	d.Attributes = t.table.names(t.attrs)
	n := 0
	for r, err := range t.rows(ctx) {
		if err != nil {
			return fmt.Errorf("datasets: %s %w", t.spec.Format, err)
		}
		sample, err := t.sample(r)
		if t.image < 0 {
			sample.ID = fmt.Sprintf("row %09d", n)
		}
		n++
		if err == nil && t.adjust != nil {
			err = t.adjust(r, &sample)
		}
		var frames []int
		if err == nil {
			frames, err = t.frames(sample.Source)
		}
		if err != nil {
			d.exclude(fmt.Sprintf("row %d", r.line), "%v", err)
			continue
		}
		for _, frame := range frames {
			one := t.atFrame(sample, frame, len(frames))
			if err := t.label(r, &one); err != nil {
				return fmt.Errorf("datasets: %s %s: %w", t.spec.Format, t.at(r.line), err)
			}
			if len(d.Samples) == cap(d.Samples) { // growing bit by bit would hold the samples twice
				d.Samples = slices.Grow(d.Samples, min(max(1, t.rowsExpected+t.rowsExpected/64-n), 1<<19))
			}
			d.Samples = append(d.Samples, one)
		}
	}
	return nil
}

func (t *rowReader) get(r row, column int) string {
	if column < 0 {
		return ""
	}
	return strings.TrimSpace(r.fields[column])
}

func (t *rowReader) sample(r row) (Sample, error) {
	s := Sample{
		ID:      t.get(r, t.id),
		Patient: t.get(r, t.columns.patient),
		Study:   t.get(r, t.study),
		Series:  t.get(r, t.series),
		Split:   splitName(t.get(r, t.split)),
		line:    r.line,
	}
	if len(t.attrs) > 0 {
		s.Attrs = make([]string, len(t.attrs))
		for k, i := range t.attrs {
			s.Attrs[k] = r.fields[i]
		}
	}
	if t.image < 0 {
		return s, nil
	}
	name := t.get(r, t.image)
	switch {
	case name == "":
		return s, fmt.Errorf("the column %s is empty: no image", t.header[t.image])
	case t.id >= 0 && s.ID == "":
		return s, fmt.Errorf("the column %s is empty: no id", t.header[t.id])
	}
	var err error
	locate := t.root.find
	if t.locate != nil {
		locate = t.locate
	}
	if s.Source.Path, err = locate(name); err != nil {
		return s, err
	}
	if s.Source.Region, err = t.region(r); err != nil {
		return s, err
	}
	if s.Source.Frame, err = t.frameNumber(r); err != nil {
		return s, err
	}
	if s.Patient, err = t.patient.of(s.Patient, s.Source.Path); err != nil {
		return s, err
	}
	if t.id < 0 {
		s.ID = sampleID(s.Source)
	}
	return s, nil
}

// sampleID names a sample by its source.
func sampleID(s Source) string {
	id := s.Path
	if s.Frame > 0 {
		id += fmt.Sprintf("#frame %d", s.Frame+1)
	}
	if r := s.Region; r != (image.Rectangle{}) {
		id += fmt.Sprintf("#%d,%d,%d,%d", r.Min.X, r.Min.Y, r.Max.X, r.Max.Y)
	}
	return id
}

// label reads the labels of a row.
func (t *rowReader) label(r row, s *Sample) error {
	switch {
	case t.spec.Task != "":
		return t.values(r, s)
	case t.columns.label >= 0:
		t.names = append(t.names, t.get(r, t.columns.label))
		return nil
	case len(t.consent) == 1 && t.consent[0].Finding == "":
		t.names = append(t.names, t.consent[0].class(r))
		return nil
	}
	s.Labels = make([]Label, 0, len(t.findings)+len(t.consent))
	for _, i := range t.findings {
		l, err := parseLabel(r.fields[i])
		if err != nil {
			return fmt.Errorf("%s = %w", t.header[i], err)
		}
		s.Labels = append(s.Labels, l)
	}
	for _, agreed := range t.consent {
		l, err := agreed.label(t.table, r)
		if err != nil {
			return err
		}
		s.Labels = append(s.Labels, l)
	}
	return nil
}

// classes gives the dataset its classes.
func (t *rowReader) classes(d *Dataset) error {
	if t.names != nil {
		return d.labelByCell(t.names, t.spec)
	}
	findings := t.table.names(t.findings)
	for _, agreed := range t.consent {
		findings = append(findings, agreed.Finding)
	}
	if t.columns.label >= 0 || len(findings) == 0 { // no row
		return nil
	}
	if twice := firstTwice(findings); twice != "" {
		return fmt.Errorf("datasets: %s: the finding %q is named twice", d.Spec, twice)
	}
	d.labelByFinding(findings)
	if t.spec.Task != "" {
		d.Task = Regression
	}
	return nil
}

func firstTwice(names []string) string {
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return name
		}
	}
	return ""
}

// checkView returns an error if views are asked for and an image has none of them.
func (s Spec) checkView(has ...string) error {
	asked := func(view string) bool {
		return slices.ContainsFunc(s.Views, func(v string) bool { return strings.EqualFold(v, view) })
	}
	if len(s.Views) == 0 || slices.ContainsFunc(has, asked) {
		return nil
	}
	return fmt.Errorf("view %s is not among those asked for", path.Join(has...))
}

// atFrame returns the sample at one of so many frames that are asked for.
func (t *rowReader) atFrame(s Sample, frame, of int) Sample {
	s.Source.Frame = frame
	switch {
	case t.spec.Frame == "":
	case t.id < 0:
		s.ID = sampleID(s.Source)
	case of > 1:
		s.ID = fmt.Sprintf("%s#frame %d", s.ID, frame+1)
	}
	return s
}
