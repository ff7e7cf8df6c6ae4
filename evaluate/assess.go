package evaluate

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Trial is one finding on the test samples, with the scores that each method
// gave them. Samples for which the finding is not known are left out.
type Trial struct {
	Name, Title, Note string
	Prompts           Prompts
	Labels            []bool
	// Groups holds the patient of each sample, or a name of its own.
	Groups []string
	// Methods are compared with the first, which is the baseline.
	Methods []Scored
}

// Scored is what one method says of the samples of a trial.
type Scored struct {
	Method string
	// Scores rank the samples; a higher one speaks for the finding.
	Scores []float64
	// Probabilities are for Brier score, log-loss and calibration; nil where the
	// method gives none.
	Probabilities []float64
	Detail        string
	// Fit says the same for machines, in JSON; nil where there is nothing to say.
	Fit json.RawMessage
}

// Assess turns trials into findings and, if there are two or more, their
// macro means. unit is what a group is, such as "patient". All trials hold the
// same methods in the same order.
//
// AUCs and differences are as [AUC], [Compare] and [MacroAUC] give them; p is
// also given as adjusted over the findings (Holm, Scandinavian Journal of
// Statistics 6 (1979) 65–70). Average precision and the figures of calibration
// have percentile intervals from the bootstrap, which Bootstrap governs. The
// bootstrap's interval of ECE is that of a figure that chance lifts: it may
// lie above the point. A finding of one class has no figures and a warning.
func Assess(ctx context.Context, trials []Trial, unit string, bootstrap Bootstrap) ([]Finding, *Macro, error) {
	findings := make([]Finding, len(trials))
	for k, trial := range trials {
		if err := sameMethods(trials[0], trial); err != nil {
			return nil, nil, err
		}
		finding, err := trial.assess(ctx, unit, bootstrap)
		if err != nil {
			return nil, nil, fmt.Errorf("finding %q: %w", trial.Name, err)
		}
		findings[k] = finding
	}
	adjust(findings)
	macro, err := newMacro(trials, unit)
	return findings, macro, err
}

func sameMethods(a, b Trial) error {
	same := slices.EqualFunc(a.Methods, b.Methods, func(x, y Scored) bool { return x.Method == y.Method })
	if !same || len(a.Methods) == 0 {
		return fmt.Errorf("evaluate: findings %q and %q have other methods, or none: want the same in the same order", a.Name, b.Name)
	}
	return nil
}

// over names the unit, in the warnings too.
func (e Estimate) over(unit string) Estimate {
	e.Warnings = slices.Clone(e.Warnings)
	for k, w := range e.Warnings {
		if w.Code == WarnFewUnits || w.Code == WarnSmall {
			e.Warnings[k].Text = strings.Replace(w.Text, e.Unit+"s with", unit+"s with", 1)
		}
	}
	e.Unit = unit
	return e
}

func (t Trial) assess(ctx context.Context, unit string, bootstrap Bootstrap) (Finding, error) {
	f := Finding{
		Name: t.Name, Title: t.Title, Note: t.Note, Prompts: t.Prompts,
		N: len(t.Labels), Unit: unit, Differences: []Difference{},
	}
	_, units, err := unitsOf(len(t.Labels), t.Groups)
	if err != nil {
		return f, err
	}
	f.Units = units
	for _, positive := range t.Labels {
		if positive {
			f.Positives++
		}
	}
	if _, _, err := countClasses(t.Labels); err != nil {
		f.Warnings = append(f.Warnings, oneClass(f.N, f.Positives))
		for _, m := range t.Methods {
			f.Methods = append(f.Methods, MethodResult{Method: m.Method, Detail: m.Detail, Fit: m.Fit})
		}
		return f, nil
	}
	for k, m := range t.Methods {
		result, err := t.method(ctx, m, unit, bootstrap)
		if err != nil {
			return f, fmt.Errorf("method %q: %w", m.Method, err)
		}
		f.Methods = append(f.Methods, result)
		for _, w := range result.AUC.Warnings {
			if w.Code != WarnFewUnits && w.Code != WarnSmall {
				w.Text = m.Method + ": " + w.Text
			}
			if !slices.Contains(f.Warnings, w) {
				f.Warnings = append(f.Warnings, w)
			}
		}
		if k == 0 {
			continue
		}
		c, err := Compare(m.Scores, t.Methods[0].Scores, t.Labels, t.Groups)
		if err != nil {
			return f, fmt.Errorf("methods %q and %q: %w", m.Method, t.Methods[0].Method, err)
		}
		f.Differences = append(f.Differences, Difference{A: m.Method, B: t.Methods[0].Method, Difference: c.Difference.over(unit), P: c.P, AdjustedP: c.P})
	}
	return f, nil
}

// drawingTolerance is how far a simplified curve may lie from the true one.
const drawingTolerance = 0.0005

