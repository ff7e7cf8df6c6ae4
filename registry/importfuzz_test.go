package registry_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/medprobe/medprobe/registry"
	"github.com/medprobe/medprobe/trainer"
)

// imported tries a file or folder; what is let in is a version that verifies.
func tryImport(t *testing.T, r *registry.Registry, path string) {
	v, _, err := r.Import(t.Context(), "lungs", path, "bob")
	if err != nil {
		return
	}
	if _, err := r.Head(v); err != nil {
		t.Errorf("let in %s: %v", v.Reference(), err)
	}
}

// exporter returns a version and its registry for the seeds of a fuzz target.
func exporter(f *testing.F) (*registry.Registry, *registry.Version) {
	r := open(f, f.TempDir())
	return r, add(f, r, "cxr", fit(f, 1, trainer.Options{Head: trainer.Logistic, C: 1}))
}

func FuzzImportFile(f *testing.F) {
	r, v := exporter(f)
	for _, format := range []string{"onnx", "bundle"} {
		path := filepath.Join(f.TempDir(), "export")
		if err := r.Export(f.Context(), v, format, path); err != nil {
			f.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	other := open(f, f.TempDir())
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "export")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		tryImport(t, other, path)
	})
}

func FuzzImportLayout(f *testing.F) {
	r, v := exporter(f)
	layout := filepath.Join(f.TempDir(), "export")
	if err := r.Export(f.Context(), v, "oci", layout); err != nil {
		f.Fatal(err)
	}
	index, err := os.ReadFile(filepath.Join(layout, "index.json"))
	if err != nil {
		f.Fatal(err)
	}
	var named struct{ Manifests []struct{ Digest string } }
	if err := json.Unmarshal(index, &named); err != nil {
		f.Fatal(err)
	}
	blobs := filepath.Join(layout, "blobs", "sha256")
	manifest, err := os.ReadFile(filepath.Join(blobs, named.Manifests[0].Digest[len("sha256:"):]))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(index, manifest)
	f.Add([]byte(`{"manifests":[{"digest":"sha256:../../key","size":32}]}`), []byte(`{"layers":[{"annotations":{"org.cncf.model.filepath":"../x"}}]}`))
	other := open(f, f.TempDir())
	f.Fuzz(func(t *testing.T, index, manifest []byte) {
		path := filepath.Join(blobs, fmt.Sprintf("%x", sha256.Sum256(manifest)))
		_, err := os.Lstat(path)
		fresh := err != nil
		if err := os.WriteFile(path, manifest, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(layout, "index.json"), index, 0o600); err != nil {
			t.Fatal(err)
		}
		tryImport(t, other, layout)
		if fresh {
			os.Remove(path)
		}
	})
}

// A folder of an export whose documents say something else.
func FuzzImportFolder(f *testing.F) {
	r, v := exporter(f)
	folders, documents := map[string]string{}, map[string]string{"safetensors": "version.json", "hf": "version.json", "mlflow": "MLmodel"}
	for format, name := range documents {
		folders[format] = filepath.Join(f.TempDir(), "export")
		if err := r.Export(f.Context(), v, format, folders[format]); err != nil {
			f.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(folders[format], name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(format, b)
	}
	f.Add("mlflow", []byte("flavors: {onnx: {data: ../model.onnx}}\n"))
	f.Add("mlflow", []byte("flavors: &a {onnx: *a}\n"))
	other := open(f, f.TempDir())
	f.Fuzz(func(t *testing.T, format string, document []byte) {
		name, ok := documents[format]
		if !ok {
			return
		}
		if err := os.WriteFile(filepath.Join(folders[format], name), document, 0o600); err != nil {
			t.Fatal(err)
		}
		tryImport(t, other, folders[format])
	})
}

// A run whose manifest or report says something else.
func FuzzAddRun(f *testing.F) {
	dir := run(f, fit(f, 1, trainer.Options{Head: trainer.Logistic, C: 1}))
	whole := map[string][]byte{}
	for _, name := range []string{"manifest.json", "report.json"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			f.Fatal(err)
		}
		whole[name] = b
		f.Add(name, b)
	}
	f.Add("manifest.json", []byte(`{"schema":"medprobe.run/1","files":{"../x":"00","heads/logistic.safetensors":null}}`))
	r := open(f, f.TempDir())
	f.Fuzz(func(t *testing.T, name string, text []byte) {
		if whole[name] == nil {
			return
		}
		for file, b := range whole {
			if file == name {
				b = text
			}
			if err := os.WriteFile(filepath.Join(dir, file), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		v, _, err := r.Add(t.Context(), "cxr", registry.Origin{Run: dir, Head: "logistic"})
		if err != nil {
			return
		}
		if _, err := r.Head(v); err != nil {
			t.Errorf("let in %s: %v", v.Reference(), err)
		}
	})
}
