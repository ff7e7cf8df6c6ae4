package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/medprobe/medprobe/evaluate"
	"github.com/medprobe/medprobe/internal/near"
	"github.com/medprobe/medprobe/internal/texttab"
	"github.com/medprobe/medprobe/trainer"
	"github.com/spf13/cobra"
	"gonum.org/v1/gonum/blas/blas32"
)

// fitKinds lists the heads that fit knows, those of values last.
func fitKinds() []string { return append(trainer.Kinds(), trainer.ValueKinds()...) }

// fitValues trains a head of continuous targets.
func (f *fitFlags) fitValues(cmd *cobra.Command, x blas32.General) (*trainer.Head, error) {
	table, err := readTable(f.labels)
	if err != nil {
		return nil, err
	}
	if len(table.rows) != x.Rows {
		return nil, fmt.Errorf("%s has %d rows and %s %d: want one row of values per vector", f.features, x.Rows, f.labels, len(table.rows))
	}
	var groups []string
	if f.groups != "" {
		if groups, err = table.column(f.groups); err != nil {
			return nil, err
		}
	}
	v := trainer.Values{Rows: make([][]float64, len(table.rows))}
	for _, name := range table.header {
		if name == f.groups {
			continue
		}
		numbers, err := table.numbers(name)
		if err != nil {
			return nil, err
		}
		v.Names = append(v.Names, name)
		for i, number := range numbers {
			v.Rows[i] = append(v.Rows[i], number)
		}
	}
	if err := f.readPrior(); err != nil {
		return nil, err
	}
	return trainer.FitValues(cmd.Context(), x, v, groups, f.options)
}

func (s *settings) evaluateValuesCommand() *cobra.Command {
	var truth, predicted, group string
	var resamples int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "values V.csv",
		Short: "R², MAE and Spearman of predicted values",
		Long: `Values reads a table, CSV or Parquet, with a column of true values and one of predicted
ones, and prints R², mean absolute error and Spearman's correlation with intervals from
a bootstrap over the units of --group. Rows in which either is empty are left out, and counted.`,
		Example: "  medprobe evaluate values V.csv --truth crp --predicted crp_predicted --group patient",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := needFlags(cmd, "truth", "predicted"); err != nil {
				return err
			}
			if resamples < evaluate.MinResamples || resamples > evaluate.MaxResamples {
				return usagef(cmd, "--resamples %d: want %d to %d", resamples, evaluate.MinResamples, evaluate.MaxResamples)
			}
			table, err := readTable(args[0])
			if err != nil {
				return err
			}
			y, errY := table.numbers(truth)
			p, errP := table.numbers(predicted)
			var groups []string
			var errG error
			if group != "" {
				groups, errG = table.column(group)
			}
			if err := errors.Join(errY, errP, errG); err != nil {
				return err
			}
			n := len(y)
			for i := n - 1; i >= 0; i-- {
				if math.IsNaN(y[i]) || math.IsNaN(p[i]) {
					y, p = slices.Delete(y, i, i+1), slices.Delete(p, i, i+1)
					if groups != nil {
						groups = slices.Delete(groups, i, i+1)
					}
				}
			}
			figures, err := evaluate.Values(cmd.Context(), y, p, groups, evaluate.Bootstrap{Resamples: resamples, Seed: s.seed})
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if asJSON {
				return s.json(struct {
					evaluate.ValueFigures
					LeftOut int `json:"left_out"`
				}{figures, n - len(y)})
			}
			return s.showValues(figures, n-len(y))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&truth, "truth", "", "column of true values (required)")
	flags.StringVar(&predicted, "predicted", "", "column of predicted values (required)")
	flags.StringVar(&group, "group", "", "column of the unit that is independent, such as the patient")
	flags.IntVar(&resamples, "resamples", 2000, "how often to resample")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (s *settings) showValues(f evaluate.ValueFigures, leftOut int) error {
	w := tabwriter.NewWriter(s.out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "FIGURE\tVALUE\t%g %% INTERVAL\tN\t%sS\n", 100*f.R2.Level, strings.ToUpper(f.R2.Unit))
	for _, row := range []struct {
		name string
		e    evaluate.Estimate
	}{{"R²", f.R2}, {"MAE", f.MAE}, {"Spearman", f.Spearman}} {
		fmt.Fprintf(w, "%s\t%.4g\t%.4g to %.4g\t%d\t%d\n", row.name, row.e.Point, row.e.Low, row.e.High, row.e.N, row.e.Units)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, warning := range f.R2.Warnings {
		s.note("%s", warning.Text)
	}
	if leftOut > 0 {
		s.note("rows without a true or predicted value, left out: %d", leftOut)
	}
	return nil
}

// textTable is a table whose cells are not looked at yet.
type textTable struct {
	path   string
	header []string
	rows   [][]string
}

func readTable(path string) (t *textTable, err error) {
	file, err := texttab.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	defer closing(file, &err)
	reader := csv.NewReader(file)
	t = &textTable{path: path}
	if t.header, err = reader.Read(); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("an empty table")
		}
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	t.header[0] = strings.TrimPrefix(t.header[0], "\ufeff")
	for k, name := range t.header {
		if slices.Contains(t.header[:k], name) {
			return nil, fmt.Errorf("%s: column %q stands twice", path, name)
		}
	}
	if t.rows, err = reader.ReadAll(); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return t, nil
}

// column returns the cells of a column.
func (t *textTable) column(name string) ([]string, error) {
	k := slices.Index(t.header, name)
	if k < 0 {
		return nil, fmt.Errorf("%s: no column %q%s", t.path, name, near.Hint(name, t.header))
	}
	cells := make([]string, len(t.rows))
	for i, row := range t.rows {
		cells[i] = row[k]
	}
	return cells, nil
}

// numbers returns a column of numbers; NaN where the cell is empty.
func (t *textTable) numbers(name string) ([]float64, error) {
	cells, err := t.column(name)
	if err != nil {
		return nil, err
	}
	numbers := make([]float64, len(cells))
	for i, cell := range cells {
		if strings.TrimSpace(cell) == "" {
			numbers[i] = math.NaN()
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(cell), 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("%s: row %d: %q = %q: want a finite number, or nothing where it is not known", t.path, i+1, name, cell)
		}
		numbers[i] = v
	}
	return numbers, nil
}

// joinCovariates joins a table of covariates to vectors, as the head wants them.
func joinCovariates(head *trainer.Head, x blas32.General, path string) (blas32.General, error) {
	switch {
	case head.Covariates == nil && path == "":
		return x, nil
	case head.Covariates == nil:
		return x, errors.New("the head was fitted without covariates; leave --covariates out")
	case path == "":
		return x, fmt.Errorf("the head was fitted with the covariates %q: name their table with --covariates", head.Covariates.Names())
	}
	table, err := readTable(path)
	if err != nil {
		return x, err
	}
	return head.Covariates.Join(x, trainer.Covariates{Names: table.header, Rows: table.rows})
}
