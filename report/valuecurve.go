package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/medprobe/medprobe/evaluate"
)

// valueCurveTable holds the points of the learning curves of continuous targets.
func valueCurveTable(curves []evaluate.ValueCurve) headedTable {
	t := headedTable{words: 1, Header: []string{"target", "method", "labels", "R²", "MAE", "Spearman", "draws, MAE"}}
	over := []string{}
	for _, c := range curves {
		for _, p := range c.Points {
			for _, g := range p.Over {
				if !slices.Contains(over, g.Baseline) {
					over = append(over, g.Baseline)
				}
			}
		}
	}
	for _, name := range over {
		t.Header = append(t.Header, "less the "+methodName(name))
	}
	for _, c := range curves {
		for _, p := range c.Points {
			t.Rows = append(t.Rows, append([]string{c.Target, methodName(c.Method), strconv.Itoa(p.Shots)}, valueCells(p, over)...))
		}
	}
	return t
}

func valueCells(p evaluate.ValueCurvePoint, over []string) []string {
	cells := []string{"–", "–", "–", "–"}
	if p.Unmet != "" {
		cells[1] = p.Unmet
	}
	if p.R2 != nil {
		cells[0] = fmt.Sprintf("%s (%s to %s)", signless(p.R2.Point), signless(p.R2.Low), signless(p.R2.High))
	}
	if p.MAE != nil {
		cells[1] = intervalInUnit(p.MAE)
		cells[3] = fmt.Sprintf("%d: %s to %s", p.Draws, inUnit(*p.DrawLow), inUnit(*p.DrawHigh))
	}
	if p.Spearman != nil {
		cells[2] = fmt.Sprintf("%s (%s to %s)", signless(p.Spearman.Point), signless(p.Spearman.Low), signless(p.Spearman.High))
	}
	for _, name := range over {
		cell := "–"
		for _, g := range p.Over {
			if g.Baseline == name && g.Difference != nil {
				cell = intervalInUnit(g.Difference)
			}
		}
		cells = append(cells, cell)
	}
	return cells
}

// valueCurveSentences say from how many labels on each head is nearer to the true
// values than each baseline.
func valueCurveSentences(curves []evaluate.ValueCurve) (lines []string) {
	for _, c := range curves {
		for _, e := range c.Enough {
			if e.Unmet != "" {
				lines = append(lines, fmt.Sprintf("%s: no number of labels at which the %s is surely nearer to the true values than the %s: %s.", c.Target, methodName(c.Method), methodName(e.Baseline), e.Unmet))
				continue
			}
			of := ""
			if e.Patients > 0 {
				of = " of " + count(e.Patients, "patient")
			}
			lines = append(lines, fmt.Sprintf("%s: from %s%s on, the %s is nearer to the true values than the %s.", c.Target, count(e.Labels, "label"), of, methodName(c.Method), methodName(e.Baseline)))
		}
	}
	return lines
}

const valueCurveNote = "How many labels it takes: each method, the baselines too, was fitted on that many samples with a known value. Figures are means over the draws, with intervals over the test part; a difference in MAE is to the baseline on the same labels, below 0 is nearer, and its interval is for one more draw."

// valueCurvePlot is the learning curves of one target: mean absolute error over
// labels.
type valueCurvePlot struct {
	Name, Title, Description string
	X, Y                     []tick
	Curves                   []drawnCurve
	Legend                   []legendEntry
}

func newValueCurvePlots(r *evaluate.Report) (plots []valueCurvePlot) {
	for _, t := range r.Values.Targets {
		curves := slices.DeleteFunc(slices.Clone(r.Values.Curves), func(c evaluate.ValueCurve) bool { return c.Target != t.Name })
		if plot, ok := newValueCurvePlot(t.Name, curves); ok {
			plots = append(plots, plot)
		}
	}
	return plots
}

func newValueCurvePlot(name string, curves []evaluate.ValueCurve) (valueCurvePlot, bool) {
	var shots []int
	most := 0.0
	for _, c := range curves {
		for _, p := range c.Points {
			if p.MAE != nil {
				shots, most = append(shots, p.Shots), max(most, p.MAE.High, *p.DrawHigh)
			}
		}
	}
	if slices.Sort(shots); len(shots) == 0 || most == 0 {
		return valueCurvePlot{}, false
	}
	shots = slices.Compact(shots)
	x := axis{math.Log2(float64(shots[0])) - 0.4, math.Log2(float64(shots[len(shots)-1])) + 0.4, 46, 312}
	step := roundStep(most)
	y := axis{0, math.Ceil(most/step-1e-9) * step, 186, 12}
	plot := valueCurvePlot{Name: name, Title: "Learning curve: " + name, Y: y.ticks(step, inUnit)}
	var words []string
	for n, c := range curves {
		d, points := drawnCurve{Class: class(n)}, [][2]float64{}
		for _, p := range c.Points {
			if p.MAE == nil {
				continue
			}
			at := round(x.at(math.Log2(float64(p.Shots))) + (float64(n)-float64(len(curves)-1)/2)*8)
			d.Points = append(d.Points, drawnPoint{
				X: at, Y: y.at(p.MAE.Point), DrawTop: y.at(*p.DrawHigh), DrawBottom: y.at(*p.DrawLow),
				TestTop: y.at(p.MAE.High), TestBottom: y.at(p.MAE.Low), CapLeft: round(at - 2.5), CapRight: round(at + 2.5),
				Says: fmt.Sprintf("%s, %s: MAE %s, draws %s to %s", methodName(c.Method), count(p.Shots, "label"), intervalInUnit(p.MAE), inUnit(*p.DrawLow), inUnit(*p.DrawHigh)),
			})
			points = append(points, [2]float64{at, y.at(p.MAE.Point)})
			words = append(words, methodName(c.Method)+" at "+count(p.Shots, "label")+" "+inUnit(p.MAE.Point))
		}
		d.Line = line{class(n), path(points), dashes(n)}
		plot.Curves = append(plot.Curves, d)
		plot.Legend = append(plot.Legend, legendEntry{class(n), methodName(c.Method), dashes(n)})
	}
	for _, k := range shots {
		plot.X = append(plot.X, tick{x.at(math.Log2(float64(k))), strconv.Itoa(k)})
	}
	plot.Description = "Mean absolute error over labelled samples. " + strings.Join(words, "; ") + "."
	return plot, true
}

// roundStep divides up to the greatest value into three to seven steps of a round
// number.
func roundStep(greatest float64) float64 {
	step := math.Pow(10, math.Floor(math.Log10(greatest)))
	switch n := greatest / step; {
	case n < 1.5:
		return step / 5
	case n < 3:
		return step / 2
	case n >= 7:
		return step * 2
	}
	return step
}
