package evaluate

import (
	"errors"
	"fmt"
	"math"
)

// AtThreshold is what a threshold does, with the figures that sum it up. A
// figure that divides by nothing is nil.
type AtThreshold struct {
	Operating
	// F1 is that of the positives, 2TP/(2TP+FP+FN).
	F1 *Estimate `json:"f1"`
	// BalancedAccuracy is the mean of sensitivity and specificity.
	BalancedAccuracy *Estimate `json:"balanced_accuracy"`
}

// Confuse is [Operate] with F1 and balanced accuracy; arguments, edge cases and
// errors are the same.
//
// F1 is 2J/(1+J), where J is the share of true positives among the samples that
// are positive or called, so its interval is that of J, Wilson's, mapped alike
// (Hand, Christen and Kirielle, Machine Learning 110 (2021) 451–456). Balanced
// accuracy is as in [BalancedAccuracy]. Without a positive or called sample F1
// is nil, without positives or without negatives balanced accuracy is.
// Oracle: scikit-learn f1_score and balanced_accuracy_score.
func Confuse(scores []float64, labels []bool, groups []string, threshold float64, unit string) (AtThreshold, error) {
	o, err := Operate(scores, labels, groups, threshold, unit)
	if err != nil {
		return AtThreshold{}, err
	}
	at := AtThreshold{Operating: o}
	var either []bool
	var names []string
	truth, called := make([]int, len(scores)), make([]int, len(scores))
	for i, s := range scores {
		if labels[i] {
			truth[i] = 1
		}
		if s >= threshold {
			called[i] = 1
		}
		if truth[i]+called[i] == 0 {
			continue
		}
		either = append(either, truth[i] == called[i])
		if groups != nil {
			names = append(names, groups[i])
		}
	}
	if len(either) > 0 {
		e, err := Proportion(either, names)
		if err != nil {
			return at, err
		}
		e.Positives, e.Unit = o.TruePositives+o.FalseNegatives, unit
		f1 := func(j float64) float64 { return 2 * j / (1 + j) }
		e.StdErr *= 2 / ((1 + e.Point) * (1 + e.Point))
		e.Point = float64(2*o.TruePositives) / float64(2*o.TruePositives+o.FalsePositives+o.FalseNegatives)
		e.Low, e.High = f1(e.Low), f1(e.High)
		at.F1 = &e
	}
	if o.Sensitivity != nil && o.Specificity != nil {
		e, err := BalancedAccuracy(truth, called, groups, 2)
		if err != nil {
			return at, err
		}
		e.Positives, e.Unit = o.TruePositives+o.FalseNegatives, unit
		at.BalancedAccuracy = &e
	}
	return at, nil
}

// BalancedAccuracy returns the mean over classes of the share of the class's
// samples that are called it, with its interval at level .95. truth and called
// hold a class from 0 to classes−1 for each sample; every class must occur in
// truth. groups may be nil.
//
// The interval is put together from the Wilson intervals of the shares (see
// [Proportion]) as Zou and Donner put one together for a sum, the correlations
// between the shares being those that the groups show; its Method is "mover".
// Sources: Brodersen et al., ICPR 2010, for the figure; Zou and Donner,
// Statistics in Medicine 27 (2008) 1693–1702. Oracle: scikit-learn
// balanced_accuracy_score; the interval by simulation
// (TestBalancedAccuracyCoverage).
func BalancedAccuracy(truth, called []int, groups []string, classes int) (Estimate, error) {
	if classes < 2 || len(truth) != len(called) {
		return Estimate{}, fmt.Errorf("evaluate: balanced accuracy of %d classes, %d samples, %d calls: want two or more classes and as many calls as samples", classes, len(truth), len(called))
	}
	unit, units, err := unitsOf(len(truth), groups)
	if err != nil {
		return Estimate{}, err
	}
	e := Estimate{Level: Level, Method: "mover", N: len(truth), Units: units, Unit: "sample"}
	if groups != nil {
		e.Unit = "group"
	}
	shares := make([]Estimate, classes)
	deviations := make([][]float64, classes) // of each unit, of hits from what its size would give
	for k := range classes {
		var hits []bool
		var names []string
		var of []int32
		for i, class := range truth {
			if class != k {
				continue
			}
			hits, of = append(hits, called[i] == k), append(of, unit[i])
			if groups != nil {
				names = append(names, groups[i])
			}
		}
		if len(hits) == 0 {
			return Estimate{}, fmt.Errorf("evaluate: class %d of %d has no sample: %w", k, classes, errNoShare)
		}
		if shares[k], err = Proportion(hits, names); err != nil {
			return Estimate{}, err
		}
		deviations[k] = make([]float64, units)
		for i, hit := range hits {
			if hit {
				deviations[k][of[i]]++
			}
			deviations[k][of[i]] -= shares[k].Point
		}
		e.Point += shares[k].Point / float64(classes)
	}
	var low, high, spread float64
	for j, a := range shares {
		for k, b := range shares {
			rho := alike(deviations[j], deviations[k])
			low += float64(rho * (a.Point - a.Low) * (b.Point - b.Low))
			high += float64(rho * (a.High - a.Point) * (b.High - b.Point))
			spread += float64(rho * a.StdErr * b.StdErr)
		}
	}
	over := func(sum float64) float64 { return math.Sqrt(max(0, sum)) / float64(classes) }
	e.Low, e.High, e.StdErr = max(0, e.Point-over(low)), min(1, e.Point+over(high)), over(spread)
	return e, nil
}

// errNoShare says that a class is missing, so that a share of it is undefined.
var errNoShare = errors.New("share of nothing")

// alike is the correlation of deviations about zero, 0 where one has no spread.
func alike(a, b []float64) float64 {
	var aa, bb, ab float64
	for i := range a {
		aa += float64(a[i] * a[i])
		bb += float64(b[i] * b[i])
		ab += float64(a[i] * b[i])
	}
	switch {
	case &a[0] == &b[0]:
		return 1
	case aa == 0 || bb == 0:
		return 0
	}
	return max(-1, min(1, ab/math.Sqrt(aa*bb)))
}
