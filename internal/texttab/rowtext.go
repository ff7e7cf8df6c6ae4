package texttab

import (
	"bytes"
	"encoding/csv"
	"io"
)

// rowText is a table as CSV text that is made row by row as it is read.
type rowText struct {
	source io.Closer
	text   bytes.Buffer
	table  *csv.Writer
	next   func(*csv.Writer) error
	err    error
}

// newRowText returns the text of a table with the header; next writes some more
// rows and returns [io.EOF] after the last. Closing it closes the source.
func newRowText(source io.Closer, header []string, next func(*csv.Writer) error) *rowText {
	r := &rowText{source: source, next: next}
	r.table = csv.NewWriter(&r.text)
	if len(header) > 0 {
		r.err = r.table.Write(header)
	}
	return r
}

func (r *rowText) Read(p []byte) (int, error) {
	for r.text.Len() == 0 {
		if r.err != nil {
			return 0, r.err
		}
		for r.err == nil && r.text.Len() < 1<<15 {
			r.err = r.next(r.table)
		}
		r.table.Flush()
		if err := r.table.Error(); err != nil {
			return 0, err
		}
	}
	return r.text.Read(p)
}

func (r *rowText) Close() error { return r.source.Close() }
