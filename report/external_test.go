package report

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/medprobe/medprobe/evaluate"
)

func estimateOf(point float64) *evaluate.Estimate {
	return &evaluate.Estimate{Point: point, Low: point - 0.1, High: point + 0.05, Level: 0.95, N: 80, Positives: 30, Units: 40, Unit: "patient"}
}

// withExternal is a report with two external test sets; the second lacks a finding
// and has a name that is markup.
func withExternal() *evaluate.Report {
	finding := func(name string, auc float64) evaluate.Finding {
		return evaluate.Finding{Name: name, N: 80, Positives: 30, Units: 40, Unit: "patient", Methods: []evaluate.MethodResult{
			{Method: "zero-shot", AUC: estimateOf(auc - 0.1)}, {Method: "logistic", AUC: estimateOf(auc)}, {Method: "knn"},
		}}
	}
	drift := func(verdict evaluate.DriftVerdict, reason string) *evaluate.Drift {
		change := &evaluate.Change{Reference: *estimateOf(0.5), Now: *estimateOf(0.6), Difference: evaluate.Estimate{Point: 0.1, Low: -0.02, High: 0.22}, P: 0.1, AdjustedP: 0.3}
		return &evaluate.Drift{
			Verdict: verdict, Reason: reason, Head: "logistic", Permutations: 1999, Alpha: 0.05,
			Reference: evaluate.DriftSide{Samples: 80, Units: 40, Unit: "patient"}, Now: evaluate.DriftSide{Samples: 90, Units: 45, Unit: "patient"},
			Embedding: &evaluate.Apart{MMD2: -0.00123, Chance: 0.01, P: 0.4, AdjustedP: 1, NA: 80, NB: 90},
			Findings: []evaluate.FindingDrift{
				{Name: "effusion", Scores: &evaluate.Shift{KS: 0.123, Chance: 0.2, AdjustedP: 0.7, MeanA: 0.3, MeanB: 0.4, PSI: 0.05, NA: 80, NB: 90}, Rate: change, AUC: change},
				{Name: "nodule", Scores: &evaluate.Shift{KS: 0.456, Chance: 0.2, AdjustedP: 0.0001, NA: 80, NB: 90}},
			},
		}
	}
	counts := evaluate.Counts{Samples: 92, Used: 90, Excluded: []evaluate.Tally{{Reason: "no label", N: 1}}, Failed: []evaluate.Tally{{Reason: "could not be read", N: 1}}}
	return &evaluate.Report{
		Name: "r", Dataset: evaluate.DatasetFacts{Unit: "patient"}, Counts: evaluate.Counts{Samples: 80, Used: 80},
		Findings: []evaluate.Finding{finding("effusion", 0.9), finding("nodule", 0.8)},
		External: []evaluate.External{
			{Name: "site-b", Dataset: evaluate.DatasetFacts{Spec: "csv:b.csv"}, Counts: counts, Findings: []evaluate.Finding{finding("effusion", 0.7), finding("nodule", 0.6)}, Shared: 2, Drift: drift(evaluate.NoDrift, "nothing differs")},
			{Name: "<img src=x onerror=alert(1)>", Dataset: evaluate.DatasetFacts{Spec: "csv:c|d.csv"}, Counts: counts, Absent: []string{"nodule"}, Findings: []evaluate.Finding{finding("effusion", 0.75)}, Drift: drift(evaluate.Drifted, "the scores are higher"), Warnings: []string{"the data names no patients"}},
		},
	}
}

// badExternal is two external test sets with the findings and methods of a report
// and names that try to act.
func badExternal(r *evaluate.Report) []evaluate.External {
	sets := withExternal().External
	for k := range sets {
		e := &sets[k]
		e.Findings = nil
		for _, f := range r.Findings {
			e.Findings = append(e.Findings, f)
			e.Drift.Findings = append(e.Drift.Findings, evaluate.FindingDrift{Name: f.Name, Scores: &evaluate.Shift{}, Rate: &evaluate.Change{}})
		}
		e.Name, e.Dataset.Spec, e.Drift.Reason, e.Drift.Now.Unit, e.Drift.Head = badTexts[0], badTexts[1], badTexts[2], badTexts[3], badTexts[0]
		e.Warnings, e.Absent = badTexts, badTexts
	}
	return sets
}

func TestExternalSetsStandInEveryForm(t *testing.T) {
	t.Parallel()
	r := withExternal()
	var text, markdown, page bytes.Buffer
	if err := Text(&text, r); err != nil {
		t.Fatal(err)
	}
	if err := Markdown(&markdown, r); err != nil {
		t.Fatal(err)
	}
	if err := HTML(&page, r); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"site-b (csv:b.csv): 90 of 92 samples used, of 45 patients; 1 failed; 2 images stood in train too; it looks like the test part: nothing differs.",
		"effusion  site-b", "0.700 (0.600–0.750)", "−0.0012", "+0.100 (−0.020 to +0.220)", "not estimable", "absent", "differs from the test part: the scores are higher",
	} {
		if !strings.Contains(strings.Join(strings.Fields(text.String()), " "), strings.Join(strings.Fields(want), " ")) {
			t.Errorf("the text does not say %q:\n%s", want, text.String())
		}
	}
	for line := range strings.SplitSeq(text.String(), "\n") {
		if utf8.RuneCountInString(line) > textWidth {
			t.Errorf("a line of more than %d columns: %q", textWidth, line)
		}
	}
	// Every head stands there, whatever their number.
	for _, method := range []string{"zero-shot", "logistic", "knn"} {
		if n := strings.Count(text.String(), method); n < 2 {
			t.Errorf("%s stands in %d tables: want those of the test part and of all sets", method, n)
		}
	}
	for what, b := range map[string]string{"page": page.String(), "Markdown": markdown.String()} {
		if strings.Contains(b, "<img") {
			t.Errorf("%s: a name is markup", what)
		}
		if !strings.Contains(b, "0.700") || !strings.Contains(b, "absent") {
			t.Errorf("%s lacks a figure", what)
		}
	}
	if strings.Contains(page.String(), `<th scope="row"><bdi></bdi></th>`) {
		t.Error("page: a row without a heading")
	}
	if strings.Contains(markdown.String(), "c|d") {
		t.Error("Markdown: a name makes a cell")
	}
	r.External = nil
	page.Reset()
	if err := HTML(&page, r); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(page.String(), "On other data") {
		t.Error("a section without external test sets")
	}
}

func TestDriftTextAndJSON(t *testing.T) {
	t.Parallel()
	d := withExternal().External[0].Drift
	d.Data, d.Counts, d.Reason = "csv:x\x1b[2J.csv", &evaluate.Counts{Samples: 90, Used: 90}, "nothing differs"
	var text, document bytes.Buffer
	if err := DriftText(&text, d); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"No drift found: nothing differs.", "Reference: 80 samples of 40 patients", "−0.0012", "0.456", "<0.001", "+0.100 (−0.020 to +0.220)", "90 used + 0 excluded + 0 failed", "1,999 permutations of whole patients"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
	if strings.Contains(text.String(), "\x1b") {
		t.Error("a name moves the cursor")
	}
	for line := range strings.SplitSeq(text.String(), "\n") {
		if utf8.RuneCountInString(line) > textWidth {
			t.Errorf("a line of more than %d columns: %q", textWidth, line)
		}
	}
	if err := DriftJSON(&document, d); err != nil {
		t.Fatal(err)
	}
	if s := document.String(); !strings.Contains(s, `"verdict": "no-drift-found"`) || !strings.Contains(s, `"failed": []`) || d.Counts.Failed != nil {
		t.Errorf("JSON %s", s)
	}
}
