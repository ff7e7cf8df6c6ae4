package evaluate

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

func TestAssessFillsAFinding(t *testing.T) {
	t.Parallel()
	w := drawWorld(rand.New(rand.NewPCG(21, 0)), 60, 2, false, 1.5, 0.4)
	none := Trial{Name: "nothing", Labels: make([]bool, 120), Groups: w.groups, Methods: []Scored{{Method: "zero-shot", Scores: w.a}, {Method: "linear-probe", Scores: w.b}}}
	p := make([]float64, len(w.b))
	for i, s := range w.b {
		p[i] = 1 / (1 + math.Exp(-s))
	}
	full := Trial{Name: "effusion", Labels: w.labels, Groups: w.groups, Methods: []Scored{{Method: "zero-shot", Scores: w.a}, {Method: "linear-probe", Scores: p, Probabilities: p, Detail: "C = 1"}}}
	findings, macro, err := Assess(t.Context(), []Trial{full, none, full}, "patient", Bootstrap{Resamples: 200})
	if err != nil {
		t.Fatal(err)
	}
	f := findings[0]
	if f.N != 120 || f.Positives != 60 || f.Units != 60 || f.Unit != "patient" || f.Methods[1].Detail != "C = 1" || f.Methods[0].Brier != nil {
		t.Errorf("%+v", f)
	}
	precision := f.Methods[1].AveragePrecision
	for name, e := range map[string]*Estimate{"AUC": f.Methods[1].AUC, "AP": precision, "Brier": f.Methods[1].Brier, "log-loss": f.Methods[1].LogLoss} {
		if !(e.Low < e.Point && e.Point < e.High) || e.Unit != "patient" || e.Units != 60 {
			t.Errorf("%s: %+v", name, e)
		}
	}
	want, err := Compare(p, w.a, w.labels, w.groups)
	if err != nil {
		t.Fatal(err)
	}
	d := f.Differences[0]
	if d.A != "linear-probe" || d.B != "zero-shot" || d.P != want.P || d.Difference.Low != want.Difference.Low || d.AdjustedP != min(1, 2*d.P) {
		t.Errorf("%+v, want %+v", d, want)
	}
	if n := findings[1]; n.Methods[0].AUC != nil || len(n.Differences) != 0 || n.Warnings[0].Code != WarnOneClass {
		t.Errorf("one class: %+v", n)
	}
	if macro == nil || len(macro.Findings) != 2 || math.Abs(macro.Methods[0].AUC.Point-f.Methods[0].AUC.Point) > 1e-12 || macro.Differences[0].Difference.Unit != "patient" {
		t.Errorf("%+v", macro)
	}
	other := full
	other.Methods = full.Methods[:1]
	if _, _, err := Assess(t.Context(), []Trial{full, other}, "patient", Bootstrap{}); err == nil || !strings.Contains(err.Error(), "other methods") {
		t.Errorf("other methods: %v", err)
	}

	patients := 60
	r := &Report{Name: "x", Findings: findings, Macro: macro, Counts: Counts{Samples: 120, Used: 120}, Dataset: DatasetFacts{Patients: &patients, Unit: "patient"}}
	var out, again bytes.Buffer
	if err := r.WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	read, err := ReadReport(bytes.NewReader(out.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(read.Findings, r.Findings) {
		t.Error("what was read is not what was written")
	}
	if err := read.WriteJSON(&again); err != nil || out.String() != again.String() {
		t.Errorf("%v: written, read and written again:\n%s\n%s", err, out.String(), again.String())
	}
}

func TestCountsAddUp(t *testing.T) {
	t.Parallel()
	c := Counts{Samples: 10, Used: 6, Excluded: []Tally{{"no label", 2}, {"blank", 1}}, Failed: []Tally{{"broken", 1}}}
	if err := c.Check(); err != nil {
		t.Error(err)
	}
	c.Used = 7
	if err := c.Check(); err == nil || err.Error() != "evaluate: counts do not add up: 7 used + 3 excluded + 1 failed = 11, but there are 10 samples" {
		t.Error(err)
	}
}

func TestBadReportsAreRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"schema":"medprobe.report/2"}`: `schema "medprobe.report/2": want "medprobe.report/1"`,
		`{`:                              "unexpected EOF",
		`{"schema":"medprobe.report/1","counts":{"samples":3}}`: "do not add up",
	} {
		if _, err := ReadReport(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestPublishedFiguresHaveTheirPublishedMeans(t *testing.T) {
	t.Parallel()
	var zeroShot, elixr, n float64
	for _, p := range published {
		if p.Domain == "chest X-ray" {
			zeroShot, elixr, n = zeroShot+*p.ZeroShot, elixr+*p.Other, n+1
		}
	}
	// The source gives the averages as .844 and .824.
	if got := fmt.Sprintf("%v %.3f %.3f %d", n, zeroShot/n, elixr/n, len(published)); got != "13 0.844 0.824 23" {
		t.Error(got)
	}
	if p := publishedFor("pleural_effusion"); len(p) != 1 || *p[0].ZeroShot != 0.914 {
		t.Errorf("%+v", p)
	}
	if p := publishedFor("a bone"); p != nil {
		t.Errorf("%+v", p)
	}
	r := Report{Findings: []Finding{{Name: "pneumonia"}}}
	if r.AddPublished(); len(r.Published) != 1 {
		t.Error("no published figure for pneumonia")
	}
	r.Synthetic = true
	if r.AddPublished(); r.Published != nil {
		t.Error("drawn images have published figures")
	}
}
