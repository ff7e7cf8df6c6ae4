package evaluate

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Side is one of two things that a gate compares: the predictions of one method.
type Side struct {
	// Name is for people.
	Name string
	// Encoder and Preprocess are fingerprints; empty where they are not known, as
	// in plain tables of scores.
	Encoder, Preprocess string
	// Unit is what a patient is called.
	Unit string
	Rows []Prediction
}

// What two sides may be allowed to differ in.
const (
	AllowEncoder    = "encoder"
	AllowPreprocess = "preprocess"
	AllowSamples    = "samples"
	AllowFindings   = "findings"
)

// Allowances lists what two sides may be allowed to differ in.
func Allowances() []string {
	return []string{AllowEncoder, AllowPreprocess, AllowSamples, AllowFindings}
}

// Match pairs the rows of two sides by finding and id, in the order of the
// baseline's findings and of ids.
//
// What the sides differ in and allow does not hold is returned as differences,
// without a word on any sample: encoder, preprocessing, findings, samples, labels,
// patients. examples name the first samples of each, for the eyes of whoever holds
// the data. With samples or findings allowed, what both have is compared.
func Match(baseline, candidate Side, allow []string) (labels []Matched, differences, examples []string, err error) {
	m := matcher{allow: allow}
	m.differ(AllowEncoder, baseline.Encoder != candidate.Encoder, fmt.Sprintf("encoders %.12s and %.12s", cmp.Or(baseline.Encoder, "unknown"), cmp.Or(candidate.Encoder, "unknown")))
	m.differ(AllowPreprocess, baseline.Preprocess != candidate.Preprocess, fmt.Sprintf("preprocessing %.12s and %.12s", cmp.Or(baseline.Preprocess, "unknown"), cmp.Or(candidate.Preprocess, "unknown")))
	a, order, err := byFinding(baseline)
	if err != nil {
		return nil, nil, nil, err
	}
	b, orderB, err := byFinding(candidate)
	if err != nil {
		return nil, nil, nil, err
	}
	m.findings(order, orderB)
	unit := cmp.Or(baseline.Unit, candidate.Unit)
	for _, finding := range order {
		if b[finding] == nil {
			continue
		}
		if l := m.finding(finding, a[finding], b[finding]); len(l.Truth) > 0 {
			l.Unit = unit
			labels = append(labels, l)
		}
	}
	if len(labels) == 0 && len(m.differences) == 0 {
		m.differences = append(m.differences, "no finding and sample in common")
	}
	return labels, m.differences, m.examples, nil
}

// byFinding sorts a side's rows by finding and id. Two rows of one finding and id
// are an error.
func byFinding(s Side) (rows map[string]map[string]*Prediction, order []string, err error) {
	rows = map[string]map[string]*Prediction{}
	for i := range s.Rows {
		r := &s.Rows[i]
		if rows[r.Finding] == nil {
			rows[r.Finding] = map[string]*Prediction{}
			order = append(order, r.Finding)
		}
		if rows[r.Finding][r.ID] != nil {
			return nil, nil, fmt.Errorf("evaluate: %s: sample %q has two scores for %q: want one; name one method", s.Name, r.ID, r.Finding)
		}
		rows[r.Finding][r.ID] = r
	}
	return rows, order, nil
}

type matcher struct {
	allow                 []string
	differences, examples []string
}

// differ notes a difference that is not allowed.
func (m *matcher) differ(kind string, different bool, what string) {
	if different && !slices.Contains(m.allow, kind) {
		m.differences = append(m.differences, what)
	}
}

func (m *matcher) findings(a, b []string) {
	missing := func(from, in []string) (list []string) {
		for _, f := range from {
			if !slices.Contains(in, f) {
				list = append(list, f)
			}
		}
		return list
	}
	if only := missing(a, b); len(only) > 0 {
		m.differ(AllowFindings, true, fmt.Sprintf("findings of the baseline only: %s", strings.Join(only, ", ")))
	}
	if only := missing(b, a); len(only) > 0 {
		m.differ(AllowFindings, true, fmt.Sprintf("findings of the candidate only: %s", strings.Join(only, ", ")))
	}
}

// finding pairs the rows of one finding and counts what differs.
func (m *matcher) finding(name string, a, b map[string]*Prediction) Matched {
	l := Matched{Label: name}
	var onlyA, onlyB, labels, patients []string
	grouped := false
	for _, id := range slices.Sorted(maps.Keys(a)) {
		ra, rb := a[id], b[id]
		switch {
		case rb == nil && ra.Label == nil:
			continue // nothing is lost by it
		case rb == nil:
			onlyA = append(onlyA, id)
			continue
		case !sameLabel(ra.Label, rb.Label):
			labels = append(labels, id)
			continue
		case ra.Patient != rb.Patient:
			patients = append(patients, id)
			continue
		case ra.Label == nil:
			continue
		}
		l.Baseline, l.Candidate = append(l.Baseline, ra.Score), append(l.Candidate, rb.Score)
		l.Truth = append(l.Truth, *ra.Label == 1)
		// A sample whose patient is not known stands for itself.
		l.Groups = append(l.Groups, cmp.Or(ra.Patient, "sample "+id))
		grouped = grouped || ra.Patient != ""
	}
	for id, rb := range b {
		if a[id] == nil && rb.Label != nil {
			onlyB = append(onlyB, id)
		}
	}
	if !grouped {
		l.Groups = nil
	}
	slices.Sort(onlyB)
	m.samples(name, AllowSamples, "samples are in the baseline only", onlyA)
	m.samples(name, AllowSamples, "samples are in the candidate only", onlyB)
	m.samples(name, "", "samples have other labels", labels)
	m.samples(name, "", "samples have other patients", patients)
	return l
}

// samples notes samples that differ, and the first of them as examples.
func (m *matcher) samples(finding, kind, what string, ids []string) {
	if len(ids) == 0 || kind != "" && slices.Contains(m.allow, kind) {
		return
	}
	m.differences = append(m.differences, fmt.Sprintf("%s: %d %s", finding, len(ids), what))
	for _, id := range ids[:min(3, len(ids))] {
		m.examples = append(m.examples, fmt.Sprintf("%s: %s: %q", finding, what, id))
	}
}

func sameLabel(a, b *int32) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// Side returns a table's scores as one side of a gate: its first column for each
// label. Rows without a label are kept, with none.
func (s *Scores) Side(name string) Side {
	side := Side{Name: name}
	for i := range s.Labels {
		l := &s.Labels[i]
		for r := range s.Rows {
			p := Prediction{ID: s.IDs[r], Finding: l.Name, Score: l.Scores[0].Values[r]}
			if s.Groups != nil {
				p.Patient = s.Groups[r]
			}
			if v := l.Values[r]; v != Unknown {
				known := int32(v)
				p.Label = &known
			}
			side.Rows = append(side.Rows, p)
		}
	}
	return side
}
