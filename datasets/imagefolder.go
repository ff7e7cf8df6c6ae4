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

// readImageFolder reads a folder with one folder of images per class, or with
// train, val or test above them. A table metadata.csv, .jsonl or .parquet in the
// folder, or in those of the parts, as Hugging Face has it, or the one that
// spec.Table names, says more of the files: with labels in it, it says what the
// samples are; without, it adds patients and attributes.
func readImageFolder(ctx context.Context, d *Dataset, s Spec) error {
	f, err := openFiles(s, cmp.Or(s.Root, s.Path))
	if err != nil {
		return err
	}
	d.files = f
	tables, err := metadataOf(s)
	if err != nil {
		return fmt.Errorf("datasets: imagefolder %s: %w", s.Path, err)
	}
	files, err := f.walk(ctx, func(string) bool { return true })
	if err != nil {
		return fmt.Errorf("datasets: imagefolder %s: %w", s.Path, err)
	}
	said, labelled, err := d.readMetadata(ctx, tables, f, s)
	if err != nil {
		return fmt.Errorf("datasets: imagefolder %w", err)
	}
	classes, err := d.addFiles(files, said, labelled, s)
	if err != nil {
		return fmt.Errorf("datasets: imagefolder: %w", err)
	}
	if len(d.Samples) == 0 {
		return fmt.Errorf("datasets: imagefolder %s: %s", s.Path, d.whyNoImages(f, s))
	}
	if labelled {
		return nil
	}
	return d.labelByClass(classes, s)
}

// whyNoImages says what lies in the folder in place of images in folders of classes.
func (d *Dataset) whyNoImages(f *folder, s Spec) string {
	const want = "want CLASS/image.png or train/CLASS/image.png, or a table metadata.csv with the column file_name"
	for _, e := range d.Excluded[:min(10, len(d.Excluded))] {
		if _, err := f.header(e.ID); err == nil {
			return fmt.Sprintf("no pictures, but DICOM, such as %q, which is dicom:%s", e.ID, s.Path)
		}
	}
	if beside := slices.DeleteFunc(slices.Clone(d.Excluded), func(e Exclusion) bool { return e.Reason != besideClasses }); len(beside) > 0 {
		return fmt.Sprintf("%d images, such as %q, lie in no folder of a class; %s", len(beside), beside[0].ID, want)
	}
	return "no images; " + want + firstReason(d.Excluded)
}

// addFiles makes samples of the files in class folders and returns their classes;
// said is what metadata says of them, labelled whether they are samples by it.
func (d *Dataset) addFiles(files []string, said map[string]Sample, labelled bool, s Spec) (classes []string, err error) {
	pattern, err := s.patientPattern()
	if err != nil {
		return nil, err
	}
	for _, name := range files {
		split, class, reason := placeInFolder(name)
		about, known := said[name]
		switch {
		case isTable(name) && strings.HasPrefix(path.Base(name), "metadata."):
			continue
		case labelled && known:
			continue // it is a sample already
		case labelled && reason == "":
			reason = "the metadata does not hold it"
		}
		if reason != "" {
			d.exclude(name, "%s", reason)
			continue
		}
		if !known { // of metadata, the patient is found already
			if about.Patient, err = pattern.of("", name); err != nil {
				d.exclude(name, "%v", err)
				continue
			}
		}
		about.ID, about.Source, about.Split = name, Source{Path: name}, cmp.Or(about.Split, split)
		d.Samples = append(d.Samples, about)
		classes = append(classes, class)
	}
	return classes, nil
}

// metadataOf lists the tables about the files of an image folder.
func metadataOf(s Spec) ([]string, error) {
	if s.Table != "" {
		return []string{s.Table}, nil
	}
	var found []string
	for _, pattern := range []string{"metadata.*", "*/metadata.*"} {
		some, err := filepath.Glob(filepath.Join(escapeGlob(s.Path), pattern))
		if err != nil {
			return nil, err
		}
		found = append(found, slices.DeleteFunc(some, func(name string) bool { return !isTable(name) })...)
	}
	return found, nil
}

// readMetadata reads the tables. Where they hold labels the rows become the
// dataset's samples; said holds what they say of each file.
func (d *Dataset) readMetadata(ctx context.Context, tables []string, root *folder, s Spec) (said map[string]Sample, labelled bool, err error) {
	said = map[string]Sample{}
	var readers []*rowReader
	for _, name := range tables {
		var reader *rowReader
		if reader, labelled, err = d.metadataReader(ctx, name, root, s); err != nil {
			return nil, false, err
		}
		readers = append(readers, reader)
	}
	for i, reader := range readers {
		if i > 0 && !slices.Equal(reader.table.header, readers[0].table.header) {
			return nil, false, fmt.Errorf("%s: columns %s, and %s has %s: want the same", reader.path, strings.Join(reader.header, ", "), readers[0].path, strings.Join(readers[0].header, ", "))
		}
		if i > 0 {
			reader.names = readers[i-1].names
		}
		if err := reader.addTo(ctx, d); err != nil {
			return nil, false, err
		}
	}
	for _, sample := range d.Samples {
		said[sample.Source.Path] = sample
	}
	switch {
	case len(readers) == 0:
		return said, false, nil
	case !labelled:
		d.Samples = nil
		return said, false, nil
	}
	return said, true, readers[len(readers)-1].classes(d)
}

// metadataReader opens one of the tables and says whether it holds labels.
func (d *Dataset) metadataReader(ctx context.Context, name string, root *folder, s Spec) (reader *rowReader, labelled bool, err error) {
	t, err := openTable(s, name)
	if err != nil {
		return nil, false, err
	}
	quiet := &Dataset{}
	cols, err := t.columns(ctx, quiet, s)
	if labelled = err == nil; err != nil && (s.Label != "" || len(s.Labels) > 0 || len(s.Consensus) > 0) {
		return nil, false, fmt.Errorf("%s: %w", name, err)
	}
	if cols.image < 0 {
		return nil, false, fmt.Errorf("%s: no column file_name (columns: %s)", name, strings.Join(t.header, ", "))
	}
	d.Problems = append(d.Problems, quiet.Problems...)
	reader = &rowReader{table: t, columns: cols, spec: s, root: root}
	if !labelled {
		reader.columns.label, reader.findings, reader.consent = -1, nil, nil
	}
	prefix, err := filepath.Rel(s.Path, filepath.Dir(name))
	if err != nil || !filepath.IsLocal(prefix) {
		prefix = "."
	}
	reader.locate = func(file string) (string, error) { return root.find(path.Join(filepath.ToSlash(prefix), file)) }
	reader.adjust = func(_ row, sample *Sample) error {
		first, _, _ := strings.Cut(sample.Source.Path, "/")
		sample.Split = cmp.Or(sample.Split, splitNames[strings.ToLower(first)])
		return nil
	}
	return reader, labelled, nil
}

const besideClasses = "lies beside the class folders, not in one"

// placeInFolder reads split and class from a file's place, or says why it has
// none.
func placeInFolder(name string) (split, class, reason string) {
	if !IsImageName(name) {
		return "", "", "not an image by its ending (" + strings.Join(imageEndings, " ") + ")"
	}
	parts := strings.Split(path.Dir(name), "/")
	if s, ok := splitNames[strings.ToLower(parts[0])]; ok {
		split, parts = s, parts[1:]
	}
	if len(parts) == 0 || parts[0] == "." {
		return "", "", besideClasses
	}
	return split, parts[0], ""
}
