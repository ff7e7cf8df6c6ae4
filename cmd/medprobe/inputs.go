package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/medprobe/medprobe/internal/npy"
	"github.com/medprobe/medprobe/trainer"
	"gonum.org/v1/gonum/blas/blas32"
)

// readVectors reads a matrix; of a file that holds none it says who writes one.
func readVectors(file string) (blas32.General, error) {
	m, err := npy.ReadMatrix(file)
	if isFolder(file) {
		err = fmt.Errorf("%s: a folder, and a matrix of vectors is one file", file)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w; 'medprobe encode images' writes vectors, and 'medprobe cache export'", err)
	}
	return m, err
}

// loadHead loads a head; of a run's folder it names the heads.
func loadHead(file string) (*trainer.Head, error) {
	if isFolder(file) {
		if heads, err := filepath.Glob(filepath.Join(file, "heads", "*.safetensors")); err == nil && len(heads) > 0 {
			return nil, fmt.Errorf("%s is the folder of a run: name the file of one of its heads, as in %s", file, heads[0])
		}
		return nil, fmt.Errorf("%s: a folder, and a head is a file, .safetensors", file)
	}
	return trainer.LoadHead(file)
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// noRun says that a file is no folder of a run, and which one may be meant.
func noRun(file string) error {
	for _, dir := range []string{filepath.Dir(file), filepath.Dir(filepath.Dir(file))} {
		if _, err := os.Stat(filepath.Join(dir, "report.json")); err == nil {
			return fmt.Errorf("%s: a file, and the folder of a run is wanted; did you mean %q?", file, dir)
		}
	}
	return fmt.Errorf("%s: a file, and the folder of a run is wanted, as 'medprobe run' leaves it", file)
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
