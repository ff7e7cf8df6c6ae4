package report

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/medprobe/medprobe/evaluate"
)

//go:embed report.css
var stylesheet string

//go:embed report.html
var pageText string

//go:embed plots.html
var plotsText string

var pageTemplate = headed(pageText, plotsText)

// HTML writes the report as one page that needs nothing else: no request, no
// font. It reads whole without scripts; where they run, a small one of its own
// moves thresholds. It is made to be read at any width from 360 pixels, in
// light and dark, and on paper; every drawing has a title and a description,
// and its numbers stand in a table.
//
// A content security policy in the page forbids everything but its own
// stylesheet and script, which are named by their SHA-256.
func HTML(w io.Writer, r *evaluate.Report) error {
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, newPage(visible(r))); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// policy forbids a page everything but its own stylesheet.
func policy(style string) string {
	return "default-src 'none'; style-src 'sha256-" + sum64(style) + "'; base-uri 'none'; form-action 'none'"
}

func sum64(text string) string {
	digest := sha256.Sum256([]byte(text))
	return base64.StdEncoding.EncodeToString(digest[:])
}

// page is what the template shows.
type page struct {
	Head       pageHead
	Report     *evaluate.Report
	Script     template.JS
	Headline   string
	Mean       string
	Labels     []string
	NotADevice string
	Synthetic  string
	Facts      []fact
	Doubts     []string
	Legend     []legendEntry
	Twins      *twinList
	Level      string

	AUCScale scale
	Rows     []aucRow
	MeanRow  *aucRow

	Differences []differenceTable
	DiffScale   scale

	ROC, PR     []squarePlot
	Reliability []squarePlot
	Forests     []forestPart
	Mistakes    *mistakePart
	Filters     *filters
	Histograms  []histogramPlot
	Curves      []curvePlot
	CurveLegend []legendEntry

	Figures []figureRow
	Counts  []countRow
	Splits  []splitRow
	Details []fact
	Prompts []evaluate.Finding
	Others  []publishedRow
	// Patients is what the patients are called.
	Patients string
	// Cuts are thresholds with what they reach on test.
	Cuts       []cutTable
	CutNote    string
	Covariates *covariatePart
	Values     *valuePart
	External   *externalPart
	Encoders   *encoderPart
	// Between says what other encoders do, a sentence each.
	Between []string
}

type fact struct {
	Name, Value string
	Code        bool
}

type legendEntry struct{ Class, Name, Dashes string }

type aucRow struct {
	Finding, Name, Note, Size, Units string
	Strip                            strip
	Cells                            []aucCell
}

type aucCell struct{ Class, Method, AUC, Interval string }

type differenceTable struct {
	Class, Title, Caption string
	Rows                  []differenceRow
}

type differenceRow struct {
	Finding, Name, Difference, Interval, P, Adjusted, Mark, N string

	Strip strip
	Mean  bool
}

type figureRow struct {
	Finding, Name, Method, Precision, Brier, LogLoss, ECE, Detail string
	Class                                                         string
	First                                                         bool // of the finding
}

type countRow struct {
	What, N string
	Sum     bool
}

type splitRow struct{ Name, Samples, Patients string }

type publishedRow struct{ Finding, Domain, N, ZeroShot, Probe, Other, OtherIs, Own, Source string }

func newPage(r *evaluate.Report) *page {
	p := &page{
		Head: newHead(r.Name+" – medprobe report", stylesheet), Report: r,
		Headline: headline(r), Mean: unbroken(meanSentence(r)), Labels: labelsSummary(r), NotADevice: notADevice, Doubts: doubts(r),
		Level: percent(evaluate.Level),
	}
	if r.Synthetic {
		p.Synthetic = syntheticNote
	}
	for k, m := range methodsOf(r) {
		p.Legend = append(p.Legend, legendEntry{class(k), methodName(m), dashes(k)})
	}
	p.Facts = keyFacts(r)
	p.Twins = newTwins(r)
	p.Patients = patientsName(r)
	p.addAUCs(r)
	p.addDifferences(r)
	curves := curveAxis(r)
	p.CurveLegend = p.Legend
	if len(p.Legend) > 0 && p.Legend[0].Name == "zero-shot" {
		p.CurveLegend = p.Legend[1:] // it is the band
	}
	for _, f := range r.Findings {
		p.ROC = appendPlot(p.ROC, newROCPlot(f))
		p.PR = appendPlot(p.PR, newPRPlot(f))
		p.Reliability = appendPlot(p.Reliability, newReliabilityPlot(f))
		if plot, ok := newHistogramPlot(f); ok {
			p.Histograms = append(p.Histograms, plot)
		}
		if plot, ok := newCurvePlot(r, f, curves); ok {
			p.Curves = append(p.Curves, plot)
		}
		if len(f.Prompts.Positive)+len(f.Prompts.Negative) > 0 {
			p.Prompts = append(p.Prompts, f)
		}
		p.addFigures(f)
	}
	p.Forests = newForestParts(r)
	p.Mistakes = newMistakePart(r)
	if p.Twins.shows() || p.Mistakes.shows() {
		p.Head.Policy += "; img-src data:" // pictures within the page, and no others
	}
	p.Covariates, p.Encoders, p.Between = newCovariatePart(r), newEncoderPart(r), encoderSentences(r)
	p.Values = newValuePart(r)
	p.External = newExternalPart(r, 5)
	if p.Cuts = newCutTables(r); p.Cuts != nil {
		p.CutNote = cutNote(r)
	}
	if p.Filters = newFilters(r); p.Filters != nil || len(p.Histograms)+len(p.ROC) > 0 {
		p.Script = template.JS(script) //nolint:gosec // our own file
		p.Head.Policy += "; script-src 'sha256-" + sum64(script) + "'"
	}
	p.addCounts(r)
	p.Details = details(r)
	p.addPublished(r)
	return p
}

