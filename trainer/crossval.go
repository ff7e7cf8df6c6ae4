package trainer

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"
)

const (
	// fewRows is below how many rows the folds are drawn four times.
	fewRows = 40
	repeats = 4
	// fewGroups is up to how many patients each is a fold of its own.
	fewGroups = 10
)

// share is one penalty and its part in the head; near is a solution nearby.
type share struct {
	c, weight float64
	near      solution
}

// chooseAll finds the penalties of the tasks by cross-validation grouped by
// patient: the one of the least held-out loss, or, with a prior, an average over
// the path (see [heldOut.average]). It sets their shares, and in their fits Path
// and, as C, the median of the shares. Where there are too few patients for a
// cross-validation it takes the zero-shot classifier, or C = 1 without a prior,
// with a note.
//
// The problems of all tasks, folds and penalties are solved together, and those
// on all rows with them, which are near the solutions that the head is made of.
func chooseAll(ctx context.Context, tasks []*task) error {
	var problems []*problem
	studies := make([]*study, len(tasks))
	for i, t := range tasks {
		t.fit = ClassFit{Class: t.name, C: t.o.C}
		t.fit.count(t.y)
		if t.name == "" {
			t.fit.Positives, t.fit.Negatives = len(t.y), 0
		}
		if studies[i] = t.study(); studies[i] != nil {
			problems = append(problems, studies[i].problems...)
		}
	}
	if len(problems) == 0 {
		return nil
	}
	d := tasks[0].design
	if d.rows >= raceRows {
		if err := race(ctx, d, tasks, studies, problems); err != nil {
			return err
		}
		problems = slices.DeleteFunc(problems, func(p *problem) bool { return p.lost != nil })
	}
	solutions, err := d.minimize(ctx, problems, selectTolerance)
	if err != nil {
		return err
	}
	for i, t := range tasks {
		if s := studies[i]; s != nil {
			own := make([]solution, len(s.problems))
			for k, p := range s.problems {
				if p.lost != nil {
					own[k] = *p.lost
				} else {
					own[k], solutions = solutions[0], solutions[1:]
				}
			}
			t.choose(s, own)
		}
	}
	return nil
}

const (
	// A candidate is given up after a first look if its held-out loss is greater
	// than the least by a share of farBehind and by farNats in all, which leaves
	// it no weight in any average; with fewer rows than raceRows none is.
	farBehind = 0.1
	farNats   = 60
	raceRows  = 500
)

// race solves the problems of the studies roughly, so that those of candidates
// far behind need not be solved well. They have lost; the others start from
// there. A great C, which fits the noise, takes longest, and a descent ended
// early does better than its end: a candidate far behind is so all the more.
func race(ctx context.Context, d *design, tasks []*task, studies []*study, problems []*problem) error {
	for _, p := range problems {
		p.needed = true
	}
	rough, err := d.minimize(ctx, problems, raceTolerance)
	if err != nil {
		return err
	}
	for i, t := range tasks {
		s := studies[i]
		if s == nil {
			continue
		}
		own := rough[:len(s.problems)]
		rough = rough[len(own):]
		held := t.heldOut(s, own)
		path := held.path(s.grid)
		least := math.Inf(1)
		for _, p := range path {
			least = min(least, p.Loss)
		}
		perFold := len(s.grid) - t.zeros(s)
		for k, p := range s.problems {
			at := path[t.zeros(s)+k%perFold]
			if at.Excess > farBehind*least && at.Excess*held.rows > farNats {
				p.lost = &own[k]
			} else {
				p.start, p.reference, p.taken = own[k].params, own[k].reference, own[k].iterations
				p.needed = k >= len(s.folds)*perFold
			}
		}
	}
	return nil
}

// study is the cross-validation of one task.
type study struct {
	grid  []float64
	folds [][]int
	// problems are those of each fold, and then of all rows, with each C of the
	// grid but 0; zero is the model for that one by fold.
	problems []*problem
	zero     []*calibrated
}

