package report

import (
	"fmt"
	"math"
	"strings"

	"github.com/medprobe/medprobe/evaluate"
)

func newReliabilityPlot(f evaluate.Finding) *squarePlot {
	p := newSquarePlot(f, "Reliability", "mean probability {}, share of positives {}, {} samples")
	p.Chance = path([][2]float64{{squareX.at(0), squareY.at(0)}, {squareX.at(1), squareY.at(1)}})
	p.Table.Header = []string{"Method", "Probability", "Samples", "Mean", "Positive", "Interval", "Units"}
	var words []string
	for k, m := range f.Methods {
		if len(m.Reliability) == 0 {
			continue
		}
		points := make([][2]float64, len(m.Reliability))
		for i, b := range m.Reliability {
			points[i] = [2]float64{b.Predicted, b.Observed.Point}
			x, y := squareX.at(b.Predicted), squareY.at(b.Observed.Point)
			p.Whiskers = append(p.Whiskers, plotWhisker{class(k), x, squareY.at(b.Observed.Low), squareY.at(b.Observed.High)})
			p.Marks = append(p.Marks, plotMark{
				Class: class(k), X: x, Y: y, R: round(1.6 + 4*math.Sqrt(float64(b.N)/float64(max(1, f.N)))),
				Title: fmt.Sprintf("%s, probability %.2f to %.2f: %s of %s positive (%s)", methodName(m.Method), b.From, b.To, thousands(b.Observed.Positives), thousands(b.N), interval(b.Observed)),
			})
			p.Table.Rows = append(p.Table.Rows, []string{
				methodName(m.Method), fmt.Sprintf("%.2f–%.2f", b.From, b.To), thousands(b.N), number(b.Predicted), number(b.Observed.Point), interval(b.Observed), count(b.Observed.Units, b.Observed.Unit),
			})
		}
		p.addLine(k, m.Method, points, func(i int) []string {
			b := m.Reliability[i]
			return []string{short(b.Predicted), short(b.Observed.Point), fmt.Sprint(b.N)}
		})
		p.Lines[len(p.Lines)-1].Path = "" // bins of few samples jump
		if m.ECE != nil {
			figure := "error " + number(m.ECE.Point)
			p.Under = append(p.Under, labelled{class(k), methodName(m.Method), figure})
			words = append(words, methodName(m.Method)+": "+figure)
		}
	}
	p.Description = "Share of positives over mean probability. " + strings.Join(words, "; ") + "."
	return p
}
