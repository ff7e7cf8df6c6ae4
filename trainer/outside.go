package trainer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/gonum/blas/blas32"
)

// Scores holds what others say of n samples, such as a reader or another model.
type Scores struct {
	// Names are those of the columns, Classes what each speaks of: the greater a
	// score, the likelier the finding. They may have any scale.
	Names, Classes []string
	Rows           [][]float64 // n × len(Names)

	mean, dev []float64 // of the training part
}

func (s *Scores) validate(n int, y Targets) error {
	if len(s.Names) == 0 || len(s.Classes) != len(s.Names) || len(s.Rows) != n {
		return fmt.Errorf("%d rows of %d outside scores of %d classes for %d vectors: want as many rows, and at least 1 score", len(s.Rows), len(s.Names), len(s.Classes), n)
	}
	for k, name := range s.Names {
		if name == "" || slices.Contains(s.Names[:k], name) {
			return fmt.Errorf("outside score %q: want names, each once", name)
		}
		if !slices.Contains(y.Classes, s.Classes[k]) {
			return fmt.Errorf("outside score %q of %q: want one of %q", name, s.Classes[k], y.Classes)
		}
	}
	for i, row := range s.Rows {
		if len(row) != len(s.Names) {
			return fmt.Errorf("row %d: %d scores for %d names", i, len(row), len(s.Names))
		}
		for k, v := range row {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("row %d: %q = %v: want a finite score", i, s.Names[k], v)
			}
		}
	}
	return nil
}

// learn notes mean and deviation of each column.
func (s *Scores) learn() {
	s.mean, s.dev = make([]float64, len(s.Names)), make([]float64, len(s.Names))
	for k := range s.Names {
		for i, row := range s.Rows {
			s.mean[k] += (row[k] - s.mean[k]) / float64(i+1)
		}
		for _, row := range s.Rows {
			s.dev[k] = math.Hypot(s.dev[k], (row[k]-s.mean[k])/math.Sqrt(float64(len(s.Rows))))
		}
		if !(s.dev[k] > 1e-12*math.Abs(s.mean[k])) {
			s.dev[k] = 1
		}
	}
}

// of lists the columns that speak of a class; none of nil.
func (s *Scores) of(class string) (columns []int) {
	if s == nil {
		return nil
	}
	for k, c := range s.Classes {
		if c == class {
			columns = append(columns, k)
		}
	}
	return columns
}

func (s *Scores) scaled(i, k int) float64 { return (s.Rows[i][k] - s.mean[k]) / s.dev[k] }

// weigh puts the weight of a column behind those of the vector; the encoding
// scales it as scaled does.
func (s *Scores) weigh(k int, weight float64, w []float64, e *Encoding) {
	place := len(w) - e.Width()
	for c := range k {
		place += e.Columns[c].width()
	}
	w[place] += weight
}

// encoding makes covariates of the scores, so that a head that has them is kept and
// used as one with covariates is.
func (s *Scores) encoding() *Encoding {
	e := &Encoding{}
	for k, name := range s.Names {
		e.Columns = append(e.Columns, CovariateColumn{Name: name, Mean: s.mean[k], Dev: s.dev[k]})
	}
	return e
}

// FitWithScores trains an [Ensemble] of o.Members and of outside scores, one row for
// each of x. On samples that the members were not fitted on, those of o.Validation
// or else the cross-validated ones, the logits of each member and each column of
// scores are brought to one scale by Platt's line, and weighed as those of an
// ensemble are: positive weights that add up to one, with the least log-loss. A
// column that says nothing gets about no weight, and a line that falls is not
// fitted: a score that speaks against its finding must be turned round first.
//
// The head scores what [Head.Covariates] joins; a score that is missing there
// counts as the mean. It is calibrated by its lines, and so takes no calibration.
// Classes must not exclude one another.
func FitWithScores(ctx context.Context, x blas32.General, s Scores, y Targets, groups []string, o Options) (*Head, error) {
	o.Head = Ensemble
	errs := []error{s.validate(x.Rows, y), y.validate(x.Rows), checkGroups(groups, x.Rows)}
	if y.Exclusive {
		errs = append(errs, errors.New("outside scores are for findings, and these classes exclude one another"))
	}
	if o.Calibrate != "" || o.Thresholds != nil {
		errs = append(errs, errors.New("an ensemble with outside scores is calibrated already; leave calibration and thresholds out"))
	}
	if v := o.Validation; v != nil {
		if v.Scores == nil || !slices.Equal(v.Scores.Names, s.Names) || !slices.Equal(v.Scores.Classes, s.Classes) {
			errs = append(errs, errors.New("the validation part has other outside scores: want the same"))
		} else {
			errs = append(errs, v.Scores.validate(v.X.Rows, v.Y))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("trainer: fit: %w", err)
	}
	known := Scores{Names: s.Names, Classes: s.Classes}
	for i, values := range y.Values {
		if slices.ContainsFunc(values, func(v int8) bool { return v != Unknown }) {
			known.Rows = append(known.Rows, s.Rows[i])
		}
	}
	if len(known.Rows) == 0 {
		return nil, fmt.Errorf("trainer: fit: %w", y.oneSided())
	}
	known.learn()
	if v := o.Validation; v != nil {
		own, scores := *v, *v.Scores
		scores.mean, scores.dev = known.mean, known.dev
		own.Scores, o.Validation = &scores, &own
	}
	o.scores = &known
	return Fit(ctx, x, y, groups, o)
}

// calibrate brings the members of a stack to one scale, by Platt's line each.
func (s *stack) calibrate() []Calibration {
	labels := make([]int8, len(s.class))
	for i, k := range s.class {
		labels[i] = int8(k)
	}
	lines := make([]Calibration, s.members)
	for m := range lines {
		z := make([]float64, len(s.z))
		for i, row := range s.z {
			z[i] = row[m]
		}
		lines[m] = calibrate(Platt, z, labels)
		for _, row := range s.z {
			row[m] = lines[m].Slope*row[m] + lines[m].Intercept
		}
	}
	return lines
}

// Covariates are the scores as [Encoding.Join] wants them.
func (s *Scores) Covariates() Covariates {
	c := Covariates{Names: s.Names, Rows: make([][]string, len(s.Rows))}
	for i, row := range s.Rows {
		for _, v := range row {
			c.Rows[i] = append(c.Rows[i], strconv.FormatFloat(v, 'g', -1, 64))
		}
	}
	return c
}
