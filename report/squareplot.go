package report

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/medprobe/medprobe/evaluate"
)

// squarePlot is curves of one finding over the unit square.
type squarePlot struct {
	Finding, Name, Title, Description string
	// Says is how the values of a point are read out, with {} for each.
	Says  string
	Bands []line
	Lines []readLine
	Marks []plotMark
	// Whiskers are intervals of dots.
	Whiskers []plotWhisker
	// Chance is the path of what chance gives, or of what would be right.
	Chance string
	X, Y   []tick
	Under  []labelled
	Table  headedTable
}

// readLine is a line whose points can be read: Points holds x, y and values of
// each, for the script.
type readLine struct {
	line
	Method, Points string
}

// plotMark is a diamond, Path, or a dot of radius R.
type plotMark struct {
	Class, Path, Title string
	X, Y, R            float64
}

type plotWhisker struct {
	Class        string
	X, Low, High float64
}

// labelled is a figure of a method in the method's style.
type labelled struct{ Class, Method, Figure string }

// The unit square within a drawing of 220 by 216.
var (
	squareX = axis{0, 1, 28, 212}
	squareY = axis{0, 1, 196, 12}
)

func newSquarePlot(f evaluate.Finding, title, says string) *squarePlot {
	return &squarePlot{
		Finding: f.Name, Name: findingName(f), Title: title + ": " + findingName(f), Says: says,
		X: squareX.ticks(0.5, tenths), Y: squareY.ticks(0.5, tenths),
	}
}

func appendPlot(plots []squarePlot, p *squarePlot) []squarePlot {
	if p == nil || len(p.Lines) == 0 {
		return plots
	}
	return append(plots, *p)
}

// addLine draws points of the unit square; values holds what is read out at each.
func (p *squarePlot) addLine(k int, method string, points [][2]float64, values func(i int) []string) {
	places := make([][2]float64, len(points))
	var read []string
	for i, q := range points {
		places[i] = [2]float64{squareX.at(q[0]), squareY.at(q[1])}
		read = append(read, strings.Join(append([]string{plainNumber(places[i][0]), plainNumber(places[i][1])}, values(i)...), ","))
	}
	p.Lines = append(p.Lines, readLine{line{class(k), path(places), dashes(k)}, methodName(method), strings.Join(read, ";")})
}

// addBand shades between the ends of a band. One whose lists differ in length, of
// a file that another program wrote, is left out.
func (p *squarePlot) addBand(k int, b *evaluate.Band) {
	if b == nil || len(b.At) == 0 || len(b.Low) != len(b.At) || len(b.High) != len(b.At) {
		return
	}
	var outline [][2]float64
	for i, at := range b.At {
		outline = append(outline, [2]float64{squareX.at(at), squareY.at(b.Low[i])})
	}
	for i := len(b.At) - 1; i >= 0; i-- {
		outline = append(outline, [2]float64{squareX.at(b.At[i]), squareY.at(b.High[i])})
	}
	p.Bands = append(p.Bands, line{Class: class(k), Path: path(outline) + "Z"})
}

// addDiamond marks a threshold.
func (p *squarePlot) addDiamond(k int, x, y float64, title string) {
	const r = 4.5
	cx, cy := squareX.at(x), squareY.at(y)
	p.Marks = append(p.Marks, plotMark{Class: class(k), Title: title, Path: path([][2]float64{{cx - r, cy}, {cx, cy - r}, {cx + r, cy}, {cx, cy + r}}) + "Z"})
}

// bandRows says where the band of a method lies at some of its places.
func bandRows(method string, b *evaluate.Band, places []float64) []string {
	row := []string{methodName(method)}
	for _, place := range places {
		cell := "–"
		if b != nil {
			for i, at := range b.At {
				if at > place-1e-9 && at < place+1e-9 && i < len(b.Low) && i < len(b.High) {
					cell = fmt.Sprintf("%.2f–%.2f", b.Low[i], b.High[i])
				}
			}
		}
		row = append(row, cell)
	}
	return row
}

func bandHeader(what string, places []float64) []string {
	header := []string{"Method"}
	for _, place := range places {
		header = append(header, what+" "+plainNumber(place))
	}
	return header
}

func plainNumber(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }

// short writes a value for reading out.
func short(x float64) string { return strconv.FormatFloat(x, 'g', 3, 64) }

// threshold writes a score, or that none reaches the point.
func thresholdText(x *float64) string {
	if x == nil {
		return "above all"
	}
	return short(*x)
}
