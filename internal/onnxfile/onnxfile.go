// Package onnxfile reads what an ONNX model says of itself, and refuses what no
// honest model holds, before a runtime written in C sees it.
//
// [Inspect] walks the ModelProto of onnx.proto3 with a reader of its own. Weights
// are passed over, not loaded: a model of two gigabytes takes some kilobytes of
// memory. It checks that lengths, types and shapes fit one another, that every
// operator belongs to a known domain, and that weights kept outside lie in plain
// files beside the model (CVE-2022-25882, CVE-2024-27318 and what came after).
package onnxfile

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxModel is what a protobuf message can hold; larger weights lie outside.
const maxModel = 1<<31 - 1

// Float and Int64 are element types of onnx.TensorProto.DataType.
const (
	Float = 1
	Int64 = 7
)

// Value is an input or output of the model.
type Value struct {
	Name string
	Elem int
	// Dims are the sizes, -1 for one that is chosen when the model runs; nil
	// where the model does not say.
	Dims []int64
}

// Model is what a model says of itself.
type Model struct {
	// Inputs are those that a caller gives: not the weights.
	Inputs, Outputs []Value
	// External are the files with weights, beside the model, by name.
	External []string
	// Size is that of the model and of the files beside it, in bytes.
	Size int64
	// Scalars are the weights that are one float, by name.
	Scalars map[string]float64
}

// Inspect reads the model in a file. The error names the tensor or node that is
// at fault.
func Inspect(path string) (*Model, error) {
	m, err := inspect(path)
	if err != nil {
		var pathErr *fs.PathError
		if errors.As(err, &pathErr) && pathErr.Path == path {
			err = pathErr.Err
		}
		return nil, fmt.Errorf("onnx model %s: %w", path, err)
	}
	return m, nil
}

func inspect(path string) (*Model, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("not a plain file")
	case info.Size() == 0:
		return nil, errors.New("the file is empty")
	case info.Size() > maxModel:
		return nil, fmt.Errorf("%d bytes: want at most %d, with the weights in a file beside it", info.Size(), maxModel)
	}
	w := newWalk(f, info.Size())
	if err := w.model(); err != nil {
		return nil, err
	}
	m, err := w.finish()
	if err != nil {
		return nil, err
	}
	m.Size = info.Size()
	sizes := map[string]int64{}
	for _, e := range w.external {
		if err := e.check(path, sizes); err != nil {
			return nil, err
		}
	}
	for _, size := range sizes {
		m.Size += size
	}
	m.External = slices.Sorted(maps.Keys(sizes))
	return m, nil
}

// external is a weight kept in a file beside the model.
type external struct {
	tensor, location string
	// offset and length in bytes; length 0 is up to the file's end.
	offset, length int64
	// need is what type and shape take, or -1 where that is not known.
	need int64
}

// check checks that the weight lies in a plain file beside the model and within
// it. sizes holds the sizes of the files seen so far.
func (e external) check(model string, sizes map[string]int64) error {
	size, seen := sizes[e.location]
	if !seen {
		var err error
		if size, err = beside(model, e.location); err != nil {
			return fmt.Errorf("tensor %q: external data in %q: %w", e.tensor, e.location, err)
		}
		sizes[e.location] = size
	}
	length := e.length
	if length == 0 && e.offset <= size {
		length = size - e.offset
	}
	if e.offset < 0 || length < 0 || e.offset > size || length > size-e.offset {
		return fmt.Errorf("tensor %q: external data from byte %d, %d long: %q has %d", e.tensor, e.offset, e.length, e.location, size)
	}
	if e.need >= 0 && length < e.need {
		return fmt.Errorf("tensor %q: external data of %d bytes: its type and shape take %d", e.tensor, length, e.need)
	}
	return nil
}

// beside returns the size of the file that a location names.
func beside(model, location string) (int64, error) {
	if !filepath.IsLocal(location) || slices.Contains(split(location), "..") {
		return 0, errors.New("want a file beside the model, by a relative path without \"..\"")
	}
	path := filepath.Join(filepath.Dir(model), filepath.FromSlash(location))
	if path == filepath.Clean(model) {
		return 0, errors.New("that is the model itself")
	}
	dir := filepath.Dir(model)
	for _, element := range split(location) {
		dir = filepath.Join(dir, element)
		info, err := os.Lstat(dir)
		if err != nil {
			return 0, errors.New("there is no such file; fetch it too")
		}
		if info.Mode()&fs.ModeSymlink != 0 && !inHubCache(dir) {
			return 0, errors.New("it is a symbolic link; put the file itself there")
		}
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return 0, err
	case !info.Mode().IsRegular():
		return 0, errors.New("not a plain file")
	case links(info) > 1:
		return 0, errors.New("the file has other names too, as hard links; copy it")
	}
	return info.Size(), nil
}

// split returns the elements of a location.
func split(location string) []string { return strings.Split(filepath.ToSlash(location), "/") }

// inHubCache reports whether a symbolic link is one of Hugging Face's cache: it
// lies under snapshots and leads into the blobs of the same repository.
func inHubCache(link string) bool {
	target, err := filepath.EvalSymlinks(link)
	if err != nil {
		return false
	}
	abs, err := filepath.Abs(link)
	if err != nil {
		return false
	}
	repo, _, ok := strings.Cut(filepath.ToSlash(abs), "/snapshots/")
	if !ok {
		return false
	}
	repo, err = filepath.EvalSymlinks(filepath.FromSlash(repo))
	return err == nil && filepath.Dir(target) == filepath.Join(repo, "blobs")
}
