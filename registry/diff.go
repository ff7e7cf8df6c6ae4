package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/medprobe/medprobe/evaluate"
)

// Diff is what two versions differ in.
type Diff struct {
	A string `json:"a"`
	B string `json:"b"`
	// Changes are the fields of the documents that are not alike, in order.
	Changes []Change `json:"changes"`
	// Metrics compare B with A on the samples that both were tested on.
	Metrics []MetricChange `json:"metrics"`
	// Incomparable says why there are no metrics.
	Incomparable string `json:"incomparable,omitempty"`
}

// Change is a field that differs, such as "lineage.seed".
type Change struct {
	Field string `json:"field"`
	A     string `json:"a"`
	B     string `json:"b"`
}

// MetricChange is B − A for one finding, paired and clustered by patient.
type MetricChange struct {
	Finding string `json:"finding"`
	// Comparison is nil where it cannot be made, for Reason.
	Comparison *evaluate.Comparison `json:"comparison"`
	Reason     string               `json:"reason,omitempty"`
}

// Diff compares two versions: what they are made of, and what they reached on the
// samples that both were tested on, read from their stored predictions.
func (r *Registry) Diff(ctx context.Context, a, b Reference) (*Diff, error) {
	va, err := r.Find(ctx, a)
	if err != nil {
		return nil, err
	}
	vb, err := r.Find(ctx, b)
	if err != nil {
		return nil, err
	}
	d := &Diff{A: va.Reference().String(), B: vb.Reference().String(), Metrics: []MetricChange{}}
	if d.Changes, err = changes(&va.Document, &vb.Document); err != nil {
		return nil, fmt.Errorf("registry: diff: %w", err)
	}
	if va.Document.Identifiers != vb.Document.Identifiers {
		d.Incomparable = "their ids are hidden under different keys"
		return d, nil
	}
	rowsA, err := r.predictions(va)
	if err != nil {
		return nil, fmt.Errorf("registry: diff: %s: %w", d.A, err)
	}
	rowsB, err := r.predictions(vb)
	if err != nil {
		return nil, fmt.Errorf("registry: diff: %s: %w", d.B, err)
	}
	d.Metrics, err = compareFindings(rowsA, rowsB)
	if errors.Is(err, errApart) {
		d.Incomparable, err = err.Error(), nil
	}
	return d, err
}

func (r *Registry) predictions(v *Version) ([]prediction, error) {
	f, ok := v.Document.file(predictionsFile)
	if !ok {
		return nil, errors.New("no predictions are stored")
	}
	table, err := r.objects.read(f)
	if err != nil {
		return nil, err
	}
	return readPredictions(table)
}

var errApart = errors.New("not tested on the same samples and labels")

// compareFindings compares b with a for each finding of both.
func compareFindings(a, b []prediction) ([]MetricChange, error) {
	byFinding := func(rows []prediction) (names []string, byID map[string]map[string]prediction) {
		byID = map[string]map[string]prediction{}
		for _, row := range rows {
			if byID[row.Finding] == nil {
				byID[row.Finding] = map[string]prediction{}
				names = append(names, row.Finding)
			}
			byID[row.Finding][row.ID] = row
		}
		return names, byID
	}
	names, inA := byFinding(a)
	_, inB := byFinding(b)
	list := []MetricChange{}
	for _, name := range names {
		if inB[name] == nil {
			continue
		}
		if len(inA[name]) != len(inB[name]) {
			return list, fmt.Errorf("%w: %d and %d samples of %q", errApart, len(inA[name]), len(inB[name]), name)
		}
		m, err := compareFinding(name, inA[name], inB[name])
		if err != nil {
			return list, err
		}
		list = append(list, m)
	}
	if len(list) == 0 {
		return list, fmt.Errorf("%w: no finding is in both", errApart)
	}
	return list, nil
}

func compareFinding(name string, a, b map[string]prediction) (MetricChange, error) {
	m := MetricChange{Finding: name}
	var scoresA, scoresB []float64
	var labels []bool
	var patients []string
	for _, id := range slices.Sorted(maps.Keys(a)) {
		ra := a[id]
		rb, ok := b[id]
		if !ok || !sameLabel(ra.Label, rb.Label) || ra.Patient != rb.Patient {
			return m, fmt.Errorf("%w: sample %s of %q", errApart, id, name)
		}
		if ra.Label == nil {
			continue
		}
		scoresA, scoresB = append(scoresA, ra.Score), append(scoresB, rb.Score)
		labels, patients = append(labels, *ra.Label == 1), append(patients, ra.Patient)
	}
	if slices.Contains(patients, "") {
		patients = nil // every sample stands for itself
	}
	c, err := evaluate.Compare(scoresB, scoresA, labels, patients)
	if err != nil {
		m.Reason = err.Error()
		return m, nil
	}
	m.Comparison = &c
	return m, nil
}

func sameLabel(a, b *int32) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// changes lists the fields of two documents that are not alike.
func changes(a, b *Document) ([]Change, error) {
	fa, err := fields(a)
	if err != nil {
		return nil, err
	}
	fb, err := fields(b)
	if err != nil {
		return nil, err
	}
	names := slices.Sorted(maps.Keys(fa))
	for _, name := range slices.Sorted(maps.Keys(fb)) {
		if _, ok := fa[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	list := []Change{}
	for _, name := range names {
		if fa[name] != fb[name] {
			list = append(list, Change{Field: name, A: fa[name], B: fb[name]})
		}
	}
	return list, nil
}

// fields lays a document out as "lineage.seed": "7". The metrics are compared on
// their own, and the files' digests follow from the rest.
func fields(d *Document) (map[string]string, error) {
	of := *d
	of.Metrics, of.Files = nil, nil
	text, err := json.Marshal(of)
	if err != nil {
		return nil, err
	}
	var tree map[string]any
	if err := json.Unmarshal(text, &tree); err != nil {
		return nil, err
	}
	flat := map[string]string{}
	flatten("", tree, flat)
	return flat, nil
}

func flatten(prefix string, tree map[string]any, into map[string]string) {
	for key, v := range tree {
		switch v := v.(type) {
		case map[string]any:
			flatten(prefix+key+".", v, into)
		case nil:
		default:
			text, err := json.Marshal(v)
			if err != nil {
				text = []byte(fmt.Sprint(v))
			}
			into[prefix+key] = string(text)
		}
	}
}
