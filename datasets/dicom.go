package datasets

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/medprobe/medprobe/internal/dicom"
	"github.com/medprobe/medprobe/internal/near"
	"golang.org/x/sync/errgroup"
)

// dicomAttributes are the tags that become attributes: an allow-list, so that no
// name or number of a patient is among them.
var dicomAttributes = []struct {
	name string
	tag  dicom.Tag
}{
	{"modality", dicom.Modality}, {"view", dicom.ViewPosition}, {"sex", dicom.PatientSex}, {"age", dicom.PatientAge},
	{"date", dicom.StudyDate}, {"manufacturer", dicom.Manufacturer},
}

// headerTags are the tags that are read of every file.
var headerTags = []dicom.Tag{
	dicom.PatientID, dicom.Study, dicom.Series, dicom.SOPInstance, dicom.NumberOfFrames,
	dicom.Modality, dicom.ViewPosition, dicom.PatientSex, dicom.PatientAge, dicom.StudyDate, dicom.Manufacturer,
}

// readDICOM reads a tree of DICOM files: patient, study and series from their
// tags, labels from the table that spec.Table names, or labels.csv in the
// folder. The table's rows are keyed by a file's path or by the UID of an
// instance, a series or a study, or by a patient: spec.ID names the column, or
// it is known by its name. Without a table the samples have no labels, which is
// enough to embed them. Files without pixels are excluded.
func readDICOM(ctx context.Context, d *Dataset, s Spec) error {
	root, err := openFiles(s, cmp.Or(s.Root, s.Path))
	if err != nil {
		return err
	}
	d.files = root
	files, err := root.walk(ctx, func(name string) bool { return !isTable(name) && !IsImageName(name) })
	if err != nil {
		return fmt.Errorf("datasets: dicom %s: %w", s.Path, err)
	}
	headers, err := root.readHeaders(ctx, files)
	if err != nil {
		return fmt.Errorf("datasets: dicom %s: %w", s.Path, err)
	}
	if len(files) == 0 {
		return fmt.Errorf("datasets: dicom %s: the folder holds no file that may be DICOM; pictures such as PNG in a folder for each class are imagefolder:%s", s.Path, s.Path)
	}
	for _, a := range dicomAttributes {
		d.Attributes = append(d.Attributes, a.name)
	}
	for i, h := range headers {
		if h.err == nil {
			h.err = d.addInstance(files[i], h.file, s)
		}
		if h.err != nil {
			d.exclude(files[i], "%v", h.err)
		}
	}
	if len(d.Samples) == 0 {
		return nil
	}
	d.sayFrames(files, headers, s)
	table, err := labelTable(s)
	switch {
	case err != nil && s.asksForLabels():
		return fmt.Errorf("datasets: dicom %w", err)
	case err != nil:
		d.problem(s.Path, "no table of labels beside the files (labels.csv, .tsv, .jsonl, .parquet, or as table says): the samples have no labels")
		d.labelByFinding([]string{})
		return nil
	}
	if err := d.labelInstances(ctx, table, headers, files, s); err != nil {
		return fmt.Errorf("datasets: dicom %w", err)
	}
	return nil
}

// asksForLabels reports whether the spec says anything of labels.
func (s Spec) asksForLabels() bool {
	return s.Table != "" || s.Label != "" || len(s.Labels)+len(s.Classes)+len(s.Consensus)+len(s.Rename) > 0
}

// header is what a file says before its pixels; the pixels' place is not kept.
type header struct {
	file *dicom.File
	err  error
}

// readHeaders reads the beginning of every file, several at a time.
func (f *folder) readHeaders(ctx context.Context, files []string) ([]header, error) {
	headers := make([]header, len(files))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(2 * runtime.GOMAXPROCS(0))
	for i, name := range files {
		group.Go(func() error {
			file, err := f.header(name)
			if err == nil { // what is not asked for is let go: there may be many files
				_, _, err = file.Size()
				file = file.Only(headerTags...)
			}
			headers[i] = header{file, err}
			return ctx.Err()
		})
	}
	return headers, group.Wait()
}

