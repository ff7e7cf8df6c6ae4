package evaluate

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// RunsSchema names the form of a [Runs]' JSON.
const RunsSchema = "medprobe.compare/1"

// Run is what one experiment left, to be put beside others.
type Run struct {
	// Name is what people call it, such as its folder.
	Name   string
	Report *Report
	Rows   []Prediction
	// Settings is experiment.json, or nil.
	Settings []byte
}

// Runs puts runs side by side. Its JSON form is a promise: fields are added,
// never changed.
type Runs struct {
	Schema string     `json:"schema"`
	Runs   []RunFacts `json:"runs"`
	// Settings are those in which any two runs differ.
	Settings []Setting    `json:"settings"`
	Findings []RunFinding `json:"findings"`
}

// RunFacts names a run.
type RunFacts struct {
	Name      string `json:"name"`
	Title     string `json:"title"`
	Synthetic bool   `json:"synthetic"`
	Unit      string `json:"unit"`
}

// Setting has one value for each run, "" where it does not have it.
type Setting struct {
	Name   string   `json:"name"`
	Values []string `json:"values"`
}

// RunFinding is one finding in every run that has it.
type RunFinding struct {
	Name        string          `json:"name"`
	Results     []RunResult     `json:"results"`
	Differences []RunDifference `json:"differences"`
}

// RunResult is what a method of a run reached, as its report has it; nil where it
// is not estimable.
type RunResult struct {
	Run       int       `json:"run"`
	Method    string    `json:"method"`
	N         int       `json:"n"`
	Positives int       `json:"positives"`
	AUC       *Estimate `json:"auc"`
}

// RunDifference compares a method of a run with that of the first run, A − B.
type RunDifference struct {
	Run    int    `json:"run"`
	Method string `json:"method"`
	// Paired says that both scored the same samples with the same labels and
	// patients. Otherwise there is no difference and no p, and Unpaired says why.
	Paired     bool      `json:"paired"`
	Unpaired   []string  `json:"unpaired,omitempty"`
	Difference *Estimate `json:"difference"`
	P          *float64  `json:"p"`
	// AdjustedP is Holm's over the findings of this run and method.
	AdjustedP *float64 `json:"p_adjusted"`
}

// CompareRuns puts runs beside the first of them: AUCs as their reports have them,
// paired differences (see [Compare]) of every method that both runs have, where
// both scored the same samples, and the settings that differ. Fewer than two runs
// are an error, as is a run of which one sample has two scores.
func CompareRuns(runs []Run) (*Runs, error) {
	if len(runs) < 2 {
		return nil, errors.New("evaluate: compare: want two runs or more")
	}
	out := &Runs{Schema: RunsSchema, Settings: []Setting{}, Findings: []RunFinding{}}
	at := map[string]int{}
	for k, run := range runs {
		r := run.Report
		out.Runs = append(out.Runs, RunFacts{Name: run.Name, Title: r.Name, Synthetic: r.Synthetic, Unit: r.Dataset.Unit})
		for _, f := range r.Findings {
			if _, known := at[f.Name]; !known {
				at[f.Name] = len(out.Findings)
				out.Findings = append(out.Findings, RunFinding{Name: f.Name, Results: []RunResult{}, Differences: []RunDifference{}})
			}
			into := &out.Findings[at[f.Name]]
			for _, m := range f.Methods {
				into.Results = append(into.Results, RunResult{Run: k, Method: m.Method, N: f.N, Positives: f.Positives, AUC: m.AUC})
			}
		}
	}
	for k := range runs[1:] {
		if err := out.differences(runs, k+1); err != nil {
			return nil, err
		}
	}
	var err error
	out.Settings, err = settingsOf(runs)
	return out, err
}

// differences compares run k with the first, method by method and finding by
// finding.
func (o *Runs) differences(runs []Run, k int) error {
	first, other := split(runs[0].Rows), split(runs[k].Rows)
	for _, method := range runs[0].Report.methods() {
		var found []*RunDifference
		var p []float64
		for i := range o.Findings {
			f := &o.Findings[i]
			a, b := other[method][f.Name], first[method][f.Name]
			if a == nil || b == nil {
				continue
			}
			d, err := newRunDifference(runs[k], runs[0], a, b)
			if err != nil {
				return err
			}
			d.Run, d.Method = k, method
			f.Differences = append(f.Differences, d)
			if d.P != nil {
				found, p = append(found, &f.Differences[len(f.Differences)-1]), append(p, *d.P)
			}
		}
		for i, adjusted := range Holm(p) {
			found[i].AdjustedP = &adjusted
		}
	}
	return nil
}

