package evaluate

import (
	"errors"
	"fmt"
	"math"
)

// Wilson returns the score interval of the proportion k/n. n may be an effective
// size and so no whole number. Of no trials it is [0, 1].
//
// Source: Wilson, JASA 22 (1927) 209–212. Oracle: R's prop.test without
// continuity correction (testdata/proportion.json).
func Wilson(k, n, level float64) (low, high float64) {
	if !(n > 0) {
		return 0, 1
	}
	z := quantile(level)
	p, z2 := k/n, z*z
	middle := (p + z2/(2*n)) / (1 + z2/n)
	half := z / (1 + z2/n) * math.Sqrt(max(0, p*(1-p)/n+z2/(4*n*n)))
	low, high = max(0, middle-half), min(1, middle+half)
	// Rounding must not part the ends from 0 and 1.
	if k <= 0 {
		low = 0
	}
	if k >= n {
		high = 1
	}
	return low, high
}

// Proportion returns the share of hits with Wilson's interval at level .95.
// Samples of one group are no independent trials: n is divided by the design
// effect of the groups (at least 1), or is the number of groups where all
// samples are alike and the design effect is unknown. groups may be nil. Without
// a sample it is an error.
//
// Source: Rao and Scott, Biometrics 48 (1992) 577–585, for the effective size.
// Oracle: that formula in R (testdata/proportion.json).
func Proportion(hits []bool, groups []string) (Estimate, error) {
	if len(hits) == 0 {
		return Estimate{}, errors.New("evaluate: proportion: no samples")
	}
	unit, units, err := unitsOf(len(hits), groups)
	if err != nil {
		return Estimate{}, err
	}
	e := Estimate{Level: Level, Method: "wilson", N: len(hits), Units: units, Unit: "sample"}
	if groups != nil {
		e.Unit = "group"
	}
	of, size, k := make([]float64, units), make([]float64, units), 0.0
	for i, hit := range hits {
		size[unit[i]]++
		if hit {
			of[unit[i]]++
			k++
		}
	}
	n := float64(len(hits))
	e.Point = k / n
	effective := float64(units)
	if spread := e.Point * (1 - e.Point); spread > 0 && units > 1 {
		sum := 0.0
		for u := range of {
			d := of[u] - e.Point*size[u]
			sum += float64(d * d)
		}
		if effective = n; sum > 0 {
			deff := float64(units) / float64(units-1) * sum / (n * n) / (spread / (n - 1))
			effective = min(n, n/deff)
		}
		e.StdErr = math.Sqrt(spread / effective)
	}
	e.Low, e.High = Wilson(e.Point*effective, effective, Level)
	return e, nil
}

// Operating is what a threshold does on samples whose labels are known. A share
// of nothing is nil: the PPV where nothing is called, the sensitivity without
// positives.
type Operating struct {
	// Threshold is the least score that counts as a finding.
	Threshold      float64 `json:"threshold"`
	TruePositives  int     `json:"true_positives"`
	FalseNegatives int     `json:"false_negatives"`
	TrueNegatives  int     `json:"true_negatives"`
	FalsePositives int     `json:"false_positives"`
	// PPV and NPV hold for the prevalence of these samples.
	Sensitivity *Estimate `json:"sensitivity"`
	Specificity *Estimate `json:"specificity"`
	PPV         *Estimate `json:"ppv"`
	NPV         *Estimate `json:"npv"`
}

// Operate counts samples by label and by whether their score is at least the
// threshold, with the intervals of [Proportion]. unit names what a group is.
// scores, labels and groups have one entry per sample; groups may be nil. A
// score or threshold that is not a number is an error.
func Operate(scores []float64, labels []bool, groups []string, threshold float64, unit string) (Operating, error) {
	o := Operating{Threshold: threshold}
	if len(scores) != len(labels) || groups != nil && len(groups) != len(labels) {
		return o, fmt.Errorf("evaluate: %d scores, %d labels and %d groups: want as many", len(scores), len(labels), len(groups))
	}
	if math.IsNaN(threshold) {
		return o, fmt.Errorf("evaluate: threshold: %w", ErrScore)
	}
	for i, s := range scores {
		switch called := s >= threshold; {
		case math.IsNaN(s):
			return o, fmt.Errorf("evaluate: sample %d: %w", i, ErrScore)
		case called && labels[i]:
			o.TruePositives++
		case called:
			o.FalsePositives++
		case labels[i]:
			o.FalseNegatives++
		default:
			o.TrueNegatives++
		}
	}
	// Each figure is the share of right calls among some of the samples.
	for _, f := range []struct {
		into **Estimate
		of   func(called, positive bool) bool
	}{
		{&o.Sensitivity, func(_, positive bool) bool { return positive }},
		{&o.Specificity, func(_, positive bool) bool { return !positive }},
		{&o.PPV, func(called, _ bool) bool { return called }},
		{&o.NPV, func(called, _ bool) bool { return !called }},
	} {
		var hits []bool
		var names []string
		positives := 0
		for i, s := range scores {
			called := s >= threshold
			if !f.of(called, labels[i]) {
				continue
			}
			hits = append(hits, called == labels[i])
			if labels[i] {
				positives++
			}
			if groups != nil {
				names = append(names, groups[i])
			}
		}
		if len(hits) == 0 {
			continue
		}
		e, err := Proportion(hits, names)
		if err != nil {
			return o, err
		}
		e.Positives, e.Unit = positives, unit
		*f.into = &e
	}
	return o, nil
}

// Cut is a threshold that a rule chose on other samples, with what it reaches on
// those of the test part.
type Cut struct {
	Rule string `json:"rule"`
	// ChosenOn is "cross-validation" or "validation"; Chosen is what it reached
	// there, which is a little too good.
	ChosenOn string `json:"chosen_on"`
	Chosen   Chosen `json:"chosen"`
	Operating
}

// Chosen is what a threshold reached where it was chosen.
type Chosen struct {
	Sensitivity float64 `json:"sensitivity"`
	Specificity float64 `json:"specificity"`
	PPV         float64 `json:"ppv"`
}
