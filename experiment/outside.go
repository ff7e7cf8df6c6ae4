package experiment

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/internal/near"
	"github.com/medprobe/medprobe/internal/texttab"
	"github.com/medprobe/medprobe/trainer"
)

// OutsideScores are columns of a table in which others, such as readers or another
// model, judge the samples.
type OutsideScores struct {
	// File is the table, CSV or Parquet; ID its column of sample ids, default "id".
	File string `yaml:"file"`
	ID   string `yaml:"id"`
	// Columns names a column for each finding that it speaks of; the greater a
	// score, the likelier the finding.
	Columns map[string]string `yaml:"columns"`
}

// withScores is the name of the ensemble that has outside scores.
const withScores = trainer.Ensemble + "+scores"

func (c *Config) checkScores() error {
	var errs []error
	wrong := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("ensemble_scores: "+format, args...))
	}
	if len(c.EnsembleScores) == 0 {
		return nil
	}
	if !slices.Contains(c.Heads, trainer.Ensemble) {
		wrong("without the head %s", trainer.Ensemble)
	}
	if c.Train.Shots != 0 {
		wrong("with train: {shots: %d}: want all of the training part, shots: 0", c.Train.Shots)
	}
	var columns []string
	for _, s := range c.EnsembleScores {
		if s.File == "" || len(s.Columns) == 0 {
			wrong("file %q with columns %v: want a table, and a column for at least one finding", s.File, s.Columns)
		}
		for _, finding := range sortedKeys(s.Columns) {
			if column := s.Columns[finding]; column == "" || slices.Contains(columns, column) {
				wrong("column %q of %q: want names, each once; name the columns of two tables otherwise", column, finding)
			} else {
				columns = append(columns, column)
			}
		}
	}
	return errors.Join(errs...)
}

// findScores returns an error unless the columns speak of findings of the data.
func (c *Config) findScores(d *datasets.Dataset) error {
	var errs []error
	for _, s := range c.EnsembleScores {
		if d.Exclusive() {
			return fmt.Errorf("experiment: ensemble_scores: %d classes exclude one another, and outside scores are for findings; leave them out", len(d.Classes))
		}
		for _, finding := range sortedKeys(s.Columns) {
			if err := near.Check("finding", finding, d.Classes); err != nil {
				errs = append(errs, fmt.Errorf("experiment: ensemble_scores: %w", err))
			}
		}
	}
	return errors.Join(errs...)
}

// outside reads the scores of the rows of the lab, for each of them.
func (l *lab) outside() (all trainer.Scores, notes []string, err error) {
	all.Rows = make([][]float64, len(l.data.Samples))
	for _, s := range l.config.EnsembleScores {
		findings := sortedKeys(s.Columns)
		columns := make([]string, len(findings))
		for k, finding := range findings {
			columns[k] = s.Columns[finding]
		}
		table, digest, err := s.read(columns)
		if err != nil {
			return all, nil, fmt.Errorf("experiment: ensemble_scores: %s: %w", s.File, err)
		}
		var missing []string
		for i := range l.data.Samples {
			id := l.data.Samples[i].ID
			row, ok := table[id]
			if !ok {
				missing = append(missing, id)
				continue
			}
			all.Rows[i] = append(all.Rows[i], row...)
			delete(table, id)
		}
		if len(missing) > 0 {
			return all, nil, fmt.Errorf("experiment: ensemble_scores: %s: no row for %d of %d samples, such as %q: want a score of each that is used", s.File, len(missing), len(l.data.Samples), missing[:min(3, len(missing))])
		}
		all.Names, all.Classes = append(all.Names, columns...), append(all.Classes, findings...)
		note := fmt.Sprintf("the outside scores %q are those of a table with SHA-256 %.16s…", columns, digest)
		if len(table) > 0 {
			note += fmt.Sprintf("; %d of its rows are of no sample that is used", len(table))
		}
		notes = append(notes, note)
	}
	return all, notes, nil
}

