package report

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/medprobe/medprobe/evaluate"
)

// palette is the light page's colours of the methods, in their order; dashing is
// what tells them apart without colour. They are those of report.css
// (TestPaletteIsThatOfTheStylesheet).
var (
	palette = []string{"#6a6f78", "#0b5cad", "#b04a00", "#6b3fa0"}
	dashing = [][]float64{{5, 3}, {1, 0}, {1.5, 2.5}, {8, 3, 2, 3}}
)

// Vega returns every plot of the report as a Vega-Lite specification, version 5, in
// a file of its own that holds its data.
func Vega(r *evaluate.Report) ([]File, error) {
	var files []File
	for _, f := range newFigures(r) {
		var b bytes.Buffer
		encoder := json.NewEncoder(&b)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(f.vega()); err != nil {
			return nil, fmt.Errorf("report: %s: %w", f.Name, err)
		}
		files = append(files, File{Name: f.Name + ".vl.json", Data: b.Bytes()})
	}
	return files, nil
}

type object map[string]any

// vegaRow is one line of the data. What says which layer shows it.
type vegaRow struct {
	What   string   `json:"what"`
	Method string   `json:"method"`
	X      *float64 `json:"x,omitempty"`
	Y      *float64 `json:"y,omitempty"`
	Row    string   `json:"row,omitempty"`
	Low    *float64 `json:"low,omitempty"`
	High   *float64 `json:"high,omitempty"`
	N      int      `json:"n,omitempty"`
	Note   string   `json:"note,omitempty"`
	// Order is along a line.
	Order int `json:"order"`
}

func (f figure) rows() []vegaRow {
	rows := []vegaRow{}
	for _, s := range f.Series {
		add := func(what string, points []figurePoint) {
			for k, p := range points {
				row := vegaRow{What: what, Method: s.Method, N: p.N, Note: p.Note, Order: k, X: &points[k].X}
				if f.Rows != nil {
					row.Row = f.Rows[p.Row]
				} else if what != "band" {
					row.Y = &points[k].Y
				}
				if p.interval {
					row.Low, row.High = &points[k].Low, &points[k].High
				}
				rows = append(rows, row)
			}
		}
		add("band", s.Band)
		add("point", s.Points)
		add("threshold", s.Marks)
	}
	return rows
}

func (f figure) methods() []string {
	names := []string{}
	for _, s := range f.Series {
		names = append(names, s.Method)
	}
	return names
}

func (f figure) vega() object {
	domain, colours, strokes := f.methods(), []string{}, [][]float64{}
	for _, s := range f.Series {
		colours = append(colours, palette[s.K%len(palette)])
		strokes = append(strokes, dashing[s.K%len(dashing)])
	}
	colour := object{"field": "method", "type": "nominal", "title": nil, "scale": object{"domain": domain, "range": colours}}
	dash := object{"field": "method", "type": "nominal", "title": nil, "scale": object{"domain": domain, "range": strokes}}
	height := any(320)
	if f.Rows != nil {
		height = object{"step": 14}
	}
	return object{
		"$schema": "https://vega.github.io/schema/vega-lite/v5.json",
		"title":   f.Title, "description": f.Description + " " + notADevice, "width": 320, "height": height,
		"data":  object{"values": f.rows()},
		"layer": f.layers(colour, dash),
	}
}

func (f figure) layers(colour, dash object) []object {
	only := func(what string) []object { return []object{{"filter": "datum.what === '" + what + "'"}} }
	tooltip := []object{{"field": "method"}, {"field": "x", "type": "quantitative"}, {"field": "y", "type": "quantitative"}, {"field": "note"}}
	var layers []object
	if f.Mark != nil {
		along := "y"
		if f.Rows != nil {
			along = "x"
		}
		layers = append(layers, object{"mark": object{"type": "rule", "strokeDash": []int{2, 2}, "color": "#5a5f68"}, "encoding": object{along: object{"datum": *f.Mark}}})
	}
	if f.Diagonal {
		layers = append(layers, object{
			"mark":     object{"type": "line", "strokeDash": []int{2, 2}, "color": "#5a5f68"},
			"data":     object{"values": []object{{"a": 0, "b": 0}, {"a": 1, "b": 1}}},
			"encoding": object{"x": f.axis("a", f.X), "y": f.axis("b", f.Y)},
		})
	}
	x := f.axis("x", f.X)
	if f.Rows != nil {
		y := object{"field": "row", "type": "nominal", "title": nil, "sort": f.Rows}
		offset := object{"field": "method", "type": "nominal", "scale": object{"domain": f.methods()}}
		low := f.axis("low", f.X)
		return append(layers,
			object{"transform": only("point"), "mark": object{"type": "rule", "strokeWidth": 2}, "encoding": object{"x": low, "x2": object{"field": "high"}, "y": y, "yOffset": offset, "color": colour}},
			object{"transform": only("point"), "mark": object{"type": "point", "filled": true, "size": 50, "opacity": 1}, "encoding": object{"x": x, "y": y, "yOffset": offset, "color": colour, "shape": object{"field": "method", "type": "nominal", "title": nil, "scale": object{"domain": f.methods()}}, "tooltip": []object{{"field": "method"}, {"field": "row"}, {"field": "note"}}}},
		)
	}
	y := f.axis("y", f.Y)
	layers = append(layers, object{"transform": only("band"), "mark": object{"type": "area", "opacity": 0.15}, "encoding": object{"x": x, "y": f.axis("low", f.Y), "y2": object{"field": "high"}, "color": colour}})
	if f.Series[0].Lines {
		layers = append(layers, object{"transform": only("point"), "mark": object{"type": "line"}, "encoding": object{"x": x, "y": y, "order": object{"field": "order", "type": "quantitative"}, "color": colour, "strokeDash": dash, "tooltip": tooltip}})
	}
	if f.Doubling || !f.Series[0].Lines {
		layers = append(layers,
			object{"transform": append(only("point"), object{"filter": "isValid(datum.low)"}), "mark": "rule", "encoding": object{"x": x, "y": f.axis("low", f.Y), "y2": object{"field": "high"}, "color": colour}},
			object{"transform": only("point"), "mark": object{"type": "point", "filled": true}, "encoding": object{"x": x, "y": y, "color": colour, "tooltip": tooltip}},
		)
	}
	return append(layers, object{"transform": only("threshold"), "mark": object{"type": "point", "shape": "diamond", "filled": true, "size": 90}, "encoding": object{"x": x, "y": y, "color": colour, "tooltip": tooltip}})
}

// axis is the encoding of a position.
func (f figure) axis(field, title string) object {
	scale := object{"zero": false}
	switch {
	case f.Square:
		scale = object{"domain": []int{0, 1}}
	case f.Doubling && field == "x":
		scale = object{"type": "log", "base": 2}
	}
	return object{"field": field, "type": "quantitative", "title": title, "scale": scale}
}
