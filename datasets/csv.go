package datasets

import (
	"bufio"
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/medprobe/medprobe/internal/near"
	"github.com/medprobe/medprobe/internal/texttab"
)

// Column names that are understood where the spec does not name the column.
var (
	imageColumns   = []string{"path", "image", "file", "filename", "file_name", "image_path"}
	patientColumns = []string{"patient", "patient_id", "patientid", "subject_id", "subject"}
	labelColumns   = []string{"label", "class"}
)

// readCSV reads a table with one sample per row. Findings are columns of 1, 0,
// -1 or nothing; or one column holds the name of the class.
func readCSV(ctx context.Context, d *Dataset, s Spec) error {
	t, err := readTable(ctx, s.Path)
	if err != nil {
		return fmt.Errorf("datasets: csv %s: %w", s.Path, err)
	}
	root := cmp.Or(s.Root, filepath.Dir(s.Path))
	f, err := openFolder(root)
	if err != nil {
		return err
	}
	d.files = f
	cols, err := t.columns(s)
	if err == nil && cols.image < 0 {
		err = fmt.Errorf("no column holds the image's path; name it with image: (columns: %s)", strings.Join(t.header, ", "))
	}
	if err != nil {
		return fmt.Errorf("datasets: csv %s: %w", s.Path, err)
	}
	return d.addRows(t, cols, s, root)
}

// ReadLabels reads a table of labels whose rows belong to the rows of a matrix
// of vectors: findings as columns of 1, 0 or nothing, or one column of class
// names, as csv datasets have them, and no images. The samples keep the order
// of the rows. s.Path is the table; s.Patient names the column of the unit
// that must not be divided, if there is one.
func ReadLabels(ctx context.Context, s Spec) (*Dataset, error) {
	t, err := readTable(ctx, s.Path)
	if err != nil {
		return nil, fmt.Errorf("datasets: labels %s: %w", s.Path, err)
	}
	cols, err := t.columns(s)
	if err != nil {
		return nil, fmt.Errorf("datasets: labels %s: %w", s.Path, err)
	}
	cols.image, cols.id = -1, -1
	d := &Dataset{Spec: "labels:" + s.Path}
	return d, d.addRows(t, cols, s, "")
}

// addRows turns the rows of the table into samples.
func (d *Dataset) addRows(t *table, cols columns, s Spec, root string) error {
	if len(s.Labels) == 0 && len(cols.findings) > 0 {
		d.problem(s.Path, "no column was named as a finding; taken by their values: %s", strings.Join(t.names(cols.findings), ", "))
	}
	var names []string
	for i, row := range t.rows {
		sample, err := cols.sample(t, row, root)
		if cols.image < 0 {
			sample.ID = fmt.Sprintf("row %09d", i)
		}
		if err != nil {
			d.exclude(fmt.Sprintf("row %d", row.line), "%v", err)
			continue
		}
		if cols.label >= 0 {
			names = append(names, strings.TrimSpace(row.fields[cols.label]))
		} else if sample.Labels, err = t.labels(row, cols.findings); err != nil {
			return fmt.Errorf("datasets: csv %s:%d: %w", s.Path, row.line, err)
		}
		d.Samples = append(d.Samples, sample)
	}
	if cols.label >= 0 {
		if err := d.labelByClass(names, s); err != nil {
			return err
		}
	} else {
		d.labelByFinding(t.names(cols.findings))
	}
	return d.finish(cmp.Or(s.Unit, "patient"))
}

// table is a CSV or TSV file in memory.
type table struct {
	header []string
	rows   []tableRow
}

type tableRow struct {
	line   int
	fields []string
}

func readTable(ctx context.Context, path string) (*table, error) {
	f, err := texttab.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := csv.NewReader(skipBOM(f))
	r.ReuseRecord = false
	if strings.EqualFold(filepath.Ext(path), ".tsv") {
		r.Comma = '\t'
	}
	t := &table{}
	if t.header, err = r.Read(); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the file is empty; want a header row")
		}
		return nil, err
	}
	for i, name := range t.header {
		t.header[i] = strings.TrimSpace(name)
		if t.header[i] != "" && slices.Contains(t.header[:i], t.header[i]) {
			return nil, fmt.Errorf("the column %q stands twice in the header", t.header[i])
		}
	}
	headerLine, _ := r.FieldPos(0)
	next := headerLine + 1 + strings.Count(t.header[0], "\n")
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			return t, nil
		}
		if err != nil {
			return nil, err
		}
		line, _ := r.FieldPos(0)
		for i, field := range fields {
			if !utf8.ValidString(field) {
				return nil, fmt.Errorf("line %d column %s: %q is not UTF-8; save the table as UTF-8", line, t.header[i], field)
			}
		}
		// Of a single column, an empty line is an empty value, as R writes it;
		// the reader skips such lines.
		for ; len(t.header) == 1 && next < line; next++ {
			t.rows = append(t.rows, tableRow{next, []string{""}})
		}
		next = line + 1 + strings.Count(fields[0], "\n")
		t.rows = append(t.rows, tableRow{line, fields})
	}
}