// header reads as much of a file as it takes to come to its pixels.
func (f *folder) header(name string) (*dicom.File, error) {
	file, err := f.open(name)
	if err != nil {
		return nil, cause(err)
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, cause(err)
	case !info.Mode().IsRegular():
		return nil, errors.New("not a regular file")
	case info.Size() > maxFileBytes:
		return nil, fmt.Errorf("%d bytes, more than the %d an image file may have", info.Size(), maxFileBytes)
	}
	for size := int64(16 << 10); ; size *= 8 {
		size = min(size, info.Size())
		data := make([]byte, size)
		if _, err := file.ReadAt(data, 0); err != nil && !errors.Is(err, io.EOF) {
			return nil, cause(err)
		}
		h, err := dicom.ParseHeader(data)
		if errors.Is(err, dicom.ErrShort) && size < info.Size() {
			continue
		}
		if err == nil || size < info.Size() {
			return h, err
		}
		return dicom.Parse(data) // whole, and without pixels
	}
}

// addInstance adds the frames of one file that are asked for.
func (d *Dataset) addInstance(name string, h *dicom.File, s Spec) error {
	frames, err := h.Frames()
	if err != nil {
		return err
	}
	wanted, err := s.frames(frames)
	if err != nil {
		return err
	}
	sample := Sample{Patient: h.Text(dicom.PatientID), Study: h.Text(dicom.Study), Series: h.Text(dicom.Series)}
	for _, a := range dicomAttributes {
		text := h.Text(a.tag)
		if a.tag == dicom.PatientAge {
			text = years(text)
		}
		sample.Attrs = append(sample.Attrs, text)
	}
	pattern, err := s.patientPattern()
	if err != nil {
		return err
	}
	if sample.Patient, err = pattern.of(sample.Patient, name); err != nil {
		return err
	}
	if err := s.checkView(h.Text(dicom.ViewPosition)); err != nil {
		return err
	}
	for _, frame := range wanted {
		one := sample
		one.Source = Source{Path: name, Frame: frame}
		one.ID = sampleID(one.Source)
		d.Samples = append(d.Samples, one)
	}
	return nil
}

// sayFrames says how many files have frames that nobody asked for.
func (d *Dataset) sayFrames(files []string, headers []header, s Spec) {
	if s.Frame != "" || s.FrameColumn != "" {
		return
	}
	several, first := 0, ""
	for i, h := range headers {
		if h.err != nil {
			continue
		}
		if n, err := h.file.Frames(); err == nil && n > 1 {
			if several++; several == 1 {
				first = fmt.Sprintf("%q with %d", files[i], n)
			}
		}
	}
	if several > 0 {
		d.problem(d.Spec, "files of several frames: %d, the first: %s; of each the first frame is taken; say frame: all, middle or a number for others", several, first)
	}
}

// instanceKeys are the names of the columns that tables of DICOM are keyed by,
// and what they are compared with.
var instanceKeys = []struct {
	names []string
	of    func(name string, h *dicom.File) string
}{
	{[]string{"sopinstanceuid", "sop_instance_uid", "instance", "dicom_id", "image_id"}, func(_ string, h *dicom.File) string { return h.Text(dicom.SOPInstance) }},
	{[]string{"seriesinstanceuid", "series_instance_uid", "series", "series_id"}, func(_ string, h *dicom.File) string { return h.Text(dicom.Series) }},
	{[]string{"studyinstanceuid", "study_instance_uid", "study", "study_id"}, func(_ string, h *dicom.File) string { return h.Text(dicom.Study) }},
	{imageColumns, func(name string, _ *dicom.File) string { return name }},
	{patientColumns, func(_ string, h *dicom.File) string { return h.Text(dicom.PatientID) }},
}

