package evaluate

// AveragePrecision returns the average precision of scores against labels,
// Σ (Rₖ − Rₖ₋₁)·Pₖ over the distinct scores from the highest down, R being
// recall and P precision: scikit-learn's average_precision_score, which does
// not interpolate.
//
// It lies in (0, 1]; that of scores that tell nothing is the share of
// positives, which it should be read against. Samples with one score enter
// together. Edge cases and errors are those of [AUC]. The order of the samples
// does not matter. Oracle: scikit-learn (testdata/README.md).
func AveragePrecision(scores []float64, labels []bool) (float64, error) {
	if _, _, err := countClasses(labels); err != nil {
		return 0, err
	}
	s, err := newSweep(scores, labels, nil)
	if err != nil {
		return 0, err
	}
	return s.averagePrecision(nil), nil
}

// averagePrecision is 0 if the weights leave no positives.
func (s *sweep) averagePrecision(weights []int32) float64 {
	var positives, seen, before int64
	sum := 0.0
	for k := range s.score {
		w := s.weight(weights, k)
		seen += w
		if s.positive[k] {
			positives += w
		}
		if s.last[k] && positives > before {
			sum += float64(float64(positives-before) * (float64(positives) / float64(seen)))
			before = positives
		}
	}
	return sum / max(1, float64(positives))
}
