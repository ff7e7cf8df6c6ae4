package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/medprobe/medprobe/evaluate"
	"go.yaml.in/yaml/v4"
)

// frontMatter is what the Hub reads of a model card.
type frontMatter struct {
	License     string       `yaml:"license"`
	LicenseName string       `yaml:"license_name,omitempty"`
	LicenseLink string       `yaml:"license_link,omitempty"`
	Library     string       `yaml:"library_name"`
	Pipeline    string       `yaml:"pipeline_tag"`
	BaseModel   string       `yaml:"base_model,omitempty"`
	Tags        []string     `yaml:"tags"`
	Index       []indexEntry `yaml:"model-index"`
}

type indexEntry struct {
	Name    string        `yaml:"name"`
	Results []indexResult `yaml:"results"`
}

type indexResult struct {
	Task    map[string]string `yaml:"task"`
	Dataset map[string]string `yaml:"dataset"`
	Metrics []indexMetric     `yaml:"metrics"`
}

type indexMetric struct {
	Type  string  `yaml:"type"`
	Name  string  `yaml:"name"`
	Value float64 `yaml:"value"`
}

// huggingFaceFiles returns a folder as the Hub wants it: model card with front
// matter, the head as safetensors and, if it has that form, as ONNX, and its classes.
func (r *Registry) huggingFaceFiles(v *Version) (map[string][]byte, error) {
	front, err := yaml.Marshal(front(v))
	if err != nil {
		return nil, fmt.Errorf("front matter: %w", err)
	}
	files, err := r.headFiles(v, fmt.Appendf(nil, "---\n%s---\n\n", front))
	if err != nil {
		return nil, err
	}
	h, err := r.Head(v)
	if err != nil {
		return nil, err
	}
	d := &v.Document
	files["config.json"], err = json.MarshalIndent(map[string]any{
		"model_type": "medprobe-head", "head": d.Head.Kind, "classes": d.Head.Classes, "exclusive": d.Head.Exclusive, "dim": d.Head.Dim,
		"encoder": d.Lineage.Encoder.Fingerprint, "preprocess": d.Lineage.Encoder.PreprocessFingerprint, "calibration": h.Calibration,
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	model, err := r.onnx(v)
	switch {
	case err == nil:
		files["model.onnx"] = model
	case !errors.Is(err, errNoONNX):
		return nil, err
	}
	return files, nil
}

// repository is what the Hub calls a model by.
var repository = regexp.MustCompile(`^[A-Za-z0-9][\w.-]*/[\w.-]+$`)

// ofEncoder says whose model the head is derived from, since that one's terms may
// speak of what is derived from it, and which they are. Nothing is said that the
// encoder's source did not say.
func (f *frontMatter) ofEncoder(e evaluate.EncoderFacts) {
	if repository.MatchString(e.Source) {
		f.BaseModel = e.Source
	}
	f.License = "unknown" // the Hub's word for it
	for i, said := range strings.Split(e.License, ", ") {
		switch {
		case said == "":
		case i == 0:
			f.License = said
		case f.LicenseName != "" || strings.HasPrefix(said, "https://"):
			f.LicenseLink = said
		default:
			f.LicenseName = said
		}
	}
}

func front(v *Version) frontMatter {
	d := &v.Document
	f := frontMatter{
		Library: "medprobe", Pipeline: "image-classification",
		Tags: []string{"medical", "few-shot", d.Head.Kind, "medprobe"}, Index: []indexEntry{{Name: v.Model}},
	}
	f.ofEncoder(d.Lineage.Encoder)
	for _, m := range d.Metrics {
		if m.AUC == nil {
			continue // a value is required
		}
		f.Index[0].Results = append(f.Index[0].Results, indexResult{
			Task:    map[string]string{"type": "image-classification", "name": m.Finding},
			Dataset: map[string]string{"type": "private", "name": d.Lineage.Dataset.Spec + " (test)"},
			Metrics: []indexMetric{
				{"roc_auc", "AUC", m.AUC.Point}, {"roc_auc_ci_low", "lower end of its 95 % interval", m.AUC.Low}, {"roc_auc_ci_high", "upper end of its 95 % interval", m.AUC.High},
			},
		})
	}
	return f
}
