package evaluate

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/medprobe/medprobe/internal/near"
)

// Bounds of a table of scores.
const (
	maxScoreColumns = 100_000
	maxScoreBytes   = 1 << 32
	maxFaults       = 20
)

// What is known of a label.
const (
	Unknown  int8 = -1
	Negative int8 = 0
	Positive int8 = 1
)

// Scores is a table of scores: a row per sample, labels, and for each label
// the columns of scores that speak of it.
type Scores struct {
	// IDs, Groups and Strata have one entry per row, or are nil.
	IDs, Groups, Strata []string
	// By holds the subgroups of each row, for each attribute.
	By     []Attributed
	Rows   int
	Labels []LabelScores
	// names of the columns as they were read
	id, group, stratum string
}

// Attributed is an attribute with the subgroup of each row, "" where it is not
// known.
type Attributed struct {
	Attribute
	Values []string
}

// LabelScores is one label with its scores.
type LabelScores struct {
	Name   string
	Values []int8 // Positive, Negative or Unknown
	Scores []ScoreColumn
}

// ScoreColumn is one column of scores. Where the label is Unknown the value is
// not used and may be NaN.
type ScoreColumn struct {
	Name   string
	Values []float64
}

// ScoreColumns says which columns of a table mean what.
type ScoreColumns struct {
	// File is named in errors; default "scores".
	File string
	// Labels are the columns that hold 1, 0 or nothing. At least one.
	Labels []string
	// Scores are the columns of scores, when there is one label.
	Scores []string
	// Prefixes are what stands before a label's name in the columns of its
	// scores, when there are several: one prefix for one score per label.
	Prefixes []string
	// ID, Group and Stratum are columns that may be left out.
	ID, Group, Stratum string
	// By are attributes whose cells may be empty.
	By []Attribute
}

// ReadScores reads a CSV table with a header. Labels are 1, 0 or empty, scores
// are numbers (infinite ones too); a score may be empty where its label is.
// Ids must be distinct, groups and strata not empty.
//
// An error names the file, row (the line of the file), column and value, and
// all faults are reported, up to twenty. A column that is not there is answered
// with the nearest name. At most 4 GiB and 100,000 columns are read.
func ReadScores(r io.Reader, c ScoreColumns) (*Scores, error) {
	if c.File == "" {
		c.File = "scores"
	}
	limited := &io.LimitedReader{R: r, N: maxScoreBytes}
	table := csv.NewReader(limited)
	table.ReuseRecord = true
	header, err := table.Read()
	if err != nil {
		if err == io.EOF {
			err = errors.New("no header")
		}
		return nil, fmt.Errorf("evaluate: %s: %w", c.File, err)
	}
	reader, err := newScoreReader(header, c)
	if err != nil {
		return nil, fmt.Errorf("evaluate: %s: %w", c.File, err)
	}
	for {
		record, err := table.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("evaluate: %s: %w", c.File, err)
		}
		line, _ := table.FieldPos(0)
		reader.row(line, record)
	}
	if limited.N == 0 {
		return nil, fmt.Errorf("evaluate: %s: larger than %d bytes; divide it", c.File, int64(maxScoreBytes))
	}
	return reader.finish()
}

// scoreReader fills a table row by row.
type scoreReader struct {
	c      ScoreColumns
	s      *Scores
	column map[string]int
	seen   map[string]int // id → line
	faults []error
	more   int
}

func newScoreReader(header []string, c ScoreColumns) (*scoreReader, error) {
	if len(header) > maxScoreColumns {
		return nil, fmt.Errorf("%d columns: want at most %d", len(header), maxScoreColumns)
	}
	r := &scoreReader{c: c, seen: map[string]int{}, s: &Scores{id: c.ID, group: c.Group, stratum: c.Stratum}}
	var names []string
	r.column, names = columnsOf(header)
	var err error
	if r.s.Labels, err = c.labelScores(); err != nil {
		return nil, err
	}
	for _, by := range c.By {
		r.s.By = append(r.s.By, Attributed{Attribute: by})
	}
	var errs []error
	for _, name := range r.s.columns() {
		if at, ok := r.column[name]; !ok {
			err := near.Check("column", name, names)
			if len(header) == 1 && strings.ContainsAny(header[0], ";\t") {
				return nil, fmt.Errorf("%w; the header holds no comma: want columns parted by commas, and numbers with a point", err)
			}
			errs = append(errs, err)
		} else if at < 0 {
			errs = append(errs, fmt.Errorf("column %q stands twice in the header", name))
		}
	}
	return r, errors.Join(errs...)
}

// columnsOf returns where each column of a header stands, −1 for what stands twice,
// and the names in their order.
func columnsOf(header []string) (at map[string]int, names []string) {
	at = map[string]int{}
	for i, name := range header {
		if i == 0 {
			name = strings.TrimPrefix(name, "\ufeff")
		}
		name = strings.TrimSpace(name)
		if _, twice := at[name]; twice {
			at[name] = -1
			continue
		}
		at[name] = i
		names = append(names, name)
	}
	return at, names
}

