package datasets

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/medprobe/medprobe/internal/near"
)

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

// nearlyNamed returns the first column with nearly one of the names, after a
// space, or "".
func (t *table) nearlyNamed(usual []string) string {
	for _, name := range t.header {
		if strings.Contains(near.Hint(name, usual), "did you mean") {
			return fmt.Sprintf(" %q, perhaps", name)
		}
	}
	return ""
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
	find(&c.frame, "frame", s.FrameColumn, "frame")
	c.label = -1
	for _, name := range s.Labels {
		if s.makes(name) {
			continue
		}
		var i int
		find(&i, "finding", name)
		c.findings = append(c.findings, i)
	}
	if len(s.Labels) > 0 && len(s.Rename) > 0 {
		for old := range s.Rename {
			if i := slices.Index(t.header, old); i >= 0 && !slices.Contains(c.findings, i) {
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
		if slices.Contains(c.findings, i) {
			continue
		}
		if c.attrs = append(c.attrs, i); c.patient < 0 && s.PatientPattern == "" && soundsLikePatient(t.header[i]) {
			d.problem(t.path, "no column was named as the patient, and every row counts as one; if %s says whose an image is, write patient: %s", t.header[i], t.header[i])
		}
	}
	if c.label < 0 && len(c.findings) == 0 && len(c.consent) == 0 && s.Format == labelsOfMatrix {
		return fmt.Errorf("no column holds labels; call the one of class names label:%s, or give columns of 1 and 0 (columns: %s)", t.perhaps(ctx, c.attrs, namesClasses), strings.Join(t.header, ", "))
	}
	if c.label < 0 && len(c.findings) == 0 && len(c.consent) == 0 {
		return fmt.Errorf("no column holds labels; name one column of class names with label:%s, or columns of 1 and 0 with labels: (columns: %s)", t.perhaps(ctx, c.attrs, namesClasses), strings.Join(t.header, ", "))
	}
	return nil
}

// soundsLikePatient reports whether a column's name may be that of the patient.
// It is never taken for it unasked: it may be a patient's age.
func soundsLikePatient(name string) bool {
	short := strings.ToLower(strings.NewReplacer("_", "", "-", "", " ", "", ".", "").Replace(name))
	return slices.Contains([]string{"patient", "patientno", "patientnumber", "patientname", "patientkey", "pat", "pid", "patid", "patno", "patnr", "patientnr", "ptid", "mrn", "subj", "subjid", "subjectno", "case", "caseid", "person", "personid"}, short)
}

// findingColumns returns the columns that hold nothing but label values, and
// says which nearly do: a mistyped cell must not take a finding away in silence.
func (t *table) findingColumns(ctx context.Context, free []int) (found []int, nearly []string, err error) {
	said, wrong, firstWrong := make([]int, len(t.header)), make([]int, len(t.header)), make([]string, len(t.header))
	formatted := make([]int, len(t.header)) // of the wrong ones
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
				if numberFormatted(r.fields[i]) {
					formatted[i]++
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
		case wrong[i] > 0 && wrong[i] == formatted[i]:
			nearly = append(nearly, fmt.Sprintf("the column %s is not taken for a finding: %s; format its cells as numbers, 1 and 0, and save the table again", t.header[i], firstWrong[i]))
		case said[i] >= 5*wrong[i] && said[i] > 0:
			nearly = append(nearly, fmt.Sprintf("the column %s is not taken for a finding: %s (%d such cells, %d with 1, 0 or -1); mend it, or name the findings with labels:", t.header[i], firstWrong[i], wrong[i], said[i]))
		}
	}
	return found, nearly, nil
}

// numberFormatted reports whether a cell is 1, 0 or -1 as a spreadsheet may show
// it: with a decimal comma, or in percent.
func numberFormatted(field string) bool {
	share, percent := strings.CutSuffix(strings.TrimSpace(field), "%")
	x, err := strconv.ParseFloat(strings.ReplaceAll(strings.TrimSpace(share), ",", "."), 64)
	if err == nil && percent {
		x /= 100
	}
	return err == nil && (x == 1 || x == 0 || x == -1)
}

func parseLabel(field string) (Label, error) {
	label, ok := labelOf(field)
	if !ok && numberFormatted(field) {
		return Missing, fmt.Errorf("%q: want 1, 0, -1 or empty; format its cells as numbers and save the table again", field)
	}
	if !ok {
		return Missing, fmt.Errorf("%q: want 1, 0, -1 or empty; a column of words is named under label", field)
	}
	return label, nil
}

// isNotKnown reports whether a cell is empty, or one that pandas or R wrote where
// nothing was known.
func isNotKnown(field string) bool {
	return field == "" || field == "NA" || strings.EqualFold(field, "nan")
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
	switch { // as pandas, Polars and R write what is missing, and truth
	case isNotKnown(field):
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

func firstOf(names, usual []string) string {
	for _, name := range usual {
		if slices.Contains(names, name) {
			return name
		}
	}
	return ""
}
