package evaluate

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// drawnRun is a run whose method says of 80 samples what shift makes of it.
func drawnRun(t *testing.T, name string, shift float64, change func(*Prediction)) Run {
	t.Helper()
	random := rand.New(rand.NewPCG(4, 4))
	run := Run{Name: name, Settings: []byte(`{"Heads":["logistic"],"Train":{"Shots":` + fmt.Sprint(int(10*shift)) + `}}`)}
	trial := Trial{Name: "nodule"}
	m := Scored{Method: "logistic"}
	for i := range 80 {
		label := int32(i % 2)
		p := Prediction{ID: fmt.Sprint("s", i), Patient: fmt.Sprint("p", i/2), Part: "test", Finding: "nodule", Label: &label, Method: "logistic", Score: random.NormFloat64() + shift*float64(label)}
		if change != nil {
			change(&p)
		}
		run.Rows = append(run.Rows, p)
		trial.Labels, trial.Groups = append(trial.Labels, *p.Label == 1), append(trial.Groups, p.Patient)
		m.Scores = append(m.Scores, p.Score)
	}
	trial.Methods = []Scored{m}
	run.Report = &Report{Name: name, Dataset: DatasetFacts{Unit: "patient", Digest: "d"}}
	var err error
	if run.Report.Findings, _, err = Assess(t.Context(), []Trial{trial}, "patient", Bootstrap{Resamples: 100}); err != nil {
		t.Fatal(err)
	}
	return run
}

func TestRunsAreComparedInPairsOnTheSameSamplesOnly(t *testing.T) {
	t.Parallel()
	a, b := drawnRun(t, "a", 0.5, nil), drawnRun(t, "b", 2, nil)
	var scoresA, scoresB []float64
	var labels []bool
	var groups []string
	for i := range a.Rows {
		scoresA, scoresB = append(scoresA, a.Rows[i].Score), append(scoresB, b.Rows[i].Score)
		labels, groups = append(labels, *a.Rows[i].Label == 1), append(groups, a.Rows[i].Patient)
	}
	want, err := Compare(scoresB, scoresA, labels, groups)
	if err != nil {
		t.Fatal(err)
	}
	runs, err := CompareRuns([]Run{a, b})
	if err != nil {
		t.Fatal(err)
	}
	d := runs.Findings[0].Differences[0]
	if !d.Paired || d.Difference.Unit != "patient" || d.AdjustedP == nil {
		t.Fatalf("%+v", d)
	}
	within(t, "difference", d.Difference.Point, want.Difference.Point, 1e-12)
	within(t, "low", d.Difference.Low, want.Difference.Low, 1e-12)
	within(t, "p", *d.P, want.P, 1e-12)
	if got := runs.Findings[0].Results; len(got) != 2 || got[1].Run != 1 || got[1].AUC.Point != b.Report.Findings[0].Methods[0].AUC.Point {
		t.Errorf("results %+v", got)
	}
	if len(runs.Settings) != 1 || runs.Settings[0].Name != "Train.Shots" || runs.Settings[0].Values[1] != "20" {
		t.Errorf("settings %+v: want what differs and nothing else", runs.Settings)
	}
	for why, change := range map[string]func(*Prediction){
		"in b only":      func(p *Prediction) { p.ID = strings.Replace(p.ID, "s7", "x7", 1) },
		"other labels":   func(p *Prediction) { label := *p.Label ^ map[bool]int32{p.ID == "s3": 1}[true]; p.Label = &label },
		"other patients": func(p *Prediction) { p.Patient += "x" },
	} {
		runs, err := CompareRuns([]Run{a, drawnRun(t, "b", 2, change)})
		if err != nil {
			t.Fatal(err)
		}
		d := runs.Findings[0].Differences[0]
		if d.Paired || d.Difference != nil || d.P != nil || !strings.Contains(strings.Join(d.Unpaired, "; "), why) {
			t.Errorf("%s: %+v", why, d)
		}
		for _, text := range d.Unpaired {
			if strings.Contains(text, "s7") || strings.Contains(text, "p1") {
				t.Errorf("%s: names a sample or patient: %s", why, text)
			}
		}
	}
	if _, err := CompareRuns([]Run{a}); err == nil {
		t.Error("one run is compared")
	}
	b.Rows = append(b.Rows, b.Rows[0])
	if _, err := CompareRuns([]Run{a, b}); err == nil {
		t.Error("a sample with two scores is compared")
	}
}

func TestSubgroupsOfATrial(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(2, 8))
	trial := Trial{Name: "nodule", Methods: []Scored{{Method: "probe"}}}
	var ages []string
	for i := range 240 {
		y := i % 2
		p := 0.2 + 0.5*random.Float64() + 0.25*float64(y)
		if i >= 120 {
			p = random.Float64() // the method tells nothing of the old
		}
		trial.Labels, trial.Groups = append(trial.Labels, y == 1), append(trial.Groups, fmt.Sprint(i))
		trial.Methods[0].Scores = append(trial.Methods[0].Scores, p)
		ages = append(ages, fmt.Sprint(30+i/120*40))
	}
	trial.Methods[0].Probabilities = trial.Methods[0].Scores
	age, err := ParseAttribute("age:50")
	if err != nil {
		t.Fatal(err)
	}
	by, err := age.Of(ages)
	if err != nil {
		t.Fatal(err)
	}
	groups, err := trial.Subgroups("probe", []Attributed{by}, 0.6, "patient")
	if err != nil {
		t.Fatal(err)
	}
	young, old := groups[0], groups[1]
	want, err := AUC(trial.Methods[0].Scores[:120], trial.Labels[:120], trial.Groups[:120])
	if err != nil {
		t.Fatal(err)
	}
	if young.Group != "under 50" || young.N != 120 || young.AUC.Point != want.Point || young.AUC.Unit != "patient" || young.AtThreshold.Threshold != 0.6 {
		t.Errorf("%+v", young)
	}
	if old.Difference.Point >= 0 || *old.AdjustedP != *young.AdjustedP || *old.AdjustedP > 0.01 {
		t.Errorf("old: %+v, p %v", old.Difference, *old.AdjustedP)
	}
	// Over two findings Holm counts twice.
	other := append([]Subgroup{}, groups...)
	for k := range other {
		other[k].Label = "other"
	}
	both := append(append([]Subgroup{}, groups...), other...)
	AdjustSubgroups(both)
	within(t, "adjusted over two findings", *both[0].AdjustedP, min(1, 2**groups[0].P), 1e-12)
	if _, err := trial.Subgroups("prob", []Attributed{by}, 0.5, "patient"); err == nil || !strings.Contains(err.Error(), "probe") {
		t.Errorf("a method that is not there: %v", err)
	}
	for _, bad := range []string{"age:x", "age:5,5", "age:"} {
		if _, err := ParseAttribute(bad); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
	if _, err := age.Of([]string{"fifty"}); err == nil || !strings.Contains(err.Error(), `"fifty"`) {
		t.Errorf("bands of words: %v", err)
	}
}
