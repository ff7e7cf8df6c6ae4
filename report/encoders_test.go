package report

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/medprobe/medprobe/evaluate"
)

func TestSeveralEncodersAreShown(t *testing.T) {
	t.Parallel()
	var labels []bool
	var groups []string
	var good, bad []float64
	for i := range 120 {
		labels, groups = append(labels, i%3 == 0), append(groups, fmt.Sprint(i/2))
		good, bad = append(good, float64(i*7%50)), append(bad, float64(i*13%50))
		if labels[i] {
			good[i] += 40
		}
	}
	trials := func(probe []float64) []evaluate.Trial {
		one := []bool{true}
		return []evaluate.Trial{
			{Name: "a | b", Labels: labels, Groups: groups, Methods: []evaluate.Scored{{Method: "zero-shot", Scores: bad}, {Method: "linear-probe", Scores: probe}}},
			{Name: "nodule", Labels: labels, Groups: groups, Methods: []evaluate.Scored{{Method: "zero-shot", Scores: bad}, {Method: "linear-probe", Scores: probe}}},
			{Name: "none", Labels: one, Groups: []string{"x"}, Methods: []evaluate.Scored{{Method: "zero-shot", Scores: []float64{1}}, {Method: "linear-probe", Scores: []float64{1}}}},
		}
	}
	e := &evaluate.Encoders{Encoders: []evaluate.ComparedEncoder{{Label: "A"}}}
	e.Encoders = append(e.Encoders, evaluate.ComparedEncoder{Label: "<b>B", Failed: 3, NoZeroShot: "it reads no texts", LeftOut: []string{"clap"}})
	if err := e.Add("<b>B", trials(bad), trials(good), "patient"); err != nil {
		t.Fatal(err)
	}
	if len(e.Comparisons) != 6 || e.Comparisons[2].AUC != nil || len(e.Means) != 2 {
		t.Fatalf("%+v", e)
	}
	r := sample(t)
	r.Encoders = e
	for name, write := range writers {
		text := written(t, write, r)
		for _, want := range []string{"is worse on 2 of 2 findings", "beside A", "not estimable", "failed on 3 samples", "it reads no texts", "has no clap"} {
			if !strings.Contains(strings.Join(strings.Fields(text), " "), want) {
				t.Errorf("%s does not say %q", name, want)
			}
		}
		if name != "report.txt" && strings.Contains(text, "<b>B") {
			t.Errorf("%s holds a name as markup", name)
		}
		if name == "report.md" && strings.Contains(text, "a | b |") {
			t.Error("a name breaks a Markdown table")
		}
		for line := range strings.Lines(text) {
			if name == "report.txt" && utf8.RuneCountInString(strings.TrimRight(line, "\n")) > textWidth {
				t.Errorf("too wide: %s", line)
			}
		}
	}
	// A report that somebody else wrote.
	r.Encoders = &evaluate.Encoders{}
	for _, write := range writers {
		written(t, write, r)
	}
}
