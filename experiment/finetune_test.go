package experiment

import (
	"bytes"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/encoder"
	"github.com/medprobe/medprobe/evaluate"
)

var _ fineTuned = (*encoder.Encoder)(nil)

// tuned is an encoder whose classifier looks at the upper left and lower right.
type tuned struct {
	quadrants
	labels []string
}

func (e *tuned) Classifier() *encoder.Classifier {
	return &encoder.Classifier{Labels: e.labels, Weight: []float32{0, 0, 0, 4, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 1}, Bias: []float32{-1, -1, 0.5}}
}

func TestFineTuneIsComparedByItsOwnClassifier(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o, c := w.options(), w.load(pairs)
	enc := &tuned{labels: []string{"Lower", "Upper", "neither"}}
	o.Encoder = enc
	r, err := Run(t.Context(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range r.Report.Findings[0].Methods {
		names = append(names, m.Method)
	}
	if !slices.Equal(names, []string{"zero-shot", "classifier", "linear-probe", "logistic"}) {
		t.Errorf("methods %q", names)
	}
	if len(r.Heads) != 3 {
		t.Errorf("%d heads are kept: want those that fit vectors of length one", len(r.Heads))
	}
	weights := enc.Classifier()
	place := map[string]int{"lower": 0, "upper": 1}
	checked := 0
	for _, p := range r.predictions {
		if p.Method != classifier {
			continue
		}
		data, err := os.ReadFile(filepath.Join(w.dir, p.ID))
		if err != nil {
			t.Fatal(err)
		}
		img, err := png.Decode(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		v, err := enc.Preprocess(img)
		if err != nil {
			t.Fatal(err)
		}
		var exps [3]float64
		sum := 0.0
		for k := range exps {
			z := float64(weights.Bias[k])
			for j := range v {
				z += float64(weights.Weight[5*k+j]) * float64(v[j])
			}
			exps[k] = math.Exp(z)
			sum += exps[k]
		}
		if want := exps[place[p.Finding]] / sum; math.Abs(p.Probability-want) > 1e-6 {
			t.Fatalf("%s of %s: probability %v, want %v of the vector as it is", p.Finding, p.ID, p.Probability, want)
		}
		checked++
	}
	if checked != 2*patients {
		t.Errorf("%d predictions of the classifier: want %d", checked, 2*patients)
	}
}

func TestClassifierOfOtherClassesIsNotCompared(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o, c := w.options(), w.load(pairs)
	o.Encoder = &tuned{labels: []string{"lower", "middle", "neither"}}
	r, err := Run(t.Context(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(r.Report.Findings[0].Methods, func(m evaluate.MethodResult) bool { return m.Method == classifier }) {
		t.Error("compared all the same")
	}
	if !slices.ContainsFunc(r.Report.Warnings, func(s string) bool { return strings.Contains(s, `knows no "upper"`) }) {
		t.Errorf("warnings %q", r.Report.Warnings)
	}
}

// The classifier judges images, and where those of a patient are one there is none.
func TestClassifierIsNotComparedOnPatients(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o, c := w.options(), w.load(strings.Replace(pairs, "patient: patient,", "patient: patient, aggregate: {by: patient},", 1))
	o.Encoder = &tuned{labels: []string{"lower", "upper", "neither"}}
	r, err := Run(t.Context(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(r.Report.Findings[0].Methods, func(m evaluate.MethodResult) bool { return m.Method == classifier }) {
		t.Error("vectors of images are judged as those of patients")
	}
	if !slices.ContainsFunc(r.Report.Warnings, func(s string) bool { return strings.Contains(s, "those of a patient were made one") }) {
		t.Errorf("warnings %q", r.Report.Warnings)
	}
}
