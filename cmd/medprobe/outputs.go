package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The endings of what commands write, the usual one first.
var (
	arrayEndings = []string{".npy"}
	tableEndings = []string{".csv", ".parquet", ".txt"}
	headEndings  = []string{".safetensors"}
	pageEndings  = []string{".html", ".htm", ".xhtml"}
	proseEndings = []string{".md", ".markdown", ".txt"}
	jsonEndings  = []string{".json", ".txt"}
)

// formatEndings are endings by which people and programs tell formats. All others,
// and none, say nothing of what is in a file.
var formatEndings = []string{
	".npy", ".npz", ".csv", ".tsv", ".txt", ".parquet", ".jsonl", ".xls", ".xlsx", ".ods",
	".safetensors", ".onnx", ".pt", ".pth", ".pkl", ".joblib", ".h5", ".hdf5", ".mat",
	".html", ".htm", ".xhtml", ".md", ".markdown", ".json", ".xml", ".yaml", ".yml",
	".png", ".jpg", ".jpeg", ".pdf", ".svg", ".tar", ".gz", ".tgz", ".zip", ".db", ".docx",
}

// checkOut says before the work that its result has no place to go, or a name that
// says another format than the one that is written, which has these endings. No name
// is none that was asked for.
func checkOut(file string, endings []string) error {
	if file == "" {
		return nil
	}
	if err := checkEnding(file, endings); err != nil {
		return err
	}
	return checkPlace(file)
}

func checkPlace(file string) error {
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		return fmt.Errorf("write %s: a folder: want the name of a file", file)
	}
	if info, err := os.Stat(filepath.Dir(file)); err != nil || !info.IsDir() {
		return fmt.Errorf("write %s: no folder %s", file, filepath.Dir(file))
	}
	return nil
}

func namesFormat(file string) bool {
	return slices.Contains(formatEndings, strings.ToLower(filepath.Ext(file)))
}

// checkEnding lets a name pass that says nothing of the format, such as /dev/stdout.
func checkEnding(file string, endings []string) error {
	ending := strings.ToLower(filepath.Ext(file))
	if slices.Contains(endings, ending) || !namesFormat(file) {
		return nil
	}
	named := strings.TrimSuffix(file, filepath.Ext(file))
	if e := filepath.Ext(named); !slices.Contains(endings, strings.ToLower(e)) {
		named += endings[0]
	}
	return fmt.Errorf("write %s: %s is another format than is written here; name it %s", file, ending, named)
}
