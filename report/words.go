package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/medprobe/medprobe/evaluate"
)

// alpha is the adjusted p below which a difference is said to be one.
const alpha = 0.05

// differs reports whether a difference is said to be one: never where it counts as
// not estimable, for want of units of a class.
func differs(adjustedP float64, difference evaluate.Estimate) bool {
	return adjustedP < alpha && fewMark(difference) == ""
}

// notADevice stands on everything that people may read.
const notADevice = "Research software, not a medical device. Not for diagnosis or treatment."

// syntheticNote stands wherever figures from drawn images are shown.
const syntheticNote = "Synthetic data: these images were drawn by a program. The figures say that the software works, and nothing about patients."

// methodName is how a method is called in a sentence.
func methodName(method string) string {
	return strings.ReplaceAll(strings.ReplaceAll(method, "-", " "), "zero shot", "zero-shot")
}

// findingName is the name with its title, if it has one.
func findingName(f evaluate.Finding) string {
	if f.Title != "" {
		return f.Title
	}
	return f.Name
}

func number(x float64) string { return strconv.FormatFloat(x, 'f', 3, 64) }

// signed writes a difference with its sign, a true minus and no minus zero.
func signed(x float64) string {
	text := number(math.Abs(x))
	switch {
	case text == number(0):
		return text
	case x < 0:
		return "−" + text
	}
	return "+" + text
}

func interval(e evaluate.Estimate) string { return number(e.Low) + "–" + number(e.High) + fewMark(e) }

// fewMark is put after an interval of too few units of a class, which the
// warnings explain.
func fewMark(e evaluate.Estimate) string {
	for _, w := range e.Warnings {
		if w.Code == evaluate.WarnFewUnits {
			return "*"
		}
	}
	return ""
}

// estimate writes a figure with its interval.
func estimate(e evaluate.Estimate) string { return number(e.Point) + " (" + interval(e) + ")" }

func signedInterval(e evaluate.Estimate) string {
	return signed(e.Low) + " to " + signed(e.High) + fewMark(e)
}

func pValue(p float64) string {
	if p < 0.001 {
		return "<0.001"
	}
	return number(p)
}

func percent(level float64) string { return strconv.FormatFloat(100*level, 'g', 4, 64) + " %" }

// count writes a number of things: "1 patient", "2,400 patients".
func count(n int, thing string) string {
	switch {
	case n == 1:
		return "1 " + thing
	case strings.HasSuffix(thing, "y"):
		return thousands(n) + " " + strings.TrimSuffix(thing, "y") + "ies"
	}
	return thousands(n) + " " + thing + "s"
}

