package datasets

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// imageEndings are the file names that are taken for images in a folder.
var imageEndings = []string{".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif"}

// dicomEndings are the file names that are taken for DICOM.
var dicomEndings = []string{".dcm", ".dicom"}

func isImageFile(name string) bool {
	return IsImageName(name) || slices.Contains(dicomEndings, strings.ToLower(path.Ext(name)))
}

// IsImageName reports whether a file is taken for an image by its ending.
func IsImageName(name string) bool {
	return slices.Contains(imageEndings, strings.ToLower(path.Ext(name)))
}

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
	pattern, err := s.patientPattern()
	if err != nil {
		return fmt.Errorf("datasets: imagefolder: %w", err)
	}
	var names []string
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
		names = append(names, class)
	}
	if len(d.Samples) == 0 {
		for _, e := range d.Excluded[:min(10, len(d.Excluded))] {
			if _, err := f.header(e.ID); err == nil {
				return fmt.Errorf("datasets: imagefolder %s: no pictures, but DICOM, such as %q, which is dicom:%s", s.Path, e.ID, s.Path)
			}
		}
		if beside := slices.DeleteFunc(slices.Clone(d.Excluded), func(e Exclusion) bool { return e.Reason != besideClasses }); len(beside) > 0 {
			return fmt.Errorf("datasets: imagefolder %s: %d images, such as %q, lie in no folder of a class; want CLASS/image.png or train/CLASS/image.png, or a table metadata.csv with the column file_name", s.Path, len(beside), beside[0].ID)
		}
		return fmt.Errorf("datasets: imagefolder %s: no images; want CLASS/image.png or train/CLASS/image.png, or a table metadata.csv with the column file_name%s", s.Path, firstReason(d.Excluded))
	}
	if labelled {
		return d.finish(s, "patient")
	}
	if err := d.labelByClass(names, s); err != nil {
		return err
	}
	return d.finish(s, "patient")
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
		own := s
		own.Format = "imagefolder"
		reader := &rowReader{table: t, columns: cols, spec: own, root: root}
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

// walk lists the files of the tree that are wanted, hidden ones passed over, in
// the order of their names. Symbolic links are not followed, so that it ends.
func (f *folder) walk(ctx context.Context, wanted func(name string) bool) ([]string, error) {
	var files []string
	err := fs.WalkDir(f.root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if strings.HasPrefix(entry.Name(), ".") && name != "." {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !entry.IsDir() && wanted(name) {
			files = append(files, name)
		}
		return nil
	})
	return files, err
}

// splitNames maps what people call the parts of a dataset to our names.
var splitNames = map[string]string{
	"train": "train", "training": "train",
	"val": "validation", "valid": "validation", "validation": "validation", "validate": "validation", "dev": "validation",
	"test": "test", "testing": "test",
}

// splitName returns our name for a part, or name itself if it is none of the
// usual ones.
func splitName(name string) string {
	return cmp.Or(splitNames[strings.ToLower(name)], name)
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