func (t Trial) method(ctx context.Context, m Scored, unit string, bootstrap Bootstrap) (MethodResult, error) {
	r := MethodResult{Method: m.Method, Detail: m.Detail, Fit: m.Fit}
	auc, err := AUC(m.Scores, t.Labels, t.Groups)
	if err != nil {
		return r, err
	}
	auc = auc.over(unit)
	r.AUC = &auc
	curve, err := ROC(m.Scores, t.Labels)
	if err != nil {
		return r, err
	}
	r.ROC = simplify(curve, drawingTolerance)

	if m.Probabilities != nil {
		if !areProbabilities(m.Probabilities) {
			return r, errors.New("evaluate: probabilities: want each in [0, 1]")
		}
		h, err := newHistogram(m.Probabilities, t.Labels)
		if err != nil {
			return r, err
		}
		r.Histogram = &h
	}
	if r.Drawn, err = t.drawn(ctx, m, bootstrap, unit); err != nil {
		return r, err
	}
	return r, r.resample(ctx, m, t.Labels, t.Groups, bootstrap)
}

// resample sets average precision, with the interval of [share.logits], and, of
// probabilities, the figures of calibration, with percentile intervals, no narrower
// than Wilson's where units are few or the resamples all alike; the rest of each is
// as the AUC's.
func (r *MethodResult) resample(ctx context.Context, m Scored, labels []bool, groups []string, bootstrap Bootstrap) error {
	bootstrap.setDefaults()
	c, err := newContrast(labels, groups)
	if err != nil {
		return err
	}
	s, err := newSweep(m.Scores, labels, c.unit)
	if err != nil {
		return err
	}
	var figures []figure
	positives, negatives := classUnits(c.tallies())
	add := func(into **Estimate, value func([]int32) float64, of share) {
		e := *r.AUC
		e.Warnings, e.StdErr, e.Method = nil, 0, "percentile"
		e.Point = value(nil)
		e.Low, e.High = e.Point, e.Point
		*into = &e
		figures = append(figures, figure{value: value, estimate: &e, share: of})
	}
	add(&r.AveragePrecision, s.averagePrecision, share{1, positives, negatives, true})
	if m.Probabilities != nil {
		p, err := newSweep(m.Probabilities, labels, c.unit)
		if err != nil {
			return err
		}
		add(&r.Brier, p.brier, share{limit: 1, units: c.units})
		add(&r.LogLoss, p.logLoss, share{limit: maxLogLoss, units: c.units})
		add(&r.ECE, p.ece, share{limit: 1, units: c.units})
	}
	return bootstrap.intervals(ctx, c, figures)
}

// adjust sets Holm's p over the findings for each pair of methods.
func adjust(findings []Finding) {
	pairs := map[[2]string][]*Difference{}
	for k := range findings {
		for j := range findings[k].Differences {
			d := &findings[k].Differences[j]
			pairs[[2]string{d.A, d.B}] = append(pairs[[2]string{d.A, d.B}], d)
		}
	}
	for _, differences := range pairs {
		p := make([]float64, len(differences))
		for k, d := range differences {
			p[k] = d.P
		}
		for k, adjusted := range Holm(p) {
			differences[k].AdjustedP = adjusted
		}
	}
}

// Holm returns the p values adjusted for their number (Holm 1979): the k-th
// smallest of m times m−k+1, never below a smaller one's, at most 1.
func Holm(p []float64) []float64 {
	order := make([]int, len(p))
	for k := range order {
		order[k] = k
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p[a], p[b]) })
	adjusted := make([]float64, len(p))
	largest := 0.0
	for rank, k := range order {
		largest = max(largest, min(1, p[k]*float64(len(p)-rank)))
		adjusted[k] = largest
	}
	return adjusted
}

// newMacro returns the means over the findings with both classes, nil if there
// are fewer than two.
func newMacro(trials []Trial, unit string) (*Macro, error) {
	var m Macro
	var columns [][]Column // by method
	for _, t := range trials {
		if _, _, err := countClasses(t.Labels); errors.Is(err, ErrOneClass) {
			continue
		}
		m.Findings = append(m.Findings, t.Name)
		for k, method := range t.Methods {
			if len(columns) <= k {
				columns = append(columns, nil)
			}
			columns[k] = append(columns[k], Column{Scores: method.Scores, Labels: t.Labels, Groups: t.Groups})
		}
	}
	if len(m.Findings) < 2 || trials[0].Groups == nil {
		return nil, nil
	}
	m.Differences = []Difference{}
	for k, method := range trials[0].Methods {
		auc, err := MacroAUC(columns[k])
		if err != nil {
			return nil, err
		}
		m.Methods = append(m.Methods, MacroResult{Method: method.Method, AUC: auc.over(unit)})
		if k == 0 {
			continue
		}
		c, err := MacroCompare(columns[k], columns[0])
		if err != nil {
			return nil, err
		}
		m.Differences = append(m.Differences, Difference{A: method.Method, B: trials[0].Methods[0].Method, Difference: c.Difference.over(unit), P: c.P, AdjustedP: c.P})
	}
	return &m, nil
}
