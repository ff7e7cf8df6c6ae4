package datasets

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/medprobe/medprobe/internal/texttab"
)

// table is a file of rows under a header. It is read row by row, as often as
// needed, and never held.
type table struct {
	path   string
	header []string
	// keys is the header as it stands in the file, nil where there is none.
	keys []string
	// comma parts the fields; headless files have no header of their own.
	comma    rune
	headless bool
	// ragged tables may have rows with more or fewer empty fields at the end.
	ragged bool
	// source, if not nil, gives the rows in place of the file.
	source func(context.Context) iter.Seq2[row, error]
	// rowsExpected is how many rows there seem to be, by the first ones and the
	// size of the file; 0 while that is not known.
	rowsExpected int
}

// row is one row of a table; its fields are overwritten by the next.
type row struct {
	// line is where it stands in the file.
	line   int
	fields []string
}

// openTable reads the header. Where the spec names no separator, it is a tab in
// a .tsv, and else what parts the header: a comma, or, where there is none in
// it, a tab or a semicolon; in a .txt a space.
func openTable(s Spec, path string) (*table, error) {
	t := &table{path: path, headless: len(s.Columns) > 0}
	var err error
	if t.comma, err = separator(s.Separator, path); err != nil {
		return nil, err
	}
	switch info, err := os.Stat(path); {
	case err == nil && info.IsDir():
		return nil, fmt.Errorf("%s: a folder, and a table is a file; for a folder with a folder of images for each class say imagefolder:%s", path, path)
	case err == nil && !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: not a regular file, and a table is read more than once", path)
	}
	f, err := texttab.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer f.Close()
	in := bufio.NewReaderSize(skipBOM(f), 1<<16)
	if err := noText(in); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if t.comma == 0 {
		t.comma = guessSeparator(in, path)
	}
	r := t.reader(in)
	first, err := r.Read()
	switch {
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("%s: the file is empty; want a header row", path)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	case t.headless && len(first) != len(s.Columns):
		return nil, fmt.Errorf("%s: %d columns are named and the first row has %d", path, len(s.Columns), len(first))
	case slices.ContainsFunc(first, func(name string) bool { return strings.Contains(name, "\r") }):
		return nil, fmt.Errorf("%s: line 1: the lines end in CR alone, as of old; save the table with LF or CRLF", path)
	}
	if t.headless {
		return t, t.name(s.Columns)
	}
	t.keys = slices.Clone(first)
	return t, t.name(first)
}

// name gives the columns their names.
func (t *table) name(columns []string) error {
	t.header = make([]string, len(columns))
	for i, name := range columns {
		if !utf8.ValidString(name) {
			return fmt.Errorf("%s: line 1: the header %q is not UTF-8; save the table as UTF-8", t.path, name)
		}
		t.header[i] = strings.TrimSpace(name)
		if t.header[i] != "" && slices.Contains(t.header[:i], t.header[i]) {
			return fmt.Errorf("%s: the column %q stands twice in the header", t.path, t.header[i])
		}
	}
	return nil
}

// noText returns what a file is that begins as spreadsheets do, but is no text
// in UTF-8, and what to do about it.
func noText(in *bufio.Reader) error {
	begin, _ := in.Peek(4) // a shorter file is none of these
	switch b := string(begin); {
	case strings.HasPrefix(b, "\xff\xfe"), strings.HasPrefix(b, "\xfe\xff"):
		return errors.New("the text is UTF-16, as Excel's \"Unicode text\" is; save the table as \"CSV UTF-8\"")
	case b == "PK\x03\x04", b == "\xd0\xcf\x11\xe0":
		return errors.New("no text, but a workbook, or packed; save the table as \"CSV UTF-8\"")
	}
	return nil
}

func separator(asked, path string) (rune, error) {
	switch asked {
	case "":
		if strings.EqualFold(filepath.Ext(strings.TrimSuffix(path, ".gz")), ".tsv") {
			return '\t', nil
		}
		return 0, nil
	case "tab", "\t":
		return '\t', nil
	case "space":
		return ' ', nil
	}
	if r := []rune(asked); len(r) == 1 && r[0] != '"' && r[0] != '\n' && r[0] != '\r' && r[0] != utf8.RuneError {
		return r[0], nil
	}
	return 0, fmt.Errorf("separator %q: want one character, tab or space", asked)
}

func guessSeparator(in *bufio.Reader, path string) rune {
	head, _ := in.Peek(1 << 14)
	line, _, _ := strings.Cut(string(head), "\n")
	for _, r := range ",\t;" {
		if strings.ContainsRune(line, r) {
			return r
		}
	}
	if strings.EqualFold(filepath.Ext(path), ".txt") && strings.ContainsRune(line, ' ') {
		return ' '
	}
	return ','
}

func (t *table) reader(in io.Reader) rowSource {
	limit := &rowLimit{Reader: in}
	r := csv.NewReader(limit)
	r.ReuseRecord = true
	r.FieldsPerRecord = -1 // counted here
	r.Comma = t.comma
	r.TrimLeadingSpace = t.comma == ' '
	return rowSource{r, limit}
}

// maxRow bounds the bytes of a row.
const maxRow = 16 << 20

var errLongRow = fmt.Errorf("a row of more than %d bytes: is a quote not closed?", maxRow)

// rowSource reads rows, of which none may be endless.
type rowSource struct {
	*csv.Reader
	limit *rowLimit
}

func (r rowSource) Read() ([]string, error) {
	r.limit.left = maxRow
	fields, err := r.Reader.Read()
	if errors.Is(err, errLongRow) {
		err = fmt.Errorf("after byte %d: %w", r.InputOffset(), err)
	}
	return fields, err
}

