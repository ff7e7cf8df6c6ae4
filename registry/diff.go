package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

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
	var rows [2][]evaluate.Prediction
	for i, v := range []*Version{va, vb} {
		if rows[i], err = r.predictions(v); errors.Is(err, ErrNotCarried) {
			d.Incomparable = err.Error()
			return d, nil
		} else if err != nil {
			return nil, fmt.Errorf("registry: diff: %w", err)
		}
	}
	d.Metrics, d.Incomparable, err = compareFindings(rows[0], rows[1])
	return d, err
}

// compareFindings compares b with a for each finding of both.
func compareFindings(a, b []evaluate.Prediction) (list []MetricChange, incomparable string, err error) {
	// Encoders may differ: that is what one wants to see.
	matched, differences, _, err := evaluate.Match(evaluate.Side{Name: "the first", Rows: a}, evaluate.Side{Name: "the second", Rows: b}, []string{evaluate.AllowFindings})
	if err != nil || len(differences) > 0 {
		return []MetricChange{}, strings.Join(differences, "; "), err
	}
	for _, m := range matched {
		change := MetricChange{Finding: m.Label}
		if c, err := evaluate.Compare(m.Candidate, m.Baseline, m.Truth, m.Groups); err != nil {
			change.Reason = err.Error()
		} else {
			change.Comparison = &c
		}
		list = append(list, change)
	}
	return list, "", nil
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
