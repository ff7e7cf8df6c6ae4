package experiment

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/medprobe/medprobe/internal/atomicfile"
	"github.com/medprobe/medprobe/internal/runmanifest"
	"github.com/medprobe/medprobe/report"
	"github.com/parquet-go/parquet-go"
)

// externalFile is there with external test sets.
const externalFile = "external.parquet"

// ErrForeignFolder says that a folder holds something that no run left there.
var ErrForeignFolder = errors.New("folder holds other files")

// Write leaves the result in a folder: report.html, report.json,
// predictions.parquet, samples.parquet, experiment.json, sample.safetensors,
// heads/*.safetensors and, when all of them are whole, manifest.json. An earlier run in the folder is replaced; a
// folder with anything else in it is an error that wraps [ErrForeignFolder].
//
// With external test sets there is external.parquet too. It,
// predictions.parquet and samples.parquet name samples and patients, the
// other files do not.
func (r *Result) Write(dir string) error {
	if err := clearRun(dir); err != nil {
		return fmt.Errorf("experiment: write %s: %w", dir, err)
	}
	// Only for its owner: two of the files name patients.
	if err := os.MkdirAll(filepath.Join(dir, "heads"), 0o700); err != nil {
		return fmt.Errorf("experiment: write: %w", err)
	}
	m := r.manifest()
	files := map[string]func(io.Writer) error{
		"report.html":         func(w io.Writer) error { return report.HTML(w, r.Report) },
		"report.json":         func(w io.Writer) error { return report.JSON(w, r.Report) },
		"predictions.parquet": r.writePredictions,
		"samples.parquet":     func(w io.Writer) error { return writeTable(w, r.samples) },
		"experiment.json":     func(w io.Writer) error { _, err := w.Write(r.config.text()); return err },
		"sample.safetensors":  r.sample.write,
	}
	if r.external != nil {
		files[externalFile] = func(w io.Writer) error { return writeTable(w, r.external) }
	}
	for name, write := range files {
		if err := writeFile(m, dir, name, write); err != nil {
			return err
		}
	}
	heads := slices.Clone(r.joined)
	for _, head := range r.Heads {
		heads = append(heads, namedHead{head.Kind, head})
	}
	for _, one := range heads {
		name := path.Join("heads", one.name+".safetensors")
		if err := writeFile(m, dir, name, one.head.Write); err != nil {
			return err
		}
	}
	// The manifest comes last: a folder that holds it is whole.
	if err := atomicfile.Write(filepath.Join(dir, runmanifest.File), m.Write); err != nil {
		return fmt.Errorf("experiment: write: %w", err)
	}
	return nil
}

func (r *Result) manifest() *runmanifest.Manifest {
	split := sha256.New()
	for _, s := range r.samples {
		fmt.Fprintf(split, "%q %s\n", s.ID, s.Part)
	}
	return &runmanifest.Manifest{
		Schema: runmanifest.Schema, Name: r.Report.Name, Seed: r.Report.Seed,
		Experiment: r.config.digest(), Dataset: r.Report.Dataset.Digest, Split: hex.EncodeToString(split.Sum(nil)),
		Encoder: r.Report.Encoder.Fingerprint, Preprocess: r.Report.Encoder.PreprocessFingerprint,
		Files: map[string]string{},
	}
}

// writeFile writes one file and notes its digest.
func writeFile(m *runmanifest.Manifest, dir, name string, fill func(io.Writer) error) error {
	digest := sha256.New()
	err := atomicfile.Write(filepath.Join(dir, filepath.FromSlash(name)), func(w io.Writer) error {
		return fill(io.MultiWriter(w, digest))
	})
	if err != nil {
		return fmt.Errorf("experiment: write: %w", err)
	}
	m.Files[name] = hex.EncodeToString(digest.Sum(nil))
	return nil
}

// CheckFolder returns the error that [Result.Write] would return for what the
// folder holds, before there is a result to lose. It changes nothing.
func CheckFolder(dir string) error {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		defer root.Close()
		_, err = leftBehind(root)
	}
	if err != nil {
		return fmt.Errorf("experiment: write %s: %w", dir, err)
	}
	return nil
}

// clearRun removes the run that the folder holds, its manifest first, so that
// what is left is never taken for a whole run.
func clearRun(dir string) error {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer root.Close()
	left, err := leftBehind(root)
	if err != nil {
		return err
	}
	heads, err := fs.Glob(root.FS(), "heads/*.safetensors")
	if err != nil {
		return err
	}
	for _, name := range slices.Concat(ofRun, heads, left) {
		if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// leftBehind lists the temporary files of a run that was killed. Anything that
// is not of a run is an error.
func leftBehind(root *os.Root) (left []string, err error) {
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if atomicfile.IsTemporary(e.Name()) {
			left = append(left, e.Name())
		} else if !slices.Contains(ofRun, e.Name()) && e.Name() != "heads" {
			return nil, fmt.Errorf("%w, such as %q: name an empty folder, or one that holds a run", ErrForeignFolder, e.Name())
		}
	}
	return left, nil
}

// ofRun names what [Result.Write] leaves in a folder besides heads; the
// manifest goes first.
var ofRun = []string{runmanifest.File, "report.html", "report.json", "predictions.parquet", "samples.parquet", "experiment.json", "sample.safetensors", externalFile}

// writeTable writes rows as Parquet, compressed, with the same bytes for the
// same rows.
func writeTable[Row any](w io.Writer, rows []Row) error {
	var b bytes.Buffer
	table := parquet.NewGenericWriter[Row](&b, parquet.Compression(&parquet.Zstd), parquet.CreatedBy("medprobe", "1", ""))
	if _, err := table.Write(rows); err != nil {
		return err
	}
	if err := table.Close(); err != nil {
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}
