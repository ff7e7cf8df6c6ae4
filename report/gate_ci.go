package report

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/medprobe/medprobe/evaluate"
)

// junitSuite is JUnit's XML, as GitLab and Jenkins read it.
type junitSuite struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Failure *junitMessage `xml:"failure"`
	Error   *junitMessage `xml:"error"`
	Skipped *junitMessage `xml:"skipped"`
	Output  string        `xml:"system-out,omitempty"`
}

type junitMessage struct {
	Message string `xml:"message,attr"`
}

// GateJUnit writes the decision as a JUnit test suite: a case for each label.
// Inconclusive labels are skipped, an incomparable gate is one error.
func GateJUnit(w io.Writer, g *evaluate.Gate) error {
	g = visible(g)
	s := junitSuite{Name: "medprobe gate"}
	for _, l := range g.Labels {
		c := junitCase{Class: "medprobe.gate", Name: l.Label, Output: gateSentence(&l)}
		switch message := (&junitMessage{gateSentence(&l)}); l.Verdict {
		case evaluate.Fail:
			c.Failure, s.Failures = message, s.Failures+1
		case evaluate.Inconclusive:
			c.Skipped, s.Skipped = message, s.Skipped+1
		}
		s.Cases = append(s.Cases, c)
	}
	if len(g.Labels) == 0 {
		s.Errors = 1
		s.Cases = append(s.Cases, junitCase{Class: "medprobe.gate", Name: "comparison", Error: &junitMessage{g.Reason}})
	}
	s.Tests = len(s.Cases)
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	encoder := xml.NewEncoder(w)
	encoder.Indent("", "  ")
	if err := encoder.Encode(s); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// gateSentence says one label's decision in a line.
func gateSentence(l *evaluate.GateLabel) string {
	s := l.Label + ": " + string(l.Verdict)
	if l.Difference != nil {
		s += fmt.Sprintf(", AUC %s against %s, difference %s (%s), n = %d", gateFigure(l.Candidate, "%.3f"), gateFigure(l.Baseline, "%.3f"),
			gateFigure(l.Difference, "%+.3f"), gateInterval(l), l.N)
	}
	if l.Reason != "" {
		s += "; " + l.Reason
	}
	if l.Needed > 0 {
		s += fmt.Sprintf("; about %d %ss would settle it", l.Needed, l.Unit)
	}
	return s
}

// GateAnnotations writes GitHub's workflow commands: an error for each label that
// failed, a warning for each that is inconclusive, at most ten of a kind, which is
// what GitHub shows, and a notice where all is well.
func GateAnnotations(w io.Writer, g *evaluate.Gate) error {
	g = visible(g)
	written := map[string]int{}
	line := func(kind, title, message string) error {
		if written[kind]++; written[kind] > 10 {
			return nil
		}
		_, err := fmt.Fprintf(w, "::%s title=%s::%s\n", kind, property.Replace(title), data.Replace(message))
		return err
	}
	for _, l := range g.Labels {
		kind := map[evaluate.Verdict]string{evaluate.Fail: "error", evaluate.Inconclusive: "warning"}[l.Verdict]
		if kind == "" {
			continue
		}
		if err := line(kind, "medprobe gate: "+l.Label, gateSentence(&l)); err != nil {
			return err
		}
	}
	switch g.Verdict {
	case evaluate.Incomparable:
		return line("error", "medprobe gate", g.Reason)
	case evaluate.Pass:
		return line("notice", "medprobe gate", "pass: "+g.Reason)
	}
	return nil
}

// data and property escape what GitHub's runner splits workflow commands at.
var (
	data     = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

// GateOpenMetrics writes the decision in OpenMetrics' text format, as GitLab's
// metrics reports and Prometheus read it.
func GateOpenMetrics(w io.Writer, g *evaluate.Gate) error {
	g = visible(g)
	var b strings.Builder
	for _, m := range []struct {
		name, help string
		value      func(*evaluate.GateLabel) *float64
	}{
		{"medprobe_gate_auc_baseline", "AUC of the baseline.", func(l *evaluate.GateLabel) *float64 { return l.Baseline }},
		{"medprobe_gate_auc_candidate", "AUC of the candidate.", func(l *evaluate.GateLabel) *float64 { return l.Candidate }},
		{"medprobe_gate_auc_difference", "Candidate less baseline, paired.", func(l *evaluate.GateLabel) *float64 { return l.Difference }},
		{"medprobe_gate_auc_difference_low", "Lower end of the interval of the difference.", func(l *evaluate.GateLabel) *float64 { return l.Low }},
		{"medprobe_gate_auc_difference_high", "Upper end of the interval of the difference.", func(l *evaluate.GateLabel) *float64 { return l.High }},
	} {
		fmt.Fprintf(&b, "# TYPE %s gauge\n# HELP %s %s\n", m.name, m.name, m.help)
		for _, l := range g.Labels {
			if v := m.value(&l); v != nil {
				fmt.Fprintf(&b, "%s{label=\"%s\"} %s\n", m.name, metricLabel.Replace(l.Label), strconv.FormatFloat(*v, 'g', -1, 64))
			}
		}
	}
	b.WriteString("# TYPE medprobe_gate_verdict stateset\n# HELP medprobe_gate_verdict What the gate decided.\n")
	for _, v := range []evaluate.Verdict{evaluate.Pass, evaluate.Inconclusive, evaluate.Fail, evaluate.Incomparable} {
		state := 0
		if g.Verdict == v {
			state = 1
		}
		fmt.Fprintf(&b, "medprobe_gate_verdict{medprobe_gate_verdict=%q} %d\n", v, state)
	}
	b.WriteString("# EOF\n")
	_, err := io.WriteString(w, b.String())
	return err
}

var metricLabel = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// GateBenchmark writes the candidate's AUCs as github-action-benchmark's
// customBiggerIsBetter reads them.
func GateBenchmark(w io.Writer, g *evaluate.Gate) error {
	g = visible(g)
	type entry struct {
		Name  string  `json:"name"`
		Unit  string  `json:"unit"`
		Value float64 `json:"value"`
		Range string  `json:"range,omitempty"`
		Extra string  `json:"extra,omitempty"`
	}
	entries := []entry{}
	for _, l := range g.Labels {
		if l.Candidate != nil {
			entries = append(entries, entry{
				Name: l.Label, Unit: "AUC", Value: *l.Candidate, Range: fmt.Sprintf("± %.4f", math.Abs(*l.High-*l.Low)/2), Extra: gateSentence(&l),
			})
		}
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(entries)
}
