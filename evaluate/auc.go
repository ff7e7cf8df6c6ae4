package evaluate

import (
	"fmt"
	"maps"
	"slices"
)

// AUC returns the area under the ROC curve of scores against labels with its
// interval at level .95, the samples being clustered by group.
//
// scores, labels and groups have one entry per sample. A higher score speaks
// for label true. groups holds the independent unit, usually the patient; a
// unit may hold positives and negatives. nil means that every sample is its
// own unit.
//
// Ties between a positive and a negative count one half, so that the AUC is
// the Mann–Whitney statistic U/(n₁·n₀), exact to the last rounding. StdErr is
// the root of DeLong's variance summed per unit, 0 if a class has fewer than
// two units. The order of the samples does not move a bit of the result. Time
// is O(n log n), memory O(n); the inputs are not modified.
//
// Edge cases: with one class only the error is [ErrOneClass]; a NaN score is
// an error that names its index; infinite scores are ordered. See the package
// comment for which interval is used when, and [FewUnits] for warnings.
//
// Where a group has several samples, the interval is on the probit scale with
// Student's t, and wider for fewer than [ManyUnits] groups of a class.
//
// Sources: DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988) 837–845, by
// the midranks of Sun and Xu, IEEE Signal Processing Letters 21 (2014)
// 1389–1393; clustering: Obuchowski, Biometrics 53 (1997) 567–578; Newcombe's
// interval: Statistics in Medicine 25 (2006) 559–573, method 5.
// Oracles: scikit-learn roc_auc_score and R pROC::ci.auc (testdata/README.md);
// clustered intervals by simulation (TestClusteredCoverage).
func AUC(scores []float64, labels []bool, groups []string) (Estimate, error) {
	return meanAUC([][]float64{scores}, labels, groups)
}

// meanAUC returns the mean of the AUCs of several columns of scores for the
// same samples, as when a head was drawn several times, with the interval over
// the samples' units. The spread between the columns is not part of it: it is
// what the mean would do with other patients, not with other draws.
//
// Each of columns is as scores in [AUC], as is everything else; the variance is
// that of the mean of the columns' DeLong components.
func meanAUC(columns [][]float64, labels []bool, groups []string) (Estimate, error) {
	c, err := newContrast(labels, groups)
	if err != nil {
		return Estimate{}, err
	}
	for _, scores := range columns {
		if err := c.add(scores, 1); err != nil {
			return Estimate{}, err
		}
	}
	if len(columns) == 0 {
		return Estimate{}, fmt.Errorf("evaluate: no scores")
	}
	c.columns = len(columns)
	return c.auc(Level), nil
}

// pair counts, for the samples of one column of scores, the pairs of a positive
// and a negative that are in the right order: two for each such pair and one for a
// tie, so that everything stays an integer. weight times the pairs that each
// sample wins are added to right; total is the sum over the positives, which is
// that over the negatives. n1 is the number of positives.
func pair(scores []float64, labels []bool, n1 int64, right []int64, weight int64) (total int64, err error) {
	order, err := ascending(scores, labels)
	if err != nil {
		return 0, err
	}
	var below1, below0 int64 // positives and negatives with a lower score
	for start := 0; start < len(order); {
		end, tied1 := start, int64(0)
		for ; end < len(order) && order[end].score == order[start].score; end++ {
			if labels[order[end].sample] {
				tied1++
			}
		}
		tied0 := int64(end-start) - tied1
		up, down := 2*below0+tied0, 2*(n1-below1-tied1)+tied1
		for _, o := range order[start:end] {
			if labels[o.sample] {
				right[o.sample] += weight * up
			} else {
				right[o.sample] += weight * down
			}
		}
		total += tied1 * up
		below1, below0, start = below1+tied1, below0+tied0, end
	}
	return total, nil
}

// countClasses returns the numbers of positives and negatives, and
// [ErrOneClass] if one is zero.
func countClasses(labels []bool) (n1, n0 int, err error) {
	for _, positive := range labels {
		if positive {
			n1++
		}
	}
	n0 = len(labels) - n1
	switch {
	case len(labels) == 0:
		err = fmt.Errorf("evaluate: no samples: %w", ErrOneClass)
	case n1 == 0:
		err = fmt.Errorf("evaluate: none of %d samples is positive: %w", len(labels), ErrOneClass)
	case n0 == 0:
		err = fmt.Errorf("evaluate: all of %d samples are positive: %w", len(labels), ErrOneClass)
	}
	return n1, n0, err
}

// unitsOf numbers the groups in the order of their names; nil groups are
// numbered by sample.
func unitsOf(n int, groups []string) (unit []int32, units int, err error) {
	unit = make([]int32, n)
	if groups == nil {
		for i := range unit {
			unit[i] = int32(i)
		}
		return unit, n, nil
	}
	if len(groups) != n {
		return nil, 0, fmt.Errorf("evaluate: %d groups for %d labels: want as many, or none", len(groups), n)
	}
	number := map[string]int32{}
	for _, name := range groups {
		number[name] = 0
	}
	names := slices.Sorted(maps.Keys(number))
	for k, name := range names {
		number[name] = int32(k)
	}
	for i, name := range groups {
		unit[i] = number[name]
	}
	return unit, len(names), nil
}
