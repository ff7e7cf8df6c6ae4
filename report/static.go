package report

import (
	"bytes"
	"fmt"
	"image/color"
	"regexp"
	"strconv"

	"github.com/medprobe/medprobe/evaluate"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Figures returns every plot of the report as PNG and as PDF. The same report gives
// the same bytes.
func Figures(r *evaluate.Report) ([]File, error) {
	var files []File
	for _, f := range newFigures(r) {
		p, err := f.plot()
		if err != nil {
			return nil, fmt.Errorf("report: %s: %w", f.Name, err)
		}
		width, height := 4.6*vg.Inch, 4.2*vg.Inch
		if f.Rows != nil {
			width, height = 6.4*vg.Inch, vg.Length(1.9+0.14*float64(len(f.Rows)*max(2, len(f.Series))))*vg.Inch
		}
		for _, form := range []string{"png", "pdf"} {
			to, err := draw.NewFormattedCanvas(width, height, form)
			if err != nil {
				return nil, fmt.Errorf("report: %s: %w", f.Name, err)
			}
			const edge = 8
			p.Draw(draw.Crop(draw.New(to), edge, -edge, edge, -edge))
			var b bytes.Buffer
			if _, err := to.WriteTo(&b); err != nil {
				return nil, fmt.Errorf("report: %s: %w", f.Name, err)
			}
			files = append(files, File{Name: f.Name + "." + form, Data: undated(b.Bytes())})
		}
	}
	return files, nil
}

// dateOfPDF is when a PDF was made, which would be other bytes every time.
var dateOfPDF = regexp.MustCompile(`/(CreationDate|ModDate) \(D:\d{14}`)

// undated sets the dates of a PDF to the first of January 2000. A file of another
// kind has none.
func undated(file []byte) []byte {
	return dateOfPDF.ReplaceAll(file, []byte("/$1 (D:20000101000000"))
}

func (f figure) plot() (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = f.Title, f.X, f.Y
	for _, style := range []*draw.TextStyle{&p.Title.TextStyle, &p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle} {
		style.Font = font.From(font.Font{Typeface: "Liberation", Variant: "Sans"}, 9)
	}
	p.Title.TextStyle.Font.Size = 11
	p.Title.Padding = 6
	p.BackgroundColor = color.White
	if f.Square {
		p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 1, 0, 1
	}
	if f.Above {
		p.Legend.Top, p.Legend.XOffs = true, -vg.Inch
	}
	if f.Doubling {
		p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, f.doublings()
	}
	if err := f.addChance(p); err != nil {
		return nil, err
	}
	for _, s := range f.Series {
		var err error
		if f.Rows != nil {
			err = f.addRows(p, s)
		} else {
			err = addCurve(p, s)
		}
		if err != nil {
			return nil, err
		}
	}
	if f.Rows != nil {
		names := make([]string, len(f.Rows))
		for k, name := range f.Rows {
			names[len(names)-1-k] = clip(name, 40)
		}
		p.NominalY(names...)
		p.Y.Min, p.Y.Max = -1.8, float64(len(names))-0.4 // the legend stands below the rows
	}
	return p, nil
}

// doublings are the ticks of shots.
func (f figure) doublings() plot.ConstantTicks {
	var ticks plot.ConstantTicks
	seen := map[float64]bool{}
	for _, s := range f.Series {
		for _, p := range s.Points {
			if !seen[p.X] {
				seen[p.X] = true
				ticks = append(ticks, plot.Tick{Value: p.X, Label: plainNumber(p.X)})
			}
		}
	}
	return ticks
}

// addChance draws what chance gives, or no difference.
func (f figure) addChance(p *plot.Plot) error {
	var points plotter.XYs
	switch {
	case f.Diagonal:
		points = plotter.XYs{{X: 0, Y: 0}, {X: 1, Y: 1}}
	case f.Mark != nil && f.Rows != nil:
		points = plotter.XYs{{X: *f.Mark, Y: -0.6}, {X: *f.Mark, Y: float64(len(f.Rows)) - 0.4}}
	case f.Mark != nil:
		points = plotter.XYs{{X: 0, Y: *f.Mark}, {X: 1, Y: *f.Mark}}
	default:
		return nil
	}
	l, err := plotter.NewLine(points)
	if err != nil {
		return err
	}
	l.Color, l.Width, l.Dashes = color.Gray{Y: 0x80}, vg.Points(0.7), []vg.Length{2, 2}
	p.Add(l)
	return nil
}

// hue is the colour of the k-th method.
func hue(k int, alpha uint8) color.NRGBA {
	v, err := strconv.ParseUint(palette[k%len(palette)][1:], 16, 32)
	if err != nil {
		return color.NRGBA{A: alpha}
	}
	return color.NRGBA{R: uint8(v >> 16), G: uint8(v >> 8), B: uint8(v), A: alpha}
}

func stroke(k int) []vg.Length {
	var lengths []vg.Length
	for _, d := range dashing[k%len(dashing)] {
		lengths = append(lengths, vg.Length(d))
	}
	if k%len(dashing) == 1 {
		return nil // drawn through
	}
	return lengths
}

// glyphs tell the methods apart without colour.
func glyph(k int) draw.GlyphDrawer {
	return []draw.GlyphDrawer{draw.SquareGlyph{}, draw.CircleGlyph{}, draw.TriangleGlyph{}, draw.CrossGlyph{}}[k%4]
}

func scatter(points plotter.XYs, k int, shape draw.GlyphDrawer, radius vg.Length) (*plotter.Scatter, error) {
	s, err := plotter.NewScatter(points)
	if err == nil {
		s.GlyphStyle = draw.GlyphStyle{Color: hue(k, 255), Radius: radius, Shape: shape}
	}
	return s, err
}

// addRows draws intervals along X, the first row at the top, methods beneath one
// another within it.
func (f figure) addRows(p *plot.Plot, s series) error {
	place := 0
	for k, other := range f.Series {
		if other.Method == s.Method {
			place = k
		}
	}
	var points plotter.XYs
	for _, q := range s.Points {
		y := float64(len(f.Rows)-1-q.Row) - (float64(place)-float64(len(f.Series)-1)/2)*0.22
		points = append(points, plotter.XY{X: q.X, Y: y})
		l, err := plotter.NewLine(plotter.XYs{{X: q.Low, Y: y}, {X: q.High, Y: y}})
		if err != nil {
			return err
		}
		l.Color, l.Width = hue(s.K, 255), vg.Points(1.2)
		p.Add(l)
	}
	dots, err := scatter(points, s.K, glyph(s.K), vg.Points(2.4))
	if err != nil {
		return err
	}
	p.Add(dots)
	p.Legend.Add(s.Method, dots)
	return nil
}

// addCurve draws a band, a line or dots with their intervals, and thresholds.
func addCurve(p *plot.Plot, s series) error {
	if len(s.Band) > 0 {
		var outline plotter.XYs
		for _, q := range s.Band {
			outline = append(outline, plotter.XY{X: q.X, Y: q.Low})
		}
		for i := len(s.Band) - 1; i >= 0; i-- {
			outline = append(outline, plotter.XY{X: s.Band[i].X, Y: s.Band[i].High})
		}
		band, err := plotter.NewPolygon(outline)
		if err != nil {
			return err
		}
		band.Color, band.LineStyle.Width = hue(s.K, 38), 0
		p.Add(band)
	}
	var points, marks plotter.XYs
	for _, q := range s.Points {
		points = append(points, plotter.XY{X: q.X, Y: q.Y})
		if !q.interval {
			continue
		}
		whisker, err := plotter.NewLine(plotter.XYs{{X: q.X, Y: q.Low}, {X: q.X, Y: q.High}})
		if err != nil {
			return err
		}
		whisker.Color, whisker.Width = hue(s.K, 160), vg.Points(0.8)
		p.Add(whisker)
	}
	for _, q := range s.Marks {
		marks = append(marks, plotter.XY{X: q.X, Y: q.Y})
	}
	var shown []plot.Thumbnailer
	if s.Lines {
		l, err := plotter.NewLine(points)
		if err != nil {
			return err
		}
		l.Color, l.Width, l.Dashes = hue(s.K, 255), vg.Points(1.4), stroke(s.K)
		p.Add(l)
		shown = append(shown, l)
	}
	if s.Points[0].interval {
		dots, err := scatter(points, s.K, glyph(s.K), vg.Points(2.2))
		if err != nil {
			return err
		}
		p.Add(dots)
		shown = append(shown, dots)
	}
	if len(marks) > 0 {
		diamonds, err := scatter(marks, s.K, draw.PyramidGlyph{}, vg.Points(4))
		if err != nil {
			return err
		}
		p.Add(diamonds)
	}
	p.Legend.Add(s.Method, shown...)
	return nil
}
