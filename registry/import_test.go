package registry_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/medprobe/medprobe/encoder"
	"github.com/medprobe/medprobe/registry"
	"github.com/medprobe/medprobe/trainer"
)

// exports lists the formats that can be read back, of which only a bundle holds all.
var readBack = []string{"onnx", "safetensors", "mlflow", "hf", "oci", "bundle"}

func importInto(t *testing.T, r *registry.Registry, path string) *registry.Version {
	t.Helper()
	v, _, err := r.Import(t.Context(), "lungs", path, "bob")
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Every export becomes a version again: the head's bytes, and all that the document
// says, are what they were.
func TestEveryExportBecomesAVersionAgain(t *testing.T) {
	t.Parallel()
	all := keepers(t)
	for name, h := range map[string]*trainer.Head{
		"linear":     fit(t, 1, trainer.Options{Head: trainer.Logistic, C: 1}),
		"calibrated": fit(t, 1, trainer.Options{Head: trainer.Logistic, C: 1, Calibrate: trainer.Isotonic}),
		"cache":      ofOne(all["tip-adapter, plain"]),
		"neighbours": ofOne(all["knn, isotonic"]),
		"layers":     ofOne(all["mlp, plain"]),
	} {
		r := open(t, t.TempDir())
		v := add(t, r, "cxr", h)
		head, err := r.File(v, "head.safetensors")
		if err != nil {
			t.Fatal(err)
		}
		for _, format := range readBack {
			other := open(t, t.TempDir())
			got := importInto(t, other, exported(t, r, v, format))
			again, err := other.File(got, "head.safetensors")
			if err != nil || !bytes.Equal(again, head) {
				t.Fatalf("%s, %s: the head has other bytes (%v)", name, format, err)
			}
			card, err := other.File(got, "README.md")
			if wanted, _ := r.File(v, "README.md"); err != nil || !bytes.Equal(card, wanted) {
				t.Errorf("%s, %s: the card has other bytes (%v)", name, format, err)
			}
			want := v.Document
			if format != "bundle" {
				i := got.Document.Imported
				if i == nil || i.Version != v.Digest || !slices.Equal(i.Absent, []string{"experiment.json", "predictions.parquet", "report.json", "sample.safetensors"}) {
					t.Errorf("%s, %s: imported %+v", name, format, i)
				}
				want.Files, got.Document.Files, got.Document.Imported = nil, nil, nil
			}
			if !reflect.DeepEqual(got.Document, want) {
				t.Errorf("%s, %s: document %+v: want %+v", name, format, got.Document, want)
			}
			if found := verified(t, other, true); format != "bundle" && (len(found.Hints) != 1 || !strings.Contains(found.Hints[0], "read back from an export")) {
				t.Errorf("%s, %s: hints %q", name, format, found.Hints)
			}
		}
		// In the registry it came from, it is the version that it was.
		if got, added, err := r.Import(t.Context(), "cxr", exported(t, r, v, "onnx"), "bob"); err != nil || added || got.Number != v.Number {
			t.Errorf("%s: back home it is %v, added %v, %v", name, got, added, err)
		}
	}
}

// ofOne keeps the first class of a head of findings.
func ofOne(h *trainer.Head) *trainer.Head {
	one := *h
	one.Classes, one.W.Rows, one.B, one.Space = []string{"effusion"}, 1, h.B[:1], space
	one.W.Data = h.W.Data[:h.W.Cols]
	one.Thresholds, one.Fits = nil, h.Fits[:1]
	if h.Calibration != nil {
		one.Calibration = h.Calibration[:1]
	}
	if h.Cache != nil {
		c := *h.Cache
		c.Values.Rows, c.Values.Data = 1, c.Values.Data[:c.Values.Cols]
		if c.Neighbours != nil {
			c.Neighbours = c.Neighbours[:1]
		} else {
			c.Alpha, c.Beta = c.Alpha[:1], c.Beta[:1]
		}
		one.Cache = &c
	}
	if len(h.Networks) > 0 {
		n := *h.Networks[0]
		n.Weights, n.Biases = slices.Clone(n.Weights), slices.Clone(n.Biases)
		last := len(n.Weights) - 1
		n.Weights[last].Rows, n.Weights[last].Data = 1, n.Weights[last].Data[:n.Weights[last].Cols]
		n.Biases[last] = n.Biases[last][:1]
		one.Networks = []*trainer.Network{&n}
	}
	return &one
}

// What was read back can be exported and read back again, and comes out the same.
func TestReadingBackTwiceGivesTheSameVersion(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir())
	v := add(t, r, "cxr", fit(t, 1, trainer.Options{Head: trainer.Logistic, C: 1}))
	second, third := open(t, t.TempDir()), open(t, t.TempDir())
	first := importInto(t, second, exported(t, r, v, "onnx"))
	for _, format := range readBack {
		if got := importInto(t, third, exported(t, second, first, format)); got.Digest != first.Digest || got.Number != 1 {
			t.Errorf("%s: version %d with digest %.12s: want 1 and %.12s", format, got.Number, got.Digest, first.Digest)
		}
	}
	// Without predictions there is nothing to compare.
	if _, err := second.Predictions(first); !errors.Is(err, registry.ErrNotCarried) || !strings.Contains(err.Error(), "import the bundle") {
		t.Errorf("predictions: %v: want ErrNotCarried and what to do", err)
	}
	if d, err := second.Diff(t.Context(), first.Reference(), first.Reference()); err != nil || !strings.Contains(d.Incomparable, "predictions.parquet") {
		t.Errorf("diff %+v, %v", d, err)
	}
}