// labelScores pairs each label with the columns of its scores.
func (c *ScoreColumns) labelScores() (labels []LabelScores, err error) {
	prefixed := len(c.Labels) > 1 || len(c.Prefixes) > 0
	switch {
	case len(c.Labels) == 0:
		return nil, errors.New("no label column was named")
	case prefixed && len(c.Prefixes) == 0:
		return nil, errors.New("several labels: want a prefix of the score columns, such as --score-prefix p_")
	case prefixed && len(c.Scores) > 0:
		return nil, errors.New("score columns and score prefixes: want one or the other")
	case !prefixed && len(c.Scores) == 0:
		return nil, fmt.Errorf("label %q: no score column was named", c.Labels[0])
	}
	for _, name := range c.Labels {
		l := LabelScores{Name: name}
		for _, score := range c.Scores {
			l.Scores = append(l.Scores, ScoreColumn{Name: score})
		}
		for _, prefix := range c.Prefixes {
			l.Scores = append(l.Scores, ScoreColumn{Name: prefix + name})
		}
		labels = append(labels, l)
	}
	return labels, nil
}

// columns lists those that the table must have.
func (s *Scores) columns() (names []string) {
	for _, l := range s.Labels {
		names = append(names, l.Name)
		for _, score := range l.Scores {
			names = append(names, score.Name)
		}
	}
	for _, name := range []string{s.id, s.group, s.stratum} {
		if name != "" {
			names = append(names, name)
		}
	}
	for _, by := range s.By {
		names = append(names, by.Column)
	}
	return names
}

func (r *scoreReader) fault(line int, column, value, want string) {
	if len(r.faults) == maxFaults {
		r.more++
		return
	}
	r.faults = append(r.faults, fmt.Errorf("evaluate: %s:%d: %s = %q: want %s", r.c.File, line, column, value, want))
}

func (r *scoreReader) row(line int, record []string) {
	cell := func(column string) string { return strings.TrimSpace(record[r.column[column]]) }
	named := func(column string, into *[]string) {
		if column == "" {
			return
		}
		value := strings.Clone(cell(column))
		if value == "" {
			r.fault(line, column, value, "a name")
		}
		*into = append(*into, value)
	}
	named(r.c.Group, &r.s.Groups)
	named(r.c.Stratum, &r.s.Strata)
	named(r.c.ID, &r.s.IDs)
	if r.c.ID != "" {
		id := r.s.IDs[len(r.s.IDs)-1]
		if first, twice := r.seen[id]; twice {
			r.fault(line, r.c.ID, id, fmt.Sprintf("an id of its own; line %d has the same", first))
		} else {
			r.seen[id] = line
		}
	}
	for k := range r.s.By {
		by := &r.s.By[k]
		value := cell(by.Column)
		group, err := by.group(value)
		if err != nil {
			r.fault(line, by.Column, value, err.Error())
		}
		by.Values = append(by.Values, strings.Clone(group))
	}
	for k := range r.s.Labels {
		l := &r.s.Labels[k]
		value := r.label(line, l.Name, cell(l.Name))
		l.Values = append(l.Values, value)
		for j := range l.Scores {
			s := &l.Scores[j]
			s.Values = append(s.Values, r.score(line, s.Name, cell(s.Name), value))
		}
	}
	r.s.Rows++
}

func (r *scoreReader) label(line int, column, value string) int8 {
	switch value {
	case "1", "1.0":
		return Positive
	case "0", "0.0":
		return Negative
	case "":
		return Unknown
	}
	r.fault(line, column, value, "1, 0 or empty")
	return Unknown
}

func (r *scoreReader) score(line int, column, value string, label int8) float64 {
	if value == "" && label == Unknown {
		return math.NaN()
	}
	score, err := strconv.ParseFloat(value, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) || math.IsNaN(score) {
		r.fault(line, column, value, "a number")
	}
	return score
}

func (r *scoreReader) finish() (*Scores, error) {
	if r.more > 0 {
		r.faults = append(r.faults, fmt.Errorf("evaluate: %s: and %d more", r.c.File, r.more))
	}
	for _, by := range r.s.By {
		if n := len(by.groups(by.Values)); n > MaxSubgroups {
			r.faults = append(r.faults, fmt.Errorf("evaluate: %s: column %q has %d values: want at most %d; bands of numbers are made with cuts, as in --by age:40,65", r.c.File, by.Column, n, MaxSubgroups))
		}
	}
	if r.s.Rows == 0 && r.faults == nil {
		r.faults = append(r.faults, fmt.Errorf("evaluate: %s: no rows under the header", r.c.File))
	}
	if r.faults != nil {
		return nil, errors.Join(r.faults...)
	}
	return r.s, nil
}
