package experiment

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

const wordings = `
upper: {positive: [upper left, a streak, lower left], negative: [noise]}
lower: {positive: [lower right], negative: [noise]}
`

func TestStudyRanksWordingsAwayFromTheTest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	z := ZeroShot{Data: w.load(pairs).Data, Prompts: w.dir + "/prompts.yaml", MaxFailures: "0"}
	w.write("prompts.yaml", []byte(wordings))
	s, err := z.Study(t.Context(), w.options())
	if err != nil {
		t.Fatal(err)
	}
	if s.Samples != patients || s.HeldOut != patients {
		t.Errorf("%d samples, %d held out: want %d and %d", s.Samples, s.HeldOut, patients, patients)
	}
	f := s.Findings[0]
	if len(f.Ranked) != 6 || f.Single != 3 || f.Units != patients/2 {
		t.Fatalf("%+v", f)
	}
	best, byText := f.Ranked[0], map[string]float64{}
	for k, r := range f.Ranked {
		if k > 0 && r.AUC.Point > f.Ranked[k-1].AUC.Point {
			t.Errorf("rank %d: %v after %v", k+1, r.AUC, f.Ranked[k-1].AUC)
		}
		if (r.Difference == nil) != (r.Ensemble == "mean") {
			t.Errorf("%s %q: difference %v", r.Ensemble, r.Positive, r.Difference)
		}
		if r.Ensemble == "" {
			byText[r.Positive[0]] = r.AUC.Point
		}
	}
	if byText["upper left"] < 0.8 || best.AUC.Point < byText["upper left"] || *f.High != byText["upper left"] || byText["a streak"] != 0.5 {
		t.Errorf("%v, best %v", byText, best.AUC)
	}
	if one := s.Findings[1]; len(one.Ranked) != 1 || one.Single != 1 {
		t.Errorf("a finding with one wording: %+v", one)
	}
	// What lies in the test part has no say.
	for i, row := range w.rows {
		if strings.Contains(row, ",test,") {
			w.rows[i] = row[:len(row)-3] + "1,1"
		}
	}
	w.load(pairs)
	again, err := z.Study(t.Context(), w.options())
	if err != nil {
		t.Fatal(err)
	}
	var a, b bytes.Buffer
	if err := errors.Join(s.WriteJSON(&a), again.WriteJSON(&b)); err != nil || a.String() != b.String() {
		t.Errorf("other labels in the test part change the study: %v", err)
	}
}

func TestStudyHoldsTheTestOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("prompts.yaml", []byte(wordings))
	z := ZeroShot{Data: w.load(pairs).Data, Prompts: w.dir + "/prompts.yaml", MaxFailures: "0", Split: "TEST"}
	if _, err := z.Study(t.Context(), w.options()); !errors.Is(err, ErrTestPart) {
		t.Errorf("error %v: want %v", err, ErrTestPart)
	}
	z.Split = "tuning"
	if _, err := z.Study(t.Context(), w.options()); err == nil || !strings.Contains(err.Error(), "in tuning") {
		t.Errorf("error %v: want the part that is not there", err)
	}
	// A patient of the test part is left out of the others.
	z.Split = ""
	w.rows = append(w.rows, strings.Replace(w.rows[0], ",train,", ",test,", 1))
	w.rows[len(w.rows)-1] = strings.Replace(w.rows[len(w.rows)-1], "scan-000-0.png", w.twin("scan-000-0.png"), 1)
	w.load(pairs)
	s, err := z.Study(t.Context(), w.options())
	if err != nil || s.Samples != patients-2 {
		t.Errorf("%+v, %v: want the two images of a patient of test left out", s, err)
	}
	// Without parts, the half that an experiment would test on is held out.
	for i := range w.rows {
		w.rows[i] = strings.NewReplacer(",train,", ",,", ",test,", ",,").Replace(w.rows[i])
	}
	c := w.load(pairs)
	z.Data = c.Data
	if s, err = z.Study(t.Context(), w.options()); err != nil || s.HeldOut == 0 || s.Samples == 0 || s.Samples+s.HeldOut != len(w.rows) {
		t.Errorf("%+v, %v", s, err)
	}
}