// rowLimit lets as many bytes be read for a row as are left to it.
type rowLimit struct {
	io.Reader
	left int
}

func (l *rowLimit) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errLongRow
	}
	n, err := l.Reader.Read(p)
	l.left -= n
	return n, err
}

// at returns the place of a row for messages: FILE:LINE.
func (t *table) at(line int) string { return fmt.Sprintf("%s:%d", t.path, line) }

// rows reads the table once. After an error it ends.
func (t *table) rows(ctx context.Context) iter.Seq2[row, error] {
	if t.source != nil {
		return t.source(ctx)
	}
	return func(yield func(row, error) bool) {
		f, err := texttab.OpenAs(t.path, t.keys)
		if err != nil {
			yield(row{}, fmt.Errorf("%s: %w", t.path, err))
			return
		}
		defer f.Close()
		size := int64(0)
		if file, ok := f.(*os.File); ok {
			if info, err := file.Stat(); err == nil {
				size = info.Size()
			}
		}
		if err := t.read(ctx, t.reader(skipBOM(f)), size, yield); err != nil {
			yield(row{}, err)
		}
	}
}

// read yields the rows of a file of size bytes, which is 0 where nobody knows.
func (t *table) read(ctx context.Context, r rowSource, size int64, yield func(row, error) bool) error {
	next, shift := 1, 0
	if texttab.IsJSON(t.path) {
		shift = -1 // the header is ours
	}
	if !t.headless {
		header, err := r.Read()
		if err != nil {
			return fmt.Errorf("%s: %w", t.path, err)
		}
		line, _ := r.FieldPos(0)
		next = line + 1 + strings.Count(header[0], "\n")
	}
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if n == 1024 {
			t.rowsExpected = int(1024 * size / r.InputOffset())
		}
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", t.path, err)
		}
		line, _ := r.FieldPos(0)
		at := line + shift
		if shift != 0 && len(t.header) > 1 {
			at = n + 1 // an object a line, whatever line ends are in its texts
		}
		if fields, err = t.even(fields); err != nil {
			return fmt.Errorf("%s: %w", t.at(at), err)
		}
		if i := slices.IndexFunc(fields, func(field string) bool { return !utf8.ValidString(field) }); i >= 0 {
			return fmt.Errorf("%s: line %d column %s: %q is not UTF-8; save the table as UTF-8", t.path, at, t.header[i], fields[i])
		}
		// Of a single column, an empty line is an empty value, as R writes it;
		// the reader skips such lines.
		for ; len(t.header) == 1 && next < line; next++ {
			if !yield(row{next + shift, []string{""}}, nil) {
				return nil
			}
		}
		next = line + 1 + strings.Count(fields[0], "\n")
		if !yield(row{at, fields}, nil) {
			return nil
		}
	}
}

// even gives a row as many fields as the header has, where that may differ.
func (t *table) even(fields []string) ([]string, error) {
	for t.ragged && len(fields) < len(t.header) && t.header[len(fields)] == "" {
		fields = append(fields, "")
	}
	for t.ragged && len(fields) > len(t.header) && fields[len(fields)-1] == "" {
		fields = fields[:len(fields)-1]
	}
	if len(fields) != len(t.header) {
		return nil, fmt.Errorf("%d fields under a header of %d", len(fields), len(t.header))
	}
	return fields, nil
}

// skipBOM drops the byte order mark that spreadsheet programs write.
func skipBOM(r io.Reader) io.Reader {
	b := bufio.NewReaderSize(r, 1<<16)
	if mark, _ := b.Peek(3); string(mark) == "\ufeff" {
		_, _ = b.Discard(3)
	}
	return b
}

func (t *table) names(columns []int) []string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = t.header[c]
	}
	return names
}

// isTable reports whether a file is a table by its name.
func isTable(name string) bool {
	ext := strings.ToLower(path.Ext(strings.TrimSuffix(strings.ToLower(name), ".gz")))
	return slices.Contains([]string{".csv", ".tsv", ".parquet"}, ext) || texttab.IsJSON(name)
}

// tablesOf returns the table that path is, or those of the names that the folder
// path holds, and their folder.
func tablesOf(path string, names ...string) (tables []string, dir string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, "", cause(err)
	}
	if !info.IsDir() {
		return []string{path}, filepath.Dir(path), nil
	}
	for _, name := range names {
		found, err := filepath.Glob(filepath.Join(escapeGlob(path), name))
		if err != nil {
			return nil, "", err
		}
		tables = append(tables, found...)
	}
	if len(tables) == 0 {
		return nil, "", fmt.Errorf("the folder holds none of %s", strings.Join(names, ", "))
	}
	return tables, path, nil
}

// escapeGlob makes a path match itself alone.
func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// behind returns the columns to the right of the first of the named ones that
// is there.
func (t *table) behind(names ...string) []string {
	for _, name := range names {
		if i := slices.Index(t.header, name); i >= 0 {
			return slices.DeleteFunc(slices.Clone(t.header[i+1:]), func(h string) bool { return h == "" })
		}
	}
	return nil
}

// cells returns what a row has in those of the columns that are there.
func (t *table) cells(r row, columns ...string) []string {
	var has []string
	for _, name := range columns {
		if i := slices.Index(t.header, name); i >= 0 {
			has = append(has, strings.TrimSpace(r.fields[i]))
		}
	}
	return has
}

// lookup reads two columns of a table as a map.
func (t *table) lookup(ctx context.Context, key, value string) (map[string]string, error) {
	k, err := t.find("key", key, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.path, err)
	}
	v, err := t.find("value", value, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.path, err)
	}
	found := map[string]string{}
	for r, err := range t.rows(ctx) {
		if err != nil {
			return nil, err
		}
		found[r.fields[k]] = r.fields[v]
	}
	return found, nil
}
