package registry

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/medprobe/medprobe/evaluate"
	"github.com/parquet-go/parquet-go"
)

// hidePredictions keeps the rows of one method, with ids and patients hidden.
func (r *Registry) hidePredictions(table []byte, method string) ([]byte, error) {
	rows, err := evaluate.ReadPredictions(bytes.NewReader(table), int64(len(table)))
	if err != nil {
		return nil, err
	}
	kept := rows[:0]
	for _, row := range rows {
		if row.Method != method {
			continue
		}
		row.ID, row.Patient = r.Pseudonym(row.ID), r.Pseudonym(row.Patient)
		kept = append(kept, row)
	}
	if len(kept) == 0 {
		return nil, fmt.Errorf("no predictions of %q", method)
	}
	var b bytes.Buffer
	w := parquet.NewGenericWriter[evaluate.Prediction](&b, parquet.Compression(&parquet.Zstd), parquet.CreatedBy("medprobe", "1", ""))
	if _, err := w.Write(kept); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Predictions returns what a version says of its test part, ids and patients hidden
// as [Registry.Pseudonym] hides them. An error that wraps [ErrForeignIDs] says that
// they are hidden under another registry's key, one that wraps [ErrNotCarried] that
// there are none.
func (r *Registry) Predictions(v *Version) ([]evaluate.Prediction, error) {
	if _, ok := v.Document.file(predictionsFile); ok && v.Document.Identifiers != r.identifiers() {
		return nil, fmt.Errorf("registry: %s: %w", v.Reference(), ErrForeignIDs)
	}
	return r.predictions(v)
}

// ErrForeignIDs says that ids are hidden under the key of another registry, and
// cannot be matched.
var ErrForeignIDs = errors.New("its ids are hidden under the key of the registry it was imported from")

func (r *Registry) predictions(v *Version) ([]evaluate.Prediction, error) {
	table, err := r.File(v, predictionsFile)
	if err != nil {
		return nil, err
	}
	rows, err := evaluate.ReadPredictions(bytes.NewReader(table), int64(len(table)))
	if err != nil {
		return nil, fmt.Errorf("registry: %s: %w", v.Reference(), err)
	}
	return rows, nil
}
