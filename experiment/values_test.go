package experiment

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/evaluate"
	"github.com/medprobe/medprobe/report"
	"github.com/medprobe/medprobe/trainer"
)

const numbers = `
name: Values
task: regression
data: {format: csv, path: labels.csv, image: path, patient: patient, split: split, labels: [upper, lower]}
encoder: quadrants
prompts:
  upper: {positive: [bright in the upper left], negative: [noise]}
  lower: {positive: [a streak], negative: [noise]}
near_duplicates: {cosine: 0.99999}
`

// withValues makes numbers of the findings: the patient's, with what is not seen
// in the image added; every ninth lower is not known.
func withValues(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	random := rand.New(rand.NewPCG(1, 2))
	for i, row := range w.rows {
		f := strings.Split(row, ",")
		for k, of := range []float64{10, -4} {
			x, err := strconv.ParseFloat(f[3+k], 64)
			if err != nil {
				t.Fatal(err)
			}
			f[3+k] = fmt.Sprintf("%.3f", 20+of*x+random.NormFloat64())
		}
		if i%9 == 0 {
			f[4] = ""
		}
		w.rows[i] = strings.Join(f, ",")
	}
	return w
}

func TestValuesAreJudgedOverPatients(t *testing.T) {
	t.Parallel()
	w := withValues(t)
	r := w.run(numbers)
	if r.Report.Values == nil || len(r.Report.Values.Targets) != 2 || len(r.Report.Findings) != 0 || r.Report.Dataset.Task != "regression" {
		t.Fatalf("report %+v: want two values and no finding", r.Report)
	}
	upper, lower := r.Report.Values.Targets[0], r.Report.Values.Targets[1]
	var names []string
	for _, m := range upper.Methods {
		names = append(names, m.Method)
		for what, e := range map[string]*evaluate.Estimate{"R²": m.R2, "MAE": m.MAE} {
			if e == nil || e.N != 60 || e.Units != 30 || e.Unit != "patient" || !(e.Low < e.High) {
				t.Errorf("%s of %s: %+v: want an interval over 30 patients", what, m.Method, e)
			}
		}
	}
	if want := []string{"mean-of-train", "zero-shot-axis", "ridge-prior", "ridge"}; !slices.Equal(names, want) {
		t.Fatalf("methods %q, want %q", names, want)
	}
	if mean := upper.Methods[0]; mean.R2.Point > 0 || mean.Spearman != nil {
		t.Errorf("the mean: %+v", mean)
	}
	for _, m := range upper.Methods[1:] { // the prompt names the quarter
		if m.R2.Point < 0.3 || m.Spearman.Low < 0.3 {
			t.Errorf("%s: R² %v, Spearman %v", m.Method, m.R2, m.Spearman)
		}
	}
	if axis, ridge := lower.Methods[1], lower.Methods[3]; axis.R2.Point > ridge.R2.Point-0.2 {
		t.Errorf("no prompt names lower: R² %v of the axis and %v of ridge", axis.R2, ridge.R2)
	}
	for _, d := range upper.Differences {
		if d.B == meanOfTrain && (!(d.Difference.High < 0) || d.AdjustedP >= 0.05) {
			t.Errorf("%s − %s: %+v: want less than 0", d.A, d.B, d)
		}
	}
	if lower.Missing+lower.TrainMissing != 14 || lower.N+lower.Train != 106 || upper.N+upper.Train != 120 {
		t.Errorf("lower: %d and %d missing of %d and %d", lower.Missing, lower.TrainMissing, lower.N, lower.Train)
	}
	if len(r.values) != 60*2*4 || len(r.predictions) != 0 {
		t.Errorf("%d predicted values, want %d", len(r.values), 60*2*4)
	}
}

