// Package texttab reads and writes tables as CSV with a header or, where the
// name ends in .parquet, as Parquet.
package texttab

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/medprobe/medprobe/internal/atomicfile"
	"github.com/parquet-go/parquet-go"
)

// Column is one column of a table that is written: texts or numbers.
type Column struct {
	Name    string
	Texts   []string
	Numbers []float64
}

func (c Column) rows() int { return max(len(c.Texts), len(c.Numbers)) }

func (c Column) text(row int) string {
	if c.Numbers == nil {
		return c.Texts[row]
	}
	return strconv.FormatFloat(c.Numbers[row], 'g', -1, 64)
}

func isParquet(path string) bool { return strings.EqualFold(filepath.Ext(path), ".parquet") }

// Write writes the columns, which are of one length, to a file; see
// [atomicfile.Write]. CSV is for machines: no cell is escaped against
// spreadsheets. Parquet orders the columns by name.
func Write(path string, columns []Column) error {
	if isParquet(path) {
		return atomicfile.Write(path, func(w io.Writer) error { return writeParquet(w, columns) })
	}
	return atomicfile.Write(path, func(w io.Writer) error { return writeCSV(w, columns) })
}

func rowsOf(columns []Column) int {
	if len(columns) == 0 {
		return 0
	}
	return columns[0].rows()
}

func writeCSV(w io.Writer, columns []Column) error {
	table := csv.NewWriter(w)
	record := make([]string, len(columns))
	for k, c := range columns {
		record[k] = c.Name
	}
	if err := table.Write(record); err != nil {
		return err
	}
	for row := range rowsOf(columns) {
		for k, c := range columns {
			record[k] = c.text(row)
		}
		if err := table.Write(record); err != nil {
			return err
		}
	}
	table.Flush()
	return table.Error()
}

func writeParquet(w io.Writer, columns []Column) error {
	group := parquet.Group{}
	for _, c := range columns {
		if _, twice := group[c.Name]; twice {
			return fmt.Errorf("column %q stands twice", c.Name)
		}
		if group[c.Name] = parquet.String(); c.Numbers != nil {
			group[c.Name] = parquet.Leaf(parquet.DoubleType)
		}
	}
	schema := parquet.NewSchema("table", group)
	place := map[string]int{}
	for k, path := range schema.Columns() {
		place[path[0]] = k
	}
	table := parquet.NewWriter(w, schema, parquet.Compression(&parquet.Zstd), parquet.CreatedBy("medprobe", "1", ""))
	record := make(parquet.Row, len(columns))
	for row := range rowsOf(columns) {
		for _, c := range columns {
			k := place[c.Name]
			if c.Numbers != nil {
				record[k] = parquet.DoubleValue(c.Numbers[row]).Level(0, 0, k)
			} else {
				record[k] = parquet.ByteArrayValue([]byte(c.Texts[row])).Level(0, 0, k)
			}
		}
		if _, err := table.WriteRows([]parquet.Row{record}); err != nil {
			return err
		}
	}
	return table.Close()
}

// Open returns the table as CSV text with a header: the bytes of the file,
// unpacked where its name ends in .gz; or what a flat Parquet file or a file of
// JSON objects, one a line (.jsonl, .ndjson), says. There null is an empty cell,
// true and false are 1 and 0, numbers are written so that they are read back
// bit for bit, and lists are joined by "|". Errors do not name the file.
func Open(path string) (io.ReadCloser, error) {
	f, err := os.Open(path)
	if err != nil {
		var pathErr *fs.PathError
		if errors.As(err, &pathErr) {
			err = pathErr.Err
		}
		return nil, err
	}
	if isParquet(path) {
		defer f.Close()
		text, err := parquetAsCSV(f)
		if err != nil {
			return nil, err
		}
		return io.NopCloser(text), nil
	}
	var in io.ReadCloser = f
	if strings.EqualFold(filepath.Ext(path), ".gz") {
		if in, err = unpack(f); err != nil {
			f.Close()
			return nil, err
		}
	}
	if !IsJSON(path) {
		return in, nil
	}
	defer in.Close()
	text, err := jsonAsCSV(in)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(text), nil
}

