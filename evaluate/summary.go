package evaluate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
)

// Summary is what `medprobe evaluate scores` says of a table of scores.
type Summary struct {
	// Unit is what the intervals were taken over: "sample" or the name of the
	// group column.
	Unit        string            `json:"unit"`
	Scores      []ScoreSummary    `json:"scores"`
	Differences []ScoreDifference `json:"differences"`
	// Averages are over labels, for each kind of scores; empty for one label.
	Averages []Averages `json:"averages"`
	// Subgroups are those of every label and score, by each attribute.
	Subgroups []Subgroup `json:"subgroups"`
}

// DefaultThreshold is used for probabilities where none is asked for.
const DefaultThreshold = 0.5

// SummaryOptions says what a summary holds. The zero value asks for DeLong's
// intervals and, of probabilities, for the figures at [DefaultThreshold].
type SummaryOptions struct {
	// Bootstrap asks for its intervals of AUCs and differences instead.
	Bootstrap *Bootstrap
	// Threshold is the least score that counts as a finding, for every label.
	Threshold *float64
	// LeastUnits is how many units with positives, and with negatives, it takes
	// to be estimable; default [FewUnits]. A subgroup with fewer is not judged.
	LeastUnits int
	// Margin asks for non-inferiority and equivalence of the paired scores; 0
	// does not.
	Margin float64
}

// ScoreSummary holds the figures of one column of scores. What cannot be
// estimated is nil, and Warnings say why.
type ScoreSummary struct {
	Label     string `json:"label"`
	Score     string `json:"score"`
	N         int    `json:"n"`
	Positives int    `json:"positives"`
	Unknown   int    `json:"unknown"` // rows without a label, not used
	Units     int    `json:"units"`
	// Estimable says that enough units hold positives, and enough negatives, for
	// figures to be relied on; MorePositives and MoreNegatives say how many are
	// missing. Figures are given all the same where they can be computed.
	Estimable        bool     `json:"estimable"`
	MorePositives    int      `json:"more_positives"`
	MoreNegatives    int      `json:"more_negatives"`
	AUC              *float64 `json:"auc"`
	Low              *float64 `json:"ci_low"`
	High             *float64 `json:"ci_high"`
	Method           string   `json:"ci_method,omitempty"`
	AveragePrecision *float64 `json:"average_precision"`
	Brier            *float64 `json:"brier"`    // nil unless scores are probabilities
	LogLoss          *float64 `json:"log_loss"` // as Brier
	ECE              *float64 `json:"ece"`      // as Brier
	// Intervals are those of the four figures above, by a bootstrap over units;
	// nil without an AUC.
	Intervals *FigureIntervals `json:"intervals"`
	// AtThreshold is nil where no threshold is asked for and the scores are no
	// probabilities.
	AtThreshold *AtThreshold `json:"at_threshold"`
	Warnings    []Warning    `json:"warnings,omitempty"`
}

// FigureIntervals are figures with intervals from a bootstrap, as [MethodResult]
// has them.
type FigureIntervals struct {
	AveragePrecision *Estimate `json:"average_precision"`
	Brier            *Estimate `json:"brier"`
	LogLoss          *Estimate `json:"log_loss"`
	ECE              *Estimate `json:"ece"`
}

// ScoreDifference is the paired difference A − B between two score columns.
type ScoreDifference struct {
	Label  string  `json:"label"`
	A      string  `json:"a"`
	B      string  `json:"b"`
	N      int     `json:"n"`
	Units  int     `json:"units"`
	Value  float64 `json:"difference"`
	Low    float64 `json:"ci_low"`
	High   float64 `json:"ci_high"`
	P      float64 `json:"p"`
	Method string  `json:"ci_method"`
	// Estimable is as in [ScoreSummary].
	Estimable bool `json:"estimable"`
	// Verdict is nil where no margin is asked for.
	Verdict  *Judgement `json:"verdict"`
	Warnings []Warning  `json:"warnings,omitempty"`
}

