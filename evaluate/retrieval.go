package evaluate

import (
	"context"
	"fmt"
)

// WarnNoSpread says that every resample gave the same figure, so that it has no
// interval: Low and High are the point.
const WarnNoSpread = "no-spread"

// Retrieval judges the ranking of one query.
type Retrieval struct {
	// K is how many of the first are looked at: Precision is the share of relevant
	// items among them, Recall that of all relevant items.
	K int `json:"k"`
	// N is how many items were ranked, of which Positives are relevant; Prevalence
	// is their share, which the precision of a blind ranking comes to.
	N          int     `json:"n"`
	Positives  int     `json:"positives"`
	Prevalence float64 `json:"prevalence"`

	Precision        Estimate `json:"precision"`
	Recall           Estimate `json:"recall"`
	AveragePrecision Estimate `json:"average_precision"`
}

// Retrieval returns precision and recall of the first k of a ranking, whose items are
// given in the order of their rank, and its average precision, the mean of the
// precision over the ranks of the relevant items. Intervals are from a bootstrap: the
// items of a group, such as a patient, are drawn together, and a resample is ranked as
// the whole is. groups has one entry per item, or is nil. Errors are those of [AUC],
// and of a k that is not from 1 to the number of items; a figure that all resamples
// agree on has a warning.
//
// Source: Manning, Raghavan and Schütze, Introduction to Information Retrieval (2008),
// section 8.4. Oracle: scikit-learn's average_precision_score (testdata/README.md).
func (b Bootstrap) Retrieval(ctx context.Context, ranking []bool, groups []string, k int) (Retrieval, error) {
	b.setDefaults()
	r := Retrieval{K: k, N: len(ranking)}
	if k < 1 || k > len(ranking) {
		return r, fmt.Errorf("evaluate: the first %d of a ranking of %d: want 1 to %d", k, len(ranking), len(ranking))
	}
	scores := make([]float64, len(ranking))
	for i := range scores {
		scores[i] = -float64(i)
	}
	auc, err := AUC(scores, ranking, groups)
	if err != nil {
		return r, err
	}
	r.Positives, r.Prevalence = auc.Positives, float64(auc.Positives)/float64(auc.N)
	c, err := newContrast(ranking, groups)
	if err != nil {
		return r, err
	}
	s, err := newSweep(scores, ranking, c.unit)
	if err != nil {
		return r, err
	}
	units1, units0 := classUnits(c.tallies())
	shown := map[int32]bool{}
	for i := range min(k, len(ranking)) {
		shown[c.unit[i]] = true
	}
	figures := []figure{
		{value: func(weights []int32) float64 { return s.precisionAt(weights, k) }, estimate: &r.Precision, share: share{limit: 1, units: len(shown)}},
		{value: func(weights []int32) float64 { return s.recallAt(weights, k) }, estimate: &r.Recall, share: share{limit: 1, units: units1}},
		{value: s.averagePrecision, estimate: &r.AveragePrecision, share: share{1, units1, units0, true}},
	}
	for _, f := range figures {
		point := f.value(nil)
		*f.estimate = Estimate{
			Point: point, Low: point, High: point, Level: b.Level, Method: "percentile",
			N: auc.N, Positives: auc.Positives, Units: auc.Units, Unit: auc.Unit, Warnings: fewUnits(units1, units0, auc.Unit),
		}
	}
	if err := b.intervals(ctx, c, figures); err != nil {
		return r, err
	}
	for _, f := range figures {
		if f.estimate.StdErr == 0 {
			f.estimate.Warnings = append(f.estimate.Warnings, Warning{WarnNoSpread, "every resample gives the same figure: the interval is Wilson's"})
		}
	}
	return r, nil
}

// Over names the unit that was resampled, such as "patient".
func (r Retrieval) Over(unit string) Retrieval {
	r.Precision, r.Recall, r.AveragePrecision = r.Precision.over(unit), r.Recall.over(unit), r.AveragePrecision.over(unit)
	return r
}

// first returns the weight of the first k, as far as there are as many, and of the
// positives among them.
func (s *sweep) first(weights []int32, k int) (positives, seen int64) {
	for i := range s.score {
		w := min(s.weight(weights, i), int64(k)-seen)
		seen += w
		if s.positive[i] {
			positives += w
		}
	}
	return positives, seen
}

func (s *sweep) precisionAt(weights []int32, k int) float64 {
	positives, seen := s.first(weights, k)
	return float64(positives) / max(1, float64(seen))
}

func (s *sweep) recallAt(weights []int32, k int) float64 {
	found, _ := s.first(weights, k)
	all := int64(0)
	for i, positive := range s.positive {
		if positive {
			all += s.weight(weights, i)
		}
	}
	return float64(found) / max(1, float64(all))
}
