package trainer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/gonum/blas/blas32"
)

// maxLevels is how many levels a column of words may have; with more it is
// rather a name of something.
const maxLevels = 50

// Covariates holds clinical attributes of n samples, such as age and sex, as
// they were written; an empty cell is missing.
type Covariates struct {
	Names []string
	Rows  [][]string // n × len(Names)
}

// Encoding says how covariates become numbers, as the training part taught it.
type Encoding struct {
	Columns []CovariateColumn `json:"columns"`
}

// CovariateColumn is one covariate. Numbers become (v − Mean)/Dev, and 0 where
// they are missing; words one column of 0 and 1 for each of Levels, all 0 for a
// level that training did not see. A last column is 1 where the cell is empty.
type CovariateColumn struct {
	Name   string   `json:"name"`
	Levels []string `json:"levels,omitempty"`
	Mean   float64  `json:"mean,omitempty"`
	Dev    float64  `json:"dev,omitempty"` // 0 for words
}

func (c *CovariateColumn) width() int { return 1 + max(1, len(c.Levels)) }

func (c *CovariateColumn) validate() error {
	number := c.Dev > 0 && len(c.Levels) == 0
	for _, v := range []float64{c.Mean, c.Dev} {
		number = number && !math.IsInf(v, 0) && !math.IsNaN(v)
	}
	if c.Name == "" || !number && len(c.Levels) == 0 || len(c.Levels) > maxLevels {
		return fmt.Errorf("covariate %q with %d levels, mean %v and deviation %v: want up to %d levels, or a mean and a positive deviation", c.Name, len(c.Levels), c.Mean, c.Dev, maxLevels)
	}
	return nil
}

// Names lists the covariates.
func (e *Encoding) Names() []string {
	names := make([]string, len(e.Columns))
	for k, c := range e.Columns {
		names[k] = c.Name
	}
	return names
}

// Width is how many numbers the covariates of a sample become.
func (e *Encoding) Width() int {
	width := 0
	for k := range e.Columns {
		width += e.Columns[k].width()
	}
	return width
}

func (c Covariates) validate(n int) error {
	if len(c.Names) == 0 || len(c.Rows) != n {
		return fmt.Errorf("%d rows of %d covariates for %d vectors: want as many rows, and at least 1 covariate", len(c.Rows), len(c.Names), n)
	}
	for k, name := range c.Names {
		if slices.Contains(c.Names[:k], name) {
			return fmt.Errorf("covariate %q stands twice", name)
		}
	}
	for i, row := range c.Rows {
		if len(row) != len(c.Names) {
			return fmt.Errorf("row %d: %d cells for %d covariates", i, len(row), len(c.Names))
		}
	}
	return nil
}

// newEncoding learns means, deviations and levels from the rows. A column all of
// whose cells that are not empty are numbers is one of numbers.
func newEncoding(c Covariates) (*Encoding, error) {
	e := &Encoding{}
	for k, name := range c.Names {
		column := CovariateColumn{Name: name}
		var numbers []float64
		words := false
		for _, row := range c.Rows {
			cell := strings.TrimSpace(row[k])
			if cell == "" {
				continue
			}
			v, err := strconv.ParseFloat(cell, 64)
			words = words || err != nil || math.IsNaN(v) || math.IsInf(v, 0)
			numbers = append(numbers, v)
			if !slices.Contains(column.Levels, cell) && len(column.Levels) <= maxLevels {
				column.Levels = append(column.Levels, cell)
			}
		}
		switch {
		case len(numbers) == 0:
			return nil, fmt.Errorf("covariate %q is empty in every row: leave it out", name)
		case words && nearlyNumber(c.Rows, k) != "":
			return nil, fmt.Errorf("covariate %q = %q: want numbers with a point, and nothing where one is not known", name, nearlyNumber(c.Rows, k))
		case words && len(column.Levels) > maxLevels:
			return nil, fmt.Errorf("covariate %q has more than %d levels: want numbers, or fewer words", name, maxLevels)
		case words:
			slices.Sort(column.Levels)
		default:
			column.Levels = nil
			for _, v := range numbers {
				column.Mean += v / float64(len(numbers))
			}
			for _, v := range numbers {
				column.Dev += (v - column.Mean) * (v - column.Mean) / float64(len(numbers))
			}
			if column.Dev = math.Sqrt(column.Dev); column.Dev <= 1e-12*math.Abs(column.Mean) {
				column.Dev = 1
			}
			if err := column.validate(); err != nil {
				return nil, err
			}
		}
		e.Columns = append(e.Columns, column)
	}
	return e, nil
}

// Join returns the rows of x, n×D, each with the numbers that its covariates
// become, n×(D+[Encoding.Width]). The covariates are those that were learnt, by
// name; a column of numbers that holds a word is an error that names the row.
func (e *Encoding) Join(x blas32.General, c Covariates) (blas32.General, error) {
	if err := c.validate(x.Rows); err != nil {
		return blas32.General{}, fmt.Errorf("trainer: join: %w", err)
	}
	width := x.Cols + e.Width()
	out := blas32.General{Rows: x.Rows, Cols: width, Stride: width, Data: make([]float32, 0, x.Rows*width)}
	places := make([]int, len(e.Columns))
	for k, name := range e.Names() {
		if places[k] = slices.Index(c.Names, name); places[k] < 0 {
			return blas32.General{}, fmt.Errorf("trainer: join: covariate %q is missing: the head was fitted with %q", name, e.Names())
		}
	}
	for i := range x.Rows {
		out.Data = append(out.Data, x.Data[i*x.Stride:i*x.Stride+x.Cols]...)
		for k := range e.Columns {
			numbers, err := e.Columns[k].encode(strings.TrimSpace(c.Rows[i][places[k]]))
			if err != nil {
				return blas32.General{}, fmt.Errorf("trainer: join: row %d: %w", i, err)
			}
			out.Data = append(out.Data, numbers...)
		}
	}
	return out, nil
}

