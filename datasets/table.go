package datasets

import (
	"bufio"
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/medprobe/medprobe/internal/near"
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
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		return nil, fmt.Errorf("%s: not a regular file, and a table is read more than once", path)
	}
	f, err := texttab.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer f.Close()
	in := bufio.NewReaderSize(skipBOM(f), 1<<16)
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
	t.header = slices.Clone(first)
	if t.keys = slices.Clone(first); t.headless {
		t.keys = nil
		t.header = slices.Clone(s.Columns)
	}
	for i, name := range t.header {
		if !utf8.ValidString(name) {
			return nil, fmt.Errorf("%s: line 1: the header %q is not UTF-8; save the table as UTF-8", path, name)
		}
		t.header[i] = strings.TrimSpace(name)
		if t.header[i] != "" && slices.Contains(t.header[:i], t.header[i]) {
			return nil, fmt.Errorf("%s: the column %q stands twice in the header", path, t.header[i])
		}
	}
	return t, nil
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
		for i, field := range fields {
			if !utf8.ValidString(field) {
				return fmt.Errorf("%s: line %d column %s: %q is not UTF-8; save the table as UTF-8", t.path, at, t.header[i], field)
			}
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

// Column names that are understood where the spec does not name the column.
var (
	imageColumns   = []string{"path", "image", "file", "filename", "file_name", "image_path"}
	patientColumns = []string{"patient", "patient_id", "patientid", "subject_id", "subject"}
	labelColumns   = []string{"label", "class", "labels"}
)

// columns says which column holds what; -1 where there is none.
type columns struct {
	id, image, patient, study, series, split, frame, label int
	// box holds the four columns of a region, empty where there are none.
	box []int
	// findings are columns of 1, 0, -1 or nothing, or take part in a consensus.
	findings []int
	consent  []consent
	attrs    []int
}

// find returns the column that is asked for or else the first with a usual
// name, or -1. That one asked for is not there is an error.
func (t *table) find(what, asked string, usual []string) (int, error) {
	if asked != "" {
		i := slices.Index(t.header, asked)
		if i < 0 {
			return -1, fmt.Errorf("no column %q for the %s%s", asked, what, near.Hint(asked, t.header))
		}
		return i, nil
	}
	for _, name := range usual {
		if i := slices.IndexFunc(t.header, func(h string) bool { return strings.EqualFold(h, name) }); i >= 0 {
			return i, nil
		}
	}
	return -1, nil
}

func (t *table) columns(ctx context.Context, d *Dataset, s Spec) (columns, error) {
	var c columns
	var errs []error
	find := func(to *int, what, asked string, usual ...string) {
		var err error
		if *to, err = t.find(what, asked, usual); err != nil {
			errs = append(errs, err)
		}
	}
	find(&c.id, "id", s.ID, "id")
	find(&c.image, "image", s.Image, imageColumns...)
	find(&c.patient, "patient", s.Patient, patientColumns...)
	find(&c.study, "study", s.Study, "study", "study_id")
	find(&c.series, "series", s.Series, "series", "series_id")
	find(&c.split, "split", s.Split, "split")
	find(&c.frame, "frame", cmp.Or(s.FrameColumn, ""), "frame")
	c.label = -1
	for _, name := range s.Labels {
		if s.renamedTo(name) {
			continue // made by a rule, later
		}
		var i int
		if slices.ContainsFunc(s.Consensus, func(r Consensus) bool { return r.Finding == name }) {
			continue
		}
		find(&i, "finding", name)
		c.findings = append(c.findings, i)
	}
	if len(s.Rename) > 0 {
		for old := range s.Rename {
			if i := slices.Index(t.header, old); i >= 0 && len(s.Labels) > 0 && !slices.Contains(c.findings, i) {
				c.findings = append(c.findings, i)
			}
		}
		slices.Sort(c.findings)
	}
	if len(s.Labels) == 0 && len(s.Consensus) == 0 {
		find(&c.label, "label", s.Label, labelColumns...)
	}
	for _, name := range s.Box.columns() {
		var i int
		find(&i, "box", name)
		c.box = append(c.box, i)
	}
	var err error
	if c.consent, err = t.consents(s); err != nil {
		errs = append(errs, err)
	}
	if len(errs) > 0 {
		return c, errors.Join(errs...)
	}
	return c, t.rest(ctx, d, s, &c)
}

// rest takes the columns that nobody named: for findings by what they hold,
// where no label is named, and for attributes.
func (t *table) rest(ctx context.Context, d *Dataset, s Spec, c *columns) error {
	taken := slices.Concat([]int{c.id, c.image, c.patient, c.study, c.series, c.split, c.frame, c.label}, c.findings, c.box)
	for _, agreed := range c.consent {
		taken = append(taken, agreed.of...)
	}
	var free []int
	for i, name := range t.header {
		if !slices.Contains(taken, i) && name != "" {
			free = append(free, i)
		}
	}
	if len(s.Labels) == 0 && c.label < 0 && len(s.Consensus) == 0 {
		found, nearly, err := t.findingColumns(ctx, free)
		if err != nil {
			return err
		}
		c.findings = found
		for _, what := range nearly {
			if len(found) == 0 {
				return fmt.Errorf("no column holds labels: %s", strings.Join(nearly, "\n"))
			}
			d.problem(t.path, "%s", what)
		}
	}
	for _, i := range free {
		if !slices.Contains(c.findings, i) {
			c.attrs = append(c.attrs, i)
		}
	}
	if c.label < 0 && len(c.findings) == 0 && len(c.consent) == 0 {
		return fmt.Errorf("no column holds labels; name one column of class names with label:, or columns of 1 and 0 with labels: (columns: %s)", strings.Join(t.header, ", "))
	}
	return nil
}

// findingColumns returns the columns that hold nothing but label values, and
// says which nearly do: a mistyped cell must not take a finding away in silence.
func (t *table) findingColumns(ctx context.Context, free []int) (found []int, nearly []string, err error) {
	said, wrong, firstWrong := make([]int, len(t.header)), make([]int, len(t.header)), make([]string, len(t.header))
	n := 0
	for r, err := range t.rows(ctx) {
		if err != nil {
			return nil, nil, err
		}
		n++
		for _, i := range free {
			label, ok := labelOf(r.fields[i])
			switch {
			case !ok:
				if wrong[i]++; wrong[i] == 1 {
					firstWrong[i] = fmt.Sprintf("line %d holds %q", r.line, r.fields[i])
				}
			case label != Missing:
				said[i]++
			}
		}
	}
	if n == 0 {
		return nil, nil, errors.New("no row under the header")
	}
	for _, i := range free {
		switch {
		case said[i] > 0 && wrong[i] == 0:
			found = append(found, i)
		case said[i] >= 5*wrong[i] && said[i] > 0:
			nearly = append(nearly, fmt.Sprintf("the column %s is not taken for a finding: %s (%d such cells, %d with 1, 0 or -1); mend it, or name the findings with labels:", t.header[i], firstWrong[i], wrong[i], said[i]))
		}
	}
	return found, nearly, nil
}

func parseLabel(field string) (Label, error) {
	label, ok := labelOf(field)
	if !ok {
		return Missing, fmt.Errorf("%q: want 1, 0, -1 or empty", field)
	}
	return label, nil
}

// labelOf returns what a cell of a finding says, if it is one of the words for
// a label.
func labelOf(field string) (Label, bool) {
	switch field {
	case "":
		return Missing, true
	case "1", "1.0":
		return Positive, true
	case "0", "0.0":
		return Negative, true
	case "-1", "-1.0":
		return Uncertain, true
	}
	switch { // as pandas and Polars write what is missing, and truth
	case strings.EqualFold(field, "nan"):
		return Missing, true
	case strings.EqualFold(field, "true"):
		return Positive, true
	case strings.EqualFold(field, "false"):
		return Negative, true
	}
	if trimmed := strings.TrimSpace(field); trimmed != field {
		return labelOf(trimmed)
	}
	return Missing, false
}
