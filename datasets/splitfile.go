package datasets

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/medprobe/medprobe/internal/near"
	"github.com/medprobe/medprobe/internal/texttab"
)

// Division is what a split file says of every sample: so little that others can
// repeat a split and a draw exactly.
type Division struct {
	// Parts has one entry per sample.
	Parts []string
	// Folds holds the folds of each repeat, from 1; 0 is none.
	Folds [][]int
	// Shots holds, for each sample and class, the rank at which it is drawn, from
	// 1; 0 is never. Draws of k shots take ranks 1 to k. Where classes exclude
	// one another a sample has one rank, under each of them.
	Shots [][]int
}

// shotsColumn heads the ranks; of findings that do not exclude one another,
// there is a column for each, with the finding's name behind a colon.
const shotsColumn = "shots"

// WriteDivision writes a table, .csv or .parquet, with the columns id, split,
// fold (fold2 and so on for repeats) and shots, as far as the division has them.
func WriteDivision(path string, d *Dataset, v Division) error {
	n := len(d.Samples)
	ids := make([]string, n)
	for i := range ids {
		ids[i] = d.Samples[i].ID
	}
	columns := []texttab.Column{{Name: "id", Texts: ids}}
	if v.Parts != nil {
		columns = append(columns, texttab.Column{Name: "split", Texts: v.Parts})
	}
	for r, folds := range v.Folds {
		name := "fold"
		if r > 0 {
			name += strconv.Itoa(r + 1)
		}
		columns = append(columns, texttab.Column{Name: name, Texts: texts(folds)})
	}
	if v.Shots != nil {
		for c, class := range d.Classes {
			name := shotsColumn + ":" + class
			if d.Exclusive() || len(d.Classes) == 1 {
				name = shotsColumn
			}
			ranks := make([]int, n)
			for i := range ranks {
				if v.Shots[i] != nil {
					ranks[i] = v.Shots[i][c]
				}
			}
			columns = append(columns, texttab.Column{Name: name, Texts: texts(ranks)})
			if d.Exclusive() {
				break
			}
		}
	}
	return texttab.Write(path, columns)
}

// texts writes numbers, and nothing for 0.
func texts(numbers []int) []string {
	out := make([]string, len(numbers))
	for i, n := range numbers {
		if n != 0 {
			out[i] = strconv.Itoa(n)
		}
	}
	return out
}

// readSplit takes parts and ranks from the table that the spec names.
func (d *Dataset) readSplit(s Spec) error {
	t, err := openTable(Spec{}, s.SplitFile)
	if err != nil {
		return fmt.Errorf("datasets: split file %w", err)
	}
	r := &divisionReader{table: t, dataset: d, spec: s, shots: map[int][]int{}}
	if err := r.columns(); err != nil {
		return fmt.Errorf("datasets: split file %s: %w", s.SplitFile, err)
	}
	if err := r.read(); err != nil {
		return fmt.Errorf("datasets: split file %w", err)
	}
	return nil
}

type divisionReader struct {
	*table
	dataset   *Dataset
	spec      Spec
	id, split int
	fold      int
	// shots holds the classes of each column of ranks.
	shots map[int][]int
}

func (r *divisionReader) columns() error {
	var err error
	if r.id, err = r.find("id", "id", nil); err != nil {
		return err
	}
	r.split = slices.Index(r.header, "split")
	r.fold = slices.Index(r.header, "fold")
	for i, name := range r.header {
		switch class, ok := strings.CutPrefix(name, shotsColumn+":"); {
		case name == shotsColumn:
			for c := range r.dataset.Classes {
				r.shots[i] = append(r.shots[i], c)
			}
		case ok:
			if err := near.Check("finding of the column "+name, class, r.dataset.Classes); err != nil {
				return err
			}
			r.shots[i] = []int{slices.Index(r.dataset.Classes, class)}
		}
	}
	switch {
	case r.spec.Fold > 0 && r.fold < 0:
		return fmt.Errorf("no column fold, and fold: %d is asked for", r.spec.Fold)
	case r.spec.Fold == 0 && r.split < 0:
		return errors.New("no column split; where there is fold, the key fold says which is tested on")
	}
	return nil
}

func (r *divisionReader) read() error {
	place := map[string]int{}
	for i := range r.dataset.Samples {
		place[r.dataset.Samples[i].ID] = i
		r.dataset.Samples[i].Split = ""
	}
	met, strangers, seen := map[int]bool{}, 0, map[int]bool{}
	for row, err := range r.rows(context.Background()) {
		if err != nil {
			return err
		}
		i, ok := place[row.fields[r.id]]
		if !ok {
			strangers++
			continue
		}
		if met[i] {
			return fmt.Errorf("%s: the id %q stands twice", r.at(row.line), row.fields[r.id])
		}
		met[i] = true
		fold, err := r.sample(&r.dataset.Samples[i], row)
		if err != nil {
			return fmt.Errorf("%s: %w", r.at(row.line), err)
		}
		seen[fold] = true
	}
	if r.spec.Fold > 0 && !seen[r.spec.Fold] {
		return fmt.Errorf("%s: no sample is in fold %d", r.path, r.spec.Fold)
	}
	if n := len(r.dataset.Samples) - len(met); n > 0 {
		r.dataset.problem(r.path, "%d of %d samples do not stand in the split file and are in no part", n, len(r.dataset.Samples))
	}
	if strangers > 0 {
		r.dataset.problem(r.path, "%d ids of the split file are of no sample", strangers)
	}
	if len(met) == 0 {
		return fmt.Errorf("%s: no id is of a sample; the first sample is %q", r.path, r.dataset.Samples[0].ID)
	}
	return nil
}

// sample takes what a row says of its sample and returns its fold.
func (r *divisionReader) sample(s *Sample, row row) (fold int, err error) {
	number := func(column int) (int, error) {
		text := strings.TrimSpace(row.fields[column])
		if text == "" {
			return 0, nil
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return 0, fmt.Errorf("%s = %q: want a number", r.header[column], text)
		}
		return n, nil
	}
	if r.split >= 0 {
		s.Split = splitName(strings.TrimSpace(row.fields[r.split]))
	}
	if r.spec.Fold > 0 {
		if fold, err = number(r.fold); err != nil {
			return 0, err
		}
		switch fold {
		case 0:
			s.Split = ""
		case r.spec.Fold:
			s.Split = "test"
		default:
			s.Split = "train"
		}
	}
	for column, classes := range r.shots {
		rank, err := number(column)
		if err != nil {
			return 0, err
		}
		if s.Shots == nil {
			s.Shots = make([]int, len(r.dataset.Classes))
		}
		for _, c := range classes {
			s.Shots[c] = rank
		}
	}
	return fold, nil
}

func (s Spec) checkSplit() error {
	if _, _, ok := cutPair(s.Holdout); s.Holdout != "" && !ok {
		return fmt.Errorf("holdout %q: want COLUMN=VALUE, such as site=B", s.Holdout)
	}
	if _, ok := day(s.After); s.After != "" && !ok {
		return fmt.Errorf("after %q: want a day such as 2020-01-01", s.After)
	}
	if s.Fold < 0 || s.Fold > 0 && s.SplitFile == "" {
		return fmt.Errorf("fold %d: want the number of a fold of a split_file", s.Fold)
	}
	if s.SplitFile != "" && (s.Holdout != "" || s.After != "") {
		return errors.New("split_file and holdout or after exclude one another")
	}
	return nil
}