// Summarize computes every figure of the table: each score of each label, and
// the differences between the first score of a label and each other one. The
// intervals are DeLong's ([AUC], [Compare]) or, if a bootstrap is asked for, its.
// A label of one class has no figures and a warning. The figures at a threshold
// and over labels are those of [Confuse], [MacroAUC], [WeightedAUC] and [Classify].
func (s *Scores) Summarize(ctx context.Context, o SummaryOptions) (*Summary, error) {
	unit := s.group
	if s.Groups == nil {
		unit = "sample"
	} else if unit == "" {
		unit = "group"
	}
	out := &Summary{Unit: unit, Scores: []ScoreSummary{}, Differences: []ScoreDifference{}, Averages: []Averages{}, Subgroups: []Subgroup{}}
	for _, l := range s.Labels {
		known := s.known(l)
		known.unit = unit
		for k, c := range l.Scores {
			summary, err := known.summary(ctx, l.Name, c, o)
			if err != nil {
				return nil, fmt.Errorf("label %q, score %q: %w", l.Name, c.Name, err)
			}
			out.Scores = append(out.Scores, summary)
			subgroups, err := s.subgroups(ctx, l, c, o, unit)
			if err != nil {
				return nil, fmt.Errorf("label %q, score %q: %w", l.Name, c.Name, err)
			}
			out.Subgroups = append(out.Subgroups, subgroups...)
			if k == 0 || summary.AUC == nil {
				continue
			}
			difference, err := known.difference(ctx, l.Scores[0], c, o)
			if err != nil {
				return nil, fmt.Errorf("label %q, scores %q and %q: %w", l.Name, l.Scores[0].Name, c.Name, err)
			}
			difference.Label, difference.Estimable = l.Name, summary.Estimable
			out.Differences = append(out.Differences, difference)
		}
	}
	for k := range s.kinds() {
		averages, err := s.averages(ctx, k, o, unit)
		if err != nil {
			return nil, fmt.Errorf("over labels, score %q: %w", averages.Score, err)
		}
		out.Averages = append(out.Averages, averages)
	}
	return out, nil
}

// knownRows is the part of a table in which one label is known.
type knownRows struct {
	rows           []int
	unknown        int
	labels         []bool
	groups, strata []string
	unit           string
}

func (s *Scores) known(l LabelScores) knownRows {
	var k knownRows
	for i, v := range l.Values {
		if v == Unknown {
			k.unknown++
			continue
		}
		k.rows = append(k.rows, i)
		k.labels = append(k.labels, v == Positive)
		if s.Groups != nil {
			k.groups = append(k.groups, s.Groups[i])
		}
		if s.Strata != nil {
			k.strata = append(k.strata, s.Strata[i])
		}
	}
	return k
}

// names are the groups or, without, a name for each row.
func (k knownRows) names() []string {
	if k.groups != nil {
		return k.groups
	}
	names := make([]string, len(k.rows))
	for j, i := range k.rows {
		names[j] = strconv.Itoa(i)
	}
	return names
}

func (k knownRows) of(c ScoreColumn) []float64 {
	values := make([]float64, len(k.rows))
	for j, i := range k.rows {
		values[j] = c.Values[i]
	}
	return values
}

func (k knownRows) summary(ctx context.Context, label string, c ScoreColumn, o SummaryOptions) (ScoreSummary, error) {
	scores := k.of(c)
	_, units, err := unitsOf(len(scores), k.groups)
	if err != nil {
		return ScoreSummary{}, err
	}
	out := ScoreSummary{Label: label, Score: c.Name, N: len(scores), Unknown: k.unknown, Units: units}
	for _, positive := range k.labels {
		if positive {
			out.Positives++
		}
	}
	least := cmp.Or(o.LeastUnits, FewUnits)
	out.MorePositives, out.MoreNegatives = Column{Scores: scores, Labels: k.labels, Groups: k.names()}.lacking(least)
	out.Estimable = out.MorePositives+out.MoreNegatives == 0
	estimate, err := k.auc(ctx, scores, o.Bootstrap)
	switch {
	case errors.Is(err, ErrOneClass):
		out.Warnings = []Warning{oneClass(len(scores), out.Positives)}
	case err != nil:
		return ScoreSummary{}, err
	default:
		out.AUC, out.Low, out.High, out.Method = &estimate.Point, &estimate.Low, &estimate.High, estimate.Method
		out.Warnings = estimate.Warnings
		precision, err := AveragePrecision(scores, k.labels)
		if err != nil {
			return ScoreSummary{}, err
		}
		out.AveragePrecision = &precision
	}
	if out.AUC != nil {
		if out.Intervals, err = k.intervals(ctx, scores, estimate, o); err != nil {
			return ScoreSummary{}, err
		}
	}
	if out.AtThreshold, err = k.atThreshold(scores, o.Threshold); err != nil {
		return ScoreSummary{}, err
	}
	if len(scores) == 0 || !areProbabilities(scores) {
		return out, nil
	}
	for _, f := range []struct {
		into   **float64
		figure func([]float64, []bool) (float64, error)
	}{{&out.Brier, Brier}, {&out.LogLoss, LogLoss}, {&out.ECE, ECE}} {
		value, err := f.figure(scores, k.labels)
		if err != nil {
			return ScoreSummary{}, err
		}
		*f.into = &value
	}
	return out, nil
}

