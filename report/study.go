package report

import (
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/medprobe/medprobe/evaluate"
)

// shownWordings is how many ways to ask for a finding a terminal shows; the JSON
// document has them all.
const shownWordings = 8

// StudyText writes a prompt study for a terminal.
func StudyText(w io.Writer, study *evaluate.PromptStudy) error {
	s := plainCopy(reflect.ValueOf(study)).Interface().(*evaluate.PromptStudy)
	var b strings.Builder
	b.WriteString("Prompt study\n\n")
	paragraph(&b, fmt.Sprintf("Looked at %s of %s: %s. %s held out for the test and not looked at. Score: %s.",
		count(s.Samples, "sample"), s.Data, s.Part, thousands(s.HeldOut), s.Score))
	for _, f := range s.Findings {
		studyFinding(&b, f)
	}
	b.WriteByte('\n')
	paragraph(&b, "The best of many is too good on the samples that chose it. Write the wording that you take into the prompts, and let the test part be asked once, with 'medprobe run' or 'medprobe zeroshot --split test'.")
	if len(s.Warnings) > 0 {
		b.WriteString("\nWarnings\n")
		for _, text := range s.Warnings {
			paragraph(&b, "- "+text)
		}
	}
	b.WriteByte('\n')
	paragraph(&b, notADevice)
	_, err := io.WriteString(w, b.String())
	return err
}

func studyFinding(b *strings.Builder, f evaluate.WordingStudy) {
	fmt.Fprintf(b, "\n%s: %s of %s positive, %s\n", clip(f.Finding, textWidth/2), thousands(f.Positives), thousands(f.N), count(f.Units, f.Unit))
	if f.Unmet != "" {
		paragraph(b, "Nothing to rank: "+f.Unmet+".")
		return
	}
	if f.Single > 1 {
		paragraph(b, fmt.Sprintf("AUC over %d single wordings: %s to %s, median %s.", f.Single, number(*f.Low), number(*f.High), number(*f.Median)))
	}
	for k, w := range f.Ranked {
		if k >= shownWordings && w.Difference != nil {
			continue
		}
		against := "as the prompts stand"
		if w.Difference != nil {
			against = fmt.Sprintf("%s (%s), p adjusted %s", signed(w.Difference.Point), signedInterval(*w.Difference), pValue(*w.P))
		}
		fmt.Fprintf(b, "%4d. %s  %s\n", k+1, w.AUC, against)
		paragraph(b, "      "+wordingText(w))
	}
	if left := len(f.Ranked) - shownWordings; left > 0 {
		fmt.Fprintf(b, "      and %d more, in --json\n", left)
	}
}

func wordingText(w evaluate.Wording) string {
	if w.Ensemble != "" {
		return fmt.Sprintf("%s of %d positive and %d negative texts", w.Ensemble, len(w.Positive), len(w.Negative))
	}
	text := strings.Join(w.Positive, "")
	if len(w.Negative) > 0 {
		text += " / " + strings.Join(w.Negative, "")
	}
	return text
}
