package datasets

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// format is one that [Open] reads.
type format struct {
	name string
	// read fills the dataset's samples, classes and files, and its Unit where that is
	// not a patient; what is done for every dataset, Open does after it.
	read func(context.Context, *Dataset, Spec) error
	// fields are the keys, of those that [partial] lists, that it reads.
	fields string
}

// ofTables are the fields of formats in which a row is a sample.
const ofTables = "box frame_column patient_pattern consensus "

// formats are all of them.
func formats() []format {
	return []format{
		{"csv", readCSV, ofTables + "frame task columns"},
		{"tsv", readCSV, ofTables + "frame task columns"},
		{"jsonl", readCSV, ofTables + "frame task"},
		{"parquet", readCSV, ofTables + "frame task"},
		{"imagefolder", readImageFolder, ofTables + "table"},
		{"chexpert", readCheXpert, "patient_pattern views"},
		{"mimic", readMIMIC, "table views"},
		{"nih", readNIH, "patient_pattern views"},
		{"scin", readSCIN, "table min_confidence"},
		{"dicom", readDICOM, "columns patient_pattern consensus table views frame"},
		{"medmnist", readMedMNIST, "frame"},
		{"hf", readHF, ofTables},
		{"webdataset", readWebDataset, "patient_pattern"},
		{"voc", readVOC, "patient_pattern"},
		{"coco", readCOCO, "patient_pattern"},
		{"npz", readNPZ, "columns consensus table embeddings"},
	}
}

// partial are the fields that not all formats read.
func partial() []partialField {
	return []partialField{
		{"columns", func(s Spec) bool { return len(s.Columns) > 0 }},
		{"box", func(s Spec) bool { return s.Box != Box{} }},
		{"frame_column", func(s Spec) bool { return s.FrameColumn != "" }},
		{"patient_pattern", func(s Spec) bool { return s.PatientPattern != "" }},
		{"consensus", func(s Spec) bool { return len(s.Consensus) > 0 }},
		{"task", func(s Spec) bool { return s.Task != "" }},
		{"table", func(s Spec) bool { return s.Table != "" }},
		{"views", func(s Spec) bool { return len(s.Views) > 0 }},
		{"min_confidence", func(s Spec) bool { return s.MinConfidence != 0 }},
		{"frame", func(s Spec) bool { return s.Frame != "" }},
		{"embeddings", func(s Spec) bool { return s.Embeddings != "" }},
	}
}

// partialField is a field and whether a spec says anything in it.
type partialField struct {
	key  string
	said func(Spec) bool
}

func (f format) reads(key string) bool { return slices.Contains(strings.Fields(f.fields), key) }

// Formats lists the formats that [Open] reads.
func Formats() []string {
	names := formatsWhere(func(format) bool { return true })
	slices.Sort(names)
	return names
}

func formatsWhere(is func(format) bool) (names []string) {
	for _, f := range formats() {
		if is(f) {
			names = append(names, f.name)
		}
	}
	return names
}

// formatOf returns the format of a name; the zero format if there is none.
func formatOf(name string) format {
	for _, f := range formats() {
		if f.name == name {
			return f
		}
	}
	return format{}
}

// checkUse refuses fields that the format does not read: what is said and
// not heard would be a silent loss.
func (s Spec) checkUse() error {
	var errs []error
	own := formatOf(s.Format)
	for _, field := range partial() {
		if field.said(s) && !own.reads(field.key) {
			errs = append(errs, fmt.Errorf("%s: means nothing in %s; it is for %s", field.key, s.Format,
				strings.Join(formatsWhere(func(f format) bool { return f.reads(field.key) }), ", ")))
		}
	}
	return errors.Join(errs...)
}