func TestEndToEndBecomesAVersionAgain(t *testing.T) {
	startRuntime(t)
	dir, e := tower(t, "siglip-f32", encoder.ImportOptions{}, "")
	h := onImages(t, e, embedded(t, e, photographs(t)), trainer.Options{Head: trainer.KNN, Neighbours: 3})
	r, other := open(t, t.TempDir()), open(t, t.TempDir())
	v := addIn(t, r, h)
	image, err := encoder.FindImageModel(dir, "x", e.Fingerprint(), e.PreprocessFingerprint())
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "model")
	if err := r.ExportEndToEnd(t.Context(), v, image, out); err != nil {
		t.Fatal(err)
	}
	got := importInto(t, other, out)
	want, _ := r.File(v, "head.safetensors")
	if head, err := other.File(got, "head.safetensors"); err != nil || !bytes.Equal(head, want) {
		t.Errorf("the head has other bytes (%v)", err)
	}
}

// replaceFile writes a file in an export anew.
func replaceFile(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

// What was cut, changed, renamed or set as a trap is refused, and nothing is added.
func TestImportRefuses(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir())
	v := add(t, r, "cxr", fit(t, 1, trainer.Options{Head: trainer.Logistic, C: 1}))
	cut := func(b []byte) []byte { return b[:len(b)/2] }
	swap := func(old, new string) func([]byte) []byte {
		return func(b []byte) []byte {
			if !bytes.Contains(b, []byte(old)) {
				t.Fatalf("no %q to change", old)
			}
			return bytes.Replace(b, []byte(old), []byte(new), 1)
		}
	}
	must := func(errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		format string
		change func(path string)
		want   string
	}{
		"cut model":     {"onnx", func(p string) { replaceFile(t, p, cut) }, "cut short, or no ONNX model"},
		"empty file":    {"onnx", func(p string) { must(os.Truncate(p, 0)) }, "0 graphs"},
		"another graph": {"onnx", func(p string) { replaceFile(t, p, swap("medprobe.version", "medprobe.versiom")) }, "an earlier medprobe wrote it"},
		"foreign model": {"onnx", func(p string) {
			replaceFile(t, p, func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("medprobe."), []byte("somebody.")) })
		}, "another program made it"},
		"changed weights": {"onnx", func(p string) {
			replaceFile(t, p, func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("head/bias"), []byte("head/bios")) })
		}, "head.safetensors has digest"},
		"changed figures":  {"onnx", func(p string) { replaceFile(t, p, swap(`"point": 0.`, `"point": 1.`)) }, ""},
		"another schema":   {"onnx", func(p string) { replaceFile(t, p, swap("medprobe.version/1", "medprobe.version/2")) }, "upgrade medprobe"},
		"cut bundle":       {"bundle", func(p string) { replaceFile(t, p, cut) }, ""},
		"cut head":         {"safetensors", func(p string) { replaceFile(t, filepath.Join(p, "head.safetensors"), cut) }, "was changed or damaged"},
		"head alone":       {"safetensors", func(p string) { must(os.Remove(filepath.Join(p, "version.json"))) }, "without version.json beside it"},
		"no head":          {"hf", func(p string) { must(os.Remove(filepath.Join(p, "head.safetensors"))) }, "head.safetensors is missing"},
		"another document": {"hf", func(p string) { replaceFile(t, filepath.Join(p, "version.json"), swap("{", "{ ")) }, "not in the form"},
		"strange file": {"hf", func(p string) {
			replaceFile(t, filepath.Join(p, "version.json"), swap(`"path": "report.json"`, `"path": "../report"`))
		}, "document names file"},
		"head of another space": {"safetensors", func(p string) {
			replaceFile(t, filepath.Join(p, "version.json"), swap(`"fingerprint": "aaaa"`, `"fingerprint": "aaab"`))
		}, "re-embed or load the matching head"},
		"other classes": {"safetensors", func(p string) { replaceFile(t, filepath.Join(p, "version.json"), swap(`"effusion"`, `"effusiom"`)) }, "the document says"},
		"link": {"safetensors", func(p string) {
			file := filepath.Join(p, "head.safetensors")
			must(os.Rename(file, filepath.Join(p, "h")), os.Symlink("h", file))
		}, "head.safetensors is a symbolic link"},
		"link out": {"safetensors", func(p string) {
			file := filepath.Join(p, "version.json")
			must(os.Rename(file, filepath.Join(filepath.Dir(p), "v")), os.Symlink("../v", file))
		}, "version.json is a symbolic link"},
		"pipe": {"safetensors", func(p string) {
			file := filepath.Join(p, "head.safetensors")
			must(os.Remove(file), syscall.Mkfifo(file, 0o600))
		}, "head.safetensors is a device or pipe"},
		"folder": {"hf", func(p string) {
			must(os.Remove(filepath.Join(p, "version.json")), os.Remove(filepath.Join(p, "model.onnx")), os.Remove(filepath.Join(p, "head.safetensors")))
		}, "it holds no export of medprobe"},
		"path out": {"mlflow", func(p string) {
			replaceFile(t, filepath.Join(p, "MLmodel"), swap("data: model.onnx", "data: ../model.onnx"))
		}, `"../model.onnx"`},
		"no such model": {"mlflow", func(p string) { must(os.Remove(filepath.Join(p, "model.onnx"))) }, "model.onnx is missing"},
		"yaml": {"mlflow", func(p string) {
			replaceFile(t, filepath.Join(p, "MLmodel"), func([]byte) []byte { return []byte("a: [") })
		}, "MLmodel: "},
		"slip":              {"oci", func(p string) { rewriteManifest(t, p, "head.safetensors", "../head.safetensors") }, `the file "../head.safetensors"`},
		"absolute":          {"oci", func(p string) { rewriteManifest(t, p, "head.safetensors", "/head.safetensors") }, `the file "/head.safetensors"`},
		"backslashes":       {"oci", func(p string) { rewriteManifest(t, p, "head.safetensors", `..\\head.safetensors`) }, "the file "},
		"twice":             {"oci", func(p string) { rewriteManifest(t, p, "README.md", "head.safetensors") }, "two layers"},
		"no such layer":     {"oci", func(p string) { rewriteManifest(t, p, "head.safetensors", "h.safetensors") }, "no layer is the file head.safetensors"},
		"another artefact":  {"oci", func(p string) { rewriteManifest(t, p, "vnd.cncf.model.manifest", "vnd.cncf.cake.manifest") }, "want a model"},
		"digest of no file": {"oci", func(p string) { replaceFile(t, filepath.Join(p, "index.json"), swap("sha256:", "sha256:../../")) }, "want sha256 in hexadecimal"},
		"damaged blob": {"oci", func(p string) {
			file, _ := v.Document.Files[slices.IndexFunc(v.Document.Files, func(f registry.File) bool { return f.Path == "head.safetensors" })], 0
			replaceFile(t, filepath.Join(p, "blobs", "sha256", file.SHA256), func(b []byte) []byte { b[len(b)-1] ^= 1; return b })
		}, "was changed or damaged"},
		"nothing": {"onnx", func(p string) { must(os.Remove(p)) }, "no such file"},
	} {
		other := open(t, t.TempDir())
		path := exported(t, r, v, c.format)
		c.change(path)
		_, _, err := other.Import(t.Context(), "lungs", path, "bob")
		if c.want == "" && name == "changed figures" && err == nil {
			continue // a document is what its maker says; only its form and head are checked
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v: want an error with %q", name, err, c.want)
		}
		if versions, err := other.List(t.Context(), ""); err != nil || len(versions) != 0 {
			t.Errorf("%s: %d versions were added, %v", name, len(versions), err)
		}
		verified(t, other, true)
	}
}

