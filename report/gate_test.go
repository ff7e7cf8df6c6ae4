package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/evaluate"
)

// decided is a gate of three labels, one of each verdict, whose names attack.
func decided() *evaluate.Gate {
	f := func(v float64) *float64 { return &v }
	label := func(name string, v evaluate.Verdict, d float64) evaluate.GateLabel {
		return evaluate.GateLabel{
			Label: name, Baseline: f(0.9), Candidate: f(0.9 + d), Difference: f(d), Low: f(d - 0.01), High: f(d + 0.01), P: f(0.01), AdjustedP: f(0.03),
			Verdict: v, N: 100, Positives: 30, Units: 50, Unit: "patient",
		}
	}
	open := label("=HYPERLINK(\"x\")|`a` ]]> \x1b[2J", evaluate.Inconclusive, -0.015)
	open.Needed, open.Reason = 300, "the interval leaves it open"
	none := evaluate.GateLabel{Label: "one\nclass %0A::error::", Verdict: evaluate.Inconclusive, Reason: "only one class among its labels", N: 5}
	return &evaluate.Gate{
		Verdict: evaluate.Fail, Reason: "worse than the baseline: <img src=x onerror=alert(1)>", Baseline: "main", Candidate: "run",
		Rules: evaluate.DefaultGateRules(), Level: 0.95,
		Labels: []evaluate.GateLabel{label("<img src=x onerror=alert(1)>", evaluate.Fail, -0.05), open, none, label(`quo"te\`, evaluate.Pass, 0.001)},
	}
}

func gateWritten(t *testing.T, write func(io.Writer, *evaluate.Gate) error, g *evaluate.Gate) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b, g); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestGateJUnitIsReadBack(t *testing.T) {
	t.Parallel()
	var suite struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Skipped  int `xml:"skipped,attr"`
		Errors   int `xml:"errors,attr"`
		Cases    []struct {
			Name    string `xml:"name,attr"`
			Failure *struct {
				Message string `xml:"message,attr"`
			} `xml:"failure"`
			Error *struct{} `xml:"error"`
		} `xml:"testcase"`
	}
	if err := xml.Unmarshal([]byte(gateWritten(t, GateJUnit, decided())), &suite); err != nil {
		t.Fatal(err)
	}
	if suite.Tests != 4 || suite.Failures != 1 || suite.Skipped != 2 || suite.Errors != 0 {
		t.Errorf("suite %+v", suite)
	}
	if c := suite.Cases[0]; c.Name != "<img src=x onerror=alert(1)>" || c.Failure == nil || !strings.Contains(c.Failure.Message, "AUC 0.850 against 0.900") {
		t.Errorf("first case %+v", c)
	}
	incomparable := evaluate.NewIncomparable(evaluate.DefaultGateRules(), "encoders a and b")
	if err := xml.Unmarshal([]byte(gateWritten(t, GateJUnit, incomparable)), &suite); err != nil || suite.Errors != 1 || suite.Cases[len(suite.Cases)-1].Error == nil {
		t.Errorf("incomparable: %+v, %v: want an error", suite, err)
	}
}

// Every line is a workflow command of GitHub's, whatever a label holds.
func TestGateAnnotationsStayCommands(t *testing.T) {
	t.Parallel()
	text := gateWritten(t, GateAnnotations, decided())
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	command := regexp.MustCompile(`^::(error|warning|notice) title=[^:,]*::[^\r\n]*$`)
	for _, line := range lines {
		if !command.MatchString(line) {
			t.Errorf("%q is no command", line)
		}
	}
	if len(lines) != 3 || !strings.Contains(text, "%250A%3A%3Aerror") {
		t.Errorf("annotations\n%s\nwant one for each label that does not pass, escaped", text)
	}
	many := decided()
	for range 20 {
		many.Labels = append(many.Labels, many.Labels[0])
	}
	if n := strings.Count(gateWritten(t, GateAnnotations, many), "::error "); n != 10 {
		t.Errorf("%d errors: want the ten that GitHub shows", n)
	}
}

// The text follows OpenMetrics 1.0: types first, names and labels in order, the
// end marked.
func TestGateOpenMetricsGrammar(t *testing.T) {
	t.Parallel()
	text := gateWritten(t, GateOpenMetrics, decided())
	line := regexp.MustCompile(`^(# (TYPE|HELP) [a-z_]+ .+|[a-z_]+\{[a-z_]+="([^"\\\n]|\\["\\n])*"\} [-+.0-9e]+|# EOF)$`)
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for _, l := range lines {
		if !line.MatchString(l) {
			t.Errorf("%q is not OpenMetrics", l)
		}
	}
	if lines[len(lines)-1] != "# EOF" || strings.Count(text, "# EOF") != 1 {
		t.Error("the end is not marked once")
	}
	if !strings.Contains(text, `medprobe_gate_verdict{medprobe_gate_verdict="fail"} 1`) || !strings.Contains(text, `label="quo\"te\\"`) {
		t.Errorf("verdict or label missing in\n%s", text)
	}
}

func TestGateTextAndMarkdownHoldNothingThatActs(t *testing.T) {
	t.Parallel()
	terminal := gateWritten(t, GateText, decided())
	if strings.ContainsAny(terminal, "\x1b") || strings.Contains(terminal, "one\nclass") {
		t.Errorf("the table moves the cursor:\n%q", terminal)
	}
	markdown := gateWritten(t, GateMarkdown, decided())
	for _, bad := range []string{"<img", "`a`", "|`"} {
		if strings.Contains(markdown, bad) {
			t.Errorf("%q is live in\n%s", bad, markdown)
		}
	}
	for _, row := range regexp.MustCompile(`(?m)^\| .*$`).FindAllString(markdown, -1) {
		if n := strings.Count(strings.ReplaceAll(row, `\|`, ""), "|"); n != 10 {
			t.Errorf("%d bars in the row %q", n, row)
		}
	}
}

func TestGateDocumentsAreJSON(t *testing.T) {
	t.Parallel()
	var g evaluate.Gate
	if err := json.Unmarshal([]byte(gateWritten(t, GateJSON, decided())), &g); err != nil || g.Verdict != evaluate.Fail || len(g.Labels) != 4 || g.Labels[2].Difference != nil {
		t.Errorf("%+v, %v", g, err)
	}
	var bench []struct {
		Name, Unit, Range string
		Value             float64
	}
	if err := json.Unmarshal([]byte(gateWritten(t, GateBenchmark, decided())), &bench); err != nil || len(bench) != 3 || bench[0].Value != 0.85 {
		t.Errorf("%+v, %v: want the three that can be estimated", bench, err)
	}
}