// unbroken keeps a line from breaking within an interval.
func unbroken(s string) string { return strings.ReplaceAll(s, "–", "\u2060–\u2060") }

// testUnits returns the largest number of units that a finding was tested on.
func testUnits(r *evaluate.Report) int {
	units := valueUnits(r)
	for _, f := range r.Findings {
		units = max(units, f.Units)
	}
	return units
}

func unitOf(r *evaluate.Report) string {
	if r.Dataset.Unit == "" {
		return "sample"
	}
	return r.Dataset.Unit
}

// patientsName is what the patients are called: by the unit of the intervals,
// unless that is the image for want of them.
func patientsName(r *evaluate.Report) string {
	if r.Dataset.Patients == nil {
		return "Patients"
	}
	return capital(unitOf(r)) + "s"
}

func keyFacts(r *evaluate.Report) []fact {
	facts := []fact{
		{Name: "Samples used", Value: thousands(r.Counts.Used) + " of " + thousands(r.Counts.Samples)},
		{Name: "Tested on", Value: count(testUnits(r), unitOf(r))},
		{Name: "Intervals over", Value: unitOf(r) + "s, " + percent(evaluate.Level)},
		{Name: "Encoder", Value: r.Encoder.Name},
	}
	if r.Dataset.Patients == nil && unitOf(r) != "patient" {
		facts[2].Value = unitOf(r) + "s: no patients known"
	}
	return facts
}

func (p *page) addAUCs(r *evaluate.Report) {
	a := aucAxis(r)
	p.AUCScale = aucScale(a)
	for _, f := range r.Findings {
		row := newAUCRow(a, findingName(f), f.Note, sizes(f), count(f.Units, f.Unit), f.Methods)
		row.Finding = f.Name
		p.Rows = append(p.Rows, row)
	}
	if m := r.Macro; m != nil {
		var methods []evaluate.MethodResult
		for _, mean := range m.Methods {
			methods = append(methods, evaluate.MethodResult{Method: mean.Method, AUC: &mean.AUC})
		}
		units := ""
		if len(m.Methods) > 0 {
			units = count(m.Methods[0].AUC.Units, m.Methods[0].AUC.Unit)
		}
		row := newAUCRow(a, "Mean of "+strconv.Itoa(len(m.Findings)), "", count(len(m.Findings), "finding"), units, methods)
		p.MeanRow = &row
	}
}

func newAUCRow(a axis, name, note, size, units string, methods []evaluate.MethodResult) aucRow {
	row := aucRow{Name: name, Note: note, Size: size, Units: units, Strip: aucStrip(a, methods)}
	for k, m := range methods {
		cell := aucCell{Class: class(k), Method: methodName(m.Method), AUC: "–", Interval: "not estimable"}
		if m.AUC != nil {
			cell.AUC, cell.Interval = number(m.AUC.Point), interval(*m.AUC)
		}
		row.Cells = append(row.Cells, cell)
	}
	return row
}

