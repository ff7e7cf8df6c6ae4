package datasets

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

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

	// ID, Image, Patient, Study and Split name columns of a table; Image holds
	// the path of the image.
	ID      string `yaml:"id"`
	Image   string `yaml:"image"`
	Patient string `yaml:"patient"`
	Study   string `yaml:"study"`
	Split   string `yaml:"split"`
	// Label names the one column of class names; Labels the columns that are
	// findings of their own, with 1, 0, -1 (uncertain) or nothing in them.
	Label  string   `yaml:"label"`
	Labels []string `yaml:"labels"`
	// Classes names the classes where the source has numbers, and restricts
	// them where it has names.
	Classes []string `yaml:"classes"`
	// Positive is the class to be found where there are two.
	Positive string `yaml:"positive"`
	// Unit is the word for what the patient column holds; default "patient".
	Unit string `yaml:"unit"`
}

// Formats lists the formats that [Open] reads.
func Formats() []string { return []string{"csv", "imagefolder", "medmnist", "voc"} }

// ParseSpec reads FORMAT:PATH or the path of a YAML file with the fields of
// [Spec]. Paths in a YAML file are relative to that file.
func ParseSpec(arg string) (Spec, error) {
	switch ext := strings.ToLower(filepath.Ext(arg)); {
	case ext == ".yaml" || ext == ".yml":
		var s Spec
		if err := yamlfile.Load(arg, &s); err != nil {
			if said := err.Error(); strings.Contains(said, `field "data"`) && strings.Contains(said, `field "encoder"`) {
				err = fmt.Errorf("%s: an experiment, and no dataset: want a file of what stands under its data", arg)
			}
			return Spec{}, fmt.Errorf("datasets: %w", err)
		}
		return s.Relative(filepath.Dir(arg)), s.validate()
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
	if !ok || path == "" {
		hint := "csv:" + arg
		if path == "" && ok {
			hint = "csv:labels.csv"
		} else if info, err := os.Stat(arg); err == nil && info.IsDir() {
			hint = "imagefolder:" + arg
		}
		return Spec{}, fmt.Errorf("%q is no dataset: want FORMAT:PATH, such as %s, or a .yaml file; formats: %s", arg, hint, strings.Join(Formats(), ", "))
	}
	s := Spec{Format: format, Path: path}
	return s, s.validate()
}

func (s Spec) validate() error {
	if err := near.Check("format", s.Format, Formats()); err != nil {
		return err
	}
	if s.Path == "" {
		return fmt.Errorf("%s dataset without a path", s.Format)
	}
	if s.Label != "" && len(s.Labels) > 0 {
		return fmt.Errorf("label: %s and labels: %s exclude one another: one column of class names, or several columns of 1 and 0", s.Label, strings.Join(s.Labels, ", "))
	}
	return nil
}

// Relative returns the spec with its paths seen from the folder dir.
func (s Spec) Relative(dir string) Spec {
	for _, p := range []*string{&s.Path, &s.Root} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	return s
}

// String returns FORMAT:PATH.
func (s Spec) String() string { return s.Format + ":" + s.Path }

// UnmarshalYAML reads either FORMAT:PATH or the fields of the spec.
func (s *Spec) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		var err error
		*s, err = parseShort(node.Value)
		return err
	}
	type fields Spec
	if err := node.Load((*fields)(s), yaml.WithKnownFields()); err != nil {
		return err
	}
	return s.validate()
}

// Open reads the labels of the dataset. Pixels are read later, sample by
// sample. Close the dataset when done.
func Open(ctx context.Context, s Spec) (*Dataset, error) {
	if err := s.validate(); err != nil {
		return nil, fmt.Errorf("datasets: %w", err)
	}
	d := &Dataset{Spec: s.String()}
	read := map[string]func(context.Context, *Dataset, Spec) error{
		"csv":         readCSV,
		"imagefolder": readImageFolder,
		"medmnist":    readMedMNIST,
		"voc":         readVOC,
	}[s.Format]
	if err := read(ctx, d, s); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}