// skipBOM drops the byte order mark that spreadsheet programs write.
func skipBOM(r io.Reader) io.Reader {
	b := bufio.NewReader(r)
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

// columns says which column holds what; -1 where there is none.
type columns struct {
	id, image, patient, study, split, label int
	findings                                []int
	attrs                                   []int
}

func (t *table) columns(s Spec) (columns, error) {
	var c columns
	var errs []error
	find := func(what, asked string, usual []string) int {
		if asked != "" {
			if i := slices.Index(t.header, asked); i >= 0 {
				return i
			}
			errs = append(errs, fmt.Errorf("no column %q for the %s%s", asked, what, near.Hint(asked, t.header)))
			return -1
		}
		for _, name := range usual {
			if i := slices.IndexFunc(t.header, func(h string) bool { return strings.EqualFold(h, name) }); i >= 0 {
				return i
			}
		}
		return -1
	}
	c.id = find("id", s.ID, []string{"id"})
	c.image = find("image", s.Image, imageColumns)
	c.patient = find("patient", s.Patient, patientColumns)
	c.study = find("study", s.Study, []string{"study", "study_id"})
	c.split = find("split", s.Split, []string{"split"})
	c.label = -1
	for _, name := range s.Labels {
		c.findings = append(c.findings, find("finding", name, nil))
	}
	if len(s.Labels) == 0 {
		c.label = find("label", s.Label, labelColumns)
	}
	if len(errs) > 0 {
		return c, errors.Join(errs...)
	}
	for i := range t.header {
		if slices.Contains([]int{c.id, c.image, c.patient, c.study, c.split, c.label}, i) || slices.Contains(c.findings, i) {
			continue
		}
		if len(s.Labels) == 0 && c.label < 0 && t.looksLikeFinding(i) {
			c.findings = append(c.findings, i)
		} else {
			c.attrs = append(c.attrs, i)
		}
	}
	if c.label < 0 && len(c.findings) == 0 {
		if len(t.rows) == 0 {
			return c, errors.New("no row under the header")
		}
		return c, fmt.Errorf("no column holds labels; name one column of class names with label:, or columns of 1 and 0 with labels: (columns: %s)", strings.Join(t.header, ", "))
	}
	return c, nil
}

func (t *table) looksLikeFinding(column int) bool {
	said := false
	for _, row := range t.rows {
		label, err := parseLabel(row.fields[column])
		if err != nil {
			return false
		}
		said = said || label != Missing
	}
	return said
}

func parseLabel(field string) (Label, error) {
	switch strings.TrimSpace(field) {
	case "":
		return Missing, nil
	case "1", "1.0":
		return Positive, nil
	case "0", "0.0":
		return Negative, nil
	case "-1", "-1.0":
		return Uncertain, nil
	}
	return Missing, fmt.Errorf("%q: want 1, 0, -1 or empty", field)
}

func (t *table) labels(row tableRow, findings []int) ([]Label, error) {
	labels := make([]Label, len(findings))
	for i, c := range findings {
		var err error
		if labels[i], err = parseLabel(row.fields[c]); err != nil {
			return nil, fmt.Errorf("%s = %w", t.header[c], err)
		}
	}
	return labels, nil
}

func (c columns) sample(t *table, row tableRow, root string) (Sample, error) {
	get := func(i int) string {
		if i < 0 {
			return ""
		}
		return strings.TrimSpace(row.fields[i])
	}
	s := Sample{
		ID:      get(c.id),
		Patient: get(c.patient),
		Study:   get(c.study),
		Split:   splitName(get(c.split)),
		Attrs:   make(map[string]string, len(c.attrs)),
	}
	for _, i := range c.attrs {
		s.Attrs[t.header[i]] = row.fields[i]
	}
	switch {
	case c.image < 0:
		return s, nil
	case get(c.image) == "":
		return s, fmt.Errorf("the column %s is empty: no image", t.header[c.image])
	case c.id >= 0 && s.ID == "":
		return s, fmt.Errorf("the column %s is empty: no id", t.header[c.id])
	}
	var err error
	s.Source.Path, err = inFolder(root, get(c.image))
	if c.id < 0 {
		s.ID = s.Source.Path
	}
	return s, err
}
