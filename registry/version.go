package registry

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/medprobe/medprobe/evaluate"
	"github.com/medprobe/medprobe/trainer"
)

// Schema names the form of a version's document.
const Schema = "medprobe.version/1"

// Version is one version of a model.
type Version struct {
	Model  string `json:"model"`
	Number int    `json:"number"`
	// Digest is the SHA-256 of the document.
	Digest string `json:"digest"`
	// Added is when and AddedBy who put it here.
	Added   time.Time `json:"added"`
	AddedBy string    `json:"added_by"`
	// Aliases are those that point here now, in order.
	Aliases  []string `json:"aliases"`
	Document Document `json:"document"`
}

// Reference names the version by its number.
func (v *Version) Reference() Reference { return Reference{Model: v.Model, Number: v.Number} }

// Document is what a version is, wherever it lies: the same run gives the same
// bytes.
type Document struct {
	Schema  string    `json:"schema"`
	Head    HeadFacts `json:"head"`
	Lineage Lineage   `json:"lineage"`
	Metrics []Metric  `json:"metrics"`
	// Identifiers says under which key ids and patients in the predictions are
	// hidden: "hmac-sha256:" and the beginning of the key's digest.
	Identifiers string `json:"identifiers"`
	// Files are in the order of their paths.
	Files []File `json:"files"`
	// Imported is there for a version that was read back from an export.
	Imported *Imported `json:"imported,omitempty"`
}

// Imported says what an export did not carry of the version it was made of.
type Imported struct {
	// Version is the digest of the document of the version that was exported.
	Version string `json:"version"`
	// Absent are the files that the version has and the export does not carry.
	Absent []string `json:"absent"`
}

// HeadFacts says what the head is.
type HeadFacts struct {
	Kind       string   `json:"kind"`
	Classes    []string `json:"classes"`
	Exclusive  bool     `json:"exclusive"`
	Dim        int      `json:"dim"`
	Calibrated bool     `json:"calibrated"`
	// Linear says that the logits are W·x + b and nothing more.
	Linear bool `json:"linear"`
}

// Lineage says what the head was made of.
type Lineage struct {
	Run string `json:"run"`
	// Experiment, Dataset and Split are the digests of the run's manifest.
	Experiment string                `json:"experiment"`
	Dataset    evaluate.DatasetFacts `json:"dataset"`
	Split      string                `json:"split"`
	Encoder    evaluate.EncoderFacts `json:"encoder"`
	Seed       uint64                `json:"seed"`
	// Code is the version of medprobe that added it, Environment what it ran on.
	Code        string `json:"code"`
	Environment string `json:"environment"`
}

// Metric is what the head reached for one finding on the test part.
type Metric struct {
	Finding string `json:"finding"`
	// AUC is nil where it cannot be estimated.
	AUC *evaluate.Estimate `json:"auc"`
	// ZeroShot is that of the prompts, Gain the paired difference from it.
	ZeroShot *evaluate.Estimate   `json:"zero_shot,omitempty"`
	Gain     *evaluate.Difference `json:"gain,omitempty"`
}

// File is one file of a version.
type File struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
}

// The files of a version, besides its reference distribution. Those of runs that
// came before sample.safetensors and experiment.json have neither.
const (
	headFile        = "head.safetensors"
	reportFile      = "report.json"
	predictionsFile = "predictions.parquet"
	experimentFile  = "experiment.json"
	sampleFile      = "sample.safetensors"
	cardFile        = "README.md"
)

// facts returns what a head is.
func facts(h *trainer.Head) HeadFacts {
	return HeadFacts{Kind: h.Kind, Classes: h.Classes, Exclusive: h.Exclusive, Dim: h.W.Cols, Calibrated: h.Calibration != nil, Linear: h.Linear()}
}

// lacks returns why the version has no file of a name.
func (d *Document) lacks(name string) error {
	if d.Imported != nil && slices.Contains(d.Imported.Absent, name) {
		return fmt.Errorf("%w: %s; import the bundle of the version it was exported from, %.12s…", ErrNotCarried, name, d.Imported.Version)
	}
	return fmt.Errorf("it holds no %s", name)
}

// ErrNotCarried says that a version was read back from an export that does not carry
// what is asked for.
var ErrNotCarried = errors.New("it was read back from an export, which does not carry all")

// file returns the entry of a path.
func (d *Document) file(path string) (File, bool) {
	at := slices.IndexFunc(d.Files, func(f File) bool { return f.Path == path })
	if at < 0 {
		return File{}, false
	}
	return d.Files[at], true
}

// encode returns the document's bytes and their digest.
func (d *Document) encode() (text []byte, digest string, err error) {
	text, err = json.MarshalIndent(d, "", "  ")
	if err != nil {
		return nil, "", fmt.Errorf("registry: document: %w", err)
	}
	return text, hexDigest(text), nil
}

// decodeDocument reads a document and refuses one of another schema and file
// names that no version holds.
func decodeDocument(text []byte) (d Document, err error) {
	if err := json.Unmarshal(text, &d); err != nil {
		return d, fmt.Errorf("document: %w", err)
	}
	if d.Schema != Schema {
		return d, fmt.Errorf("document of schema %q: this medprobe knows %q; upgrade medprobe", d.Schema, Schema)
	}
	known, must := []string{headFile, reportFile, predictionsFile, experimentFile, sampleFile, cardFile, driftFile}, []string{headFile, reportFile, predictionsFile, cardFile}
	if d.Imported != nil {
		must = []string{headFile}
		for i, name := range d.Imported.Absent {
			if _, there := d.file(name); there || !slices.Contains(known, name) || i > 0 && name <= d.Imported.Absent[i-1] {
				return d, fmt.Errorf("document says that %q is absent: want some of %q that it does not list", name, known)
			}
		}
	}
	for i, f := range d.Files {
		if !slices.Contains(known, f.Path) || slices.ContainsFunc(d.Files[:i], func(g File) bool { return g.Path == f.Path }) {
			return d, fmt.Errorf("document names file %q: want each of %q once at most", f.Path, known)
		}
		if sum, err := hex.DecodeString(f.SHA256); err != nil || len(sum) != sha256.Size || f.Size < 0 {
			return d, fmt.Errorf("document gives %s digest %q and size %d: want a SHA-256 in hexadecimal and a size", f.Path, f.SHA256, f.Size)
		}
	}
	for _, name := range must {
		if _, ok := d.file(name); !ok {
			return d, fmt.Errorf("document names no %s", name)
		}
	}
	return d, nil
}

func hexDigest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
