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
	// towardPrior is how many standard errors above the least loss a stronger
	// penalty may lie and still be taken: the one-standard-error rule, on
	// differences paired by patient.
	towardPrior = 1
)

// choose sets f.C by cross-validation grouped by patient, and the path that led
// to it. Where there are too few patients for one, it takes the zero-shot
// classifier, or C = 1 without a prior, and returns a note.
func (t *task) choose(ctx context.Context, f *ClassFit) (note string, err error) {
	folds := t.folds()
	if folds == nil {
		name := cmp.Or(t.name, "the classes")
		if t.base != nil {
			f.C = 0
			return fmt.Sprintf("%s: too few patients to choose λ by cross-validation, the zero-shot classifier is kept", name), nil
		}
		f.C = 1
		return fmt.Sprintf("%s: too few patients to choose C by cross-validation, C = 1 is taken", name), nil
	}
	grid := t.o.candidates(t.base != nil)
	losses := make([][]float64, len(grid)) // per candidate and row
	for g := range losses {
		losses[g] = make([]float64, len(t.rows))
	}
	for _, fold := range folds {
		if err := t.holdOut(ctx, fold, grid, losses, 1/float64(t.repeats())); err != nil {
			return "", err
		}
	}
	f.Chosen = true
	f.Path = t.path(grid, losses)
	f.C = pick(f.Path, t.base != nil)
	return "", nil
}

// holdOut fits every candidate without the fold and adds the held-out losses
// times share.
func (t *task) holdOut(ctx context.Context, fold []int, grid []float64, losses [][]float64, share float64) error {
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
	var start *model
	for g, c := range grid {
		m, err := t.solve(ctx, rows, c, start, selectTolerance)
		if err != nil {
			return err
		}
		start = &m
		for _, r := range fold {
			losses[g][r] += share * t.weight[r] * t.loss(r, m)
		}
	}
	return nil
}

// loss is the log-loss of row r under the model.
func (t *task) loss(r int, m model) float64 {
	k, dim := t.outputs(), t.support.x.Cols
	x := t.support.x.Data[t.rows[r]*t.support.x.Stride:][:dim]
	z := make([]float64, k)
	for c := range k {
		z[c] = m.bias[c]
		if m.params != nil {
			z[c] += floats.Dot(m.params[c*(dim+1):(c+1)*(dim+1)-1], x)
		}
		if t.base != nil {
			z[c] += m.scale * t.base[r*k+c]
		}
	}
	if k == 1 {
		return log1pExp(float64(1-2*t.y[r]) * z[0])
	}
	own := z[t.y[r]]
	return softmax(z) - own
}

// path summarises the losses of each candidate: the mean per row, and the
// difference to the best with its standard error over patients.
func (t *task) path(grid []float64, losses [][]float64) []PathPoint {
	points := make([]PathPoint, len(grid))
	best := 0
	for g, c := range grid {
		points[g] = PathPoint{C: c, Lambda: lambdaOf(c), Loss: floats.Sum(losses[g]) / float64(len(t.rows))}
		if points[g].Loss < points[best].Loss {
			best = g
		}
	}
	n := float64(len(t.rows))
	for g := range points {
		byGroup := map[string]float64{}
		for r, name := range t.group {
			byGroup[name] += losses[g][r] - losses[best][r]
		}
		units := float64(len(byGroup))
		points[g].Excess = points[g].Loss - points[best].Loss
		squares := 0.0
		// In the order of the names, so that the sum is the same every time.
		for _, name := range sortedNames(byGroup) {
			d := byGroup[name] - points[g].Excess*n/units
			squares += d * d
		}
		points[g].StdErr = math.Sqrt(squares*units/(units-1)) / n
	}
	return points
}

func sortedNames(m map[string]float64) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// pick returns the C of the least loss, or, with a prior, of the strongest
// penalty that is not worse by more than the standard error.
func pick(path []PathPoint, prior bool) float64 {
	best := path[0]
	for _, p := range path {
		if prior && p.Excess <= towardPrior*p.StdErr {
			return p.C
		}
		if p.Loss < best.Loss {
			best = p
		}
	}
	return best.C
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
		place := func(p *patient) uint64 {
			sum := sha256.Sum256(fmt.Appendf(nil, "%d %d %s", t.o.Seed, repeat, p.name))
			return binary.LittleEndian.Uint64(sum[:])
		}
		slices.SortFunc(patients, func(a, b *patient) int {
			return cmp.Or(cmp.Compare(a.class, b.class), cmp.Compare(place(a), place(b)), cmp.Compare(a.name, b.name))
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
