package registry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

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

// keepers are heads that keep samples or layers, and linear ones of papers.
func keepers(t testing.TB) map[string]*trainer.Head {
	t.Helper()
	all, err := fitKeepers()
	if err != nil {
		t.Fatal(err)
	}
	return maps.Clone(all)
}

var fitKeepers = sync.OnceValues(func() (map[string]*trainer.Head, error) {
	x, _ := vectors(5, 60, 8)
	many := trainer.Targets{Classes: []string{"effusion", "nodule"}}
	one := trainer.Targets{Classes: []string{"a", "b", "c"}, Exclusive: true}
	for i := range x.Rows {
		known := []int8{trainer.Negative, trainer.Positive, trainer.Unknown}
		many.Values = append(many.Values, []int8{known[i%2], known[i%3]})
		class := []int8{trainer.Negative, trainer.Negative, trainer.Negative}
		class[i%3] = trainer.Positive
		one.Values = append(one.Values, class)
	}
	all := map[string]*trainer.Head{}
	fit := func(name string, y trainer.Targets, o trainer.Options) error {
		texts, _ := vectors(6, len(y.Classes), 8)
		switch o.Head {
		case trainer.KNN:
			o.Neighbours = 7
		case trainer.TipAdapter, trainer.TipAdapterF:
			o.Alpha, o.Beta = 1.2, 2
		}
		if trainer.NeedsPrior(o.Head) {
			o.Prior = &trainer.Prior{T: texts, Scale: 0.5, Bias: -0.2}
		}
		h, err := trainer.Fit(context.Background(), x, y, nil, o)
		if err != nil {
			return fmt.Errorf("%s, %s: %w", o.Head, name, err)
		}
		all[o.Head+", "+name] = h
		return nil
	}
	for _, kind := range []string{trainer.TipAdapter, trainer.TipAdapterF, trainer.KNN, trainer.MLP, trainer.GDA, trainer.Prototype, trainer.Ensemble} {
		o := trainer.Options{Head: kind}
		if kind == trainer.Ensemble {
			o.Members = []string{trainer.Logistic, trainer.Prototype}
		}
		if err := errors.Join(fit("plain", many, o), fit("exclusive", one, o)); err != nil {
			return nil, err
		}
	}
	for _, kind := range []string{trainer.TipAdapter, trainer.KNN} {
		for calibrate, y := range map[string]trainer.Targets{trainer.Platt: many, trainer.Isotonic: many, trainer.Temperature: one} {
			if err := fit(calibrate, y, trainer.Options{Head: kind, Calibrate: calibrate}); err != nil {
				return nil, err
			}
		}
	}
	// Samples of a class may be few or none, and β may differ.
	few := *all["tip-adapter, plain"]
	cache := *few.Cache
	cache.Values.Data = slices.Clone(cache.Values.Data)
	clear(cache.Values.Data[:cache.Values.Cols])
	cache.Alpha, cache.Beta = []float64{1, 2.5}, []float64{3, 0.5}
	few.Cache = &cache
	all["tip-adapter of one class"] = &few
	silent := *all["knn, plain"]
	silent.Cache = &trainer.Cache{Keys: cache.Keys, Values: cache.Values, Neighbours: []int{3, 400}, Temperature: 0.07}
	all["knn of one class"] = &silent
	return all, nil
})

// labels are those that the export promises.
func labels(h *trainer.Head, p []float32) (names []string) {
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
	startRuntime(t)
	x, _ := vectors(77, 200, 8)
	all := heads(t)
	maps.Copy(all, keepers(t))
	for name, h := range all {
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
		if want := labels(h, got); !slices.Equal(names, want) {
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
	all := heads(t)
	maps.Copy(all, keepers(t))
	names := slices.Sorted(maps.Keys(all))
	dir, args := t.TempDir(), []string{"-c", checkModels}
	for i, name := range names {
		model, err := registry.ONNX(all[name])
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		args = append(args, filepath.Join(dir, fmt.Sprint(i)+".onnx"))
		if err := os.WriteFile(args[len(args)-1], model, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command("/usr/bin/python3", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	if len(lines) != len(names) {
		t.Fatalf("%d models checked: want %d", len(lines), len(names))
	}
	for i, name := range names {
		var got struct {
			Domains []string
			Classes string
		}
		if err := json.Unmarshal(lines[i], &got); err != nil {
			t.Fatal(err)
		}
		var classes []string
		if err := json.Unmarshal([]byte(got.Classes), &classes); err != nil || !slices.Equal(classes, all[name].Classes) || !slices.Equal(got.Domains, []string{""}) {
			t.Errorf("%s: %+v (%v): want core operators and classes %q", name, got, err, all[name].Classes)
		}
	}
}

const checkModels = `import onnx, sys, json
for path in sys.argv[1:]:
    onnx.checker.check_model(path, full_check=True)
    m = onnx.load(path, load_external_data=False)
    print(json.dumps({"domains": [o.domain for o in m.opset_import], "classes": {p.key: p.value for p in m.metadata_props}["medprobe.classes"]}))`

// What the graph does not compute is not left out.
func TestHeadsWithoutONNXAreRefused(t *testing.T) {
	t.Parallel()
	joined := *fit(t, 1, trainer.Options{Head: trainer.Logistic, C: 1})
	joined.Covariates = &trainer.Encoding{Columns: []trainer.CovariateColumn{{Name: "age", Mean: 50, Dev: 10}}}
	values := *fit(t, 1, trainer.Options{Head: trainer.Logistic, C: 1})
	values.Kind = trainer.ValueKinds()[0]
	for want, h := range map[string]*trainer.Head{`covariates ["age"]`: &joined, "gives values": &values} {
		if _, err := registry.ONNX(h); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "export safetensors") {
			t.Errorf("error %v: want %q and what to do", err, want)
		}
	}
}
