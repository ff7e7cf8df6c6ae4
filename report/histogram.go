package report

import (
	_ "embed"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/medprobe/medprobe/evaluate"
)

//go:embed report.js
var script string

// histogramPlot is the probabilities of one finding by class, positives above
// the line and negatives below, and what a threshold makes of them.
type histogramPlot struct {
	Finding, Name, Method, Title, Description string
	// Positives and Negatives are the counts for the script.
	Positives, Negatives string
	Bars                 []bar
	X                    []tick
	// Line is where the threshold stands, Slider its number of Bins.
	Line         float64
	Slider, Bins int
	Now          confusionRow
	Table        []confusionRow
}

// bar is a bin of one class; what it holds is in Title.
type bar struct {
	Class, Title        string
	X, Y, Width, Height float64
}

// confusionRow is what a threshold makes of the test samples.
type confusionRow struct {
	At                                 string
	TP, FN, FP, TN                     int
	Sensitivity, Specificity, PPV, NPV string
}

func newConfusionRow(at float64, c evaluate.Confusion) confusionRow {
	share := func(n, of int) string {
		if of == 0 {
			return "–"
		}
		return fmt.Sprintf("%d of %d (%.0f %%)", n, of, math.Floor(100*float64(n)/float64(of)+0.5))
	}
	tp, fn, fp, tn := c.TruePositives, c.FalseNegatives, c.FalsePositives, c.TrueNegatives
	return confusionRow{
		At: strconv.FormatFloat(at, 'f', 2, 64), TP: tp, FN: fn, FP: fp, TN: tn,
		Sensitivity: share(tp, tp+fn), Specificity: share(tn, tn+fp), PPV: share(tp, tp+fp), NPV: share(tn, tn+fn),
	}
}

// newHistogramPlot draws the report's head, or the one method that there is. The
// heights are of each class's own greatest bin, so that a rare class is seen.
func newHistogramPlot(f evaluate.Finding) (histogramPlot, bool) {
	k := min(1, len(f.Methods)-1)
	if k < 0 || f.Methods[k].Histogram == nil {
		return histogramPlot{}, false
	}
	h := *f.Methods[k].Histogram
	bins := len(h.Positives)
	if bins == 0 || len(h.Negatives) != bins {
		return histogramPlot{}, false // of a file that another program wrote
	}
	x := axis{0, 1, 10, 310}
	p := histogramPlot{
		Finding: f.Name, Name: findingName(f), Method: methodName(f.Methods[k].Method), Title: "Probabilities by class: " + findingName(f),
		Positives: numbers(h.Positives), Negatives: numbers(h.Negatives), X: x.ticks(0.25, func(v float64) string { return strconv.FormatFloat(v+0, 'g', 3, 64) }),
		Slider: bins / 2, Bins: bins, Line: x.at(0.5), Now: newConfusionRow(float64(bins/2)/float64(bins), h.At(bins/2)),
	}
	p.addBars("m1", "positive", h.Positives, x, -1)
	p.addBars("m0", "negative", h.Negatives, x, 1)
	for step := 1; step < 10; step++ {
		at := step * bins / 10
		p.Table = append(p.Table, newConfusionRow(float64(at)/float64(bins), h.At(at)))
	}
	p.Description = fmt.Sprintf("Positives above the line, negatives below it. At %s, %s of the positives and %s of the negatives are on their side.", p.Now.At, p.Now.Sensitivity, p.Now.Specificity)
	return p, true
}

func (p *histogramPlot) addBars(class, word string, counts []int, x axis, down float64) {
	const middle, tallest = 80.0, 72.0
	most := 1
	for _, n := range counts {
		most = max(most, n)
	}
	for k, n := range counts {
		if n <= 0 {
			continue
		}
		from, to := float64(k)/float64(len(counts)), float64(k+1)/float64(len(counts))
		b := bar{
			Class: class, Title: fmt.Sprintf("%.2f to %.2f: %d %s", from, to, n, word),
			X: x.at(from), Y: middle, Width: round(x.at(to) - x.at(from) - 0.6), Height: round(tallest * float64(n) / float64(most)),
		}
		if down < 0 {
			b.Y = round(middle - b.Height)
		}
		p.Bars = append(p.Bars, b)
	}
}

func numbers(values []int) string {
	var text []string
	for _, v := range values {
		text = append(text, strconv.Itoa(v))
	}
	return strings.Join(text, ",")
}