// read returns the scores by id, and the digest of the file.
func (s *OutsideScores) read(columns []string) (scores map[string][]float64, digest string, err error) {
	data, err := os.ReadFile(s.File)
	if err != nil {
		return nil, "", err
	}
	file, err := texttab.Open(s.File)
	if err != nil {
		return nil, "", err
	}
	defer file.Close()
	reader := csv.NewReader(file)
	header, err := reader.Read()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("an empty table")
		}
		return nil, "", err
	}
	header[0] = strings.TrimPrefix(header[0], "\ufeff")
	places := make([]int, 0, len(columns))
	for _, name := range append([]string{cmp.Or(s.ID, "id")}, columns...) {
		k := slices.Index(header, name)
		if k < 0 {
			return nil, "", fmt.Errorf("no column %q%s", name, near.Hint(name, header))
		}
		places = append(places, k)
	}
	scores, err = readScores(reader, places, columns)
	return scores, fmt.Sprintf("%x", sha256.Sum256(data)), err
}

// readScores reads the rows of a table: the id stands at the first of the places, the
// scores of the columns at the others.
func readScores(reader *csv.Reader, places []int, columns []string) (map[string][]float64, error) {
	scores := map[string][]float64{}
	for n := 1; ; n++ {
		row, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return scores, nil
		} else if err != nil {
			return nil, err
		}
		name := row[places[0]]
		if _, twice := scores[name]; twice {
			return nil, fmt.Errorf("row %d: the id %q stands twice", n, name)
		}
		for k, place := range places[1:] {
			v, err := strconv.ParseFloat(strings.TrimSpace(row[place]), 64)
			if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
				return nil, fmt.Errorf("row %d: %q = %q: want a finite score", n, columns[k], row[place])
			}
			scores[name] = append(scores[name], v)
		}
	}
}

// some returns the scores of the rows.
func some(s trainer.Scores, rows []int) *trainer.Scores {
	own := &trainer.Scores{Names: s.Names, Classes: s.Classes}
	for _, i := range rows {
		own.Rows = append(own.Rows, s.Rows[i])
	}
	return own
}

// validationOf is what an ensemble of the classes of the set is weighed on; nil
// without a validation part.
func (l *lab) validationOf(set classSet) *trainer.Validation {
	if len(l.validation) == 0 {
		return nil
	}
	y, _ := Targets(l.data, set, l.validation)
	return &trainer.Validation{X: gather(l.x, l.validation), Y: y}
}

// withOutside adds the ensemble of the members and the outside scores, if there
// are any: weighed on validation, or on held-out patients of train.
func (l *lab) withOutside(ctx context.Context, methods []*method) ([]*method, error) {
	if len(l.config.EnsembleScores) == 0 {
		return methods, nil
	}
	all, notes, err := l.outside()
	if err != nil {
		return nil, err
	}
	set := classSet(upTo(len(l.data.Classes)))
	rows, err := l.draw(set, 0, 0)
	if err != nil {
		return nil, fmt.Errorf("experiment: %w", err)
	}
	o := l.fitOptions(trainer.Ensemble, set)
	if o.Validation != nil {
		o.Validation.Scores = some(all, l.validation)
	}
	y, groups := Targets(l.data, set, rows)
	head, err := trainer.FitWithScores(ctx, gather(l.x, rows), *some(all, rows), y, groups, o)
	if err != nil {
		return nil, fmt.Errorf("experiment: %s: %w", withScores, err)
	}
	head.Notes = append(head.Notes, notes...)
	m := &method{name: withScores, head: head}
	for c := range l.data.Classes {
		positives, negatives := l.count(rows, c)
		m.details = append(m.details, fmt.Sprintf("%d positive and %d negative, %v", positives, negatives, head.Fits[c]))
	}
	joined, err := head.Covariates.Join(l.testX, some(all, l.test).Covariates())
	if err != nil {
		return nil, fmt.Errorf("experiment: %s: test: %w", withScores, err)
	}
	return append(methods, m), m.score(joined)
}