func thousands(n int) string {
	digits := strconv.Itoa(n)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// verdicts sorts the findings by what the difference of one method from the
// baseline says.
type verdicts struct {
	method, baseline          string
	better, worse, undecided  int
	notEstimable, comparisons int
}

// compared returns the verdicts on a method, and false if it was compared with
// nothing.
func compared(r *evaluate.Report, method string) (verdicts, bool) {
	v := verdicts{method: method}
	for _, f := range r.Findings {
		found := false
		for _, d := range f.Differences {
			if d.A != method {
				continue
			}
			found, v.baseline = true, d.B
			v.comparisons++
			switch {
			case differs(d.AdjustedP, d.Difference) && d.Difference.Point > 0:
				v.better++
			case differs(d.AdjustedP, d.Difference) && d.Difference.Point < 0:
				v.worse++
			default:
				v.undecided++
			}
		}
		if !found {
			v.notEstimable++
		}
	}
	return v, v.comparisons > 0
}

// headline says in one sentence what the report found.
func headline(r *evaluate.Report) string {
	if r.Values != nil {
		return valueHeadline(r)
	}
	methods := methodsOf(r)
	if len(methods) == 0 {
		return "Nothing was measured."
	}
	if len(methods) == 1 {
		return capital(fmt.Sprintf("%s was measured on %s.", methodName(methods[0]), count(len(r.Findings), "finding")))
	}
	v, ok := compared(r, methods[1])
	if !ok {
		return "No finding has both positives and negatives in the test part, so nothing can be compared."
	}
	return "The " + v.sentence()
}

func (v verdicts) sentence() string {
	of := "of " + count(v.comparisons, "finding")
	a, b := methodName(v.method), methodName(v.baseline)
	if v.comparisons == 1 {
		switch {
		case v.better == 1:
			return fmt.Sprintf("%s beats %s.", a, b)
		case v.worse == 1:
			return fmt.Sprintf("%s is worse than %s.", a, b)
		}
		return fmt.Sprintf("%s and %s cannot be told apart on this test set.", a, b)
	}
	var parts []string
	if v.better == v.comparisons {
		return fmt.Sprintf("%s beats %s on all %s.", a, b, count(v.comparisons, "finding"))
	}
	if v.better > 0 {
		parts = append(parts, fmt.Sprintf("beats %s on %d %s", b, v.better, of))
	} else {
		parts = append(parts, fmt.Sprintf("beats %s on none %s", b, of))
	}
	if v.worse > 0 {
		parts = append(parts, fmt.Sprintf("is worse on %d", v.worse))
	}
	if v.undecided > 0 {
		parts = append(parts, fmt.Sprintf("cannot be told from it on %d", v.undecided))
	}
	return a + " " + join(parts) + "."
}

// join joins parts of a sentence.
func join(parts []string) string {
	if len(parts) < 2 {
		return strings.Join(parts, "")
	}
	last := len(parts) - 1
	return strings.Join(parts[:last], ", ") + " and " + parts[last]
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// meanSentence gives the mean AUCs, or "".
func meanSentence(r *evaluate.Report) string {
	m := r.Macro
	if m == nil || len(m.Methods) == 0 {
		return ""
	}
	if len(m.Methods) == 1 || len(m.Differences) == 0 {
		e := m.Methods[0].AUC
		return fmt.Sprintf("Mean AUC over %s: %s (%s).", count(len(m.Findings), "finding"), number(e.Point), interval(e))
	}
	a, b, d := m.Methods[1], m.Methods[0], m.Differences[0]
	return fmt.Sprintf("Mean AUC over %s: %s (%s) for the %s against %s (%s) for %s, a difference of %s (%s), p %s.",
		count(len(m.Findings), "finding"), number(a.AUC.Point), interval(a.AUC), methodName(a.Method),
		number(b.AUC.Point), interval(b.AUC), methodName(b.Method),
		signed(d.Difference.Point), signedInterval(d.Difference), pWithSign(d.P))
}

func pWithSign(p float64) string {
	if text := pValue(p); text[0] == '<' {
		return "< " + text[1:]
	}
	return "= " + pValue(p)
}

// methodsOf returns the methods in the order of the report.
func methodsOf(r *evaluate.Report) []string {
	var methods []string
	for _, f := range r.Findings {
		if len(f.Methods) > len(methods) {
			methods = nil
			for _, m := range f.Methods {
				methods = append(methods, m.Method)
			}
		}
	}
	return methods
}

// doubts returns every warning once: the report's own, then the findings'.
func doubts(r *evaluate.Report) []string {
	all := append(valueDoubts(r), r.Warnings...)
	for _, f := range r.Findings {
		for _, w := range f.Warnings {
			all = append(all, findingName(f)+": "+w.Text)
		}
	}
	seen := map[string]bool{}
	var once []string
	for _, text := range all {
		if !seen[text] {
			seen[text] = true
			once = append(once, text)
		}
	}
	return once
}

// sizes says how much a finding was tested on: "117 of 468 positive, 468 images".
func sizes(f evaluate.Finding) string {
	return fmt.Sprintf("%s of %s positive", thousands(f.Positives), thousands(f.N))
}

// summaryFindings is for how many findings the summary tells each alone.
const summaryFindings = 4

// labelsSummary is labelsSentences where they are few, and otherwise counts.
func labelsSummary(r *evaluate.Report) []string {
	all := labelsSentences(r)
	if len(all) <= summaryFindings {
		return all
	}
	methods, judged, found, low, high := methodsOf(r), 0, 0, math.MaxInt, 0
	for _, c := range r.Curves {
		if c.Method != methods[1] || c.Enough == nil {
			continue
		}
		judged++
		if c.Enough.Shots > 0 {
			found++
			low, high = min(low, c.Enough.Labels), max(high, c.Enough.Labels)
		}
	}
	switch {
	case judged == 0:
		return nil
	case found == 0:
		return []string{fmt.Sprintf("No number of labels drawn makes the %s better than zero-shot for sure, on any of %s.", methodName(methods[1]), count(judged, "finding"))}
	}
	return []string{fmt.Sprintf("The %s is better than zero-shot from %d to %s on, on %d of %s (%s confidence for each, whichever samples are drawn); the learning curves say which.",
		methodName(methods[1]), low, count(high, "label"), found, count(judged, "finding"), percent(evaluate.Level))}
}

// labelsSentences says for the first head what its labels bought: from how many
// on it is better than zero-shot, and what more would buy. A finding for which
// nothing can be said is counted.
func labelsSentences(r *evaluate.Report) []string {
	methods := methodsOf(r)
	if len(methods) < 2 || len(r.Curves) == 0 {
		return nil
	}
	var sentences []string
	for _, f := range r.Findings {
		for _, c := range r.Curves {
			if c.Finding != f.Name || c.Method != methods[1] {
				continue
			}
			if text := enoughSentence(c, unitOf(r)); text != "" {
				sentences = append(sentences, findingName(f)+": "+text+".")
			}
		}
	}
	return sentences
}

// enoughSentence says from how many labels on a head is better, and what more
// would add; unit is what a patient is called in the report.
func enoughSentence(c evaluate.Curve, unit string) string {
	var parts []string
	switch e := c.Enough; {
	case e == nil:
	case e.Shots > 0:
		on := count(e.Labels, "label")
		if e.Patients > 0 {
			on += " of " + count(e.Patients, unit)
		}
		parts = append(parts, fmt.Sprintf("the %s is better than zero-shot from %s on (%s confidence, whichever samples are drawn)", methodName(c.Method), on, percent(e.Level)))
	default:
		parts = append(parts, fmt.Sprintf("no number of labels drawn makes the %s better than zero-shot for sure (%s)", methodName(c.Method), e.Unmet))
	}
	switch t := c.Trend; {
	case t == nil:
	case t.More != nil:
		parts = append(parts, fmt.Sprintf("%d more labels than %d are expected to add %s in AUC (%s to %s)", t.More.Add, t.More.From, signed(t.More.AUC), signed(t.More.Low), signed(t.More.High)))
	case t.Unmet != "":
		parts = append(parts, "what more labels would buy is not estimated: "+t.Unmet)
	}
	return strings.Join(parts, "; ")
}
