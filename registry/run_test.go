package registry_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/medprobe/medprobe/evaluate"
	"github.com/medprobe/medprobe/internal/safetensors"
	"github.com/medprobe/medprobe/registry"
	"github.com/medprobe/medprobe/trainer"
	"github.com/parquet-go/parquet-go"
	"go.uber.org/goleak"
	"gonum.org/v1/gonum/blas/blas32"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var space = trainer.Space{Encoder: "aaaa", Preprocess: "bbbb"}

// vectors draws n vectors and labels that they half tell.
func vectors(seed uint64, n, d int) (x blas32.General, labels []bool) {
	random := rand.New(rand.NewPCG(seed, 1))
	x = blas32.General{Rows: n, Cols: d, Stride: d, Data: make([]float32, n*d)}
	for i := range n {
		labels = append(labels, i%2 == 0)
		for j := range d {
			x.Data[i*d+j] = float32(random.NormFloat64())
		}
		if labels[i] {
			x.Data[i*d] += 1.5
		}
	}
	return x, labels
}

// fit trains a head of a kind for one finding.
func fit(t testing.TB, seed uint64, o trainer.Options) *trainer.Head {
	t.Helper()
	x, labels := vectors(seed, 60, 8)
	y := trainer.Targets{Classes: []string{"effusion"}}
	for _, label := range labels {
		y.Values = append(y.Values, []int8{map[bool]int8{true: trainer.Positive, false: trainer.Negative}[label]})
	}
	h, err := trainer.Fit(t.Context(), x, y, nil, o)
	if err != nil {
		t.Fatal(err)
	}
	h.Space = space
	return h
}

type row struct {
	ID          string  `parquet:"id"`
	Patient     string  `parquet:"patient"`
	Part        string  `parquet:"split"`
	Finding     string  `parquet:"finding"`
	Label       *int32  `parquet:"label"`
	Method      string  `parquet:"method"`
	Score       float64 `parquet:"score"`
	Probability float64 `parquet:"probability"`
}

// run writes what an experiment leaves: a head, tested on 40 images of 20
// patients, whose names begin with "Doe".
func run(t testing.TB, h *trainer.Head) string {
	t.Helper()
	return runOf(t, h, 40, h.Space)
}

// runOf is run with n images, whose vectors the report says are of that space.
func runOf(t testing.TB, h *trainer.Head, n int, of trainer.Space) string {
	t.Helper()
	dir := t.TempDir()
	x, labels := vectors(99, n, h.W.Cols)
	p, err := h.Probabilities(x)
	if err != nil {
		t.Fatal(err)
	}
	z, err := h.LogOdds(x)
	if err != nil {
		t.Fatal(err)
	}
	var rows []row
	var groups []string
	var scores, probabilities []float64
	for i, label := range labels {
		known := map[bool]int32{true: 1}[label]
		groups = append(groups, fmt.Sprintf("Doe^%d", i/2))
		scores, probabilities = append(scores, z.Data[i]), append(probabilities, p.Data[i])
		rows = append(rows, row{fmt.Sprintf("Doe/%d.png", i), groups[i], "test", "effusion", &known, h.Kind, z.Data[i], p.Data[i]})
	}
	findings, macro, err := evaluate.Assess(t.Context(), []evaluate.Trial{{
		Name: "effusion", Labels: labels, Groups: groups, Methods: []evaluate.Scored{{Method: h.Kind, Scores: scores, Probabilities: probabilities}},
	}}, "patient", evaluate.Bootstrap{Resamples: 200})
	if err != nil {
		t.Fatal(err)
	}
	patients := n / 2
	report := &evaluate.Report{
		Schema: evaluate.Schema, Name: "a run", Findings: findings, Macro: macro,
		Dataset: evaluate.DatasetFacts{Spec: "csv:labels.csv", Digest: "dddd", Task: "binary", Samples: n, Images: n, Patients: &patients, Unit: "patient"},
		Counts:  evaluate.Counts{Samples: n, Used: n},
		Splits:  map[string]evaluate.Part{"test": {Samples: n, Patients: &patients}},
		Mistakes: &evaluate.Mistakes{Method: h.Kind, Findings: []evaluate.FindingMistakes{{
			Finding: "effusion", Positive: []evaluate.Mistake{{Image: []byte("pixels of Doe"), Nearest: []evaluate.Neighbour{}}}, Negative: []evaluate.Mistake{},
		}}},
		Encoder: evaluate.EncoderFacts{
			Name: "demo", Fingerprint: of.Encoder, Preprocess: "hf", PreprocessFingerprint: of.Preprocess, Dim: h.W.Cols,
			Source: "hospital/encoder", License: "other, of-the-hospital, https://example.org/terms",
		},
	}
	files := map[string]*bytes.Buffer{}
	for _, name := range []string{"report.json", "predictions.parquet", "experiment.json", "sample.safetensors", "heads/" + h.Kind + ".safetensors"} {
		files[name] = &bytes.Buffer{}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(report.WriteJSON(files["report.json"]))
	must(parquet.Write(files["predictions.parquet"], rows))
	files["experiment.json"].WriteString(`{"Name":"a run"}`)
	must(safetensors.Write(files["sample.safetensors"], []safetensors.Array{{Name: "vectors", Shape: []int{x.Rows, x.Cols}, Data: x.Data}}, nil))
	must(h.Write(files["heads/"+h.Kind+".safetensors"]))
	digests := map[string]string{}
	must(os.Mkdir(filepath.Join(dir, "heads"), 0o700))
	for name, b := range files {
		sum := sha256.Sum256(b.Bytes())
		digests[name] = hex.EncodeToString(sum[:])
		must(os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o600))
	}
	manifest, err := json.Marshal(map[string]any{"schema": "medprobe.run/1", "name": "a run", "seed": 7, "experiment": "eeee", "split": "ffff", "files": digests})
	must(err)
	must(os.WriteFile(filepath.Join(dir, "manifest.json"), manifest, 0o600))
	return dir
}

// open opens a new registry whose clock stands still.
func open(t testing.TB, dir string) *registry.Registry {
	t.Helper()
	r, err := registry.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	r.Now = func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }
	return r
}

// add keeps a head of a new run.
func add(t testing.TB, r *registry.Registry, model string, h *trainer.Head) *registry.Version {
	t.Helper()
	v, _, err := r.Add(t.Context(), model, registry.Origin{Run: run(t, h), By: "ada", Code: "1.0", Environment: "linux"})
	if err != nil {
		t.Fatal(err)
	}
	return v
}