// labelInstances joins the table of labels to the samples.
func (d *Dataset) labelInstances(ctx context.Context, path string, headers []header, files []string, s Spec) error {
	own := s // what the files say themselves is not looked for
	own.ID, own.Image, own.Patient, own.Study, own.Series = "", "", "", "", ""
	var of func(string, *dicom.File) string
	labels, err := labelsByKey(ctx, own, path, func(t *table) (key int, err error) {
		key, of, err = t.instanceKey(s)
		return key, err
	})
	if err != nil {
		return err
	}
	d.join(labels.Dataset, keyOfFiles(headers, files, of), labels.key)
	return nil
}

func labelTable(s Spec) (string, error) {
	if s.Table != "" {
		return s.Table, nil
	}
	tables, _, err := tablesOf(s.Path, "labels.csv", "labels.tsv", "labels.jsonl", "labels.parquet")
	if err != nil {
		return "", fmt.Errorf("%s: no table of labels: %w; name it under table", s.Path, err)
	}
	return tables[0], nil
}

// instanceKey returns the column that the table is keyed by.
func (t *table) instanceKey(s Spec) (int, func(string, *dicom.File) string, error) {
	var known []string
	for _, k := range instanceKeys {
		known = append(known, k.names...)
		if s.ID != "" && !slices.ContainsFunc(k.names, func(n string) bool { return strings.EqualFold(n, s.ID) }) {
			continue
		}
		if i, err := t.find("key", s.ID, k.names); err != nil || i >= 0 {
			return i, k.of, err
		}
	}
	if s.ID != "" {
		return -1, nil, near.Check("key column", strings.ToLower(s.ID), known)
	}
	return -1, nil, fmt.Errorf("no column is a key of DICOM files (columns: %s): want one such as %s", strings.Join(t.header, ", "), strings.Join([]string{"sop_instance_uid", "series_instance_uid", "study_instance_uid", "path", "patient_id"}, ", "))
}

func keyOfFiles(headers []header, files []string, of func(string, *dicom.File) string) map[string]string {
	keys := map[string]string{}
	for i, h := range headers {
		if h.file != nil {
			keys[files[i]] = of(files[i], h.file)
		}
	}
	return keys
}

// join gives the samples the labels of the row with their key, which is the id of a
// sample of labels. Samples without a row are excluded, rows without a sample are a
// problem.
func (d *Dataset) join(labels *Dataset, keys map[string]string, column string) {
	d.labelBy(labels)
	rows, refused := map[string]*Sample{}, map[string]string{}
	for i := range labels.Samples {
		rows[labels.Samples[i].ID] = &labels.Samples[i]
	}
	for _, e := range labels.Excluded {
		refused[e.ID] = e.Reason
	}
	met := map[string]bool{}
	var samples []Sample
	for _, s := range d.Samples {
		key := keys[s.Source.Path]
		row, reason := rows[key], refused[key]
		switch {
		case reason != "":
			d.exclude(s.ID, "%s", reason)
		case row == nil:
			d.exclude(s.ID, "the table of labels has no row with its %s", column)
			continue
		default:
			s.Labels, s.Split = slices.Clone(row.Labels), cmp.Or(s.Split, row.Split)
			s.Attrs = append(slices.Clip(s.Attrs), row.Attrs...)
			samples = append(samples, s)
		}
		met[key] = true
	}
	d.Samples = samples
	d.Attributes = append(d.Attributes, labels.Attributes...)
	if all := len(rows) + len(refused); all > len(met) {
		d.problem(d.Spec, "%d of %d rows of labels belong to no file that can be used", all-len(met), all)
	}
}

// years turns DICOM's form of an age, such as 058Y or 010M, into whole years.
func years(age string) string {
	age = strings.TrimSpace(age)
	if len(age) < 2 {
		return age
	}
	n, err := strconv.Atoi(age[:len(age)-1])
	if err != nil {
		return age
	}
	switch age[len(age)-1] {
	case 'Y':
		return strconv.Itoa(n)
	case 'M':
		return strconv.Itoa(n / 12)
	case 'W':
		return strconv.Itoa(n / 52)
	case 'D':
		return strconv.Itoa(n / 365)
	}
	return age
}
