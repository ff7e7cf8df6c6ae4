package report

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/medprobe/medprobe/evaluate"
)

func TestThresholdsAreShown(t *testing.T) {
	t.Parallel()
	r := sample(t)
	reached, err := evaluate.Operate([]float64{.9, .9, .9, .9, .1, .9, .1, .1}, []bool{true, true, true, true, true, false, false, false}, nil, .5, "patient")
	if err != nil {
		t.Fatal(err)
	}
	reached.NPV = nil
	r.Findings[0].Name = "heart <b>"
	r.Findings[0].Methods[1].Cuts = []evaluate.Cut{{Rule: "sensitivity=0.9", ChosenOn: "validation", Operating: reached}}
	r.Findings[1].Methods[1].Cuts = []evaluate.Cut{{Rule: "sensitivity=0.9", ChosenOn: "validation", Operating: reached}}
	title := "Linear probe, threshold sensitivity=0.9, chosen on the validation part"
	page := written(t, HTML, r)
	checkPage(t, "thresholds", page)
	for _, want := range []string{title, "80.0 (37.6–96.4) of 5", "66.7 (20.8–93.9) of 3", "– of none", "heart &lt;b&gt;"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	text := written(t, Text, r)
	for _, want := range []string{title, "80.0 (37.6–96.4)", "Wilson, over patients"} {
		if !strings.Contains(text, want) {
			t.Errorf("the text lacks %q", want)
		}
	}
	for line := range strings.Lines(text) {
		if utf8.RuneCountInString(line) > textWidth+1 {
			t.Errorf("line %q is longer than %d", line, textWidth)
		}
	}
	if md := written(t, Markdown, r); !strings.Contains(md, `| heart &#60;b&#62; | 0.5 | 80.0 (37.6–96.4) of 5 |`) {
		t.Errorf("Markdown lacks the row:\n%s", md)
	}
	if strings.Count(text, title) != 1 {
		t.Errorf("two findings of one rule are not one table:\n%s", text)
	}
}

func TestCovariatesAreShown(t *testing.T) {
	t.Parallel()
	r := sample(t)
	e := evaluate.Estimate{Point: .8, Low: .7, High: .9}
	d := evaluate.Difference{Difference: evaluate.Estimate{Point: .1, Low: -.05, High: .2}, P: .02, AdjustedP: .04}
	r.Covariates = &evaluate.CovariateGains{Columns: []string{"age", "<b>sex"}, Head: "linear-probe", Findings: []evaluate.CovariateGain{
		{Name: "a finding with a very long name indeed", Image: &e, Covariates: &e, Both: &e, OverImage: &d, OverCovariates: &d}, {Name: "rare"},
	}}
	page := written(t, HTML, r)
	checkPage(t, "covariates", page)
	for name, form := range map[string]string{"page": page, "text": written(t, Text, r), "Markdown": written(t, Markdown, r)} {
		for _, want := range []string{"over covariates", "0.040", "not estimable", "shortcut"} {
			if !strings.Contains(form, want) {
				t.Errorf("the %s lacks %q", name, want)
			}
		}
		if name != "text" && strings.Contains(form, "<b>sex") {
			t.Errorf("the %s holds a column's name as it is", name)
		}
	}
	for line := range strings.Lines(written(t, Text, r)) {
		if utf8.RuneCountInString(line) > textWidth+1 {
			t.Errorf("line %q is longer than %d", line, textWidth)
		}
	}
}
