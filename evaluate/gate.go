package evaluate

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Verdict is what a gate says of a candidate.
type Verdict string

// The verdicts, from best to worst.
const (
	Pass         Verdict = "pass"
	Inconclusive Verdict = "inconclusive"
	Fail         Verdict = "fail"
	Incomparable Verdict = "incomparable"
)

// GateRules say what counts as worse.
type GateRules struct {
	// Margin is the drop in AUC that is borne, MinEffect the least drop that fails
	// the gate, Alpha the error of each interval, and of all failures together.
	Margin    float64 `json:"margin"`
	MinEffect float64 `json:"min_effect"`
	Alpha     float64 `json:"alpha"`
}

// DefaultGateRules are a margin of .02, a least effect of .005 and an α of .05.
func DefaultGateRules() GateRules { return GateRules{Margin: 0.02, MinEffect: 0.005, Alpha: 0.05} }

// Validate returns an error that names the rule that makes no sense.
func (r GateRules) Validate() error {
	switch {
	case !(r.Margin >= 0 && r.Margin < 1):
		return fmt.Errorf("evaluate: margin %v: want 0 or more, below 1", r.Margin)
	case !(r.MinEffect >= 0 && r.MinEffect < 1):
		return fmt.Errorf("evaluate: min-effect %v: want 0 or more, below 1", r.MinEffect)
	case !(r.Alpha > 0 && r.Alpha <= 0.5):
		return fmt.Errorf("evaluate: alpha %v: want above 0, at most 0.5", r.Alpha)
	}
	return nil
}

// Gate is the decision on a candidate. Its JSON form is a promise: fields are
// added, never changed.
type Gate struct {
	Verdict Verdict     `json:"verdict"`
	Labels  []GateLabel `json:"labels"`
	// Reason says the verdict in words.
	Reason    string    `json:"reason"`
	Baseline  string    `json:"baseline"`
	Candidate string    `json:"candidate"`
	Rules     GateRules `json:"rules"`
	// Level is that of the intervals, 1 − α.
	Level float64 `json:"level"`
	// Differences say in what an incomparable candidate differs, without naming a
	// sample; Allowed are those that were allowed.
	Differences []string `json:"differences,omitempty"`
	Allowed     []string `json:"allowed,omitempty"`
}

// GateLabel is the decision on one label.
type GateLabel struct {
	Label string `json:"label"`
	// Baseline and Candidate are AUCs, Difference is candidate − baseline with its
	// interval; nil where they cannot be estimated, for Reason.
	Baseline   *float64 `json:"baseline"`
	Candidate  *float64 `json:"candidate"`
	Difference *float64 `json:"difference"`
	Low        *float64 `json:"ci_low"`
	High       *float64 `json:"ci_high"`
	// P is two-sided, AdjustedP Holm's over the labels.
	P         *float64 `json:"p"`
	AdjustedP *float64 `json:"p_adjusted"`
	Verdict   Verdict  `json:"verdict"`
	Reason    string   `json:"reason,omitempty"`
	N         int      `json:"n"`
	Positives int      `json:"positives"`
	Units     int      `json:"units"`
	Unit      string   `json:"unit"`
	// Needed is how many units would settle an inconclusive label, if the
	// difference stayed what it is; 0 where that cannot be told.
	Needed int `json:"needed,omitempty"`
}

// Matched is one label on the samples that baseline and candidate share, row by
// row.
type Matched struct {
	Label               string
	Baseline, Candidate []float64
	Truth               []bool
	// Groups holds the patient of each row; nil where none is known.
	Groups []string
	// Unit is what a group is; default "patient", or "sample" without groups.
	Unit string
}

// Decide compares candidate and baseline label by label and returns the verdict.
//
// Each label's difference in AUC and its interval at level 1 − α are those of
// [Compare]: paired, clustered by group. A label passes if the interval's lower end
// lies above −Margin. It fails if the upper end lies below 0, the drop exceeds
// MinEffect and its p, adjusted over the labels by Holm, is below α; otherwise it is
// inconclusive. All labels must pass for the gate to pass, which needs no
// adjustment (an intersection-union test); one that fails makes it fail.
//
// A label of one class only, and one for which either side gives every sample the
// same score, is inconclusive whatever the figures. A score that is not a number is
// an error, and so is no label at all. Time is O(n log n) for each label.
//
// Sources: the three outcomes are those of a non-inferiority test beside a
// superiority test, as in Piaggio et al., JAMA 308 (2012) 2594–2604, figure 1; Holm,
// Scandinavian Journal of Statistics 6 (1979) 65–70. Oracle: false alarms and
// detections by simulation (TestGateFalseAlarms, make bench-gate).
func Decide(labels []Matched, rules GateRules) (*Gate, error) {
	if err := rules.Validate(); err != nil {
		return nil, err
	}
	if len(labels) == 0 {
		return nil, errors.New("evaluate: gate: no label to compare")
	}
	g := &Gate{Rules: rules, Level: 1 - rules.Alpha}
	var ps []float64
	var estimated []int
	for k, m := range labels {
		l, comparison, err := gateLabel(m, g.Level)
		if err != nil {
			return nil, fmt.Errorf("evaluate: gate: %q: %w", m.Label, err)
		}
		if comparison != nil {
			ps, estimated = append(ps, comparison.P), append(estimated, k)
		}
		g.Labels = append(g.Labels, l)
	}
	for i, p := range Holm(ps) {
		g.Labels[estimated[i]].AdjustedP = &p
	}
	for k := range g.Labels {
		g.Labels[k].decide(rules, len(estimated))
	}
	g.sum()
	return g, nil
}