// split sorts predictions by method and finding.
func split(rows []Prediction) map[string]map[string][]Prediction {
	of := map[string]map[string][]Prediction{}
	for _, p := range rows {
		if of[p.Method] == nil {
			of[p.Method] = map[string][]Prediction{}
		}
		of[p.Method][p.Finding] = append(of[p.Method][p.Finding], p)
	}
	return of
}

func newRunDifference(a, b Run, rowsA, rowsB []Prediction) (RunDifference, error) {
	var d RunDifference
	side := func(r Run, rows []Prediction) Side {
		return Side{Name: r.Name, Unit: r.Report.Dataset.Unit, Rows: rows}
	}
	labels, different, _, err := Match(side(b, rowsB), side(a, rowsA), nil)
	if err != nil {
		return d, err
	}
	if len(different) > 0 || len(labels) != 1 {
		for _, text := range different {
			text = strings.TrimPrefix(text, rowsA[0].Finding+": ")
			d.Unpaired = append(d.Unpaired, strings.NewReplacer("the baseline", b.Name, "the candidate", a.Name).Replace(text))
		}
		return d, nil
	}
	l := labels[0]
	d.Paired = true
	c, err := Compare(l.Candidate, l.Baseline, l.Truth, l.Groups)
	if errors.Is(err, ErrOneClass) {
		d.Unpaired = []string{"not estimable: one class only"}
		return d, nil
	} else if err != nil {
		return d, fmt.Errorf("%s and %s: %w", a.Name, b.Name, err)
	}
	d.Difference, d.P = named(c.Difference, l.Unit), &c.P
	return d, nil
}

// methods returns the methods of the report in their order.
func (r *Report) methods() (names []string) {
	for _, f := range r.Findings {
		for _, m := range f.Methods {
			if !slices.Contains(names, m.Method) {
				names = append(names, m.Method)
			}
		}
	}
	return names
}

// settingsOf lists what the runs' experiments, data and encoders differ in.
func settingsOf(runs []Run) ([]Setting, error) {
	all := make([]map[string]string, len(runs))
	var names []string
	for k, run := range runs {
		of := map[string]string{}
		if len(run.Settings) > 0 {
			var tree any
			if err := json.Unmarshal(run.Settings, &tree); err != nil {
				return nil, fmt.Errorf("evaluate: %s: settings: %w", run.Name, err)
			}
			flatten(of, "", tree)
		}
		r := run.Report
		of["data digest"] = r.Dataset.Digest
		of["encoder fingerprint"], of["preprocessing fingerprint"] = r.Encoder.Fingerprint, r.Encoder.PreprocessFingerprint
		of["samples used"] = fmt.Sprint(r.Counts.Used)
		all[k] = of
		names = append(names, slices.Collect(maps.Keys(of))...)
	}
	slices.Sort(names)
	settings := []Setting{}
	for _, name := range slices.Compact(names) {
		s := Setting{Name: name}
		for _, of := range all {
			s.Values = append(s.Values, of[name])
		}
		if len(slices.Compact(slices.Clone(s.Values))) > 1 {
			settings = append(settings, s)
		}
	}
	return settings, nil
}

// flatten writes the leaves of a JSON document under their paths. A list of
// plain values is one leaf.
func flatten(into map[string]string, path string, tree any) {
	below := func(key string) string {
		if path == "" {
			return key
		}
		return path + "." + key
	}
	if of, ok := tree.(map[string]any); ok {
		for key, value := range of {
			flatten(into, below(key), value)
		}
		return
	}
	if text, ok := tree.(string); ok {
		if text != "" {
			into[path] = text
		}
		return
	}
	text, err := json.Marshal(tree)
	if err != nil || string(text) == "null" || path == "" {
		return
	}
	into[path] = string(text)
}
