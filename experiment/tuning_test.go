package experiment

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/evaluate"
	"github.com/medprobe/medprobe/trainer"
)

const tuning = pairs + `
heads: [logistic]
calibrate: platt
threshold: [youden, sensitivity=0.9]
`

// withValidation moves every third patient of train to validation.
func withValidation(w *world) *world {
	for i, row := range w.rows {
		if i/2%3 == 0 {
			w.rows[i] = strings.Replace(row, ",train,", ",validation,", 1)
		}
	}
	return w
}

func TestThresholdsSayWhatTheyReachOnTest(t *testing.T) {
	t.Parallel()
	for name, w := range map[string]*world{"cross-validation": newWorld(t), "validation": withValidation(newWorld(t))} {
		yaml := strings.Replace(tuning, "curve: {shots: [1, 4, 500], draws: 3}", "", 1)
		r := w.run(yaml)
		if _, has := r.Report.Splits[validationPart]; has != (name == "validation") {
			t.Errorf("%s: splits %v", name, r.Report.Splits)
		}
		for _, f := range r.Report.Findings {
			cuts := f.Methods[1].Cuts
			if len(cuts) != 2 || cuts[0].Rule != "youden" || cuts[1].Rule != "sensitivity=0.9" || len(f.Methods[0].Cuts) != 0 {
				t.Fatalf("%s: %q has thresholds %+v", name, f.Name, cuts)
			}
			for _, c := range cuts {
				if c.ChosenOn != name {
					t.Errorf("%s: chosen on %q", name, c.ChosenOn)
				}
				hits, positives := 0, 0
				for _, p := range r.predictions {
					if p.Finding != f.Name || p.Method != "logistic" || p.Label == nil || *p.Label == 0 {
						continue
					}
					positives++
					if p.Probability >= c.Threshold {
						hits++
					}
				}
				if c.Sensitivity.N != positives || c.TruePositives != hits || c.Sensitivity.Point != float64(hits)/float64(positives) {
					t.Errorf("%s: %q at %v: %+v, the predictions give %d of %d", name, f.Name, c.Threshold, c.Operating, hits, positives)
				}
				if c.Sensitivity.Unit != "patient" || !(c.Sensitivity.Low < c.Sensitivity.Point) {
					t.Errorf("%s: %+v: want an interval over patients", name, c.Sensitivity)
				}
			}
			if c := cuts[1]; c.Chosen.Sensitivity < 0.9 {
				t.Errorf("%s: %q: chosen at a sensitivity of %v", name, f.Name, c.Chosen.Sensitivity)
			}
		}
	}
}

func TestCalibrationLooksAtValidationAndNeverAtTest(t *testing.T) {
	t.Parallel()
	plain := strings.Replace(tuning, "curve: {shots: [1, 4, 500], draws: 3}", "", 1)
	head := func(part string) *trainer.Head {
		w := withValidation(newWorld(t))
		for i, row := range w.rows {
			if strings.Contains(row, ","+part+",") {
				fields := strings.Split(row, ",")
				w.rows[i] = strings.Join(append(fields[:3], fields[4], fields[3]), ",")
			}
		}
		return w.run(plain).Heads[1]
	}
	honest, tested, validated := head("none"), head("test"), head("validation")
	same := func(a, b *trainer.Head) bool {
		return slices.EqualFunc(a.Calibration, b.Calibration, func(x, y trainer.Calibration) bool {
			return x.Slope == y.Slope && x.Intercept == y.Intercept
		}) && slices.Equal(a.Thresholds, b.Thresholds)
	}
	if !same(honest, tested) {
		t.Error("other labels in test move calibration or thresholds")
	}
	if same(honest, validated) {
		t.Error("other labels in validation move nothing: is it looked at?")
	}
	if !slices.Equal(honest.W.Data, validated.W.Data) {
		t.Error("labels of validation move the weights")
	}
	if honest.Calibration[0].Kind != trainer.Platt || math.IsNaN(honest.Calibration[0].Slope) {
		t.Errorf("calibration %+v", honest.Calibration[0])
	}
}

func TestPatientsOfValidationAreApartFromTest(t *testing.T) {
	t.Parallel()
	w := withValidation(newWorld(t))
	w.rows[0] = strings.Replace(w.rows[0], "Doe^Jane-000", "Doe^Jane-031", 1) // who is in test
	if _, err := Run(t.Context(), w.load(tuning), w.options()); err == nil || !strings.Contains(err.Error(), "patients") {
		t.Errorf("error %v: want a leak", err)
	}
	r := w.run(tuning + "leakage: drop\n")
	if want := (evaluate.Tally{Reason: "in validation, and its patient or image in test too", N: 1}); !slices.Contains(r.Report.Counts.Excluded, want) {
		t.Errorf("excluded %+v: want %+v", r.Report.Counts.Excluded, want)
	}
}

func TestTuningThatCannotBeIsRefused(t *testing.T) {
	t.Parallel()
	for yaml, want := range map[string]string{
		"calibrate: plat":                     `"platt"`,
		"threshold: [sensitivity]":            `threshold "sensitivity": want youden`,
		"threshold: [youden, youden]":         `threshold "youden" stands twice`,
		"threshold: [sensitivity=0.9, ppv=2]": `threshold "ppv=2"`,
	} {
		w := newWorld(t)
		w.write("labels.csv", nil)
		w.write("experiment.yaml", []byte(pairs+yaml+"\n"))
		if _, err := Load(w.dir + "/experiment.yaml"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v: want %q", yaml, err, want)
		}
	}
	// A validation part that knows one side of a finding.
	w := withValidation(newWorld(t))
	for i, row := range w.rows {
		if fields := strings.Split(row, ","); fields[2] == "validation" {
			fields[3] = "1"
			w.rows[i] = strings.Join(fields, ",")
		}
	}
	_, err := Run(t.Context(), w.load(tuning), w.options())
	if err == nil || !strings.Contains(err.Error(), `part "validation"`) || !strings.Contains(err.Error(), `"upper" has 20 positives and 0 negatives`) {
		t.Errorf("error %v: want the finding of one side", err)
	}
}
