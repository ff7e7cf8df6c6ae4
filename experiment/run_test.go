package experiment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/embedcache"
	"github.com/medprobe/medprobe/evaluate"
	"github.com/medprobe/medprobe/trainer"
)

func TestFiguresAreThoseOfThePredictions(t *testing.T) {
	t.Parallel()
	r := newWorld(t).run(pairs)
	for _, f := range r.Report.Findings {
		for _, m := range f.Methods {
			var scores []float64
			var labels []bool
			var groups []string
			for _, p := range r.predictions {
				if p.Finding == f.Name && p.Method == m.Method && p.Label != nil {
					scores, labels, groups = append(scores, p.Score), append(labels, *p.Label == 1), append(groups, p.Patient)
				}
				if got := 1 / (1 + math.Exp(-p.Score)); math.Abs(got-p.Probability) > 1e-12 {
					t.Fatalf("probability %v for score %v", p.Probability, p.Score)
				}
			}
			want, err := evaluate.AUC(scores, labels, groups)
			if err != nil {
				t.Fatal(err)
			}
			if got := m.AUC; got.Point != want.Point || got.Low != want.Low || got.High != want.High {
				t.Errorf("%s of %s: %v, but the predictions give %v", m.Method, f.Name, got, want)
			}
			if m.AUC.Unit != "patient" || m.AUC.Units != patients/2 {
				t.Errorf("%s of %s: over %d %s: want %d patients", m.Method, f.Name, m.AUC.Units, m.AUC.Unit, patients/2)
			}
		}
	}
}

func TestProbeFindsWhatNoPromptNames(t *testing.T) {
	t.Parallel()
	r := newWorld(t).run(pairs).Report
	named, unnamed := r.Findings[0], r.Findings[1]
	if auc := named.Methods[0].AUC.Point; auc < 0.8 {
		t.Errorf("zero-shot AUC %.3f of a finding that its prompt names", auc)
	}
	if d := unnamed.Differences[0]; d.A != "linear-probe" || d.Difference.Low <= 0 {
		t.Errorf("difference %+v: want the probe above zero-shot with its interval", d)
	}
}

func TestTestLabelsDoNotMoveAHead(t *testing.T) {
	t.Parallel()
	trained := func(w *world) map[string]string {
		dir := t.TempDir()
		if err := w.run(pairs).Write(dir + "/run"); err != nil {
			t.Fatal(err)
		}
		return files(t, dir+"/run/heads")
	}
	honest := trained(newWorld(t))
	w := newWorld(t)
	for i, row := range w.rows {
		if strings.Contains(row, ",test,") {
			fields := strings.Split(row, ",")
			w.rows[i] = strings.Join(append(fields[:3], fields[4], fields[3]), ",")
		}
	}
	for name, bytes := range trained(w) {
		if bytes != honest[name] {
			t.Errorf("other labels in the test part change heads/%s", name)
		}
	}
}

func TestEverySampleIsAccountedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("scan-000-0.png", []byte("no picture"))                                  // cannot be decoded
	w.rows[2] = "scan-missing.png,Doe^Jane-001,train,1,0"                            // cannot be read
	w.rows = append(w.rows, w.twin("scan-001-0.png")+",Doe^Jane-900,,1,0")           // in no part
	w.rows = append(w.rows, w.twin("scan-001-1.png")+",Doe^Jane-901,validation,1,0") // another part
	w.rows = append(w.rows, w.twin("scan-002-1.png")+",Doe^Jane-902,train,,-1")      // nothing known
	w.rows = append(w.rows, "../scan-outside.png,Doe^Jane-903,train,1,0")            // refused by the reader
	r := w.run(pairs)
	got := r.Report.Counts
	want := evaluate.Counts{
		Samples: 2*patients + 4, Used: 2*patients - 2,
		Excluded: []evaluate.Tally{{Reason: unusable, N: 1}, {Reason: "in no part of the split", N: 1}, {Reason: `in part "validation", which the experiment does not use`, N: 1}, {Reason: noLabel, N: 1}},
		Failed:   []evaluate.Tally{{Reason: "could not be decoded", N: 1}, {Reason: "could not be read", N: 1}},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("counts %+v: want %+v", got, want)
	}
	outcomes := map[string]int{}
	for _, s := range r.samples {
		outcomes[s.Outcome]++
		if (s.Outcome == used) != (s.Reason == "") || (s.Outcome == used) != (s.Part != "") {
			t.Errorf("sample %+v: only what is used has a part, and no reason", s)
		}
	}
	if outcomes[used] != got.Used || outcomes[excluded] != 4 || outcomes[failed] != 2 {
		t.Errorf("samples.parquet has %v, the report %+v", outcomes, got)
	}
	if trained := r.Report.Splits[trainPart].Samples + r.Report.Splits[testPart].Samples; trained != got.Used {
		t.Errorf("parts hold %d samples, %d are used", trained, got.Used)
	}
}

func TestTooManyFailuresEndTheRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("scan-000-0.png", nil)
	_, err := Run(t.Context(), w.load(pairs+"max_failures: 0\n"), w.options())
	if _, ok := errors.AsType[*embedcache.TooManyFailuresError](err); !ok {
		t.Errorf("error %v: want a TooManyFailuresError", err)
	}
	if !strings.Contains(err.Error(), "(max_failures)") || !strings.Contains(err.Error(), "scan-000-0.png") {
		t.Errorf("error %v: want the key of an experiment and the first sample", err)
	}
}

func TestLeaks(t *testing.T) {
	t.Parallel()
	leaky := func() *world {
		w := newWorld(t)
		w.rows = append(w.rows, w.twin("scan-000-0.png")+",Doe^Jane-950,test,0,0", w.twin("scan-001-0.png")+",Doe^Jane-059,train,1,0")
		return w
	}
	w := leaky()
	if _, err := Run(t.Context(), w.load(pairs), w.options()); !errors.Is(err, ErrLeak) || !strings.Contains(err.Error(), "leakage: drop") {
		t.Errorf("error %v: want ErrLeak and what to do", err)
	}
	r := leaky().run(pairs + "leakage: warn\n").Report
	if !slices.ContainsFunc(r.Warnings, func(s string) bool { return strings.Contains(s, "figures may be too good") }) {
		t.Errorf("no warning of leaks in %q", r.Warnings)
	}
	r = leaky().run(pairs + "leakage: drop\n").Report
	dropped := evaluate.Tally{Reason: "in train, and its patient or image in test too", N: 2}
	if !slices.Contains(r.Counts.Excluded, dropped) {
		t.Errorf("excluded %+v: want %+v", r.Counts.Excluded, dropped)
	}
	if clean := newWorld(t).run(pairs).Report; len(clean.Warnings) != 0 {
		t.Errorf("warnings of clean data: %q", clean.Warnings)
	}
}

func TestWithoutASplitPatientsAreDivided(t *testing.T) {
	t.Parallel()
	r := newWorld(t).run(pairs + "split: {train: 0.25, test: 0.5, ignore_predefined: true}\n")
	part := map[string]string{}
	for _, s := range r.samples {
		if s.Part == "" {
			continue
		}
		if other, ok := part[s.Patient]; ok && other != s.Part {
			t.Errorf("patient %s stands in %s and %s", s.Patient, other, s.Part)
		}
		part[s.Patient] = s.Part
	}
	if train, test := *r.Report.Splits[trainPart].Patients, *r.Report.Splits[testPart].Patients; train < patients/4-2 || train > patients/4+2 || test < patients/2-2 || test > patients/2+2 {
		t.Errorf("%d patients to train and %d to test: want about %d and %d", train, test, patients/4, patients/2)
	}
}

func TestCurvesSayWhatCannotBeDrawn(t *testing.T) {
	t.Parallel()
	r := newWorld(t).run(pairs).Report
	if len(r.Curves) != 4 {
		t.Fatalf("%d curves: want 2 findings × 2 heads", len(r.Curves))
	}
	for _, c := range r.Curves {
		last := c.Points[len(c.Points)-1]
		if last.AUC != nil || !strings.HasPrefix(last.Unmet, "only 28 positive") && !strings.HasPrefix(last.Unmet, "only 30 positive") {
			t.Errorf("%s of %s at 500 shots: %+v: want no figure and why", c.Method, c.Finding, last)
		}
		first := c.Points[0]
		if first.Positives != 1 || first.Negatives != 1 || first.Draws != 3 || first.AUC == nil || *first.DrawLow > first.AUC.Point || *first.DrawHigh < first.AUC.Point {
			t.Errorf("%s of %s at 1 shot: %+v", c.Method, c.Finding, first)
		}
	}
}

