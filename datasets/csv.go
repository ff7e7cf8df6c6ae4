package datasets

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/medprobe/medprobe/internal/dicom"
)

// readCSV reads a table with one sample per row. Findings are columns of 1, 0,
// -1 or nothing; or one column holds the name of the class, or a list of
// findings.
func readCSV(ctx context.Context, d *Dataset, s Spec) error {
	t, err := openTable(s, s.Path)
	if err != nil {
		return fmt.Errorf("datasets: %s %w", s.Format, err)
	}
	f, err := openFiles(s, cmp.Or(s.Root, filepath.Dir(s.Path)))
	if err != nil {
		return err
	}
	d.files = f
	cols, err := t.columns(ctx, d, s)
	if err == nil && cols.image < 0 {
		name := cmp.Or(t.nearlyNamed(imageColumns), t.perhaps(ctx, cols.attrs, namesImages))
		err = fmt.Errorf("no column holds the image's path; name it with image:%s (columns: %s)", name, strings.Join(t.header, ", "))
	}
	if err != nil {
		return fmt.Errorf("datasets: %s %s: %w", s.Format, s.Path, err)
	}
	return d.addRows(ctx, t, cols, s, f)
}

// ReadLabels reads a table of labels whose rows belong to the rows of a matrix
// of vectors: findings as columns of 1, 0 or nothing, or one column of class
// names, as csv datasets have them, and no images. The samples keep the order
// of the rows. s.Path is the table; s.Patient names the column of the unit
// that must not be divided, if there is one.
func ReadLabels(ctx context.Context, s Spec) (*Dataset, error) {
	d := &Dataset{Spec: "labels:" + s.Path}
	t, err := openTable(s, s.Path)
	if err != nil {
		return nil, fmt.Errorf("datasets: labels %w", err)
	}
	cols, err := t.columns(ctx, d, s)
	if err != nil {
		return nil, fmt.Errorf("datasets: labels %s: %w", s.Path, err)
	}
	cols.image, cols.id = -1, -1
	if err := d.addRows(ctx, t, cols, s, nil); err != nil {
		return nil, err
	}
	return d, nil
}

// addRows turns the rows of the table into the samples of the dataset.
func (d *Dataset) addRows(ctx context.Context, t *table, cols columns, s Spec, root *folder) error {
	if len(s.Labels) == 0 && len(cols.findings) > 0 {
		d.problem(s.Path, "no column was named as a finding; taken by their values: %s", strings.Join(t.names(cols.findings), ", "))
	}
	reader := &rowReader{table: t, columns: cols, spec: s, root: root}
	if err := reader.addTo(ctx, d); err != nil {
		return err
	}
	if err := reader.classes(d); err != nil {
		return err
	}
	return d.finish(s, "patient")
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
			one := sample
			one.Source.Frame = frame
			switch {
			case t.spec.Frame == "":
			case t.id < 0:
				one.ID = sampleID(one.Source)
			case len(frames) > 1:
				one.ID = fmt.Sprintf("%s#frame %d", sample.ID, frame+1)
			}
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

// frames lists the frames of a row's file that the spec asks for. A row may name
// its frame, and a file that is not DICOM has one.
func (t *rowReader) frames(s Source) ([]int, error) {
	if t.spec.Frame == "" || t.root == nil {
		return []int{s.Frame}, nil
	}
	h, err := t.root.header(s.Path)
	switch {
	case errors.Is(err, dicom.ErrFormat):
		return t.spec.frames(1)
	case err != nil:
		return nil, fmt.Errorf("frames of %q: %w", s.Path, err)
	}
	n, err := h.Frames()
	if err != nil {
		return nil, fmt.Errorf("frames of %q: %w", s.Path, err)
	}
	return t.spec.frames(n)
}

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

// frameNumber reads the number of a frame, counted from 1 as DICOM does.
func (t *rowReader) frameNumber(r row) (int, error) {
	text := t.get(r, t.frame)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%s = %q: want a frame's number, from 1", t.header[t.frame], text)
	}
	return n - 1, nil
}

// region reads the four columns of a box; all of them empty mean the whole
// image.
func (t *rowReader) region(r row) (image.Rectangle, error) {
	if len(t.box) == 0 {
		return image.Rectangle{}, nil
	}
	var v [4]float64
	empty := 0
	for k, i := range t.box {
		text := t.get(r, i)
		if isNotKnown(text) {
			empty++
			continue
		}
		var err error
		if v[k], err = strconv.ParseFloat(text, 64); err != nil || math.IsNaN(v[k]) || math.Abs(v[k]) > 1<<30 {
			return image.Rectangle{}, fmt.Errorf("%s = %q: want a number of pixels", t.header[i], text)
		}
		if v[k] < 0 {
			return image.Rectangle{}, fmt.Errorf("%s = %s: a box cannot begin or end before the image", t.header[i], text)
		}
	}
	switch {
	case empty == 4:
		return image.Rectangle{}, nil
	case empty > 0:
		return image.Rectangle{}, fmt.Errorf("%d of the four columns of the box are empty", empty)
	case t.spec.Box.Width != "":
		v[2], v[3] = v[0]+v[2], v[1]+v[3]
	}
	return pixelBox(v[0], v[1], v[2], v[3])
}

// pixelBox returns the pixels that a box touches, its corners counted from 0,
// the second one exclusive.
func pixelBox(xmin, ymin, xmax, ymax float64) (image.Rectangle, error) {
	for _, v := range []float64{xmin, ymin, xmax, ymax} {
		if math.IsNaN(v) || math.Abs(v) > 1<<30 {
			return image.Rectangle{}, fmt.Errorf("box corner %v: want a pixel", v)
		}
	}
	if xmax <= xmin || ymax <= ymin {
		return image.Rectangle{}, fmt.Errorf("box (%v, %v)–(%v, %v) is empty", xmin, ymin, xmax, ymax)
	}
	return image.Rect(int(math.Floor(xmin)), int(math.Floor(ymin)), int(math.Ceil(xmax)), int(math.Ceil(ymax))), nil
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
		return d.finish(t.spec, "patient")
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