// gateLabel estimates one label; the comparison is nil where it cannot be trusted.
func gateLabel(m Matched, level float64) (GateLabel, *Comparison, error) {
	l := GateLabel{Label: m.Label, Verdict: Inconclusive, N: len(m.Truth)}
	for _, positive := range m.Truth {
		if positive {
			l.Positives++
		}
	}
	p, err := newPaired(m.Candidate, m.Baseline, m.Truth, m.Groups)
	if errors.Is(err, ErrOneClass) {
		l.Reason = "only one class among its labels"
		return l, nil, nil
	}
	if err != nil {
		return l, nil, err
	}
	c := p.comparison(level)
	d := c.Difference
	l.Units, l.Unit = d.Units, d.Unit
	if l.Unit == "group" {
		l.Unit = "patient"
		if m.Unit != "" {
			l.Unit = m.Unit
		}
	}
	l.Candidate, l.Baseline, l.Difference, l.Low, l.High, l.P = &c.A.Point, &c.B.Point, &d.Point, &d.Low, &d.High, &c.P
	for side, e := range map[string]Estimate{"baseline": c.B, "candidate": c.A} {
		if slices.ContainsFunc(e.Warnings, func(w Warning) bool { return w.Code == WarnConstant }) {
			l.Reason = "every score of the " + side + " is the same"
		}
	}
	return l, &c, nil
}

// decide sets the verdict of a label, of so many that were estimated.
func (l *GateLabel) decide(rules GateRules, labels int) {
	if l.Difference == nil || l.Reason != "" {
		return
	}
	switch drop := -*l.Difference; {
	case *l.Low > -rules.Margin:
		l.Verdict = Pass
	case *l.High < 0 && drop > rules.MinEffect && *l.AdjustedP < rules.Alpha:
		l.Verdict = Fail
	default:
		l.Needed = l.needed(rules, labels)
		l.Reason = "the interval leaves it open"
	}
}

// needed returns the number of units at which the interval, narrower by the square
// root of their number, would let the label pass or fail.
func (l *GateLabel) needed(rules GateRules, labels int) int {
	d, half := *l.Difference, (*l.High-*l.Low)/2
	least := math.Inf(1)
	if room := d + rules.Margin; room > 0 {
		least = math.Pow(half/room, 2)
	}
	if -d > rules.MinEffect {
		// Holm's first step is the strictest: α over the number of labels.
		stricter := quantile(1-rules.Alpha/float64(labels)) / quantile(1-rules.Alpha)
		least = min(least, math.Pow(half*stricter/-d, 2))
	}
	if math.IsInf(least, 0) || math.IsNaN(least) || least*float64(l.Units) > 1e9 {
		return 0
	}
	return max(l.Units+1, int(math.Ceil(least*float64(l.Units))))
}

// sum makes the gate's verdict of its labels'.
func (g *Gate) sum() {
	named := map[Verdict][]string{}
	needed, unit := 0, ""
	for _, l := range g.Labels {
		named[l.Verdict] = append(named[l.Verdict], l.Label)
		if l.Verdict == Inconclusive && l.Needed > needed {
			needed, unit = l.Needed, l.Unit
		}
	}
	list := func(v Verdict) string { return strings.Join(named[v], ", ") }
	switch {
	case len(named[Fail]) > 0:
		g.Verdict, g.Reason = Fail, fmt.Sprintf("worse than the baseline: %s", list(Fail))
	case len(named[Inconclusive]) > 0:
		g.Verdict, g.Reason = Inconclusive, fmt.Sprintf("neither shown to be within %.3g of the baseline nor to be worse: %s", g.Rules.Margin, list(Inconclusive))
		if needed > 0 {
			g.Reason += fmt.Sprintf("; about %d %ss would settle it if the difference stayed what it is", needed, unit)
		}
	case len(g.Labels) == 1:
		g.Verdict, g.Reason = Pass, fmt.Sprintf("no more than %.3g below the baseline", g.Rules.Margin)
	default:
		g.Verdict, g.Reason = Pass, fmt.Sprintf("no label is more than %.3g below the baseline", g.Rules.Margin)
	}
}

// NewIncomparable returns the gate that compared nothing, for these differences.
func NewIncomparable(rules GateRules, differences ...string) *Gate {
	return &Gate{
		Verdict: Incomparable, Labels: []GateLabel{}, Rules: rules, Level: 1 - rules.Alpha,
		Reason: "cannot be compared: " + strings.Join(differences, "; "), Differences: differences,
	}
}
