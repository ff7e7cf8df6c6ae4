package report

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/medprobe/medprobe/evaluate"
)

// beside puts the sample beside itself under hostile names, with a setting that
// differs and a finding that is not paired.
func beside(t *testing.T) *evaluate.Runs {
	t.Helper()
	r := sample(t)
	label := int32(1)
	rows := func(id string) (rows []evaluate.Prediction) {
		for k := range 40 {
			label := label ^ int32(k%2)
			rows = append(rows, evaluate.Prediction{ID: id + string(rune('a'+k)), Finding: "effusion", Label: &label, Method: "logistic", Score: float64(k * k % 17)})
			rows = append(rows, evaluate.Prediction{ID: string(rune('a' + k)), Finding: "nodule", Label: &label, Method: "logistic", Score: float64(k * k % 17)})
		}
		return rows
	}
	hostileName := badTexts[0] + badTexts[1] + badTexts[4]
	runs, err := evaluate.CompareRuns([]evaluate.Run{
		{Name: "runs/a", Report: r, Rows: rows(""), Settings: []byte(`{"Heads":["logistic"]}`)},
		{Name: hostileName, Report: r, Rows: rows("x"), Settings: []byte(`{"Heads":["<b>|` + "`" + `"]}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return runs
}

func TestRunsSideBySide(t *testing.T) {
	t.Parallel()
	runs := beside(t)
	var page, text, markdown bytes.Buffer
	if err := CompareHTML(&page, runs); err != nil {
		t.Fatal(err)
	}
	if err := CompareText(&text, runs); err != nil {
		t.Fatal(err)
	}
	if err := CompareMarkdown(&markdown, runs); err != nil {
		t.Fatal(err)
	}
	checkPage(t, "compare", page.String())
	for name, got := range map[string]string{"html": page.String(), "text": text.String(), "markdown": markdown.String()} {
		for _, want := range []string{"unpaired", "no difference, and no p", "0.000", "Settings that differ", "Heads"} {
			if !strings.Contains(got, want) {
				t.Errorf("%s does not say %q", name, want)
			}
		}
		if strings.ContainsAny(got, "\x1b\x00\u202e") {
			t.Errorf("%s holds control characters", name)
		}
	}
	if strings.Contains(markdown.String(), "<img") || strings.Contains(page.String(), "<img") {
		t.Error("a name is more than text")
	}
	for _, line := range strings.Split(text.String(), "\n") {
		if utf8.RuneCountInString(line) > textWidth {
			t.Errorf("%d columns: %s", utf8.RuneCountInString(line), line)
		}
	}
}
