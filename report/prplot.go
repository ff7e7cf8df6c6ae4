package report

import (
	"strings"

	"github.com/medprobe/medprobe/evaluate"
)

// recallsRead are the recalls at which the table has the band.
var recallsRead = []float64{0.2, 0.4, 0.6, 0.8, 1}

func newPRPlot(f evaluate.Finding) *squarePlot {
	p := newSquarePlot(f, "Precision and recall", "recall {}, precision {}, from score {}")
	if f.N > 0 {
		rate := float64(f.Positives) / float64(f.N)
		p.Chance = path([][2]float64{{squareX.at(0), squareY.at(rate)}, {squareX.at(1), squareY.at(rate)}})
	}
	p.Table.Header = bandHeader("Precision at recall", recallsRead)
	var words []string
	for k, m := range f.Methods {
		if len(m.PR) == 0 {
			continue
		}
		points := make([][2]float64, len(m.PR))
		for i, q := range m.PR {
			points[i] = [2]float64{q.Recall, q.Precision}
		}
		p.addLine(k, m.Method, points, func(i int) []string {
			return []string{short(m.PR[i].Recall), short(m.PR[i].Precision), thresholdText(m.PR[i].Threshold)}
		})
		p.addBand(k, m.PRBand)
		for _, c := range m.Cuts {
			if c.Sensitivity != nil && c.PPV != nil {
				p.addDiamond(k, c.Sensitivity.Point, c.PPV.Point, cutWords(m.Method, c))
			}
		}
		p.Table.Rows = append(p.Table.Rows, bandRows(m.Method, m.PRBand, recallsRead))
		if m.AveragePrecision != nil {
			figure := number(m.AveragePrecision.Point) + " (" + interval(*m.AveragePrecision) + ")"
			p.Under = append(p.Under, labelled{class(k), methodName(m.Method), figure})
			words = append(words, methodName(m.Method)+": average precision "+number(m.AveragePrecision.Point))
		}
	}
	p.Description = "Precision over recall. " + strings.Join(words, "; ") + ". Positive: " + sizes(f) + "."
	return p
}
