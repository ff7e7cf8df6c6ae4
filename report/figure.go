package report

import (
	"fmt"
	"math"
	"strings"

	"github.com/medprobe/medprobe/evaluate"
)

// File is a file to write: a name without folder, and what is in it.
type File struct {
	Name string
	Data []byte
}

// figure is one plot as data, for every form but the page's own.
type figure struct {
	// Name is the stem of its file.
	Name, Title, X, Y string
	// Description is its text alternative.
	Description string
	Series      []series
	// Rows, if any, are what the points' Row counts, from the top: intervals along X.
	Rows []string
	// Square says that both axes go from 0 to 1; Doubling that X does so by doubling.
	Square, Doubling bool
	// Above says that the top of its middle is free, and the legend goes there.
	Above bool
	// Diagonal draws it; Mark is where a line stands for chance or no difference,
	// across X for rows and across Y otherwise.
	Diagonal bool
	Mark     *float64
}

// series is one method in a figure.
type series struct {
	Method string
	// K is the method's number, which decides its style.
	K      int
	Points []figurePoint
	// Band is pointwise: X, Low, High.
	Band []figurePoint
	// Lines says that the points are joined.
	Lines bool
	// Marks are thresholds.
	Marks []figurePoint
}

// figurePoint is a point with its interval, where it has one.
type figurePoint struct {
	X, Y      float64
	Low, High float64
	Row       int
	N         int
	Note      string
	interval  bool
}

// newFigures lists every plot of the report.
func newFigures(r *evaluate.Report) []figure {
	r = visible(r)
	figures := []figure{aucFigure(r), differenceFigure(r)}
	for k, f := range r.Findings {
		stem := fmt.Sprintf("%02d-%s", k+1, slug(f.Name))
		figures = append(figures, rocFigure(f, stem), prFigure(f, stem), reliabilityFigure(f, stem), histogramFigure(f, stem), subgroupFigure(r, f, stem), curveFigure(r, f, stem))
	}
	var drawn []figure
	for _, f := range figures {
		if len(f.Series) > 0 {
			drawn = append(drawn, f)
		}
	}
	return drawn
}

