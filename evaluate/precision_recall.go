package evaluate

// RecallPoint is a point of a precision–recall curve: what share of the positives
// have a score of at least Threshold, and what share of the samples that have are
// positive. Threshold is nil at the first point, which no score reaches.
type RecallPoint struct {
	Recall    float64  `json:"recall"`
	Precision float64  `json:"precision"`
	Threshold *float64 `json:"threshold"`
}

// precisionRecall returns the precision–recall curve with falling thresholds, one point
// for each distinct score, from recall 0 with the precision 1 that is agreed on to the
// first point of recall 1. Oracle: scikit-learn precision_recall_curve, which goes on
// beyond recall 1 and lists the points the other way round.
func (s *sweep) precisionRecall() []RecallPoint {
	all := 0
	for _, positive := range s.positive {
		if positive {
			all++
		}
	}
	points, found := []RecallPoint{{Precision: 1}}, 0
	for k := range s.score {
		if s.positive[k] {
			found++
		}
		if !s.last[k] {
			continue
		}
		points = append(points, RecallPoint{Recall: float64(found) / float64(all), Precision: float64(found) / float64(k+1), Threshold: &s.score[k]})
		if found == all {
			break
		}
	}
	return points
}

// simplifyRecall is simplify for a precision–recall curve.
func simplifyRecall(points []RecallPoint, tolerance float64) []RecallPoint {
	plane := make([]Point, len(points))
	for k, p := range points {
		plane[k] = Point{FPR: p.Recall, TPR: p.Precision, Threshold: p.Threshold}
	}
	plane = simplify(plane, tolerance)
	kept := make([]RecallPoint, len(plane))
	for k, p := range plane {
		kept[k] = RecallPoint{Recall: p.FPR, Precision: p.TPR, Threshold: p.Threshold}
	}
	return kept
}
