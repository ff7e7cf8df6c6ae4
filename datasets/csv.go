package datasets

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"strings"
)

// readCSV reads a table with one sample per row. Findings are columns of 1, 0,
// -1 or nothing; or one column holds the name of the class, or a list of
// findings.
func readCSV(ctx context.Context, d *Dataset, s Spec) error {
	t, err := openTable(s, s.Path)
	if err != nil {
		return fmt.Errorf("datasets: %s %w", s.Format, err)
	}
	f, err := openFiles(s, cmp.Or(s.Root, filepath.Dir(s.Path)))
	if err != nil {
		return err
	}
	d.files = f
	cols, err := t.columns(ctx, d, s)
	if err == nil && cols.image < 0 {
		name := cmp.Or(t.nearlyNamed(imageColumns), t.perhaps(ctx, cols.attrs, namesImages))
		err = fmt.Errorf("no column holds the image's path; name it with image:%s (columns: %s)", name, strings.Join(t.header, ", "))
	}
	if err != nil {
		return fmt.Errorf("datasets: %s %s: %w", s.Format, s.Path, err)
	}
	return d.addRows(ctx, t, cols, s, f)
}

// labelsOfMatrix is what messages call a table that is of no format.
const labelsOfMatrix = "labels"

// ReadLabels reads a table of labels whose rows belong to the rows of a matrix
// of vectors: findings as columns of 1, 0 or nothing, or one column of class
// names, as csv datasets have them, and no images. The samples keep the order
// of the rows. s.Path is the table; s.Patient names the column of the unit
// that must not be divided, if there is one.
func ReadLabels(ctx context.Context, s Spec) (*Dataset, error) {
	d := &Dataset{Spec: "labels:" + s.Path}
	s.Format = cmp.Or(s.Format, labelsOfMatrix)
	t, err := openTable(s, s.Path)
	if err != nil {
		return nil, fmt.Errorf("datasets: labels %w", err)
	}
	cols, err := t.columns(ctx, d, s)
	if err != nil {
		return nil, fmt.Errorf("datasets: labels %s: %w", s.Path, err)
	}
	cols.image, cols.id = -1, -1
	if err := d.addRows(ctx, t, cols, s, nil); err != nil {
		return nil, err
	}
	if err := d.finish(s); err != nil {
		return nil, err
	}
	return d, nil
}
