package report

import (
	"fmt"
	"strings"

	"github.com/medprobe/medprobe/evaluate"
)

// ratesRead are the false positive rates at which the table has the band.
var ratesRead = []float64{0.02, 0.1, 0.2, 0.3, 0.5}

func newROCPlot(f evaluate.Finding) *squarePlot {
	p := newSquarePlot(f, "ROC curves", "false positive rate {}, sensitivity {}, from score {}")
	p.Chance = path([][2]float64{{squareX.at(0), squareY.at(0)}, {squareX.at(1), squareY.at(1)}})
	p.Table.Header = bandHeader("Sensitivity at FPR", ratesRead)
	var words []string
	for k, m := range f.Methods {
		if len(m.ROC) == 0 || m.AUC == nil {
			continue
		}
		points := make([][2]float64, len(m.ROC))
		for i, q := range m.ROC {
			points[i] = [2]float64{q.FPR, q.TPR}
		}
		p.addLine(k, m.Method, points, func(i int) []string {
			return []string{short(m.ROC[i].FPR), short(m.ROC[i].TPR), thresholdText(m.ROC[i].Threshold)}
		})
		p.addBand(k, m.ROCBand)
		for _, c := range m.Cuts {
			if c.Sensitivity != nil && c.Specificity != nil {
				p.addDiamond(k, 1-c.Specificity.Point, c.Sensitivity.Point, cutWords(m.Method, c))
				words = append(words, cutWords(m.Method, c))
			}
		}
		p.Under = append(p.Under, labelled{class(k), methodName(m.Method), number(m.AUC.Point) + " (" + interval(*m.AUC) + ")"})
		p.Table.Rows = append(p.Table.Rows, bandRows(m.Method, m.ROCBand, ratesRead))
		words = append(words, methodName(m.Method)+": AUC "+number(m.AUC.Point))
	}
	p.Description = "Sensitivity over false positive rate. " + strings.Join(words, "; ") + "."
	return p
}

// cutWords says what a threshold reaches.
func cutWords(method string, c evaluate.Cut) string {
	text := fmt.Sprintf("%s, threshold %s (from %s)", methodName(method), c.Rule, short(c.Threshold))
	for _, f := range []struct {
		name string
		*evaluate.Estimate
	}{{"sensitivity", c.Sensitivity}, {"specificity", c.Specificity}, {"PPV", c.PPV}} {
		if f.Estimate != nil {
			text += fmt.Sprintf(", %s %s %%", f.name, share(f.Point))
		}
	}
	return text
}
