package experiment

import (
	"bytes"
	"encoding/json"
	"errors"
	"image/png"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/medprobe/medprobe/evaluate"
)

// Subgroups by site show where the head fails, and every mistake that is shown is
// one, has its picture and its neighbours of train, and no name.
func TestSubgroupsAndMistakes(t *testing.T) {
	t.Parallel()
	w := joined(t)
	c, err := w.loadJoined(quick + "subgroups: [site, 'age:50']\nthreshold: [youden]\n")
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), c, w.options())
	if err != nil {
		t.Fatal(err)
	}
	sizes := map[string]int{}
	for _, g := range r.Report.Subgroups {
		sizes[g.Label+" "+g.By] += g.N
		if g.AtThreshold == nil || g.Score != "logistic" {
			t.Errorf("%+v", g)
		}
	}
	for key, n := range sizes {
		finding, _, _ := strings.Cut(key, " ")
		for _, f := range r.Report.Findings {
			if f.Name == finding && f.N != n {
				t.Errorf("%s: subgroups hold %d samples, the finding %d", key, n, f.N)
			}
		}
	}
	if len(sizes) != 4 {
		t.Errorf("subgroups of %v", sizes)
	}
	checkMistakes(t, r, true)
	checkSchema(t, r.Report)

	c.NearDuplicates.Thumbnails = "no"
	bare, err := Run(t.Context(), c, w.options())
	if err != nil {
		t.Fatal(err)
	}
	checkMistakes(t, bare, false)
}

// checkSchema validates a report as it is written.
func checkSchema(t *testing.T, r *evaluate.Report) {
	t.Helper()
	var b bytes.Buffer
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var schema jsonschema.Schema
	var document any
	if err := errors.Join(json.Unmarshal(evaluate.ReportSchema, &schema), json.Unmarshal(b.Bytes(), &document)); err != nil {
		t.Fatal(err)
	}
	resolved, err := schema.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := resolved.Validate(document); err != nil {
		t.Error(err)
	}
}

func checkMistakes(t *testing.T, r *Result, pictures bool) {
	t.Helper()
	m := r.Report.Mistakes
	if m == nil || m.Method != "logistic" || len(m.Findings) != 2 {
		t.Fatalf("mistakes %+v", m)
	}
	shown := 0
	for _, f := range m.Findings {
		var wrong [2]int
		for _, p := range r.predictions {
			if p.Finding == f.Finding && p.Label != nil && (p.Probability >= f.Threshold) != (*p.Label == 1) {
				wrong[*p.Label]++
			}
		}
		if f.FalsePositives != wrong[0] || f.FalseNegatives != wrong[1] || f.Rule != "youden" {
			t.Errorf("%s: %d and %d mistakes from %v, want %v", f.Finding, f.FalsePositives, f.FalseNegatives, f.Threshold, wrong)
		}
		for label, mistakes := range [][]evaluate.Mistake{f.Positive, f.Negative} {
			for k, one := range mistakes {
				shown++
				found := false
				for _, p := range r.predictions {
					found = found || p.Finding == f.Finding && p.Probability == one.Probability && p.Label != nil && int(*p.Label) == label
					if p.Finding == f.Finding && p.Label != nil && int(*p.Label) == label && k == 0 {
						if label == 0 && p.Probability > one.Probability || label == 1 && p.Probability < one.Probability {
							t.Errorf("%s: %v is not the surest mistake, %v is", f.Finding, one.Probability, p.Probability)
						}
					}
				}
				if !found || len(one.Nearest) != neighbours || one.Nearest[0].Cosine < one.Nearest[1].Cosine {
					t.Errorf("%s: mistake %+v", f.Finding, one)
				}
				if (one.Image != nil) != pictures || (one.Nearest[0].Image != nil) != pictures {
					t.Errorf("%s: pictures are shown: %v, want %v", f.Finding, one.Image != nil, pictures)
				}
				if pictures {
					if _, err := png.Decode(bytes.NewReader(one.Image)); err != nil {
						t.Error(err)
					}
				}
			}
		}
	}
	if shown == 0 {
		t.Error("no mistake is shown")
	}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Doe", "scan-", ".png"} {
		if bytes.Contains(text, []byte(name)) {
			t.Errorf("the mistakes name %q", name)
		}
	}
}

func TestSubgroupsThatCannotBe(t *testing.T) {
	t.Parallel()
	w := joined(t)
	for yaml, want := range map[string]string{
		"subgroups: [sight]\n":        `no attribute "sight"`,
		"subgroups: ['site:3']\n":     `want a number`,
		"subgroups: [site, 'site']\n": "each once",
		"subgroups: ['age:60,50']\n":  "want cuts that rise",
		"subgroups: ['age:fifty']\n":  "want numbers after the colon",
		"subgroups: ['']\n":           "want names of columns",
		"subgroups: [sight, sound]\n": `no attribute "sound"`,
	} {
		c, err := w.loadJoined(quick + yaml)
		if err == nil {
			_, err = Run(t.Context(), c, w.options())
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", strings.TrimSpace(yaml), err, want)
		}
	}
}

// The mistakes are those of the first head, whatever stands beside it.
func TestMistakesAreTheFirstHeads(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bare, _, _ := strings.Cut(pairs, "prompts:")
	if m := w.run(bare + "heads: [knn, prototype]\n").Report.Mistakes; m == nil || m.Method != "knn" {
		t.Errorf("without prompts: %+v, want knn's", m)
	}
	o := w.options()
	o.Encoder = &tuned{labels: []string{"lower", "upper", "neither"}}
	r, err := Run(t.Context(), w.load(pairs), o)
	if err != nil {
		t.Fatal(err)
	}
	if m := r.Report.Mistakes; m == nil || m.Method != "linear-probe" {
		t.Errorf("beside the encoder's own classifier: %+v, want linear-probe's", m)
	}
}
