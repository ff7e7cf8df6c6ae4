package datasets

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/medprobe/medprobe/internal/near"
)

// Regression is the task of data whose labels are numbers, such as laboratory
// values: Classes names them, and Sample.Values holds them. Nothing is positive
// or negative of them.
const Regression Task = "regression"

// checkTask checks what is said of data with numbers for labels.
func (s Spec) checkTask() error {
	if s.Task == "" {
		return nil
	}
	if err := near.Check("task", s.Task, []string{string(Regression)}); err != nil {
		return err
	}
	var errs []error
	wrong := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("task: regression: "+format, args...))
	}
	if len(s.Labels) == 0 {
		wrong("name the columns of numbers with labels:")
	}
	for _, field := range []struct {
		key  string
		said bool
	}{
		{"label", s.Label != ""}, {"label_separator", s.LabelSeparator != ""}, {"unlisted", s.Unlisted != ""}, {"consensus", len(s.Consensus) > 0},
		{"rename", len(s.Rename) > 0}, {"uncertain", s.Uncertain.said()}, {"missing", s.Missing.said()},
		{"no_finding_implies_negative", s.NoFindingImpliesNegative}, {"classes", len(s.Classes) > 0}, {"positive", s.Positive != ""},
	} {
		if field.said {
			wrong("%s: is for findings; leave it out", field.key)
		}
	}
	return errors.Join(errs...)
}

func (b ByFinding) said() bool { return b.Default != "" || len(b.Each) > 0 }

// values reads the numbers of a row; NaN where a cell is empty.
func (t *rowReader) values(r row, s *Sample) error {
	s.Labels, s.Values = make([]Label, len(t.findings)), make([]float64, len(t.findings))
	for k, i := range t.findings {
		text := strings.TrimSpace(r.fields[i])
		if isNotKnown(text) {
			s.Values[k] = math.NaN()
			continue
		}
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("%s = %q: want a finite number, or nothing where it is not known", t.header[i], r.fields[i])
		}
		s.Values[k] = v
	}
	return nil
}

// ValueCounts says what stands for one label that is a number. Least, Greatest
// and Mean are of the known ones, and 0 where there are none.
type ValueCounts struct {
	Known    int     `json:"known"`
	Missing  int     `json:"missing"`
	Least    float64 `json:"least"`
	Greatest float64 `json:"greatest"`
	Mean     float64 `json:"mean"`
}

func (c *ValueCounts) add(v float64) {
	if math.IsNaN(v) {
		c.Missing++
		return
	}
	if c.Known++; c.Known == 1 {
		c.Least, c.Greatest = v, v
	}
	c.Least, c.Greatest = min(c.Least, v), max(c.Greatest, v)
	c.Mean += (v - c.Mean) / float64(c.Known)
}

// valueTexts are the values for a digest, "" where one is not known.
func valueTexts(values []float64) []string {
	out := make([]string, len(values))
	for k, v := range values {
		if !math.IsNaN(v) {
			out[k] = strconv.FormatFloat(v, 'g', -1, 64)
		}
	}
	return out
}