func TestTooFewShotsToTrainAreAnError(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := Run(t.Context(), w.load(pairs+"train: {shots: 31}\n"), w.options())
	if err == nil || !strings.Contains(err.Error(), "31 shots") || !strings.Contains(err.Error(), "28 there") {
		t.Errorf("error %v: want how many were asked for and are there", err)
	}
}

func TestClassesThatExcludeOneAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i, row := range w.rows {
		fields := strings.Split(row, ",")
		class := map[string]string{"00": "neither", "10": "upper", "01": "lower", "11": "upper"}[fields[3]+fields[4]]
		w.rows[i] = strings.Join(append(fields[:3], class, ""), ",")
	}
	yaml := `
data: {format: csv, path: labels.csv, image: path, patient: patient, split: split, label: upper}
encoder: quadrants
prompts:
  upper: {positive: [bright in the upper left]}
  lower: {positive: [bright in the lower right]}
  neither: {positive: [noise]}
train: {shots: 8}
`
	r := w.run(yaml)
	if r.Report.Dataset.Task != "multiclass" || len(r.Report.Findings) != 3 {
		t.Fatalf("task %s with %d findings", r.Report.Dataset.Task, len(r.Report.Findings))
	}
	sums := map[string]float64{}
	for _, p := range r.predictions {
		sums[p.ID+p.Method] += p.Probability
	}
	for key, sum := range sums {
		if math.Abs(sum-1) > 1e-9 {
			t.Errorf("probabilities of %s add up to %v", key, sum)
		}
	}
	if m := r.Report.Macro; m == nil || m.Methods[1].AUC.Point < 0.7 {
		t.Errorf("macro %+v", m)
	}
}

func TestWithoutPromptsTheFirstHeadIsTheBaseline(t *testing.T) {
	t.Parallel()
	yaml := pairs[:strings.Index(pairs, "prompts:")] + "heads: [linear-probe, logistic]\n"
	r := newWorld(t).run(yaml).Report
	if m := r.Findings[0].Methods; len(m) != 2 || m[0].Method != "linear-probe" {
		t.Errorf("methods %+v", m)
	}
	if !slices.ContainsFunc(r.Warnings, func(s string) bool { return strings.Contains(s, "no zero-shot prior") }) {
		t.Errorf("no word in %q of the probe being without a prior", r.Warnings)
	}
}

// Every kind of head runs in an experiment, is kept, and scores as it did; from
// few shots, with a support for each finding, and from all samples.
func TestEveryKindOfHeadRuns(t *testing.T) {
	t.Parallel()
	for _, train := range []string{"train: {shots: 6}\n", ""} {
		w := newWorld(t)
		r := w.run(pairs + train + "heads: [" + strings.Join(trainer.Kinds(), ", ") + "]\n")
		if n := len(r.Report.Findings[0].Methods); n != 1+len(trainer.Kinds()) {
			t.Fatalf("%d methods", n)
		}
		for _, m := range r.Report.Findings[0].Methods {
			var fit trainer.ClassFit
			if m.Method != zeroShot && (json.Unmarshal(m.Fit, &fit) != nil || fit.Class == "" || fit.Chosen && fit.Path == nil && fit.Members == nil) {
				t.Errorf("%s: the report says %s: want how it was fitted", m.Method, m.Fit)
			}
			if m.AUC.Point < 0.7 {
				t.Errorf("%s: AUC %.3f of a finding that prompts name", m.Method, m.AUC.Point)
			}
		}
		dir := t.TempDir() + "/run"
		if err := r.Write(dir); err != nil {
			t.Fatal(err)
		}
		for _, kind := range trainer.Kinds() {
			if _, err := trainer.LoadHead(dir + "/heads/" + kind + ".safetensors"); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestInterruptedRunComputesNothingTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o, c := w.options(), w.load(pairs)
	ctx, cancel := context.WithCancel(t.Context())
	o.Progress = func(step string, done, _ int) {
		if step == "embed" && done >= 32 {
			cancel()
		}
	}
	if _, err := Run(ctx, c, o); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v: want %v", err, context.Canceled)
	}
	o.Progress = nil
	again := &quadrants{}
	o.Encoder = again
	r, err := Run(t.Context(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Cached < 32 || again.encoded != r.Embedded || r.Cached+r.Embedded != 2*patients {
		t.Errorf("%d found, %d computed, %d encoded: want at least 32 found", r.Cached, r.Embedded, again.encoded)
	}
}
