// Package texttab reads and writes tables as CSV with a header or, where the
// name ends in .parquet, as Parquet.
package texttab

import (
	"cmp"
	"context"
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
func Open(path string) (io.ReadCloser, error) { return OpenAs(path, nil) }

// OpenAs is [Open] for a table whose header was read before: of JSON objects,
// whose keys may be met anywhere, it saves a look at all of them. nil stands for
// no header known.
func OpenAs(path string, header []string) (io.ReadCloser, error) {
	if IsJSON(path) && header == nil {
		in, err := open(path)
		if err != nil {
			return nil, err
		}
		header, err = jsonHeader(in)
		in.Close()
		if err != nil {
			return nil, err
		}
	}
	in, err := open(path)
	if err == nil && IsJSON(path) {
		in = jsonAsCSV(in, header)
	}
	return in, err
}

// open returns the bytes of the file, unpacked, or the text of a Parquet file.
func open(path string) (io.ReadCloser, error) {
	f, err := os.Open(path)
	if err != nil {
		var pathErr *fs.PathError
		if errors.As(err, &pathErr) {
			err = pathErr.Err
		}
		return nil, err
	}
	var in io.ReadCloser = f
	switch {
	case isParquet(path):
		in, err = parquetAsCSV(f)
	case strings.EqualFold(filepath.Ext(path), ".gz"):
		in, err = unpack(f)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return in, nil
}

// maxCells bounds what the metadata of a Parquet file may promise.
const maxCells = 1 << 26

// OpenParquet reads the metadata of a Parquet file and looks whether it, or the
// header of a page, promises more than is there.
func OpenParquet(f *os.File) (file *parquet.File, err error) {
	defer recovered(&err)
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := checkFooter(f, info.Size()); err != nil {
		return nil, err
	}
	file, err = parquet.OpenFile(f, info.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, fmt.Errorf("not a Parquet file: %w", err)
	}
	if err := checkPages(f, file); err != nil {
		return nil, err
	}
	return file, nil
}

// parquetAsCSV returns the rows of a flat table.
func parquetAsCSV(f *os.File) (text io.ReadCloser, err error) {
	defer recovered(&err)
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
	p := &parquetRows{file: f, groups: file.RowGroups(), buffer: make([]parquet.Row, 256), record: make([]string, len(header))}
	return newRowText(p, header, p.next), nil
}

// recovered turns a panic of the Parquet library, which is how it answers some
// damaged files, into an error.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("damaged Parquet file: %v", p)
	}
}

// parquetRows goes through the rows of all groups.
type parquetRows struct {
	file   *os.File
	groups []parquet.RowGroup
	rows   parquet.Rows // of the group before the first of groups
	buffer []parquet.Row
	record []string
}

func (p *parquetRows) next(table *csv.Writer) (err error) {
	defer recovered(&err)
	if p.rows == nil {
		if len(p.groups) == 0 {
			return io.EOF
		}
		p.rows, p.groups = p.groups[0].Rows(), p.groups[1:]
	}
	n, err := p.rows.ReadRows(p.buffer)
	for _, row := range p.buffer[:n] {
		clear(p.record)
		for _, v := range row {
			cell, err := Cell(v)
			if err != nil {
				return err
			}
			p.record[v.Column()] = cell
		}
		if err := table.Write(p.record); err != nil {
			return err
		}
	}
	switch {
	case errors.Is(err, io.EOF):
		err = p.rows.Close()
		p.rows = nil
	case err == nil && n == 0:
		err = io.ErrNoProgress
	}
	return err
}

func (p *parquetRows) Close() (err error) {
	defer recovered(&err)
	if p.rows != nil {
		err = p.rows.Close()
	}
	return errors.Join(err, p.file.Close())
}

// EachRow lets take have every row of a Parquet file, with its number from 0. A row
// is valid during the call only.
func EachRow(ctx context.Context, file *parquet.File, take func(number int, row parquet.Row) error) (err error) {
	defer recovered(&err)
	number := 0
	for _, group := range file.RowGroups() {
		if err := eachOf(ctx, group, &number, take); err != nil {
			return err
		}
	}
	return nil
}

func eachOf(ctx context.Context, group parquet.RowGroup, number *int, take func(int, parquet.Row) error) error {
	rows := group.Rows()
	defer rows.Close()
	buffer := make([]parquet.Row, 256)
	for {
		n, err := rows.ReadRows(buffer)
		for _, row := range buffer[:n] {
			if err := take(*number, row); err != nil {
				return err
			}
			*number++
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err := cmp.Or(err, ctx.Err()); err != nil {
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
