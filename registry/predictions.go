package registry

import (
	"bytes"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
)

// prediction is a row of predictions.parquet, as experiments write it.
type prediction struct {
	ID          string  `parquet:"id"`
	Patient     string  `parquet:"patient"`
	Part        string  `parquet:"split"`
	Finding     string  `parquet:"finding"`
	Label       *int32  `parquet:"label"`
	Method      string  `parquet:"method"`
	Score       float64 `parquet:"score"`
	Probability float64 `parquet:"probability"`
}

// hidePredictions keeps the rows of one method, with ids and patients hidden.
func (r *Registry) hidePredictions(table []byte, method string) ([]byte, error) {
	rows, err := readPredictions(table)
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
	w := parquet.NewGenericWriter[prediction](&b, parquet.Compression(&parquet.Zstd), parquet.CreatedBy("medprobe", "1", ""))
	if _, err := w.Write(kept); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func readPredictions(table []byte) (rows []prediction, err error) {
	// The library panics on some damaged files.
	defer func() {
		if p := recover(); p != nil {
			rows, err = nil, fmt.Errorf("not a table of predictions: %v", p)
		}
	}()
	file, err := parquet.OpenFile(bytes.NewReader(table), int64(len(table)))
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"id", "patient", "finding", "label", "method", "score", "probability"} {
		if _, ok := file.Schema().Lookup(name); !ok {
			return nil, fmt.Errorf("no column %q", name)
		}
	}
	reader := parquet.NewGenericReader[prediction](file)
	defer reader.Close()
	if n := file.NumRows(); n < 0 || n > int64(len(table)) {
		// Dictionaries make many rows of few bytes; each row of ours has a score.
		return nil, fmt.Errorf("%d rows in %d bytes", n, len(table))
	}
	rows = make([]prediction, file.NumRows())
	n, err := reader.Read(rows)
	if err == io.EOF && n == len(rows) {
		err = nil
	}
	return rows[:n], err
}
