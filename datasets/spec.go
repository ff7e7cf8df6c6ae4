package datasets

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/medprobe/medprobe/internal/dicom"
	"github.com/medprobe/medprobe/internal/near"
	"github.com/medprobe/medprobe/internal/yamlfile"
	"go.yaml.in/yaml/v4"
)

// Spec says what to read: a format, a path, and where the source needs it,
// which column or name means what. The zero value of every field but Format
// and Path asks for what the format's convention says.
type Spec struct {
	// Format is one of [Formats].
	Format string `yaml:"format"`
	// Path is the table, folder or archive.
	Path string `yaml:"path"`
	// Root is the folder that image paths are relative to and cannot leave;
	// default: the folder of the table.
	Root string `yaml:"root"`

	// Separator parts the fields of a table: one character, "tab" or "space";
	// default: as the file's name and header say. Columns names the columns of a
	// table without a header.
	Separator string   `yaml:"separator"`
	Columns   []string `yaml:"columns"`

	// ID, Image, Patient, Study, Series and Split name columns of a table; Image
	// holds the path of the image.
	ID      string `yaml:"id"`
	Image   string `yaml:"image"`
	Patient string `yaml:"patient"`
	Study   string `yaml:"study"`
	Series  string `yaml:"series"`
	Split   string `yaml:"split"`
	// FrameColumn names the column of the frame's number, from 1, Box the
	// columns of a region.
	FrameColumn string `yaml:"frame_column"`
	Box         Box    `yaml:"box" example:"{xmin: x1, ymin: y1, xmax: x2, ymax: y2}"`
	// PatientPattern is a regular expression that finds the patient in the
	// patient column or, where there is none, in the image's file name: its
	// first group, or the whole match.
	PatientPattern string `yaml:"patient_pattern"`

	// Label names the one column of class names or of lists of findings, whose
	// names are joined by LabelSeparator; Labels the columns that are findings of
	// their own, with 1, 0, -1 (uncertain) or nothing in them. Unlisted says what
	// a finding is that a list leaves out: "negative", the default, or "missing".
	Label          string   `yaml:"label"`
	Labels         []string `yaml:"labels"`
	LabelSeparator string   `yaml:"label_separator"`
	Unlisted       string   `yaml:"unlisted"`
	// Task may say that the columns in Labels hold numbers: "regression".
	Task string `yaml:"task" json:",omitempty"`
	// Consensus makes labels of those of several annotators.
	Consensus []Consensus `yaml:"consensus" example:"[{finding: nodule, of: [reader_1, reader_2]}]"`

	// Rename gives findings or classes other names; those that come to the same
	// name become one.
	Rename map[string]string `yaml:"rename"`
	// Uncertain says what uncertain labels mean: "missing", "positive",
	// "negative" or "separate", a finding of its own. Nothing said, they stay
	// uncertain, and are neither trained nor tested on.
	Uncertain ByFinding `yaml:"uncertain"`
	// Missing may say that missing labels are "negative".
	Missing ByFinding `yaml:"missing"`
	// NoFindingImpliesNegative takes every finding as absent that is missing
	// where "No Finding" is positive.
	NoFindingImpliesNegative bool `yaml:"no_finding_implies_negative"`

	// Classes names the classes where the source has numbers, and restricts
	// them where it has names.
	Classes []string `yaml:"classes"`
	// Positive is the class to be found where there are two.
	Positive string `yaml:"positive"`
	// Unit is the word for what the patient column holds; default "patient".
	Unit string `yaml:"unit"`

	// Table is the table of labels beside images or vectors: imagefolder's metadata,
	// and the labels of dicom, mimic, scin and npz.
	Table string `yaml:"table"`
	// Views restricts radiographs to these view positions, such as PA and AP.
	Views []string `yaml:"views"`
	// MinConfidence is the least confidence of a label that counts, in scin.
	MinConfidence float64 `yaml:"min_confidence"`
	// Frame says which frames of a multi-frame file, or slices of a volume, are
	// samples: "all", "middle" or a number from 1.
	Frame string `yaml:"frame"`
	// Window shows DICOM pixels through another window than the file's own.
	Window *dicom.Window `yaml:"window" example:"{center: 40, width: 400}"`
	// Upright turns photographs as their EXIF data says. MedSigLIP's own
	// preprocessing does not, and nothing does by default.
	Upright bool `yaml:"upright" json:",omitempty"`
	// Aggregate makes one vector of those of a study, series or patient.
	Aggregate Aggregate `yaml:"aggregate" example:"{by: study}"`
	// Embeddings names the array of ready vectors in an npz.
	Embeddings string `yaml:"embeddings"`
	// Provenance says where the data comes from, in words; what of it seems to be among MedSigLIP's
	// pre-training data is warned of.
	Provenance string `yaml:"provenance"`

	// SplitFile is a table of ids and parts, as 'dataset split' writes it; Fold
	// is the fold of it that is tested on, from 1.
	SplitFile string `yaml:"split_file"`
	Fold      int    `yaml:"fold"`
	// Holdout, COLUMN=VALUE, tests on the samples with this attribute, After on
	// those of this day and later by the attribute Date.
	Holdout string `yaml:"holdout"`
	After   string `yaml:"after"`
	Date    string `yaml:"date"`

	// AllowOutside lets image paths lead out of Root, AllowRemote lets them be
	// http(s) addresses. A file cannot say so: the user must.
	AllowOutside bool `yaml:"-"`
	AllowRemote  bool `yaml:"-"`
	// IDKey hides ids and patients: they become HMACs under this key.
	IDKey []byte `yaml:"-" json:"-"`
}

