package evaluate

import (
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
)

// Prediction is one row of a run's predictions.parquet: what one method says of
// one finding in one sample.
type Prediction struct {
	ID      string `parquet:"id"`
	Patient string `parquet:"patient"`
	Part    string `parquet:"split"`
	Finding string `parquet:"finding"`
	// Label is 1, 0 or null where it is not known.
	Label  *int32 `parquet:"label"`
	Method string `parquet:"method"`
	// Score ranks the samples: the log-odds of the finding before any calibration.
	// Probability is its logistic function, or what the calibration makes of it.
	Score       float64 `parquet:"score"`
	Probability float64 `parquet:"probability"`
}

// ReadPredictions reads a table of predictions, a Parquet file of size bytes. A
// missing column is an error that names it.
func ReadPredictions(r io.ReaderAt, size int64) (rows []Prediction, err error) {
	// The library panics on some damaged files.
	defer func() {
		if p := recover(); p != nil {
			rows, err = nil, fmt.Errorf("evaluate: not a table of predictions: %v", p)
		}
	}()
	file, err := parquet.OpenFile(r, size)
	if err != nil {
		return nil, fmt.Errorf("evaluate: predictions: %w", err)
	}
	if _, ok := file.Schema().Lookup("predicted"); ok {
		return nil, errors.New("evaluate: predictions: of values, which are neither positive nor negative; their figures stand in report.json")
	}
	for _, name := range []string{"id", "patient", "finding", "label", "method", "score", "probability"} {
		if _, ok := file.Schema().Lookup(name); !ok {
			return nil, fmt.Errorf("evaluate: predictions: no column %q", name)
		}
	}
	if n := file.NumRows(); n < 0 || n > size {
		// Each row has a score of its own, or nearly.
		return nil, fmt.Errorf("evaluate: predictions: %d rows in %d bytes", n, size)
	}
	reader := parquet.NewGenericReader[Prediction](file)
	defer reader.Close()
	rows = make([]Prediction, file.NumRows())
	n := 0
	for n < len(rows) {
		some, err := reader.Read(rows[n:])
		if n += some; errors.Is(err, io.EOF) || some == 0 {
			break
		} else if err != nil {
			return nil, fmt.Errorf("evaluate: predictions: %w", err)
		}
	}
	if n < len(rows) {
		return nil, fmt.Errorf("evaluate: predictions: %d of %d rows", n, len(rows))
	}
	return rows, nil
}
