// Package runmanifest reads and writes the manifest of a run's folder: what the run
// was made of, and the digest of every file it left. Experiments write it, last of
// all; the registry, the gate and comparisons read it.
package runmanifest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
)

// File is the manifest's name in the folder, Schema the form that is known.
const (
	File   = "manifest.json"
	Schema = "medprobe.run/1"
)

// Manifest says what a run was made of and what it left.
type Manifest struct {
	Schema string `json:"schema"`
	Name   string `json:"name"`
	Seed   uint64 `json:"seed"`
	// Experiment is the SHA-256 of the experiment as it was understood, with
	// every default filled in, without the place of its data.
	Experiment string `json:"experiment"`
	// Dataset and Split are the SHA-256 of the used samples and of what each
	// of them was used for.
	Dataset    string `json:"dataset"`
	Split      string `json:"split"`
	Encoder    string `json:"encoder"`
	Preprocess string `json:"preprocess"`
	// Files holds the SHA-256 of every file, by its path.
	Files map[string]string `json:"files"`
}

// Parse reads a manifest; one of another schema is an error.
func Parse(text []byte) (*Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("%s: %w", File, err)
	}
	if m.Schema != Schema {
		return nil, fmt.Errorf("%s of schema %q: this medprobe knows %q; upgrade medprobe, or run the experiment again", File, m.Schema, Schema)
	}
	return &m, nil
}

// Write writes the manifest as JSON: the same manifest gives the same bytes.
func (m *Manifest) Write(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(m)
}

// Check returns an error unless the bytes are those of the run's file of that name.
func (m *Manifest) Check(name string, b []byte) error {
	sum := sha256.Sum256(b)
	want, listed := m.Files[name]
	switch got := hex.EncodeToString(sum[:]); {
	case !listed:
		return fmt.Errorf("%s is not in its manifest: the files are not of one run", name)
	case got != want:
		return fmt.Errorf("%s has digest %.12s…, its manifest says %.12q…: it was changed, or the files are not of one run; run the experiment again", name, got, want)
	}
	return nil
}
