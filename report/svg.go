package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/medprobe/medprobe/evaluate"
)

// The drawings are geometry only: numbers that the template writes into SVG
// attributes. Colours and fonts are the stylesheet's; the attributes hold what
// is needed to read a drawing without it.

// axis maps values to positions.
type axis struct{ from, to, start, end float64 }

func (a axis) at(x float64) float64 {
	x = min(max(x, a.from), a.to)
	return round(a.start + (x-a.from)/(a.to-a.from)*(a.end-a.start))
}

func round(x float64) float64 { return math.Round(x*10) / 10 }

// tick is a mark on an axis.
type tick struct {
	At   float64
	Text string
}

func (a axis) ticks(step float64, text func(float64) string) []tick {
	var ticks []tick
	for k := math.Ceil(a.from/step - 1e-9); k*step <= a.to+1e-9; k++ {
		ticks = append(ticks, tick{a.at(k * step), text(k * step)})
	}
	return ticks
}

func tenths(x float64) string { return strconv.FormatFloat(x+0, 'f', 1, 64) } // never −0

func signedTenths(x float64) string {
	switch text := tenths(math.Abs(x)); {
	case text == "0.0":
		return "0"
	case x < 0:
		return "−" + text
	default:
		return "+" + text
	}
}

// spread is an estimate as a dot on a line, at height Y.
type spread struct {
	Class               string
	Low, Point, High, Y float64
}

func (a axis) spread(class string, e evaluate.Estimate, y float64) spread {
	return spread{class, a.at(e.Low), a.at(e.Point), a.at(e.High), y}
}

// strip is a row of a table as a drawing: spreads under one another, with a
// line for what chance would give.
type strip struct {
	Width, Height, Chance float64
	Spreads               []spread
	Title                 string
}

// scale is the head of a column of strips.
type scale struct {
	Width  float64
	Ticks  []tick
	Chance float64
}

const stripWidth = 280

func aucAxis(r *evaluate.Report) axis {
	low := 0.5
	for _, f := range r.Findings {
		for _, m := range f.Methods {
			if m.AUC != nil {
				low = min(low, m.AUC.Low)
			}
		}
	}
	return axis{from: math.Floor(low*10+1e-9) / 10, to: 1, start: 8, end: stripWidth - 8}
}

func aucScale(a axis) scale {
	step := 0.1
	if a.to-a.from > 0.65 {
		step = 0.2
	}
	return scale{stripWidth, a.ticks(step, tenths), a.at(0.5)}
}

func aucStrip(a axis, methods []evaluate.MethodResult) strip {
	s := strip{Width: stripWidth, Chance: a.at(0.5)}
	y := 9.0
	var words []string
	for k, m := range methods {
		if m.AUC != nil {
			s.Spreads = append(s.Spreads, a.spread(class(k), *m.AUC, y))
			words = append(words, methodName(m.Method)+" "+number(m.AUC.Point)+" ("+interval(*m.AUC)+")")
		}
		y += 13
	}
	s.Height = y - 4
	s.Title = "AUC: " + strings.Join(words, ", ")
	return s
}

// differenceAxis spans every difference and zero.
func differenceAxis(r *evaluate.Report) axis {
	low, high := -0.1, 0.1
	widen := func(d evaluate.Difference) { low, high = min(low, d.Difference.Low), max(high, d.Difference.High) }
	for _, f := range r.Findings {
		for _, d := range f.Differences {
			widen(d)
		}
	}
	if r.Macro != nil {
		for _, d := range r.Macro.Differences {
			widen(d)
		}
	}
	return axis{from: math.Floor(low*10+1e-9) / 10, to: math.Ceil(high*10-1e-9) / 10, start: 8, end: stripWidth - 8}
}

func differenceScale(a axis) scale {
	step := 0.1
	for (a.to-a.from)/step > 7 {
		step *= 2
	}
	return scale{stripWidth, a.ticks(step, signedTenths), a.at(0)}
}

