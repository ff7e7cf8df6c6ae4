package registry_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/medprobe/medprobe/internal/onnxfile"
	"github.com/medprobe/medprobe/registry"
	"github.com/medprobe/medprobe/trainer"
	"go.yaml.in/yaml/v4"

	"github.com/medprobe/medprobe/internal/needs"
)

// exported writes a version's export and returns its path.
func exported(t *testing.T, r *registry.Registry, v *registry.Version, format string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "out", "export")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := r.Export(t.Context(), v, format, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// contents returns the files at a path by their names.
func contents(t *testing.T, path string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		rel, err := filepath.Rel(path, name)
		if err != nil {
			return err
		}
		files[filepath.ToSlash(rel)], err = os.ReadFile(name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestExportsNameNobodyAndAreTheSameTwice(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir())
	v := add(t, r, "cxr", fit(t, 1, trainer.Options{Head: trainer.Logistic, C: 1}))
	home, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range registry.Formats() {
		first, second := contents(t, exported(t, r, v, format)), contents(t, exported(t, r, v, format))
		for name, b := range first {
			if !bytes.Equal(b, second[name]) {
				t.Errorf("%s: %s differs between two exports", format, name)
			}
			for _, secret := range []string{"Doe", home, os.TempDir()} {
				if bytes.Contains(b, []byte(secret)) {
					t.Errorf("%s: %s holds %q", format, name, secret)
				}
			}
		}
		if len(first) == 0 || len(first) != len(second) {
			t.Errorf("%s: %d and %d files", format, len(first), len(second))
		}
	}
}

func TestExportLeavesAFullFolderAlone(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir())
	v := add(t, r, "cxr", fit(t, 1, trainer.Options{Head: trainer.Logistic, C: 1}))
	for _, format := range []string{"safetensors", "mlflow", "hf", "oci"} {
		dir := filepath.Join(t.TempDir(), "mine")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "thesis.txt"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := r.Export(t.Context(), v, format, dir); err == nil || !strings.Contains(err.Error(), "not there yet") {
			t.Errorf("%s into a full folder: %v", format, err)
		}
		if files := contents(t, filepath.Dir(dir)); len(files) != 1 {
			t.Errorf("%s left %d files behind", format, len(files)-1)
		}
	}
}

// An export that was killed leaves a folder, which a later one of that name removes
// when nobody can be at work on it any more.
func TestExportSweepsWhatKilledOnesLeft(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir())
	v := add(t, r, "cxr", fit(t, 1, trainer.Options{Head: trainer.Logistic, C: 1}))
	dir := t.TempDir()
	for name, age := range map[string]time.Duration{".cxr.tmp-1": 48 * time.Hour, ".cxr.tmp-2": time.Hour, ".other.tmp-3": 48 * time.Hour} {
		folder := filepath.Join(dir, name)
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "model.onnx"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		then := time.Now().Add(-age)
		if err := os.Chtimes(folder, then, then); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Export(t.Context(), v, "hf", filepath.Join(dir, "cxr")); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 || entries[0].Name() != ".cxr.tmp-2" || entries[1].Name() != ".other.tmp-3" {
		t.Errorf("%v, %v: want the young folder, another's and the export", entries, err)
	}
}

// PyTorch and scikit-learn, with a reader of their own, give the same
// probabilities.
func TestPythonReadsTheHead(t *testing.T) {
	t.Parallel()
	if err := exec.Command("/usr/bin/python3", "-c", "import torch, sklearn").Run(); err != nil {
		needs.Opinion(t, "no Python with torch and sklearn (Debian: python3-torch, python3-sklearn)")
	}
	x, _ := vectors(3, 20, 8)
	rows := make([][]float32, x.Rows)
	for i := range rows {
		rows[i] = x.Data[i*8 : (i+1)*8]
	}
	text, err := json.Marshal(rows)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	args := []string{"../tools/reference/exported_head.py", filepath.Join(dir, "x.json")}
	if err := os.WriteFile(args[1], text, 0o600); err != nil {
		t.Fatal(err)
	}
	all := heads(t)
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(name string) bool {
		return strings.Contains(name, "isotonic") // which the loading lines leave to ONNX
	})
	for i, name := range names {
		args = append(args, filepath.Join(dir, fmt.Sprint(i)))
		if err := all[name].Save(args[len(args)-1]); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command("/usr/bin/python3", args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	var got []struct {
		Classes        []string
		Torch, SKLearn [][]float64
	}
	if err := json.Unmarshal(out, &got); err != nil || len(got) != len(names) {
		t.Fatalf("%d heads, %v: want %d", len(got), err, len(names))
	}
	for n, name := range names {
		h, p := all[name], got[n]
		if !slices.Equal(p.Classes, h.Classes) || len(p.Torch) != x.Rows || (p.SKLearn == nil) != (h.Calibration != nil) {
			t.Errorf("%s: %d rows by PyTorch, %d by scikit-learn, of classes %q", name, len(p.Torch), len(p.SKLearn), p.Classes)
		}
		want, err := h.Probabilities(x)
		if err != nil {
			t.Fatal(err)
		}
		for _, rows := range [][][]float64{p.Torch, p.SKLearn} {
			for i, row := range rows {
				for k, v := range row {
					if d := math.Abs(v - want.Data[i*len(h.Classes)+k]); d > 1e-9 {
						t.Fatalf("%s: row %d, %q: off by %g", name, i, h.Classes[k], d)
					}
				}
			}
		}
	}
}

// The layout of an MLflow model, field by field, as mlflow.models.Model and
// mlflow.onnx read it.
func TestMLflowModel(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir())
	v := add(t, r, "cxr", fit(t, 1, trainer.Options{Head: trainer.Logistic, C: 1}))
	dir := exported(t, r, v, "mlflow")
	files := contents(t, dir)
	var m struct {
		ArtifactPath string `yaml:"artifact_path"`
		Flavors      struct {
			ONNX struct {
				Code           *string  `yaml:"code"`
				Data           string   `yaml:"data"`
				SessionOptions *string  `yaml:"onnx_session_options"`
				Version        string   `yaml:"onnx_version"`
				Providers      []string `yaml:"providers"`
			} `yaml:"onnx"`
			Python struct {
				Data   string            `yaml:"data"`
				Env    map[string]string `yaml:"env"`
				Loader string            `yaml:"loader_module"`
				Python string            `yaml:"python_version"`
			} `yaml:"python_function"`
		} `yaml:"flavors"`
		Metadata  map[string]any    `yaml:"metadata"`
		Version   string            `yaml:"mlflow_version"`
		Size      int               `yaml:"model_size_bytes"`
		UUID      string            `yaml:"model_uuid"`
		Example   map[string]string `yaml:"saved_input_example_info"`
		Signature struct {
			Inputs  string  `yaml:"inputs"`
			Outputs string  `yaml:"outputs"`
			Params  *string `yaml:"params"`
		} `yaml:"signature"`
		Created string `yaml:"utc_time_created"`
	}
	if err := yaml.Load(files["MLmodel"], &m, yaml.WithKnownFields()); err != nil {
		t.Fatal(err)
	}
	if m.Flavors.Python.Loader != "mlflow.onnx" || m.Flavors.Python.Data != m.Flavors.ONNX.Data || files[m.Flavors.ONNX.Data] == nil || !slices.Equal(m.Flavors.ONNX.Providers, []string{"CPUExecutionProvider"}) {
		t.Errorf("flavours %+v", m.Flavors)
	}
	if m.Size != len(files["model.onnx"]) || len(m.UUID) != 32 {
		t.Errorf("size %d and uuid %q: want %d and 32 digits", m.Size, m.UUID, len(files["model.onnx"]))
	}
	if _, err := hex.DecodeString(m.UUID); err != nil {
		t.Errorf("uuid %q: %v", m.UUID, err)
	}
	if _, err := time.Parse("2006-01-02 15:04:05.000000", m.Created); err != nil {
		t.Errorf("created %q: %v", m.Created, err)
	}
	for _, env := range []string{m.Flavors.Python.Env["conda"], m.Flavors.Python.Env["virtualenv"], m.Example["artifact_path"], "requirements.txt"} {
		if files[env] == nil {
			t.Errorf("MLmodel names %q, which is not there", env)
		}
	}
	var inputs []struct {
		Name   *string
		Type   string
		Tensor struct {
			DType string
			Shape []int
		} `json:"tensor-spec"`
	}
	if err := json.Unmarshal([]byte(m.Signature.Inputs), &inputs); err != nil {
		t.Fatal(err)
	}
	// Without a name predict takes an array.
	if len(inputs) != 1 || inputs[0].Name != nil || inputs[0].Type != "tensor" || inputs[0].Tensor.DType != "float32" || !slices.Equal(inputs[0].Tensor.Shape, []int{-1, 8}) {
		t.Errorf("inputs %s", m.Signature.Inputs)
	}
	var example struct{ Inputs [][]float64 }
	if err := json.Unmarshal(files["input_example.json"], &example); err != nil || len(example.Inputs) != 1 || len(example.Inputs[0]) != 8 {
		t.Errorf("input example %s, %v", files["input_example.json"], err)
	}
	model, err := onnxfile.Inspect(filepath.Join(dir, m.Flavors.ONNX.Data))
	if err != nil {
		t.Fatal(err)
	}
	if len(model.Inputs) != 1 || model.Inputs[0].Name != "embedding" || !slices.Equal(model.Inputs[0].Dims, []int64{-1, 8}) {
		t.Errorf("the model takes %+v", model.Inputs)
	}
}

func TestHuggingFaceFolder(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir())
	v := add(t, r, "cxr", fit(t, 1, trainer.Options{Head: trainer.Logistic, C: 1}))
	files := contents(t, exported(t, r, v, "hf"))
	parts := strings.SplitN(string(files["README.md"]), "---\n", 3)
	if len(parts) != 3 || parts[0] != "" {
		t.Fatalf("no front matter in %q", files["README.md"])
	}
	var front struct {
		License     string
		LicenseName string `yaml:"license_name"`
		LicenseLink string `yaml:"license_link"`
		BaseModel   string `yaml:"base_model"`
		Tags        []string
		Index       []struct {
			Name    string
			Results []struct {
				Task, Dataset map[string]string
				Metrics       []struct {
					Type, Name string
					Value      float64
				}
			}
		} `yaml:"model-index"`
	}
	if err := yaml.Unmarshal([]byte(parts[1]), &front); err != nil {
		t.Fatal(err)
	}
	// What huggingface_hub requires of model-index.
	for _, entry := range front.Index {
		for _, result := range entry.Results {
			if entry.Name == "" || result.Task["type"] == "" || result.Dataset["type"] == "" || result.Dataset["name"] == "" || len(result.Metrics) == 0 {
				t.Errorf("model-index %+v", entry)
			}
			if got, want := result.Metrics[0].Value, v.Document.Metrics[0].AUC.Point; got != want {
				t.Errorf("AUC %v: want %v", got, want)
			}
		}
	}
	if front.License != "other" || front.LicenseName != "of-the-hospital" || front.LicenseLink != "https://example.org/terms" || front.BaseModel != "hospital/encoder" || !slices.Contains(front.Tags, "logistic") || len(front.Index) != 1 || len(front.Index[0].Results) != 1 {
		t.Errorf("front matter %+v", front)
	}
	for _, want := range []string{"no medical device", "## Figures", "effusion", "safe_open", "encoder's licence: `other, of-the-hospital, https://example.org/terms`"} {
		if !strings.Contains(parts[2], want) {
			t.Errorf("the card does not say %q", want)
		}
	}
}