// ErrExperiment says that a file holds an experiment, whose data is a spec.
var ErrExperiment = errors.New("an experiment, and no dataset: want a file of what stands under its data")

// ParseSpec reads FORMAT:PATH or the path of a YAML file with the fields of
// [Spec]. Paths in a YAML file are relative to that file.
func ParseSpec(arg string) (Spec, error) {
	switch ext := strings.ToLower(filepath.Ext(arg)); {
	case ext == ".yaml" || ext == ".yml":
		var s Spec
		if yamlfile.HasKey(arg, "data") {
			return Spec{}, fmt.Errorf("datasets: %s: %w", arg, ErrExperiment)
		}
		if err := yamlfile.Load(arg, &s); err != nil {
			return Spec{}, fmt.Errorf("datasets: %w", err)
		}
		return s.Relative(filepath.Dir(arg)), s.Check()
	default:
		s, err := parseShort(arg)
		if err != nil {
			return Spec{}, fmt.Errorf("datasets: %w", err)
		}
		return s, nil
	}
}

func parseShort(arg string) (Spec, error) {
	format, path, ok := strings.Cut(arg, ":")
	if ok = ok && !isDrive(arg); ok && path != "" {
		s := Spec{Format: format, Path: path}
		return s, s.Check()
	}
	hint, known := "csv:labels.csv", "; formats: "+strings.Join(Formats(), ", ")
	if word, rest, _ := strings.Cut(strings.ReplaceAll(arg, ",", " "), " "); slices.Contains(Formats(), word) {
		hint, known = word+":"+cmp.Or(strings.TrimSpace(rest), "PATH"), ""
	} else if !ok {
		guess, sure := guessFormat(arg)
		if hint = guess + ":" + arg; sure {
			known = ""
		}
	}
	return Spec{}, fmt.Errorf("%q is no dataset: want FORMAT:PATH, such as %s, or a .yaml file%s", arg, hint, known)
}

// Check returns an error if the spec contradicts itself.
func (s Spec) Check() error {
	if err := near.Check("format", s.Format, Formats()); err != nil {
		return err
	}
	if s.Path == "" {
		return fmt.Errorf("%s dataset without a path", s.Format)
	}
	if s.Label != "" && len(s.Labels) > 0 {
		return fmt.Errorf("label: %s and labels: %s exclude one another: one column of class names, or several columns of 1 and 0", s.Label, strings.Join(s.Labels, ", "))
	}
	if s.Unlisted != "" {
		if err := near.Check("unlisted", s.Unlisted, []string{asMissing, asNegative}); err != nil {
			return err
		}
	}
	if s.Window != nil {
		if err := s.Window.Check(); err != nil {
			return err
		}
	}
	_, err := s.patientPattern()
	return errors.Join(err, s.checkUse(), s.Box.check(), s.checkRules(), s.checkFrame(), s.Aggregate.check(), s.checkSplit(), s.checkTask())
}

// Relative returns the spec with its paths seen from the folder dir.
func (s Spec) Relative(dir string) Spec {
	for _, p := range []*string{&s.Path, &s.Root, &s.Table, &s.SplitFile} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	return s
}

// String returns FORMAT:PATH.
func (s Spec) String() string { return s.Format + ":" + s.Path }

// Name returns the same without the folder, which is nobody else's matter.
func (s Spec) Name() string { return s.Format + ":" + filepath.Base(s.Path) }

// UnmarshalYAML reads either FORMAT:PATH or the fields of the spec.
func (s *Spec) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		var err error
		*s, err = parseShort(node.Value)
		return err
	}
	if err := checkFormatKey(node); err != nil {
		return err
	}
	type fields Spec
	if err := node.Load((*fields)(s), yaml.WithKnownFields()); err != nil {
		return err
	}
	return s.Check()
}

// checkFormatKey finds a format that was made a key, and keys without a format.
func checkFormatKey(node *yaml.Node) error {
	if node.Kind != yaml.MappingNode {
		return nil
	}
	said := map[string]string{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		said[node.Content[i].Value] = node.Content[i+1].Value
	}
	if _, merged := said["<<"]; merged {
		return nil // with keys from elsewhere in the file
	}
	for _, format := range Formats() {
		if path, isKey := said[format]; isKey {
			return fmt.Errorf("%q is a format: want format: %s and path: %s, or, in one word, %s:%s", format, format, path, format, path)
		}
	}
	path := said["path"]
	format, _ := guessFormat(path)
	switch {
	case said["format"] == "" && path == "":
		return errors.New("neither format nor path: want both, such as format: csv and path: labels.csv")
	case said["format"] == "":
		return fmt.Errorf("no format: want format: %s beside path: %s", format, path)
	}
	return nil
}

// Open reads the labels of the dataset. Pixels are read later, sample by
// sample. Close the dataset when done.
func Open(ctx context.Context, s Spec) (*Dataset, error) {
	if err := s.Check(); err != nil {
		return nil, fmt.Errorf("datasets: %w", err)
	}
	d := &Dataset{Spec: s.String()}
	err := formatOf(s.Format).read(ctx, d, s)
	if err == nil {
		err = d.finish(s)
	}
	if err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}