func differenceStrip(a axis, d evaluate.Difference, class string) strip {
	return strip{
		Width: stripWidth, Height: 20, Chance: a.at(0), Spreads: []spread{a.spread(class, d.Difference, 10)},
		Title: "Difference in AUC " + signed(d.Difference.Point) + ", interval " + signedInterval(d.Difference),
	}
}

// class names the style of the k-th method, and the method for the filter.
func class(k int) string { return "m" + strconv.Itoa(k%4) + " by" + strconv.Itoa(k) }

// line is a path with a style.
type line struct{ Class, Path, Dashes string }

// dashes tell methods apart where colours do not.
func dashes(k int) string { return []string{"5 3", "", "1.5 2.5", "8 3 2 3"}[k%4] }

func path(points [][2]float64) string {
	var b strings.Builder
	for k, p := range points {
		b.WriteByte("ML"[min(k, 1)])
		b.WriteString(strconv.FormatFloat(round(p[0]), 'f', -1, 64))
		b.WriteByte(' ')
		b.WriteString(strconv.FormatFloat(round(p[1]), 'f', -1, 64))
	}
	return b.String()
}

// curvePlot is the learning curves of one finding.
type curvePlot struct {
	Finding, Name, Title, Description string
	X, Y                              []tick
	Chance                            float64
	// Band is the zero-shot baseline, nil where there is none.
	Band   *band
	Curves []drawnCurve
	// Trend continues the first curve, nil where nothing bears it.
	Trend *drawnTrend
	Unmet []string
	// Says is what the labels bought, a sentence for each curve.
	Says   []string
	Rows   []curveRow
	Trends []trendRow
}

type band struct{ Top, Height, Y float64 }

type drawnCurve struct {
	Class  string
	Line   line
	Points []drawnPoint
}

// drawnPoint is a mean with the range of its draws and the interval over test
// units.
type drawnPoint struct {
	X, Y, DrawTop, DrawBottom, TestTop, TestBottom, CapLeft, CapRight float64
	// Says is the point in words.
	Says string
}

// curveRow is a point in words.
type curveRow struct{ Method, Shots, Used, Draws, Mean, Test, Range, Over string }

// curveAxis is one for all learning curves, so that they can be compared.
func curveAxis(r *evaluate.Report) axis {
	low := 0.5
	for _, c := range r.Curves {
		for _, p := range c.Points {
			if p.AUC != nil {
				low = min(low, p.AUC.Low, *p.DrawLow)
			}
		}
	}
	for _, f := range r.Findings {
		if e := zeroShot(f); e != nil {
			low = min(low, e.Low)
		}
	}
	return axis{math.Floor(low*10+1e-9) / 10, 1, 186, 12}
}

// zeroShot returns the AUC of the zero-shot baseline, or nil.
func zeroShot(f evaluate.Finding) *evaluate.Estimate {
	if len(f.Methods) == 0 || f.Methods[0].Method != "zero-shot" {
		return nil
	}
	return f.Methods[0].AUC
}