// The layout is walked by hand: every blob has the digest it is named by, and the
// manifest leads to the files.
func TestOCILayout(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir())
	v := add(t, r, "cxr", fit(t, 1, trainer.Options{Head: trainer.Logistic, C: 1}))
	files := contents(t, exported(t, r, v, "oci"))
	type descriptor struct {
		MediaType   string
		Digest      string
		Size        int
		Annotations map[string]string
	}
	blob := func(d descriptor, into any) []byte {
		t.Helper()
		b := files["blobs/"+strings.Replace(d.Digest, ":", "/", 1)]
		sum := sha256.Sum256(b)
		if fmt.Sprintf("sha256:%x", sum) != d.Digest || len(b) != d.Size {
			t.Fatalf("blob %s of %d bytes: want %d", d.Digest, len(b), d.Size)
		}
		if into != nil {
			if err := json.Unmarshal(b, into); err != nil {
				t.Fatal(err)
			}
		}
		return b
	}
	var index struct{ Manifests []descriptor }
	if err := json.Unmarshal(files["index.json"], &index); err != nil || len(index.Manifests) != 1 {
		t.Fatalf("index %s, %v", files["index.json"], err)
	}
	if tag := index.Manifests[0].Annotations["org.opencontainers.image.ref.name"]; tag != "1" {
		t.Errorf("tag %q: want the version's number", tag)
	}
	var manifest struct {
		MediaType    string
		ArtifactType string
		Config       descriptor
		Layers       []descriptor
	}
	blob(index.Manifests[0], &manifest)
	if manifest.ArtifactType != "application/vnd.cncf.model.manifest.v1+json" || manifest.Config.MediaType != "application/vnd.cncf.model.config.v1+json" {
		t.Errorf("manifest of %q with config %q", manifest.ArtifactType, manifest.Config.MediaType)
	}
	var config struct {
		ModelFS struct {
			Type    string
			DiffIDs []string `json:"diffIds"`
		}
	}
	blob(manifest.Config, &config)
	var names []string
	for i, layer := range manifest.Layers {
		b := blob(layer, nil)
		names = append(names, layer.Annotations["org.cncf.model.filepath"])
		if config.ModelFS.DiffIDs[i] != layer.Digest {
			t.Errorf("diff id %s: want %s", config.ModelFS.DiffIDs[i], layer.Digest)
		}
		if names[i] == "head.safetensors" {
			path := filepath.Join(t.TempDir(), "head.safetensors")
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := trainer.LoadHead(path); err != nil {
				t.Error(err)
			}
		}
	}
	if want := []string{"README.md", "config.json", "head.safetensors", "model.onnx", "provenance.json", "version.json"}; !slices.Equal(names, want) {
		t.Errorf("files %q: want %q", names, want)
	}
}