// Nothing of the test part is in a head, and a run leaves the same bytes again.
func TestHeadsOfValuesDoNotKnowTheTest(t *testing.T) {
	t.Parallel()
	w := withValues(t)
	first := headBytes(t, w.run(numbers))
	again := w.run(numbers)
	if got := headBytes(t, again); !slices.EqualFunc(first, got, bytes.Equal) {
		t.Error("the same run left other heads")
	}
	for i, row := range w.rows {
		if f := strings.Split(row, ","); f[2] == "test" {
			f[3], f[4] = strconv.Itoa(i*i), strconv.Itoa(-i)
			w.rows[i] = strings.Join(f, ",")
		}
	}
	if got := headBytes(t, w.run(numbers)); !slices.EqualFunc(first, got, bytes.Equal) {
		t.Error("other values of the test part gave other heads")
	}
	dir := filepath.Join(t.TempDir(), "run")
	if err := again.Write(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ridge", "ridge-prior", "zero-shot-axis"} {
		head, err := trainer.LoadHead(filepath.Join(dir, "heads", name+".safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := head.Values(again.sample.x)
		if err != nil {
			t.Fatal(err)
		}
		first := slices.Index(again.sample.at, 0) * got.Stride // of scan-030-0.png
		for _, p := range again.values {
			if p.ID == "scan-030-0.png" && p.Method == name && p.Finding == "upper" && math.Abs(p.Predicted-got.Data[first]) > 1e-9 {
				t.Errorf("%s: %v in the table, %v by the head", name, p.Predicted, got.Data[first])
			}
		}
	}
}

func headBytes(t *testing.T, r *Result) (all [][]byte) {
	t.Helper()
	for _, h := range r.Heads {
		var b bytes.Buffer
		if err := h.Write(&b); err != nil {
			t.Fatal(err)
		}
		all = append(all, b.Bytes())
	}
	return all
}

func TestValuesThatCannotBeAreNamed(t *testing.T) {
	t.Parallel()
	w := withValues(t)
	w.rows[4] = strings.Replace(w.rows[4], ",train,", ",train,<5", 1)
	_, err := Run(t.Context(), w.load(numbers), w.options())
	if err == nil || !strings.Contains(err.Error(), `labels.csv:6: upper = "<5`) || !strings.Contains(err.Error(), "want a finite number") {
		t.Errorf("error %v: want file, row and cell", err)
	}
	for with, want := range map[string]string{
		"calibrate: platt":        "calibrate: is for findings",
		"train: {shots: 4}":       "train: is for findings",
		"covariates: [age]":       "covariates: is for findings",
		"heads: [logistic]":       `head "logistic"`,
		"heads: [ridge-primitve]": `did you mean "ridge-prior"`,
	} {
		w.write("experiment.yaml", []byte(numbers+with+"\n"))
		if _, err := Load(filepath.Join(w.dir, "experiment.yaml")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q in it", with, err, want)
		}
	}
	for from, to := range map[string]string{
		"labels: [upper, lower]}": "label: upper}",
		"format: csv":             "format: chexpert",
		"prompts:":                "heads: [ridge-prior]\nunused:",
		"task: regression":        "task: regresion",
	} {
		w.write("experiment.yaml", []byte(strings.Replace(numbers, from, to, 1)))
		if _, err := Load(filepath.Join(w.dir, "experiment.yaml")); err == nil {
			t.Errorf("%s: no error", to)
		}
	}
}

// The value of a patient with several images is the mean of those known.
func TestValuesOfAUnit(t *testing.T) {
	t.Parallel()
	w := withValues(t)
	r := w.run(strings.Replace(numbers, "labels: [upper", "aggregate: {by: patient}, labels: [upper", 1))
	if got := r.Report.Values.Targets[0]; got.N != 30 || got.Units != 30 {
		t.Errorf("%d samples of %d patients, want one of each", got.N, got.Units)
	}
	var a, b float64
	for _, row := range w.rows {
		if f := strings.Split(row, ","); f[1] == "Doe^Jane-030" {
			v, _ := strconv.ParseFloat(f[3], 64)
			a, b = b, v
		}
	}
	for _, p := range r.values {
		if p.ID == "Doe^Jane-030" && p.Finding == "upper" && math.Abs(*p.Value-(a+b)/2) > 1e-12 {
			t.Errorf("value %v, want the mean of %v and %v", *p.Value, a, b)
		}
	}
}

// The learning curves of values are over labelled samples; the baselines are
// fitted on the same ones.
func TestCurvesOfValues(t *testing.T) {
	t.Parallel()
	w := withValues(t)
	r := w.run(numbers + "heads: [ridge]\ncurve: {shots: [1, 4, 16, 4000], draws: 3}\n")
	curves := r.Report.Values.Curves
	if len(curves) != 2*3 {
		t.Fatalf("%d curves, want 2 targets × 3 methods", len(curves))
	}
	for _, c := range curves {
		if len(c.Points) != 4 || !strings.Contains(c.Points[0].Unmet, "from 2 samples") || !strings.Contains(c.Points[3].Unmet, "only ") {
			t.Fatalf("%s of %s: %+v", c.Method, c.Target, c.Points)
		}
		for _, p := range c.Points[1:3] {
			if p.MAE == nil || p.Draws != 3 || p.Patients == 0 || p.MAE.Units != 30 || c.Target == "upper" && (p.Spearman == nil) != (c.Method == meanOfTrain) || len(p.Over) != map[bool]int{true: 2}[c.Method == "ridge"] {
				t.Errorf("%s of %s at %d: %+v", c.Method, c.Target, p.Shots, p)
			}
		}
		if len(c.Enough) != len(c.Points[1].Over) {
			t.Errorf("%s of %s: enough %+v", c.Method, c.Target, c.Enough)
		}
	}
	// The prompt names upper, so that a line through its score learns soonest.
	mean, axis := curves[0], curves[1]
	if axis.Method != zeroShotAxis || axis.Points[2].MAE.Point > 0.8*mean.Points[2].MAE.Point {
		t.Errorf("16 labels: %s is off by %v, the mean by %v", axis.Method, axis.Points[2].MAE, mean.Points[2].MAE)
	}
	for name, write := range map[string]func(io.Writer, *evaluate.Report) error{"page": report.HTML, "Markdown": report.Markdown} {
		var b bytes.Buffer
		if err := write(&b, r.Report); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"How many labels it takes", "only 53 samples", "less the zero-shot axis"} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("the %s lacks %q", name, want)
			}
		}
	}
}