// nearlyNumber returns the first cell of column k that is no number, where all such
// are numbers with a decimal comma, or NA and NaN among numbers: words that nobody
// means. Otherwise it returns "".
func nearlyNumber(rows [][]string, k int) (first string) {
	numbers := 0
	for _, row := range rows {
		cell := strings.TrimSpace(row[k])
		_, asIs := strconv.ParseFloat(cell, 64)
		_, withPoint := strconv.ParseFloat(strings.Replace(cell, ",", ".", 1), 64)
		notKnown := cell == "NA" || strings.EqualFold(cell, "nan")
		switch {
		case cell == "":
		case asIs == nil && !notKnown:
			numbers++
		case withPoint == nil && !notKnown:
			numbers++
			first = cmp.Or(first, cell)
		case notKnown:
			first = cmp.Or(first, cell)
		default:
			return ""
		}
	}
	if numbers == 0 {
		return ""
	}
	return first
}

// encode returns what a cell becomes.
func (c *CovariateColumn) encode(cell string) ([]float32, error) {
	numbers := make([]float32, c.width())
	if cell == "" {
		numbers[len(numbers)-1] = 1
		return numbers, nil
	}
	if c.Levels != nil {
		if k := slices.Index(c.Levels, cell); k >= 0 {
			numbers[k] = 1
		}
		return numbers, nil
	}
	v, err := strconv.ParseFloat(cell, 64)
	if v = (v - c.Mean) / c.Dev; err != nil || !(math.Abs(v) <= math.MaxFloat32) {
		return nil, fmt.Errorf("covariate %q = %q: want a finite number, as in training, or nothing", c.Name, cell)
	}
	numbers[0] = float32(v)
	return numbers, nil
}

// FitJoined trains a head on vectors and covariates: on the rows of x, n×D, with
// the numbers that the covariates become, whose means, deviations and levels are
// those of these rows. D may be 0: the covariates alone. The head is
// [LinearProbe], whose zero-shot score sees the vectors only, or [Logistic]; it
// scores what [Head.Covariates] joins. The rest is as in [Fit].
//
// Numbers have variance one, while the D numbers of a vector of length one share
// a variance below one: covariates are penalised less than an image.
func FitJoined(ctx context.Context, x blas32.General, c Covariates, y Targets, groups []string, o Options) (*Head, error) {
	if o.Head == "" {
		o.Head = LinearProbe
	}
	if !TakesCovariates(o.Head) {
		return nil, fmt.Errorf("trainer: fit: %s takes no covariates: want %s or %s", o.Head, LinearProbe, Logistic)
	}
	if err := c.validate(x.Rows); err != nil {
		return nil, fmt.Errorf("trainer: fit: %w", err)
	}
	e, err := newEncoding(c)
	if err != nil {
		return nil, fmt.Errorf("trainer: fit: %w", err)
	}
	joined, err := e.Join(x, c)
	if err != nil {
		return nil, err
	}
	if o.Prior != nil {
		if o.Prior.T.Cols != x.Cols {
			return nil, fmt.Errorf("trainer: fit: %w", o.Prior.validate(len(y.Classes), x.Cols))
		}
		wide := *o.Prior
		wide.T = blas32.General{Rows: o.Prior.T.Rows, Cols: joined.Cols, Stride: joined.Cols, Data: make([]float32, o.Prior.T.Rows*joined.Cols)}
		for k := range wide.T.Rows {
			copy(wide.T.Data[k*joined.Cols:], o.Prior.T.Data[k*o.Prior.T.Stride:k*o.Prior.T.Stride+x.Cols])
		}
		o.Prior = &wide
	}
	h, err := Fit(ctx, joined, y, groups, o)
	if err != nil {
		return nil, err
	}
	h.Covariates = e
	return h, nil
}

// wanted returns the error of vectors of a width that the head does not take.
func (h *Head) wanted(cols int) error {
	if e := h.Covariates; e != nil && cols == h.W.Cols-e.Width() {
		return fmt.Errorf("trainer: the head was fitted with the covariates %q: give them, too", e.Names())
	}
	return fmt.Errorf("trainer: vectors of %d dimensions for a head of %d", cols, h.W.Cols)
}

// checkCovariates checks what a file says of them.
func (h *Head) checkCovariates() error {
	if h.Covariates == nil {
		return nil
	}
	var errs []error
	for k := range h.Covariates.Columns {
		errs = append(errs, h.Covariates.Columns[k].validate())
	}
	if n := h.Covariates.Width(); n == 0 || n > h.W.Cols {
		errs = append(errs, fmt.Errorf("covariates of %d numbers for a head of %d dimensions: want at most as many", n, h.W.Cols))
	}
	return errors.Join(errs...)
}