func newCurvePlot(r *evaluate.Report, f evaluate.Finding, y axis) (curvePlot, bool) {
	var curves []evaluate.Curve
	var shots []int
	for _, c := range r.Curves {
		if c.Finding != f.Name {
			continue
		}
		curves = append(curves, c)
		for _, p := range c.Points {
			shots = append(shots, max(1, p.Shots))
		}
	}
	if len(shots) == 0 {
		return curvePlot{}, false
	}
	slices.Sort(shots)
	shots = slices.Compact(shots)
	to := math.Log2(float64(shots[len(shots)-1])) + 0.4
	if trend, _ := trendOf(curves[0]); trend != nil {
		to = max(to, math.Log2(float64(lastPoint(curves[0]).Shots)*evaluate.TrendReach)+0.4)
	}
	x := axis{math.Log2(float64(shots[0])) - 0.4, to, 34, 312}
	p := curvePlot{Finding: f.Name, Name: findingName(f), Y: y.ticks(0.1, tenths), Chance: y.at(0.5), Title: "Learning curve: " + findingName(f)}
	words := []string{}
	if e := zeroShot(f); e != nil {
		p.Band = &band{y.at(e.High), round(y.at(e.Low) - y.at(e.High)), y.at(e.Point)}
		words = append(words, "zero-shot "+number(e.Point))
	}
	for n, c := range curves {
		offset := (float64(n) - float64(len(curves)-1)/2) * 8
		d := newDrawnCurve(c, max(0, slices.Index(methodsOf(r), c.Method)), x, y, offset)
		p.Curves = append(p.Curves, d)
		if n == 0 {
			p.Trend = newDrawnTrend(c, d.Class, x, y)
		}
		p.Trends = append(p.Trends, newTrendRows(c)...)
		if text := enoughSentence(c, unitOf(r)); text != "" {
			p.Says = append(p.Says, capital(text)+".")
		}
		for _, q := range c.Points {
			p.Rows = append(p.Rows, newCurveRow(c.Method, q))
			switch {
			case q.AUC != nil:
				words = append(words, methodName(c.Method)+" at "+count(q.Shots, "shot")+" "+number(q.AUC.Point))
			case !slices.Contains(p.Unmet, "At "+count(q.Shots, "shot")+": "+q.Unmet):
				p.Unmet = append(p.Unmet, "At "+count(q.Shots, "shot")+": "+q.Unmet)
			}
		}
	}
	for k := shots[len(shots)-1] * 2; p.Trend != nil && x.to >= math.Log2(float64(k)); k *= 2 {
		shots = append(shots, k)
	}
	for _, k := range shots {
		p.X = append(p.X, tick{x.at(math.Log2(float64(k))), strconv.Itoa(k)})
	}
	p.Description = "AUC over shots per class. " + strings.Join(words, "; ") + "."
	return p, true
}

// newDrawnCurve moves the points aside by the offset, so that curves do not
// hide one another.
func newDrawnCurve(c evaluate.Curve, k int, x, y axis, offset float64) drawnCurve {
	d := drawnCurve{Class: class(k)}
	var points [][2]float64
	for _, q := range c.Points {
		if q.AUC == nil {
			continue
		}
		at := round(x.at(math.Log2(float64(max(1, q.Shots)))) + offset)
		d.Points = append(d.Points, drawnPoint{
			X: at, Y: y.at(q.AUC.Point), DrawTop: y.at(*q.DrawHigh), DrawBottom: y.at(*q.DrawLow),
			TestTop: y.at(q.AUC.High), TestBottom: y.at(q.AUC.Low), CapLeft: round(at - 2.5), CapRight: round(at + 2.5),
			Says: fmt.Sprintf("%s, %s per class: AUC %s (%s), draws %s–%s", methodName(c.Method), count(q.Shots, "shot"), number(q.AUC.Point), interval(*q.AUC), number(*q.DrawLow), number(*q.DrawHigh)),
		})
		points = append(points, [2]float64{at, y.at(q.AUC.Point)})
	}
	d.Line = line{class(k), path(points), dashes(k)}
	return d
}

func newCurveRow(method string, p evaluate.CurvePoint) curveRow {
	row := curveRow{
		Method: methodName(method), Shots: strconv.Itoa(p.Shots), Draws: strconv.Itoa(p.Draws),
		Used: strconv.Itoa(p.Positives) + " + " + strconv.Itoa(p.Negatives), Mean: "–", Test: p.Unmet, Range: "–",
	}
	if p.AUC != nil {
		row.Mean, row.Test = number(p.AUC.Point), interval(*p.AUC)
		row.Range = number(*p.DrawLow) + "–" + number(*p.DrawHigh)
	}
	row.Over = "–"
	if p.OverZeroShot != nil {
		row.Over = signed(p.OverZeroShot.Point) + " (" + signedInterval(*p.OverZeroShot) + ")"
	}
	return row
}
