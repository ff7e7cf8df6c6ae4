package datasets

import (
	"strings"
	"testing"

	"github.com/medprobe/medprobe/internal/yamlfile"
)

// A SPEC in another shape is answered with the right one.
func TestSpecsInAnotherShape(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for arg, want := range map[string]string{
		"labels.csv":      `"labels.csv" is no dataset: want FORMAT:PATH, such as csv:labels.csv, or a .yaml file`,
		"LABELS.Parquet":  "such as parquet:LABELS.Parquet, or a .yaml file",
		dir:               "such as imagefolder:" + dir + ", or a .yaml file",
		`C:\data\a.csv`:   `"C:\\data\\a.csv" is no dataset: want FORMAT:PATH, such as csv:C:\data\a.csv, or a .yaml file`,
		"csv":             "such as csv:PATH, or a .yaml file",
		"csv, labels.csv": "such as csv:labels.csv, or a .yaml file",
		"dicom scans":     "such as dicom:scans, or a .yaml file",
	} {
		if _, err := ParseSpec(arg); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%q: error %v, want it to end in %q", arg, err, want)
		}
	}
	for arg, hint := range map[string]string{"labels.xls": "csv:labels.xls", "nowhere": "csv:nowhere", "csv:": "csv:labels.csv"} {
		if _, err := ParseSpec(arg); err == nil || !strings.Contains(err.Error(), "such as "+hint+", or a .yaml file; formats: chexpert, coco, csv") {
			t.Errorf("%q: error %v, want %q and the formats", arg, err, hint)
		}
	}
	for text, want := range map[string]string{
		"csv: labels.csv\n":              `line 1: "csv" is a format: want format: csv and path: labels.csv, or, in one word, csv:labels.csv`,
		"path: labels.tsv\nlabel: y\n":   "no format: want format: tsv beside path: labels.tsv",
		"path: scans\n":                  "no format: want format: csv beside path: scans",
		"file: labels.csv\n":             "neither format nor path: want both, such as format: csv and path: labels.csv",
		"format: csv\npath: x\nfoo: 1\n": `unknown field "foo"`,
	} {
		if _, err := ParseSpec(write(t, t.TempDir(), "spec.yaml", text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
}

// Keys that YAML merges from elsewhere in a file are there.
func TestKeysMergedFromElsewhereCount(t *testing.T) {
	t.Parallel()
	var file struct {
		Site Spec `yaml:"site"`
		Data Spec `yaml:"data"`
	}
	text := "site: &site {format: csv, path: a.csv, label: y}\ndata: {<<: *site, patient: p}\n"
	if err := yamlfile.Parse("x.yaml", []byte(text), &file); err != nil {
		t.Fatal(err)
	}
	if file.Data.Format != "csv" || file.Data.Path != "a.csv" || file.Data.Patient != "p" {
		t.Errorf("read %+v", file.Data)
	}
}