// rewriteManifest changes the manifest of a layout and the digest that leads to it.
func rewriteManifest(t *testing.T, dir, old, new string) {
	t.Helper()
	var index struct {
		SchemaVersion int              `json:"schemaVersion"`
		Manifests     []map[string]any `json:"manifests"`
	}
	b, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err == nil {
		err = json.Unmarshal(b, &index)
	}
	if err != nil {
		t.Fatal(err)
	}
	blobs := filepath.Join(dir, "blobs", "sha256")
	digest := strings.TrimPrefix(index.Manifests[0]["digest"].(string), "sha256:")
	manifest, err := os.ReadFile(filepath.Join(blobs, digest))
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Replace(manifest, []byte(`"`+old), []byte(`"`+new), 1)
	if bytes.Equal(changed, manifest) {
		changed = bytes.Replace(manifest, []byte(old), []byte(new), 1)
	}
	index.Manifests[0]["digest"], index.Manifests[0]["size"] = fmt.Sprintf("sha256:%x", sha256Of(changed)), len(changed)
	text, err := json.Marshal(index)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(filepath.Join(blobs, fmt.Sprintf("%x", sha256Of(changed))), changed, 0o600), os.WriteFile(filepath.Join(dir, "index.json"), text, 0o600)); err != nil {
		t.Fatal(err)
	}
}

func sha256Of(b []byte) []byte {
	sum := sha256.Sum256(b)
	return sum[:]
}
