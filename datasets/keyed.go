package datasets

import (
	"context"
	"fmt"
	"strings"
)

// keyedLabels are the labels of a table that stands beside images or vectors: the id
// of each sample is its row's key.
type keyedLabels struct {
	*Dataset
	// key is the name of the column of keys, findings those taken for findings.
	key      string
	findings []string
}

// labelsByKey reads such a table; key finds the column of keys in it.
func labelsByKey(ctx context.Context, s Spec, path string, key func(*table) (int, error)) (keyedLabels, error) {
	t, err := openTable(s, path)
	if err != nil {
		return keyedLabels{}, err
	}
	k, err := key(t)
	if err != nil {
		return keyedLabels{}, fmt.Errorf("%s: %w", path, err)
	}
	s.Frame = "" // of the files, and not of the rows
	d := &Dataset{Spec: s.String()}
	cols, err := t.columns(ctx, d, s)
	if err != nil {
		return keyedLabels{}, fmt.Errorf("%s: %w", path, err)
	}
	cols.image, cols.id = -1, -1
	reader := &rowReader{table: t, columns: cols, spec: s}
	reader.adjust = func(r row, sample *Sample) error {
		sample.ID = strings.TrimSpace(r.fields[k])
		return nil
	}
	if err := reader.addTo(ctx, d); err != nil {
		return keyedLabels{}, err
	}
	met := map[string]bool{}
	for i := range d.Samples {
		if id := d.Samples[i].ID; met[id] {
			return keyedLabels{}, fmt.Errorf("%s: %s %q stands twice", path, t.header[k], id)
		}
		met[d.Samples[i].ID] = true
	}
	return keyedLabels{d, t.header[k], t.names(cols.findings)}, reader.classes(d)
}