// intervals resamples as the options say or, where DeLong's intervals are asked
// for, 2,000 times; less often where the rows are very many.
func (k knownRows) intervals(ctx context.Context, scores []float64, auc Estimate, o SummaryOptions) (*FigureIntervals, error) {
	auc = auc.over(k.unit)
	r := MethodResult{AUC: &auc}
	m := Scored{Scores: scores}
	if areProbabilities(scores) {
		m.Probabilities = scores
	}
	err := r.resample(ctx, m, k.labels, k.groups, o.resampling(len(scores), k.strata))
	return &FigureIntervals{r.AveragePrecision, r.Brier, r.LogLoss, r.ECE}, err
}

// resampling is the bootstrap of the figures that have no other interval, for n
// samples in strata.
func (o SummaryOptions) resampling(n int, strata []string) Bootstrap {
	if o.Bootstrap != nil {
		b := *o.Bootstrap
		b.Strata = strata
		return b
	}
	const most = 1e8 // samples to be drawn
	return Bootstrap{Resamples: max(200, min(2000, int(most)/max(1, n)))}
}

// atThreshold is nil where there is no threshold or no sample.
func (k knownRows) atThreshold(scores []float64, threshold *float64) (*AtThreshold, error) {
	at := DefaultThreshold
	switch {
	case len(scores) == 0 || threshold == nil && !areProbabilities(scores):
		return nil, nil
	case threshold != nil:
		at = *threshold
	}
	figures, err := Confuse(scores, k.labels, k.groups, at, k.unit)
	return &figures, err
}

func (k knownRows) auc(ctx context.Context, scores []float64, bootstrap *Bootstrap) (Estimate, error) {
	if bootstrap == nil {
		return AUC(scores, k.labels, k.groups)
	}
	b := *bootstrap
	b.Strata = k.strata
	return b.AUC(ctx, scores, k.labels, k.groups)
}

func (k knownRows) difference(ctx context.Context, a, b ScoreColumn, o SummaryOptions) (ScoreDifference, error) {
	var c Comparison
	var err error
	if o.Bootstrap == nil {
		c, err = Compare(k.of(a), k.of(b), k.labels, k.groups)
	} else {
		resample := *o.Bootstrap
		resample.Strata = k.strata
		c, err = resample.Compare(ctx, k.of(a), k.of(b), k.labels, k.groups)
	}
	d := c.Difference
	out := ScoreDifference{A: a.Name, B: b.Name, N: d.N, Units: d.Units, Value: d.Point, Low: d.Low, High: d.High, P: c.P, Method: d.Method, Warnings: d.Warnings}
	if err == nil && o.Margin > 0 {
		verdict := Judge(d, o.Margin)
		out.Verdict = &verdict
	}
	return out, err
}

// oneClass says why nothing can be ranked, and what it would take.
func oneClass(n, positives int) Warning {
	text := fmt.Sprintf("not estimable: none of %d samples is positive; need >= 1 positive, and >= %d for a dependable interval", n, FewUnits)
	switch {
	case n == 0:
		text = "not estimable: no sample has a label"
	case positives == n:
		text = fmt.Sprintf("not estimable: all of %d samples are positive; need >= 1 negative, and >= %d for a dependable interval", n, FewUnits)
	}
	return Warning{WarnOneClass, text}
}
