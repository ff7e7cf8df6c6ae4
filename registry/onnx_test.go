package registry_test

import (
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/medprobe/medprobe/encoder"
	"github.com/medprobe/medprobe/internal/needs"
	"github.com/medprobe/medprobe/registry"
	"github.com/medprobe/medprobe/trainer"
	ort "github.com/yalue/onnxruntime_go"
	"gonum.org/v1/gonum/blas/blas32"
)

// heads are of every shape that the export carries.
func heads(t testing.TB) map[string]*trainer.Head {
	t.Helper()
	x, _ := vectors(5, 90, 8)
	many := trainer.Targets{Classes: []string{"effusion", "nodule, <small>", "läsion"}}
	one := trainer.Targets{Classes: []string{"a", "b", "c"}, Exclusive: true}
	for i := range x.Rows {
		known := func(j int) int8 {
			if x.Data[i*8+j] > 0 {
				return trainer.Positive
			}
			return trainer.Negative
		}
		many.Values = append(many.Values, []int8{known(0), known(1), known(2)})
		class := []int8{trainer.Negative, trainer.Negative, trainer.Negative}
		class[i%3] = trainer.Positive
		one.Values = append(one.Values, class)
	}
	fitted := func(y trainer.Targets, o trainer.Options) *trainer.Head {
		o.Head = trainer.Logistic
		h, err := trainer.Fit(t.Context(), x, y, nil, o)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	return map[string]*trainer.Head{
		"one finding":          fit(t, 1, trainer.Options{Head: trainer.Logistic, C: 1}),
		"one finding, platt":   fit(t, 1, trainer.Options{Head: trainer.Logistic, C: 1, Calibrate: trainer.Platt}),
		"findings":             fitted(many, trainer.Options{C: 1}),
		"findings, isotonic":   fitted(many, trainer.Options{C: 1, Calibrate: trainer.Isotonic}),
		"findings, platt":      fitted(many, trainer.Options{C: 10, Calibrate: trainer.Platt}),
		"classes":              fitted(one, trainer.Options{C: 1}),
		"classes, temperature": fitted(one, trainer.Options{C: 1, Calibrate: trainer.Temperature}),
	}
}

// labels are those that the export promises.
func labels(h *trainer.Head, p []float64) (names []string) {
	c := len(h.Classes)
	for i := 0; i < len(p); i += c {
		best := 0
		for k := range c {
			if p[i+k] > p[i+best] {
				best = k
			}
		}
		switch {
		case h.Exclusive || p[i+best] >= 0.5:
			names = append(names, h.Classes[best])
		default:
			names = append(names, "")
		}
	}
	return names
}

func TestONNXRuntimeGivesTheSameProbabilities(t *testing.T) {
	rt, _, err := encoder.FindRuntime("")
	if err != nil {
		needs.Skip(t, err.Error())
	}
	if !ort.IsInitialized() {
		ort.SetSharedLibraryPath(rt.Path)
		if err := ort.InitializeEnvironment(); err != nil {
			t.Fatal(err)
		}
	}
	x, _ := vectors(77, 200, 8)
	for name, h := range heads(t) {
		want, err := h.Probabilities(x)
		if err != nil {
			t.Fatal(err)
		}
		model, err := registry.ONNX(h)
		if err != nil {
			t.Fatal(err)
		}
		got, names := infer(t, model, x, len(h.Classes))
		for i, v := range want.Data {
			if math.Abs(v-float64(got[i])) > 1e-6 {
				t.Fatalf("%s: row %d: %v, want %v", name, i/len(h.Classes), got[i], v)
			}
		}
		if want := labels(h, want.Data); !slices.Equal(names, want) {
			t.Errorf("%s: labels %q: want %q", name, names, want)
		}
	}
}

// infer runs a model with ONNX Runtime.
func infer(t *testing.T, model []byte, x blas32.General, classes int) (probabilities []float32, names []string) {
	t.Helper()
	session, err := ort.NewDynamicAdvancedSessionWithONNXData(model, []string{"embedding"}, []string{"label", "probabilities"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Destroy()
	in, err := ort.NewTensor(ort.NewShape(int64(x.Rows), int64(x.Cols)), x.Data)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Destroy()
	label, err := ort.NewStringTensor(ort.NewShape(int64(x.Rows)))
	if err != nil {
		t.Fatal(err)
	}
	defer label.Destroy()
	p, err := ort.NewEmptyTensor[float32](ort.NewShape(int64(x.Rows), int64(classes)))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Destroy()
	if err := session.Run([]ort.Value{in}, []ort.Value{label, p}); err != nil {
		t.Fatal(err)
	}
	if names, err = label.GetContents(); err != nil {
		t.Fatal(err)
	}
	return slices.Clone(p.GetData()), names
}

func TestReferenceCheckerAcceptsHeads(t *testing.T) {
	t.Parallel()
	if err := exec.Command("/usr/bin/python3", "-c", "import onnx").Run(); err != nil {
		needs.Opinion(t, "no Python with onnx (Debian: python3-onnx)")
	}
	for name, h := range heads(t) {
		model, err := registry.ONNX(h)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "head.onnx")
		if err := os.WriteFile(path, model, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("/usr/bin/python3", "-c", `import onnx, sys, json
m = onnx.load(sys.argv[1]); onnx.checker.check_model(m, full_check=True)
print(json.dumps({"domains": [o.domain for o in m.opset_import], "classes": {p.key: p.value for p in m.metadata_props}["medprobe.classes"]}))`, path).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", name, err, out)
		}
		var got struct {
			Domains []string
			Classes string
		}
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatal(err)
		}
		var classes []string
		if err := json.Unmarshal([]byte(got.Classes), &classes); err != nil || !slices.Equal(classes, h.Classes) || !slices.Equal(got.Domains, []string{""}) {
			t.Errorf("%s: %+v (%v): want core operators and classes %q", name, got, err, h.Classes)
		}
	}
}

func TestHeadThatIsNotLinearIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := registry.ONNX(fit(t, 1, trainer.Options{Head: "knn"})); err == nil {
		t.Error("the ONNX export of a knn head leaves out its neighbours")
	}
}
