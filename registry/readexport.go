package registry

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/medprobe/medprobe/evaluate"
	"github.com/medprobe/medprobe/internal/runmanifest"
	"github.com/medprobe/medprobe/trainer"
)

// ReadExport reads the head and the reference distribution of an export in any
// format, of an ONNX model with the reference beside it, or of a head's file with the
// reference, or the run that it is of, beside it. An error that wraps
// [ErrNoReference] says that there is no reference.
func ReadExport(path string) (*trainer.Head, *evaluate.Reference, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, fmt.Errorf("registry: %w", err)
	}
	if !info.IsDir() && filepath.Ext(path) == headExt {
		if _, err := os.Stat(filepath.Join(filepath.Dir(path), documentFile)); err != nil {
			return readHeadFile(path)
		}
		path = filepath.Dir(path)
	}
	if _, err := os.Stat(filepath.Join(path, runmanifest.File)); err == nil {
		return nil, nil, fmt.Errorf("registry: %s is the folder of a run: name the file of one of its heads, as in %s", path, filepath.Join(path, headDir, "logistic"+headExt))
	}
	e, err := readExported(path)
	if err != nil {
		return nil, nil, fmt.Errorf("registry: %s: %w", path, err)
	}
	if e.reference != nil {
		return e.head, e.reference, nil
	}
	why := whyNoReference
	if i := e.document.Imported; i != nil && slices.Contains(i.Absent, driftFile) {
		why = fmt.Sprintf("the version has one that did not come along; put its %s beside the model, or give another export or registry:NAME@VERSION", driftFile)
	}
	return nil, nil, fmt.Errorf("registry: %s: %w: %s", path, ErrNoReference, why)
}

// readHeadFile reads a head that lies in its run, or has its reference beside it.
func readHeadFile(head string) (*trainer.Head, *evaluate.Reference, error) {
	dir := filepath.Dir(head)
	beside := filepath.Join(dir, driftFile)
	if _, err := os.Stat(beside); errors.Is(err, fs.ErrNotExist) {
		if filepath.Base(dir)+"/" == headDir {
			return runReference(filepath.Dir(dir), strings.TrimSuffix(filepath.Base(head), headExt))
		}
		return nil, nil, fmt.Errorf("registry: %s: %w beside it: want %s, or a head's file in its run", head, ErrNoReference, driftFile)
	}
	h, err := trainer.LoadHead(head)
	if err != nil {
		return nil, nil, err
	}
	r, err := ReadReference(beside)
	return h, r, err
}