// study returns the cross-validation that a task asks for; or nil, with the
// task's shares set, if it asks for none.
func (t *task) study() *study {
	s := &study{grid: t.o.candidates(t.base != nil)}
	only := func(c float64, note string) *study {
		t.fit.C, t.note, t.shares = c, note, []share{{c: c, weight: 1}}
		return nil
	}
	if t.o.C != 0 {
		return only(t.o.C, "")
	}
	if len(s.grid) == 1 {
		return only(s.grid[0], "")
	}
	if s.folds = t.folds(); s.folds == nil {
		if t.base != nil {
			return only(0, t.title()+": too few patients to choose λ by cross-validation, the zero-shot classifier is kept")
		}
		return only(1, t.title()+": too few patients to choose C by cross-validation, C = 1 is taken")
	}
	for _, fold := range append(slices.Clone(s.folds), nil) {
		m := t.calibrated(t.without(fold))
		s.zero = append(s.zero, m)
		held := make([]int, len(fold))
		for k, r := range fold {
			held[k] = t.rows[r]
		}
		for _, c := range s.grid {
			if t.base != nil && c == 0 {
				continue
			}
			p := m.problem(c)
			p.held, p.needed = held, fold == nil
			s.problems = append(s.problems, p)
		}
	}
	return s
}

// without returns the rows of the task but those of the fold.
func (t *task) without(fold []int) []int {
	held := make([]bool, len(t.rows))
	for _, r := range fold {
		held[r] = true
	}
	var rows []int
	for r := range t.rows {
		if !held[r] {
			rows = append(rows, r)
		}
	}
	return rows
}

// choose sets the shares of the task by the solutions of its study.
func (t *task) choose(s *study, solutions []solution) {
	t.fit.Chosen, t.fit.Path = true, t.heldOut(s, solutions).path(s.grid)
	if t.base != nil {
		t.departure(s, solutions).leave(t.fit.Path)
	}
	near := solutions[len(solutions)-len(s.grid)+t.zeros(s):]
	half := 0.5
	for g, p := range t.fit.Path {
		if p.Weight == 0 {
			continue
		}
		one := share{c: p.C, weight: p.Weight}
		if k := g - t.zeros(s); k >= 0 {
			one.near = near[k]
		}
		t.shares = append(t.shares, one)
		if half > 0 {
			t.fit.C = p.C
		}
		half -= p.Weight
	}
}

// zeros counts the λ = ∞ that a study has, first in its grid.
func (t *task) zeros(s *study) int {
	if t.base != nil && s.grid[0] == 0 {
		return 1
	}
	return 0
}

// heldOut holds held-out losses, summed over each patient's rows: one row per
// candidate, one column per patient in the order of their names.
type heldOut struct {
	losses [][]float64
	rows   float64     // rows that were held out
	folds  [][]float64 // mean loss of each candidate on each fold
}

// heldOut gathers the losses of every candidate on every fold when fitted on the
// others. Rows held out in several repeats count their mean; rows that no fold
// could hold out are left out.
func (t *task) heldOut(s *study, solutions []solution) *heldOut {
	times := make([]float64, len(t.rows))
	for _, fold := range s.folds {
		for _, r := range fold {
			times[r]++
		}
	}
	column := map[string]int{}
	for _, name := range slices.Compact(slices.Sorted(slices.Values(t.group))) {
		column[name] = len(column)
	}
	h := &heldOut{losses: make([][]float64, len(s.grid))}
	h.folds = make([][]float64, len(s.grid))
	for g := range s.grid {
		h.losses[g], h.folds[g] = make([]float64, len(column)), make([]float64, len(s.folds))
	}
	for i, fold := range s.folds {
		for g := range s.grid {
			var losses []float64
			if g < t.zeros(s) {
				losses = s.zero[i].losses(fold)
			} else {
				losses, solutions = solutions[0].held, solutions[1:]
			}
			for k, r := range fold {
				h.losses[g][column[t.group[r]]] += t.weight[r] * losses[k] / times[r]
				h.folds[g][i] += t.weight[r] * losses[k] / float64(len(fold))
			}
		}
	}
	for _, n := range times {
		if n > 0 {
			h.rows++
		}
	}
	return h
}

