package datasets

import (
	"cmp"
	"fmt"
	"image"
	"slices"
	"strings"
)

// Label is what is known of one finding in one sample. Its zero value is
// Missing: a finding that nobody spoke of is not a negative.
type Label int8

// The four things a label can say.
const (
	Missing Label = iota
	Negative
	Positive
	Uncertain
)

// String returns the word for the label that reports and JSON use.
func (l Label) String() string {
	switch l {
	case Negative:
		return "negative"
	case Positive:
		return "positive"
	case Uncertain:
		return "uncertain"
	}
	return "missing"
}

// Task says how the classes of a dataset relate.
type Task string

// The tasks. In a Multiclass dataset each labelled sample is positive for
// exactly one class and negative for all others.
const (
	Binary     Task = "binary"
	Multiclass Task = "multiclass"
	Multilabel Task = "multilabel"
)

// Source says where the pixels of a sample lie. Only the dataset that made it
// can open it.
type Source struct {
	// Path is the file, slash-separated and relative to the dataset's root.
	Path string
	// Member is the array inside Path that holds the image in row Row; empty
	// where the file is the image.
	Member string
	Row    int
	// Region is the part of the image that is the sample, in pixels from the
	// upper left corner, Max exclusive; empty means the whole image.
	Region image.Rectangle
	// Frame is the frame of a multi-frame file, or the slice of a volume, counted
	// from 0.
	Frame int
}

// Sample is one thing to classify: an image or a region of one.
type Sample struct {
	// ID is unique in the dataset and stays the same when rows are reordered.
	ID     string
	Source Source
	// Labels has one entry for each of the dataset's classes.
	Labels []Label
	// Values has one entry for each of the classes where the task is
	// [Regression], NaN where it is not known, and is nil elsewhere.
	Values []float64
	// Patient is whom the sample shows; empty if the dataset does not say.
	Patient string
	Study   string
	Series  string
	// Split is the part that the dataset itself assigns, or empty.
	Split string
	// Attrs holds what else the dataset says of the sample, in the order of the
	// dataset's Attributes.
	Attrs []string
	// Shots holds, by class, the rank at which the sample is drawn, where a split
	// file says it; see [Division].
	Shots []int

	// line is where the sample stands in its table; 0 where there is none.
	line int
}

// Group returns the unit that must not be divided: the patient, or the sample
// itself where no patient is known.
func (s *Sample) Group() string {
	if s.Patient != "" {
		return "patient " + s.Patient
	}
	return "sample " + s.ID
}

// Problem is something a reader met that its user should know of.
type Problem struct {
	Where string `json:"where"`
	What  string `json:"what"`
}

// Exclusion is a sample that was read but cannot be used.
type Exclusion struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// Dataset is a set of labelled samples and the way to their pixels.
type Dataset struct {
	// Spec is what was opened, as FORMAT:PATH.
	Spec    string
	Task    Task
	Classes []string
	Samples []Sample
	// Excluded lists the samples that were read and left out; with Samples it
	// accounts for everything in the source.
	Excluded []Exclusion
	Problems []Problem
	// Rules says what the rules of the spec did to the labels.
	Rules []RuleEffect
	// Attributes names what Sample.Attrs holds.
	Attributes []string
	// Contaminated names the data that MedSigLIP was pre-trained on, where this
	// seems to be it.
	Contaminated string
	// Other is the second of two classes that exclude one another, where Classes
	// holds the one to be found: the negatives are of it. It is empty elsewhere.
	Other string
	// Unit is the word for what Sample.Patient is: "patient", "photograph"; it
	// is "image" where no sample has a patient.
	Unit string

	files files
	// named says that the labels were names of classes.
	named bool
}

// Attr returns what the dataset says of the sample under the name, or "".
func (d *Dataset) Attr(i int, name string) string {
	if k := slices.Index(d.Attributes, name); k >= 0 && k < len(d.Samples[i].Attrs) {
		return d.Samples[i].Attrs[k]
	}
	return ""
}

// Close releases the files behind the dataset.
func (d *Dataset) Close() error {
	if d.files == nil {
		return nil
	}
	return d.files.Close()
}

// HasPatients reports whether any sample names its patient.
func (d *Dataset) HasPatients() bool {
	return slices.ContainsFunc(d.Samples, func(s Sample) bool { return s.Patient != "" })
}

