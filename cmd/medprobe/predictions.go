package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/medprobe/medprobe/internal/texttab"
)

// ofPeople are the columns of predictions that hold texts from outside.
var ofPeople = []string{"id", "patient", "split", "finding", "method"}

// writePredictionsAs writes the predictions of a run's folder as the ending of the
// file says: as CSV, or byte for byte as the run left them.
func writePredictionsAs(w io.Writer, file, dir string) (err error) {
	if !strings.EqualFold(filepath.Ext(file), ".parquet") {
		return writePredictions(w, dir)
	}
	from, err := os.Open(filepath.Join(dir, "predictions.parquet"))
	if err != nil {
		return err
	}
	defer closing(from, &err)
	_, err = io.Copy(w, from)
	return err
}

// writePredictions writes the predictions of a run's folder as CSV, row for row,
// for a spreadsheet: a text that one would take for a formula gets an apostrophe
// before it.
func writePredictions(w io.Writer, dir string) (err error) {
	path := filepath.Join(dir, "predictions.parquet")
	file, err := texttab.Open(path)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	defer closing(file, &err)
	from, to := csv.NewReader(file), csv.NewWriter(w)
	var header []string
	for {
		row, err := from.Read()
		if errors.Is(err, io.EOF) {
			to.Flush()
			return to.Error()
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		if header == nil {
			header = row
		}
		for k := range row {
			if slices.Contains(ofPeople, header[k]) {
				row[k] = cell(row[k])
			}
		}
		if err := to.Write(row); err != nil {
			return err
		}
	}
}