const (
	// maxBytes bounds a Parquet file, which is turned to text in memory.
	maxBytes = 1 << 30
	// maxCells bounds what its header may promise.
	maxCells = 1 << 26
)

// OpenParquet reads the metadata of a Parquet file and looks whether it, or the
// header of a page, promises more than is there.
func OpenParquet(f *os.File) (*parquet.File, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := checkFooter(f, info.Size()); err != nil {
		return nil, err
	}
	file, err := parquet.OpenFile(f, info.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, fmt.Errorf("not a Parquet file: %w", err)
	}
	if err := checkPages(f, file); err != nil {
		return nil, err
	}
	return file, nil
}

func parquetAsCSV(f *os.File) (text *bytes.Buffer, err error) {
	// The library answers some damaged files with a panic.
	defer func() {
		if p := recover(); p != nil {
			text, err = nil, fmt.Errorf("damaged Parquet file: %v", p)
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > maxBytes {
		return nil, fmt.Errorf("%d bytes, more than %d: divide it, or save it as CSV", info.Size(), maxBytes)
	}
	file, err := OpenParquet(f)
	if err != nil {
		return nil, err
	}
	var header []string
	for _, field := range file.Schema().Fields() {
		if !field.Leaf() || field.Repeated() {
			return nil, fmt.Errorf("column %q is nested: want a flat table, or, for images within the table, the format hf", field.Name())
		}
		header = append(header, field.Name())
	}
	if rows := file.NumRows(); rows < 0 || rows > maxCells/int64(max(1, len(header))) {
		return nil, fmt.Errorf("%d rows of %d columns: want at most %d cells", rows, len(header), maxCells)
	}
	text = &bytes.Buffer{}
	table := csv.NewWriter(text)
	if err := table.Write(header); err != nil {
		return nil, err
	}
	for _, group := range file.RowGroups() {
		if err := copyRows(text, table, group, len(header)); err != nil {
			return nil, err
		}
	}
	table.Flush()
	return text, table.Error()
}

func copyRows(text *bytes.Buffer, table *csv.Writer, group parquet.RowGroup, width int) error {
	rows := group.Rows()
	defer rows.Close()
	buffer := make([]parquet.Row, 256)
	record := make([]string, width)
	for {
		n, err := rows.ReadRows(buffer)
		for _, row := range buffer[:n] {
			clear(record)
			for _, v := range row {
				if record[v.Column()], err = Cell(v); err != nil {
					return err
				}
			}
			if err := table.Write(record); err != nil {
				return err
			}
		}
		if text.Len() > maxBytes {
			return fmt.Errorf("more than %d bytes of text: divide it", maxBytes)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrNoProgress
		}
	}
}

// Cell returns a value as a cell of a CSV table; see [Open].
func Cell(v parquet.Value) (string, error) {
	if v.IsNull() {
		return "", nil
	}
	number := func(x float64, bits int) string {
		if math.IsNaN(x) {
			return "NaN"
		}
		return strconv.FormatFloat(x, 'g', -1, bits)
	}
	switch v.Kind() {
	case parquet.Boolean:
		if v.Boolean() {
			return "1", nil
		}
		return "0", nil
	case parquet.Int32:
		return strconv.FormatInt(int64(v.Int32()), 10), nil
	case parquet.Int64:
		return strconv.FormatInt(v.Int64(), 10), nil
	case parquet.Float:
		return number(float64(v.Float()), 32), nil
	case parquet.Double:
		return number(v.Double(), 64), nil
	case parquet.ByteArray, parquet.FixedLenByteArray:
		return string(v.ByteArray()), nil
	}
	return "", fmt.Errorf("column %d is of type %v: want text, numbers or booleans", v.Column(), v.Kind())
}
