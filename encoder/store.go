package encoder

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/medprobe/medprobe/internal/near"
)

// Manifest describes an imported encoder; it is manifest.json in its folder.
type Manifest struct {
	// Schema is the version of this file: 1.
	Schema int    `json:"schema"`
	Name   string `json:"name"`
	// Fingerprint names weights, graphs, vocabulary and precision.
	Fingerprint string `json:"fingerprint"`
	// Dim is the length of a vector, ImageSize the side of the square that the
	// encoder sees, in pixels.
	Dim       int  `json:"dim"`
	ImageSize int  `json:"image_size"`
	HasText   bool `json:"has_text"`
	// Precision is fp32, fp16 or int8.
	Precision string `json:"precision"`
	// Preprocess is the profile used where none is asked for.
	Preprocess string `json:"preprocess"`
	// LogitScale is exp(logit_scale) of the checkpoint; logits are
	// image·text·LogitScale + LogitBias.
	LogitScale float64 `json:"logit_scale"`
	LogitBias  float64 `json:"logit_bias"`
	// Labels are the classes of the classifier of a fine-tuned checkpoint.
	Labels []string `json:"labels,omitempty"`
	// Vision and Text say how the graphs of an encoder are run that was imported
	// from ONNX.
	Vision *Graph `json:"vision,omitempty"`
	Text   *Graph `json:"text,omitempty"`
	// NoText says why there is no text tower, where there might be one.
	NoText string `json:"no_text,omitempty"`
	// License is what the model's README says of it.
	License string `json:"license,omitempty"`
	// Source is where the encoder came from, in the importer's words.
	Source string `json:"source"`
	// Files holds the SHA-256 of each file beside the manifest.
	Files map[string]string `json:"files"`
}

func (m *Manifest) vision() *Graph {
	return cmp.Or(m.Vision, &Graph{File: visionGraph, Input: "pixel_values", Output: "image_embeds"})
}

func (m *Manifest) text() *Graph {
	return cmp.Or(m.Text, &Graph{File: textGraph, Input: "input_ids", Output: "text_embeds"})
}

const manifestFile = "manifest.json"

// ErrNotFound says that no encoder of a name is imported.
var ErrNotFound = errors.New("no such encoder")

// DefaultDir returns the folder of the imported encoders: $MEDPROBE_ENCODERS,
// or medprobe/encoders in the user's cache folder.
func DefaultDir() (string, error) {
	if dir := os.Getenv("MEDPROBE_ENCODERS"); dir != "" {
		return dir, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("encoder: no cache folder: %w; name one with MEDPROBE_ENCODERS", err)
	}
	return filepath.Join(dir, "medprobe", "encoders"), nil
}

var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

func checkName(name string) error {
	if !validName.MatchString(name) {
		return fmt.Errorf("encoder: name %q: want letters, digits, '.', '_' and '-', beginning with a letter or digit", name)
	}
	return nil
}

// List returns the manifests of the encoders in the folder, by name.
func List(dir string) ([]Manifest, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("encoder: %w", err)
	}
	var all []Manifest
	for _, e := range entries {
		if !e.IsDir() || !validName.MatchString(e.Name()) {
			continue
		}
		m, err := Show(dir, e.Name())
		if err != nil {
			return nil, err
		}
		all = append(all, *m)
	}
	return all, nil
}

// Show returns the manifest of one encoder. The error wraps [ErrNotFound] where
// there is none of that name.
func Show(dir, name string) (*Manifest, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, name, manifestFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("encoder: %q: %w%s", name, ErrNotFound, knownNames(dir, name))
	}
	m := &Manifest{}
	if err := readJSON(path, m); err != nil {
		return nil, fmt.Errorf("encoder: %w", err)
	}
	if m.Schema != 1 {
		return nil, fmt.Errorf("encoder: %s has schema %d, this medprobe knows 1: upgrade medprobe or import again", path, m.Schema)
	}
	return m, nil
}

// knownNames says what there is in place of a name, and how it gets there.
func knownNames(dir, name string) string {
	entries, _ := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		if e.IsDir() && validName.MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	if len(names) == 0 {
		return "; none is imported yet: medprobe encoder import SRC --name " + name
	}
	if hint := near.Hint(name, names); strings.HasSuffix(hint, "?") {
		return hint
	}
	return "; imported: " + strings.Join(names, ", ") + "; another comes by: medprobe encoder import SRC --name " + name
}

// Verify reads every file of an encoder and compares it with its digest in the
// manifest. The error names each file that is changed, missing or added.
func Verify(dir, name string) error {
	m, err := Show(dir, name)
	if err != nil {
		return err
	}
	folder := filepath.Join(dir, name)
	files, err := filesIn(folder)
	if err != nil {
		return fmt.Errorf("encoder: %w", err)
	}
	var problems []error
	for _, file := range files {
		if _, known := m.Files[file]; !known && file != manifestFile {
			problems = append(problems, fmt.Errorf("encoder: %s: %q was added", name, file))
		}
	}
	for _, file := range slices.Sorted(maps.Keys(m.Files)) {
		if err := checkDigest(filepath.Join(folder, file), m.Files[file]); err != nil {
			problems = append(problems, fmt.Errorf("encoder: %s: %q %w", name, file, err))
		}
	}
	if got := m.fingerprint(); got != m.Fingerprint {
		problems = append(problems, fmt.Errorf("encoder: %s: manifest.json: fingerprint %s: want %s, by its other lines", name, m.Fingerprint, got))
	}
	if len(problems) > 0 {
		return fmt.Errorf("%w; import it again", errors.Join(problems...))
	}
	return nil
}

// filesIn lists the files in a folder and those below it, by slash-separated
// path.
func filesIn(folder string) ([]string, error) {
	var files []string
	err := fs.WalkDir(os.DirFS(folder), ".", func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			files = append(files, path)
		}
		return err
	})
	return files, err
}

func checkDigest(path, want string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("is missing")
	}
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("is not a plain file")
	}
	got, err := fileDigest(path)
	if err == nil && got != want {
		err = fmt.Errorf("has SHA-256 %s: want %s", got, want)
	}
	return err
}

// fileDigest returns the SHA-256 of a file in hex.
func fileDigest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