// Splits returns the part that the dataset itself assigns to each sample, or "".
func (d *Dataset) Splits() []string {
	parts := make([]string, len(d.Samples))
	for i := range parts {
		parts[i] = d.Samples[i].Split
	}
	return parts
}

// Exclusive reports whether the classes exclude one another.
func (d *Dataset) Exclusive() bool { return d.Task == Multiclass }

func (d *Dataset) problem(where, format string, args ...any) {
	d.Problems = append(d.Problems, Problem{Where: where, What: fmt.Sprintf(format, args...)})
}

func (d *Dataset) exclude(id, format string, args ...any) {
	d.Excluded = append(d.Excluded, Exclusion{ID: id, Reason: fmt.Sprintf(format, args...)})
}

// finish does what is done for every dataset, whatever its format: it applies
// the label rules, checks that there are samples and that ids are unique, and
// orders the samples by id, so that a reordered source is the same dataset.
func (d *Dataset) finish(s Spec) error {
	if len(d.Samples) == 0 {
		return fmt.Errorf("datasets: %s: no sample can be used of %d read%s", d.Spec, len(d.Excluded), firstReason(d.Excluded))
	}
	slices.SortStableFunc(d.Samples, func(a, b Sample) int { return cmp.Compare(a.ID, b.ID) })
	for i := 1; i < len(d.Samples); i++ {
		if d.Samples[i].ID == d.Samples[i-1].ID {
			where := ""
			if a, b := d.Samples[i-1].line, d.Samples[i].line; a > 0 && b > 0 {
				where = fmt.Sprintf(", in lines %d and %d", min(a, b), max(a, b))
			}
			return fmt.Errorf("datasets: %s: the id %q stands twice%s; %s", d.Spec, d.Samples[i].ID, where, howToBeUnique(s))
		}
	}
	if err := d.applyRules(s); err != nil {
		return err
	}
	d.keepTogether()
	d.setUnit(cmp.Or(s.Unit, d.Unit, "patient"))
	d.warnOfPretraining(s)
	if err := d.holdout(s); err != nil {
		return err
	}
	d.hide(s.IDKey)
	if s.SplitFile == "" {
		return nil
	}
	return d.readSplit(s)
}

func howToBeUnique(s Spec) string {
	if s.ID != "" {
		return "make ids unique or leave the id column out"
	}
	return "name a column of unique ids with id:, cut regions out with box:, or leave all but one of its rows out"
}

// keepTogether makes the study, or else the file, the patient of samples that
// have no other and are cut from one file: regions, frames and slices share
// stain, light and person.
func (d *Dataset) keepTogether() {
	for i := range d.Samples {
		if s := &d.Samples[i]; s.Patient == "" {
			s.Patient = s.Study
		}
	}
	type file struct {
		path, member string
		row          int
	}
	shared := map[file]int{}
	of := func(s *Sample) file { return file{s.Source.Path, s.Source.Member, s.Source.Row} }
	for i := range d.Samples {
		if s := &d.Samples[i]; s.Patient == "" && (s.Source.Frame > 0 || s.Source.Region != (image.Rectangle{})) {
			shared[of(s)]++
		}
	}
	if len(shared) == 0 {
		return
	}
	for i := range d.Samples {
		s := &d.Samples[i]
		if f := of(s); s.Patient == "" && shared[f] > 0 {
			s.Patient = strings.TrimSuffix(fmt.Sprintf("%s:%s:%d", f.path, f.member, f.row), "::0")
		}
	}
}

func (d *Dataset) setUnit(unit string) {
	d.Unit = "image"
	if !d.HasPatients() {
		return
	}
	d.Unit = unit
	unknown := 0
	for i := range d.Samples {
		if d.Samples[i].Patient == "" {
			unknown++
		}
	}
	if unknown > 0 {
		d.problem(d.Spec, "%d of %d samples have no %s; each is taken as one of its own", unknown, len(d.Samples), unit)
	}
}

func firstReason(excluded []Exclusion) string {
	if len(excluded) == 0 {
		return ""
	}
	return fmt.Sprintf("; the first, %q: %s", excluded[0].ID, excluded[0].Reason)
}
