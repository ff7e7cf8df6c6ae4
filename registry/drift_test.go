package registry_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/evaluate"
	"github.com/medprobe/medprobe/internal/safetensors"
	"github.com/medprobe/medprobe/registry"
	"github.com/medprobe/medprobe/trainer"
)

// kept keeps a head of a run of 40 patients.
func kept(t *testing.T) (*registry.Registry, *registry.Version) {
	t.Helper()
	r := open(t, t.TempDir())
	h := fit(t, 1, trainer.Options{Head: trainer.Logistic, C: 1})
	v, _, err := r.Add(t.Context(), "cxr", registry.Origin{Run: runOf(t, h, 80, h.Space), By: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	return r, v
}

func TestAVersionKeepsItsReference(t *testing.T) {
	t.Parallel()
	r, v := kept(t)
	ref, err := r.Reference(v)
	if err != nil {
		t.Fatal(err)
	}
	if ref.Units != 40 || ref.Samples != 80 || ref.Unit != "patient" || len(ref.Scores) != 80 || len(ref.Sketch) != 80 || len(ref.Sketch[0]) != 2 || ref.Head != "logistic" {
		t.Errorf("%d samples of %d %ss, %d scores, %d vectors of %d", ref.Samples, ref.Units, ref.Unit, len(ref.Scores), len(ref.Sketch), len(ref.Sketch[0]))
	}
	if got, want := ref.Findings[0].AUC, v.Document.Metrics[0].AUC; got == nil || got.Point != want.Point || got.Low != want.Low {
		t.Errorf("AUC %+v: want that of the report, %+v", got, want)
	}
	verified(t, r, true)
	// The same run gives the same bytes.
	first, err := r.File(v, "reference.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	other, w := kept(t)
	if second, err := other.File(w, "reference.safetensors"); err != nil || !bytes.Equal(first, second) {
		t.Errorf("another reference of the same run (%v)", err)
	}
}

// What is exported holds it, names nobody and is read back the same.
func TestExportsHoldTheReference(t *testing.T) {
	t.Parallel()
	r, v := kept(t)
	want, err := r.Reference(v)
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"safetensors", "mlflow", "hf", "oci", "bundle"} {
		dir := exported(t, r, v, format)
		h, got, err := registry.ReadExport(dir)
		if err != nil {
			t.Errorf("%s: %v", format, err)
			continue
		}
		if h.Kind != "logistic" || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: a %s head, and another reference", format, h.Kind)
		}
		for name, b := range contents(t, dir) {
			if bytes.Contains(b, []byte("Doe")) {
				t.Errorf("%s: %s names a patient", format, name)
			}
		}
	}
	elsewhere := open(t, t.TempDir())
	w, _, err := elsewhere.Import(t.Context(), "lungs", exported(t, r, v, "bundle"), "bob")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := elsewhere.Reference(w); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("bundle: another reference (%v)", err)
	}
}

