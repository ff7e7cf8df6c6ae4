package registry

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// provenanceFile says how the files beside it were made: an in-toto statement,
// version 1, with SLSA provenance, version 1, as its predicate.
const provenanceFile = "provenance.json"

const (
	statementType      = "https://in-toto.io/Statement/v1"
	provenanceType     = "https://slsa.dev/provenance/v1"
	provenanceBuild    = "https://github.com/medprobe/medprobe/blob/main/docs/registry.md#provenance"
	provenanceBuilder  = "https://github.com/medprobe/medprobe"
	provenancePackage  = "pkg:golang/github.com/medprobe/medprobe@"
	statementMediaType = "application/vnd.in-toto+json"
)

// statement is an in-toto statement: what a predicate says of its subjects.
type statement struct {
	Type          string     `json:"_type"`
	Subject       []resource `json:"subject"`
	PredicateType string     `json:"predicateType"`
	Predicate     any        `json:"predicate"`
}

// resource is in-toto's ResourceDescriptor.
type resource struct {
	Name   string            `json:"name,omitempty"`
	URI    string            `json:"uri,omitempty"`
	Digest map[string]string `json:"digest,omitempty"`
}

// slsaProvenance is the predicate of https://slsa.dev/spec/v1.0/provenance.
type slsaProvenance struct {
	Definition struct {
		BuildType    string            `json:"buildType"`
		External     map[string]any    `json:"externalParameters"`
		Internal     map[string]string `json:"internalParameters,omitempty"`
		Dependencies []resource        `json:"resolvedDependencies"`
	} `json:"buildDefinition"`
	Run struct {
		Builder struct {
			ID      string            `json:"id"`
			Version map[string]string `json:"version"`
		} `json:"builder"`
	} `json:"runDetails"`
}

// provenance states from what the files of an export were made: by digests alone,
// with no name of a patient, path, machine or user.
func provenance(v *Version, files []signedResource) ([]byte, error) {
	s := statement{Type: statementType, PredicateType: provenanceType}
	for _, f := range files {
		s.Subject = append(s.Subject, resource{Name: f.Name, Digest: map[string]string{f.Algorithm: f.Digest}})
	}
	d := &v.Document
	l := &d.Lineage
	var p slsaProvenance
	p.Definition.BuildType = provenanceBuild
	p.Definition.External = map[string]any{
		"experiment": resource{Digest: digestOf(l.Experiment)},
		// As text: JSON's readers keep 53 bits of a number.
		"seed": strconv.FormatUint(l.Seed, 10),
		"head": d.Head.Kind,
	}
	p.Definition.Internal = map[string]string{"version": v.Digest}
	for _, made := range [][2]string{
		{"dataset", l.Dataset.Digest}, {"split", l.Split}, {"encoder", l.Encoder.Fingerprint}, {"preprocessing", l.Encoder.PreprocessFingerprint},
	} {
		if made[1] != "" { // vectors made elsewhere may say nothing of it
			p.Definition.Dependencies = append(p.Definition.Dependencies, resource{Name: made[0], Digest: digestOf(made[1])})
		}
	}
	p.Definition.Dependencies = append(p.Definition.Dependencies, resource{Name: "medprobe", URI: provenancePackage + l.Code})
	p.Run.Builder.ID = provenanceBuilder
	p.Run.Builder.Version = map[string]string{"medprobe": l.Code}
	s.Predicate = p
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", provenanceFile, err)
	}
	return append(text, '\n'), nil
}

// digestsOf lists files by name.
func digestsOf(files map[string][]byte) (digests []signedResource) {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		digests = append(digests, signedResource{Name: name, Algorithm: "sha256", Digest: hexDigest(files[name])})
	}
	return digests
}

// digestOf gives a digest of medprobe's its name: those of 256 bits are SHA-256.
func digestOf(digest string) map[string]string {
	if b, err := hex.DecodeString(digest); err == nil && len(b) == 32 {
		return map[string]string{"sha256": digest}
	}
	return map[string]string{"medprobe": digest}
}