func (p *page) addDifferences(r *evaluate.Report) {
	a := differenceAxis(r)
	p.DiffScale = differenceScale(a)
	for k, method := range methodsOf(r) {
		v, ok := compared(r, method)
		if !ok {
			continue
		}
		t := differenceTable{
			Class:   "by" + strconv.Itoa(k),
			Title:   capital(methodName(method)) + " − " + methodName(v.baseline),
			Caption: capital(v.sentence()),
		}
		for _, f := range r.Findings {
			for _, d := range f.Differences {
				if d.A == method {
					row := newDifferenceRow(a, findingName(f), d, class(k), count(f.Units, f.Unit))
					row.Finding = f.Name
					t.Rows = append(t.Rows, row)
				}
			}
		}
		if r.Macro != nil {
			for _, d := range r.Macro.Differences {
				if d.A == method {
					row := newDifferenceRow(a, "Mean of "+strconv.Itoa(len(r.Macro.Findings)), d, class(k), count(d.Difference.Units, d.Difference.Unit))
					row.Mean, row.Adjusted, row.Mark = true, "", ""
					t.Rows = append(t.Rows, row)
				}
			}
		}
		p.Differences = append(p.Differences, t)
	}
}

func newDifferenceRow(a axis, name string, d evaluate.Difference, class, n string) differenceRow {
	row := differenceRow{
		Name: name, Difference: signed(d.Difference.Point), Interval: signedInterval(d.Difference),
		P: pValue(d.P), Adjusted: pValue(d.AdjustedP), Mark: "undecided", N: n, Strip: differenceStrip(a, d, class),
	}
	if differs(d.AdjustedP, d.Difference) {
		if row.Mark = "better"; d.Difference.Point < 0 {
			row.Mark = "worse"
		}
	}
	return row
}

func (p *page) addFigures(f evaluate.Finding) {
	text := func(e *evaluate.Estimate) string {
		if e == nil {
			return "–"
		}
		return estimate(*e)
	}
	for k, m := range f.Methods {
		row := figureRow{
			Finding: f.Name, Name: findingName(f), Method: methodName(m.Method), Class: class(k), Detail: m.Detail, First: k == 0,
			Precision: text(m.AveragePrecision), Brier: text(m.Brier), LogLoss: text(m.LogLoss), ECE: text(m.ECE),
		}
		p.Figures = append(p.Figures, row)
	}
}

func (p *page) addCounts(r *evaluate.Report) {
	c := r.Counts
	p.Counts = append(p.Counts, countRow{What: "used", N: thousands(c.Used)})
	for _, e := range c.Excluded {
		p.Counts = append(p.Counts, countRow{What: "excluded: " + e.Reason, N: thousands(e.N)})
	}
	for _, f := range c.Failed {
		p.Counts = append(p.Counts, countRow{What: "failed: " + f.Reason, N: thousands(f.N)})
	}
	p.Counts = append(p.Counts, countRow{What: "samples in the data", N: thousands(c.Samples), Sum: true})
	for _, name := range splitNames(r) {
		part := r.Splits[name]
		row := splitRow{Name: name, Samples: thousands(part.Samples), Patients: "not known"}
		if part.Patients != nil {
			row.Patients = thousands(*part.Patients)
		}
		p.Splits = append(p.Splits, row)
	}
}

// splitNames returns train before test, then the others by name.
func splitNames(r *evaluate.Report) []string {
	rank := map[string]int{"train": -2, "test": -1}
	names := slices.Sorted(maps.Keys(r.Splits))
	slices.SortStableFunc(names, func(a, b string) int { return rank[a] - rank[b] })
	return names
}

func details(r *evaluate.Report) []fact {
	patients := "not known"
	if r.Dataset.Patients != nil {
		patients = thousands(*r.Dataset.Patients)
	}
	facts := []fact{
		{"Data", r.Dataset.Spec, true}, {"Data digest", r.Dataset.Digest, true}, {"Task", r.Dataset.Task, false},
		{"Images", thousands(r.Dataset.Images), false}, {patientsName(r), patients, false},
		{"Encoder", r.Encoder.Name, false}, {"Encoder fingerprint", r.Encoder.Fingerprint, true},
		{"Preprocessing", r.Encoder.Preprocess, false}, {"Preprocessing fingerprint", r.Encoder.PreprocessFingerprint, true},
	}
	if r.Encoder.LogitScale != 0 {
		facts = append(facts, fact{"Logit scale", strconv.FormatFloat(r.Encoder.LogitScale, 'g', 6, 64), false})
	}
	facts = append(facts, fact{"Seed", strconv.FormatUint(r.Seed, 10), false})
	return slices.DeleteFunc(facts, func(f fact) bool { return f.Value == "" })
}

func (p *page) addPublished(r *evaluate.Report) {
	text := func(x *float64) string {
		if x == nil {
			return "–"
		}
		return number(*x)
	}
	for _, q := range r.Published {
		row := publishedRow{Finding: q.Finding, Domain: q.Domain, N: thousands(q.N), ZeroShot: text(q.ZeroShot), Probe: text(q.Probe), Other: text(q.Other), OtherIs: q.OtherIs, Source: q.Source}
		p.Others = append(p.Others, row)
	}
}