// path summarises the losses of each candidate: the mean per row, and the
// difference to the best with its standard error over patients. The best one
// gets all the weight.
func (h *heldOut) path(grid []float64) []PathPoint {
	points := make([]PathPoint, len(grid))
	best := 0
	for g, c := range grid {
		points[g] = PathPoint{C: c, Lambda: lambdaOf(c), Loss: floats.Sum(h.losses[g]) / h.rows}
		if h.folds != nil {
			points[g].Folds = sixDigits(h.folds[g])
		}
		if points[g].Loss < points[best].Loss {
			best = g
		}
	}
	points[best].Weight = 1
	units := float64(len(h.losses[0]))
	for g := range points {
		d := slices.Clone(h.losses[g])
		floats.Sub(d, h.losses[best])
		mean := floats.Sum(d) / units
		floats.AddConst(-mean, d)
		points[g].Excess = mean * units / h.rows
		points[g].StdErr = floats.Norm(d, 2) * math.Sqrt(units/(units-1)) / h.rows
	}
	return points
}

func (t *task) repeats() int {
	if len(t.rows) < fewRows && t.groups() > fewGroups {
		return repeats
	}
	return 1
}

func (t *task) groups() int {
	names := slices.Clone(t.group)
	slices.Sort(names)
	return len(slices.Compact(names))
}

// folds returns the rows to hold out, fold by fold, over all repeats; nil if a
// class stands with fewer than two patients. No patient is in two folds of a
// repeat. Patients are stratified by class and ordered by a hash of seed and
// name, so that the order of the rows does not matter.
func (t *task) folds() [][]int {
	type patient struct {
		name  string
		class int // the highest that it has a sample of
		rows  []int
		place uint64
	}
	byName := map[string]*patient{}
	var patients []*patient
	has := make([]map[string]bool, t.kinds())
	for k := range has {
		has[k] = map[string]bool{}
	}
	for r, name := range t.group {
		p := byName[name]
		if p == nil {
			p = &patient{name: name}
			byName[name] = p
			patients = append(patients, p)
		}
		p.class = max(p.class, t.y[r])
		p.rows = append(p.rows, r)
		has[t.y[r]][name] = true
	}
	count := min(t.o.Folds, len(patients))
	for _, names := range has {
		if len(names) < 2 {
			return nil
		}
		count = min(count, len(names))
	}
	if len(patients) <= fewGroups {
		count = len(patients)
	}
	var folds [][]int
	for repeat := range t.repeats() {
		for _, p := range patients {
			sum := sha256.Sum256(fmt.Appendf(nil, "%d %d %s", t.o.Seed, repeat, p.name))
			p.place = binary.LittleEndian.Uint64(sum[:])
		}
		slices.SortFunc(patients, func(a, b *patient) int {
			return cmp.Or(cmp.Compare(a.class, b.class), cmp.Compare(a.place, b.place), cmp.Compare(a.name, b.name))
		})
		some := make([][]int, count)
		for i, p := range patients {
			some[i%count] = append(some[i%count], p.rows...)
		}
		for _, fold := range some {
			if t.complementIsWhole(fold) {
				folds = append(folds, fold)
			}
		}
	}
	return folds
}

// complementIsWhole reports whether every class is left when the fold is held
// out; a patient may hold all samples of one.
func (t *task) complementIsWhole(fold []int) bool {
	left := make([]int, t.kinds())
	for _, k := range t.y {
		left[k]++
	}
	for _, r := range fold {
		left[t.y[r]]--
	}
	return !slices.Contains(left, 0)
}