// A model's file holds none: it may lie beside it, and must be that of the version.
func TestAReferenceBesideAModel(t *testing.T) {
	t.Parallel()
	r, v := kept(t)
	model := exported(t, r, v, "onnx")
	if _, _, err := registry.ReadExport(model); !errors.Is(err, registry.ErrNoReference) || !strings.Contains(err.Error(), "put its reference.safetensors beside the model") {
		t.Errorf("alone: %v", err)
	}
	reference, err := r.File(v, "reference.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	beside := filepath.Join(filepath.Dir(model), "reference.safetensors")
	if err := os.WriteFile(beside, reference, 0o600); err != nil {
		t.Fatal(err)
	}
	want, err := r.Reference(v)
	if err != nil {
		t.Fatal(err)
	}
	if h, got, err := registry.ReadExport(model); err != nil || h.Kind != "logistic" || !reflect.DeepEqual(got, want) {
		t.Errorf("beside it: %v, %v", h, err)
	}
	reference[len(reference)-1] ^= 1
	if err := os.WriteFile(beside, reference, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := registry.ReadExport(model); !errors.Is(err, registry.ErrNoReference) {
		t.Errorf("another's beside it: %v", err)
	}
	if _, _, err := open(t, t.TempDir()).Import(t.Context(), "lungs", model, "bob"); err != nil {
		t.Errorf("another's beside it keeps the model out: %v", err)
	}
}

func TestAHeadInItsRunHasAReference(t *testing.T) {
	t.Parallel()
	dir := runOf(t, fit(t, 1, trainer.Options{Head: trainer.Logistic, C: 1}), 80, space)
	h, ref, err := registry.ReadExport(filepath.Join(dir, "heads", "logistic.safetensors"))
	if err != nil || h.Kind != "logistic" || ref.Units != 40 {
		t.Fatalf("%v, %v, %v", h, ref, err)
	}
	// Vectors that are not those of the predictions are noticed.
	path := filepath.Join(dir, "sample.safetensors")
	var b bytes.Buffer
	x, _ := vectors(7, 80, 8)
	if err := safetensors.Write(&b, []safetensors.Array{{Name: "vectors", Shape: []int{80, 8}, Data: x.Data}}, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := registry.ReadExport(filepath.Join(dir, "heads", "logistic.safetensors")); err == nil || !strings.Contains(err.Error(), "it was changed") {
		t.Errorf("a changed sample: %v", err)
	}
}

func TestFewPatientsLeaveNoReference(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir())
	v := add(t, r, "cxr", fit(t, 1, trainer.Options{Head: trainer.Logistic, C: 1})) // 20 patients
	if _, err := r.Reference(v); !errors.Is(err, registry.ErrNoReference) || v.HasReference() {
		t.Errorf("%v: want ErrNoReference", err)
	}
	if _, _, err := registry.ReadExport(exported(t, r, v, "safetensors")); !errors.Is(err, registry.ErrNoReference) {
		t.Errorf("%v: want ErrNoReference", err)
	}
	if _, _, err := registry.ReadExport(t.TempDir()); err == nil || !strings.Contains(err.Error(), "it holds no export of medprobe") {
		t.Errorf("an empty folder: %v", err)
	}
	verified(t, r, true)
}

// A reference of every form that was ever written must still open. That of form 1
// was written by this test's kept version on 25 November 2026.
func TestEarlierReferencesOpen(t *testing.T) {
	t.Parallel()
	got, err := registry.ReadReference("testdata/reference-1.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	if got.Schema != "medprobe.reference/1" || got.Samples != 80 || got.Units != 40 || len(got.Sketch) != 80 || len(got.Projection) != 2 || len(got.Scores[0]) != 1 || got.Findings[0].Name != "effusion" || got.Findings[0].AUC == nil {
		t.Errorf("%+v", got)
	}
	r, v := kept(t)
	now, err := r.Reference(v)
	if err != nil {
		t.Fatal(err)
	}
	d, err := evaluate.CompareDrift(t.Context(), got.Population(), now.Population(), evaluate.DriftOptions{})
	if err != nil || d.Verdict != evaluate.NoDrift || d.Embedding.MMD2 > 0 || d.Findings[0].Scores.KS > 0.05 {
		t.Errorf("against the same made anew: %+v, %v", d, err)
	}
}

// A reference that is not one is an error and never a panic.
func FuzzReadReference(f *testing.F) {
	dir := f.TempDir()
	r := &evaluate.Reference{
		Schema: evaluate.ReferenceSchema, Samples: 30, Units: 30, Unit: "patient", Findings: []evaluate.ReferenceFinding{{Name: "effusion"}},
		Scores: [][]float32{{0.5}}, ScoreUnits: []int{0}, Sketch: [][]float32{{1}}, SketchUnits: []int{0}, Projection: [][]float32{{1, 1, 1, 1}},
		Mean: make([]float32, 4), Deviation: make([]float32, 4),
	}
	var b bytes.Buffer
	if err := registry.WriteReference(&b, r); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(b.Bytes()[:b.Len()-3])
	f.Add(bytes.Replace(b.Bytes(), []byte("score.units"), []byte("score.unitz"), 1))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(dir, "x")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		read, err := registry.ReadReference(path)
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := registry.WriteReference(&again, read); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, again.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		if twice, err := registry.ReadReference(path); err != nil || !reflect.DeepEqual(read, twice) {
			t.Errorf("read again: %+v, %v: want %+v", twice, err, read)
		}
	})
}
