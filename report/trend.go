package report

import (
	"math"
	"slices"
	"strconv"

	"github.com/medprobe/medprobe/evaluate"
)

// drawnTrend is a learning curve continued: a line and a band about it, both
// dashed, since neither was seen.
type drawnTrend struct{ Class, Line, Band string }

// trendRow is a point of a trend in words.
type trendRow struct{ Method, Labels, AUC, Interval string }

// trendOf returns the trend of a curve with its points, or nil and why not.
func trendOf(c evaluate.Curve) (trend *evaluate.Trend, unmet string) {
	switch {
	case c.Trend == nil:
		return nil, ""
	case len(c.Trend.Points) == 0:
		return nil, c.Trend.Unmet
	}
	return c.Trend, ""
}

// lastPoint returns the last point that has a figure, which a trend begins at.
func lastPoint(c evaluate.Curve) evaluate.CurvePoint {
	for _, p := range slices.Backward(c.Points) {
		if p.AUC != nil {
			return p
		}
	}
	return evaluate.CurvePoint{}
}

// newDrawnTrend draws labels as the shots that they would be, in the proportion
// of the last point.
func newDrawnTrend(c evaluate.Curve, class string, x, y axis) *drawnTrend {
	trend, _ := trendOf(c)
	last := lastPoint(c)
	labels := last.Positives + last.Negatives
	if trend == nil || labels == 0 {
		return nil
	}
	var line, upper, lower [][2]float64
	for _, p := range trend.Points {
		at := x.at(math.Log2(float64(last.Shots) * float64(p.Labels) / float64(labels)))
		line = append(line, [2]float64{at, y.at(p.AUC)})
		upper = append(upper, [2]float64{at, y.at(p.High)})
		lower = append(lower, [2]float64{at, y.at(p.Low)})
	}
	slices.Reverse(lower)
	return &drawnTrend{class, path(line), path(append(upper, lower...)) + "Z"}
}

func newTrendRows(c evaluate.Curve) []trendRow {
	trend, _ := trendOf(c)
	if trend == nil {
		return nil
	}
	var rows []trendRow
	for _, p := range trend.Points {
		rows = append(rows, trendRow{methodName(c.Method), strconv.Itoa(p.Labels), number(p.AUC), number(p.Low) + "–" + number(p.High)})
	}
	return rows
}
