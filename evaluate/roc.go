package evaluate

import (
	"math"
	"slices"
)

// Point is a point of an ROC curve: the shares of negatives and of positives
// whose score is at least Threshold. Threshold is nil where it is not finite,
// as at the first point, which no score reaches.
type Point struct {
	FPR       float64  `json:"fpr"`
	TPR       float64  `json:"tpr"`
	Threshold *float64 `json:"threshold"`
}

// ROC returns the ROC curve of scores against labels, from (0, 0) to (1, 1)
// with falling thresholds.
//
// Samples with one score are one step, so that ties between the classes make a
// slanted line and the area under the points is [AUC]. Points within a straight
// line are left out, exactly, unlike scikit-learn's drop_intermediate, which
// keeps some of them. Errors are those of AUC. Time is O(n log n).
func ROC(scores []float64, labels []bool) ([]Point, error) {
	n1, n0, err := countClasses(labels)
	if err != nil {
		return nil, err
	}
	order, err := ascending(scores, labels)
	if err != nil {
		return nil, err
	}
	type step struct {
		false, true int64
		score       float64
	}
	steps := []step{{score: math.Inf(1)}}
	var now step
	for i := len(order) - 1; i >= 0; {
		now.score = order[i].score
		for ; i >= 0 && order[i].score == now.score; i-- {
			if labels[order[i].sample] {
				now.true++
			} else {
				now.false++
			}
		}
		// Drop the last point if it lies on the line from the one before to this.
		if k := len(steps) - 1; k > 0 {
			a, b := steps[k-1], steps[k]
			if (b.false-a.false)*(now.true-a.true) == (now.false-a.false)*(b.true-a.true) {
				steps = steps[:k]
			}
		}
		steps = append(steps, now)
	}
	points := make([]Point, len(steps))
	for k, s := range steps {
		points[k] = Point{FPR: float64(s.false) / float64(n0), TPR: float64(s.true) / float64(n1)}
		if !math.IsInf(s.score, 0) {
			points[k].Threshold = &steps[k].score
		}
	}
	return points, nil
}

// simplify leaves out points of a curve so that none of those left out lies
// further than tolerance from the line that replaces it (Ramer, Computer
// Graphics and Image Processing 1 (1972) 244–256). It is for drawing: the area
// under the curve moves by at most the tolerance.
func simplify(points []Point, tolerance float64) []Point {
	if len(points) < 3 {
		return points
	}
	keep := make([]bool, len(points))
	keep[0], keep[len(points)-1] = true, true
	type span struct{ from, to int }
	for todo := []span{{0, len(points) - 1}}; len(todo) > 0; {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		a, b := points[s.from], points[s.to]
		dx, dy := b.FPR-a.FPR, b.TPR-a.TPR
		length := math.Hypot(dx, dy)
		furthest, at := tolerance*length, 0
		for i := s.from + 1; i < s.to; i++ {
			if d := math.Abs(dx*(points[i].TPR-a.TPR) - dy*(points[i].FPR-a.FPR)); d > furthest {
				furthest, at = d, i
			}
		}
		if at > 0 {
			keep[at] = true
			todo = append(todo, span{s.from, at}, span{at, s.to})
		}
	}
	i := -1
	return slices.DeleteFunc(slices.Clone(points), func(Point) bool { i++; return !keep[i] })
}