// slug makes part of a file name of a finding's.
func slug(name string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(name) {
		switch {
		case b.Len() >= 40:
			return strings.Trim(b.String(), "-")
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	return strings.Trim(b.String(), "-")
}

// spreadPoint is an estimate in a row.
func spreadPoint(row int, e evaluate.Estimate) figurePoint {
	return figurePoint{X: e.Point, Low: e.Low, High: e.High, Row: row, N: e.N, Note: e.String(), interval: true}
}

func aucFigure(r *evaluate.Report) figure {
	chance := 0.5
	fig := figure{
		Name: "auc", Title: "AUC with " + percent(evaluate.Level) + " interval over " + unitOf(r) + "s", X: "AUC", Mark: &chance,
		Description: headline(r),
	}
	for k, method := range methodsOf(r) {
		s := series{Method: methodName(method), K: k}
		for row, f := range r.Findings {
			if k < len(f.Methods) && f.Methods[k].AUC != nil {
				s.Points = append(s.Points, spreadPoint(row, *f.Methods[k].AUC))
			}
		}
		fig.add(s)
	}
	for _, f := range r.Findings {
		fig.Rows = append(fig.Rows, findingName(f))
	}
	return fig
}

// add keeps a series that shows something.
func (f *figure) add(s series) {
	if len(s.Points) > 0 {
		f.Series = append(f.Series, s)
	}
}

func differenceFigure(r *evaluate.Report) figure {
	none := 0.0
	fig := figure{
		Name: "differences", Title: "Paired difference in AUC", X: "difference in AUC", Mark: &none,
		Description: "Paired difference in AUC on the same test samples, with " + percent(evaluate.Level) + " interval. " + headline(r),
	}
	for k, method := range methodsOf(r) {
		s := series{K: k}
		for row, f := range r.Findings {
			for _, d := range f.Differences {
				if d.A == method {
					s.Method = methodName(method) + " − " + methodName(d.B)
					p := spreadPoint(row, d.Difference)
					p.Note = signed(d.Difference.Point) + " (" + signedInterval(d.Difference) + "), adjusted p " + pValue(d.AdjustedP)
					s.Points = append(s.Points, p)
				}
			}
		}
		fig.add(s)
	}
	for _, f := range r.Findings {
		fig.Rows = append(fig.Rows, findingName(f))
	}
	return fig
}

func bandPoints(b *evaluate.Band) (points []figurePoint) {
	if b == nil || len(b.Low) != len(b.At) || len(b.High) != len(b.At) {
		return nil
	}
	for i, at := range b.At {
		points = append(points, figurePoint{X: at, Low: b.Low[i], High: b.High[i], interval: true})
	}
	return points
}

func rocFigure(f evaluate.Finding, stem string) figure {
	fig := figure{
		Name: "roc-" + stem, Title: "ROC curves: " + findingName(f), X: "false positive rate", Y: "sensitivity",
		Square: true, Diagonal: true, Description: newROCPlot(f).Description,
	}
	for k, m := range f.Methods {
		s := series{Method: methodName(m.Method), K: k, Lines: true, Band: bandPoints(m.ROCBand)}
		for _, p := range m.ROC {
			s.Points = append(s.Points, figurePoint{X: p.FPR, Y: p.TPR, Note: "from score " + thresholdText(p.Threshold)})
		}
		for _, c := range m.Cuts {
			if c.Sensitivity != nil && c.Specificity != nil {
				s.Marks = append(s.Marks, figurePoint{X: 1 - c.Specificity.Point, Y: c.Sensitivity.Point, Note: cutWords(m.Method, c)})
			}
		}
		fig.add(s)
	}
	return fig
}

func prFigure(f evaluate.Finding, stem string) figure {
	rate := float64(f.Positives) / float64(max(1, f.N))
	fig := figure{
		Name: "pr-" + stem, Title: "Precision and recall: " + findingName(f), X: "recall", Y: "precision",
		Square: true, Mark: &rate, Description: newPRPlot(f).Description,
	}
	for k, m := range f.Methods {
		s := series{Method: methodName(m.Method), K: k, Lines: true, Band: bandPoints(m.PRBand)}
		for _, p := range m.PR {
			s.Points = append(s.Points, figurePoint{X: p.Recall, Y: p.Precision, Note: "from score " + thresholdText(p.Threshold)})
		}
		for _, c := range m.Cuts {
			if c.Sensitivity != nil && c.PPV != nil {
				s.Marks = append(s.Marks, figurePoint{X: c.Sensitivity.Point, Y: c.PPV.Point, Note: cutWords(m.Method, c)})
			}
		}
		fig.add(s)
	}
	return fig
}

func reliabilityFigure(f evaluate.Finding, stem string) figure {
	fig := figure{
		Name: "reliability-" + stem, Title: "Reliability: " + findingName(f), X: "mean probability", Y: "share of positives",
		Square: true, Diagonal: true, Description: newReliabilityPlot(f).Description,
	}
	for k, m := range f.Methods {
		s := series{Method: methodName(m.Method), K: k}
		for _, b := range m.Reliability {
			s.Points = append(s.Points, figurePoint{X: b.Predicted, Y: b.Observed.Point, Low: b.Observed.Low, High: b.Observed.High, N: b.N, Note: b.Observed.String(), interval: true})
		}
		fig.add(s)
	}
	return fig
}

// histogramFigure is the probabilities of the head, or of the one method, by class: of
// each class the share in each bin, so that a rare class is seen.
func histogramFigure(f evaluate.Finding, stem string) figure {
	plot, ok := newHistogramPlot(f)
	if !ok {
		return figure{}
	}
	fig := figure{
		Name: "histogram-" + stem, Title: plot.Title + " (" + plot.Method + ")", X: "probability", Y: "share of the class", Above: true,
		Description: "Of positives and of negatives, the share in each bin of probability.",
	}
	h := f.Methods[min(1, len(f.Methods)-1)].Histogram
	for k, class := range []struct {
		name   string
		counts []int
	}{{"negatives", h.Negatives}, {"positives", h.Positives}} {
		n := 0
		for _, c := range class.counts {
			n += c
		}
		if n == 0 {
			continue
		}
		s := series{Method: fmt.Sprintf("%s, n = %d", class.name, n), K: k, Lines: true}
		for bin, c := range class.counts {
			from, to := float64(bin)/float64(len(class.counts)), float64(bin+1)/float64(len(class.counts))
			share, note := float64(c)/float64(n), fmt.Sprintf("%.2f to %.2f: %d of %d", from, to, c, n)
			s.Points = append(s.Points, figurePoint{X: from, Y: share, N: c, Note: note}, figurePoint{X: to, Y: share, N: c, Note: note})
		}
		fig.add(s)
	}
	return fig
}

func subgroupFigure(r *evaluate.Report, f evaluate.Finding, stem string) figure {
	chance := 0.5
	fig := figure{Name: "subgroups-" + stem, Title: "Subgroups: " + findingName(f), X: "AUC", Mark: &chance, Description: forestNote(r, subgroupMethod(r))}
	method := subgroupMethod(r)
	s := series{Method: methodName(method), K: min(1, max(0, len(methodsOf(r))-1))}
	for _, g := range r.Subgroups {
		if g.Label != f.Name || g.Score != method {
			continue
		}
		group := g.Group
		if group == "" {
			group = "not known"
		}
		fig.Rows = append(fig.Rows, g.By+" "+group)
		if g.AUC != nil {
			s.Points = append(s.Points, spreadPoint(len(fig.Rows)-1, *g.AUC))
		}
	}
	fig.add(s)
	return fig
}

func curveFigure(r *evaluate.Report, f evaluate.Finding, stem string) figure {
	fig := figure{Name: "curve-" + stem, Title: "Learning curve: " + findingName(f), X: "shots per class", Y: "AUC", Doubling: true}
	if plot, ok := newCurvePlot(r, f, curveAxis(r)); ok {
		fig.Description = plot.Description
	}
	most := 1.0
	for _, c := range r.Curves {
		if c.Finding != f.Name {
			continue
		}
		s := series{Method: methodName(c.Method), Lines: true}
		for k, method := range methodsOf(r) {
			if method == c.Method {
				s.K = k
			}
		}
		for _, p := range c.Points {
			if p.AUC == nil {
				continue
			}
			shots := float64(max(1, p.Shots))
			most = math.Max(most, shots)
			s.Points = append(s.Points, figurePoint{X: shots, Y: p.AUC.Point, Low: p.AUC.Low, High: p.AUC.High, N: p.Draws, Note: fmt.Sprintf("%s, %s, draws %s–%s", p.AUC, count(p.Draws, "draw"), number(*p.DrawLow), number(*p.DrawHigh)), interval: true})
		}
		fig.add(s)
	}
	if e := zeroShot(f); e != nil && len(fig.Series) > 0 {
		s := series{Method: "zero-shot", Lines: true}
		for _, x := range []float64{1, most} {
			s.Points = append(s.Points, figurePoint{X: x, Y: e.Point, Note: e.String()})
			s.Band = append(s.Band, figurePoint{X: x, Low: e.Low, High: e.High, interval: true})
		}
		fig.add(s)
	}
	return fig
}
