package report

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/medprobe/medprobe/evaluate"
)

func TestValuesAreShown(t *testing.T) {
	t.Parallel()
	r := sample(t)
	r.Findings, r.Macro, r.Curves = nil, nil, nil
	estimate := func(point, low, high float64) *evaluate.Estimate {
		return &evaluate.Estimate{Point: point, Low: low, High: high, N: 60, Units: 30, Unit: "patient"}
	}
	target := func(name string) evaluate.ValueTarget {
		return evaluate.ValueTarget{
			Name: name, N: 60, Missing: 3, Train: 40, TrainMissing: 2, Units: 30, Unit: "patient",
			Methods: []evaluate.ValueMethod{
				{Method: "mean-of-train", R2: estimate(-.01, -.2, 0), MAE: estimate(12345.6, 10000, 15000)},
				{Method: "ridge", R2: estimate(.5, .4, .6), MAE: estimate(2345.6, 2000, 3000), Spearman: estimate(.7, .6, .8), Detail: "α = 1 & more"},
			},
			Differences: []evaluate.Difference{{A: "ridge", B: "mean-of-train", Difference: *estimate(-10000, -12000, -8000), P: .001, AdjustedP: .002}},
			Warnings:    []evaluate.Warning{{Code: evaluate.WarnFewUnits, Text: "few indeed"}},
		}
	}
	r.Values = &evaluate.ValueReport{Targets: []evaluate.ValueTarget{target("<b>crp")}}
	if got, want := headline(r), "The ridge is nearer to the true values than the mean of train for <b>crp: mean absolute error less by 1e+04 (8e+03 to 1.2e+04), p = 0.001."; got != want {
		t.Errorf("headline %q, want %q", got, want)
	}
	page := written(t, HTML, r)
	checkPage(t, "values", page)
	// Words begin at the left and are broken; figures stand at the right, whole.
	for _, want := range []string{`<th scope="col">method</th>`, `<td><bdi>ridge</bdi></td>`, `<td><bdi>α = 1 &amp; more</bdi></td>`, `<th scope="col" class="n">MAE</th>`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	for name, form := range map[string]string{"page": page, "text": written(t, Text, r), "Markdown": written(t, Markdown, r)} {
		for _, want := range []string{"Spearman", "2.35e", "−0.010", "none", "few indeed", "2 of 42 training and 3 of 63 test samples", "Holm"} {
			if !strings.Contains(form, want) {
				t.Errorf("the %s lacks %q", name, want)
			}
		}
		if name != "text" && strings.Contains(form, "<b>crp") {
			t.Errorf("the %s holds a target's name as it is", name)
		}
	}
	r.Values.Targets = append(r.Values.Targets, target("bnp"))
	if got, want := headline(r), "The ridge is nearer to the true values than the mean of train for 2 of 2 targets."; got != want {
		t.Errorf("headline %q, want %q", got, want)
	}
	for line := range strings.Lines(written(t, Text, r)) {
		if utf8.RuneCountInString(line) > textWidth+1 {
			t.Errorf("line %q is longer than %d", line, textWidth)
		}
	}
	r.Values.Targets = []evaluate.ValueTarget{{Name: "crp"}}
	if got := headline(r); !strings.Contains(got, "nothing can be compared") {
		t.Errorf("headline %q of nothing", got)
	}
}
