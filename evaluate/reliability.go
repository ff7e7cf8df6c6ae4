package evaluate

import (
	"fmt"
	"math"
	"slices"
)

// ReliabilityBin is the samples whose probability lies above From and at most at
// To; the first bin holds 0 too. Predicted is their mean probability, Observed
// the share of them that is positive.
type ReliabilityBin struct {
	From      float64  `json:"from"`
	To        float64  `json:"to"`
	N         int      `json:"n"`
	Predicted float64  `json:"predicted"`
	Observed  Estimate `json:"observed"`
}

// Reliability returns the reliability curve over the [Bins] bins of [ECE], without
// those that hold no sample; the interval of each share is that of [Proportion].
// Their distances, weighted by N, sum up to n·ECE. unit names what a group is;
// groups may be nil. Errors are those of [ECE]. Oracle: scikit-learn
// calibration_curve.
func Reliability(probabilities []float64, labels []bool, groups []string, unit string) ([]ReliabilityBin, error) {
	if len(labels) == 0 || len(probabilities) != len(labels) || groups != nil && len(groups) != len(labels) {
		return nil, fmt.Errorf("evaluate: reliability: %d probabilities, %d labels, %d groups: want as many, and some", len(probabilities), len(labels), len(groups))
	}
	var bins [Bins]struct {
		hits  []bool
		names []string
		sum   []float64
	}
	for i, p := range probabilities {
		if !(p >= 0 && p <= 1) {
			return nil, fmt.Errorf("evaluate: probability %d is %v: want 0 to 1", i, p)
		}
		bin := &bins[max(0, int(math.Ceil(p*Bins))-1)]
		bin.hits = append(bin.hits, labels[i])
		bin.sum = append(bin.sum, p)
		if groups != nil {
			bin.names = append(bin.names, groups[i])
		}
	}
	var out []ReliabilityBin
	for k, bin := range bins {
		if len(bin.hits) == 0 {
			continue
		}
		observed, err := Proportion(bin.hits, bin.names)
		if err != nil {
			return nil, err
		}
		observed = observed.over(unit)
		for _, hit := range bin.hits {
			if hit {
				observed.Positives++
			}
		}
		out = append(out, ReliabilityBin{From: float64(k) / Bins, To: float64(k+1) / Bins, N: len(bin.hits), Predicted: meanOf(bin.sum), Observed: observed})
	}
	return out, nil
}

// meanOf does not depend on the order of the values.
func meanOf(values []float64) float64 {
	slices.Sort(values)
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}
