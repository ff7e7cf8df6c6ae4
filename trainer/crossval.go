package trainer

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"
	"gonum.org/v1/gonum/floats"
)

const (
	// fewRows is below how many rows the folds are drawn four times.
	fewRows = 40
	repeats = 4
	// fewGroups is up to how many patients each is a fold of its own.
	fewGroups = 10
)

// share is one penalty and its part in the head.
type share struct{ c, weight float64 }

// choose finds the penalties by cross-validation grouped by patient: the one of
// the least held-out loss, or, with a prior, an average over the path (see
// [heldOut.average]). It sets f.Path, and f.C to the median of the shares. Where
// there are too few patients for a cross-validation it takes the zero-shot
// classifier, or C = 1 without a prior, and returns a note.
func (t *task) choose(ctx context.Context, f *ClassFit) (shares []share, note string, err error) {
	grid := t.o.candidates(t.base != nil)
	folds := t.folds()
	switch {
	case len(grid) == 1:
		f.C = grid[0]
	case folds == nil && t.base != nil:
		f.C, note = 0, t.title()+": too few patients to choose λ by cross-validation, the zero-shot classifier is kept"
	case folds == nil:
		f.C, note = 1, t.title()+": too few patients to choose C by cross-validation, C = 1 is taken"
	default:
		held, err := t.crossValidate(ctx, folds, grid)
		if err != nil {
			return nil, "", err
		}
		f.Chosen, f.Path = true, held.path(grid)
		if t.base != nil {
			held.average(f.Path)
		}
		half := 0.5
		for _, p := range f.Path {
			if p.Weight == 0 {
				continue
			}
			shares = append(shares, share{p.C, p.Weight})
			if half > 0 {
				f.C = p.C
			}
			half -= p.Weight
		}
		return shares, "", nil
	}
	return []share{{f.C, 1}}, note, nil
}

// heldOut holds held-out losses, summed over each patient's rows: one row per
// candidate, one column per patient in the order of their names.
type heldOut struct {
	losses [][]float64
	rows   float64 // rows that were held out
}

// crossValidate returns the losses of every candidate on every fold when fitted
// on the others. Rows held out in several repeats count their mean; rows that
// no fold could hold out are left out.
func (t *task) crossValidate(ctx context.Context, folds [][]int, grid []float64) (*heldOut, error) {
	byFold := make([][][]float64, len(folds)) // candidates × rows of the fold
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, fold := range folds {
		group.Go(func() (err error) {
			byFold[i], err = t.holdOut(ctx, fold, grid)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	times := make([]float64, len(t.rows))
	for _, fold := range folds {
		for _, r := range fold {
			times[r]++
		}
	}
	column := map[string]int{}
	for _, name := range slices.Compact(slices.Sorted(slices.Values(t.group))) {
		column[name] = len(column)
	}
	h := &heldOut{losses: make([][]float64, len(grid))}
	for g := range grid {
		h.losses[g] = make([]float64, len(column))
		for i, fold := range folds {
			for k, r := range fold {
				h.losses[g][column[t.group[r]]] += byFold[i][g][k] / times[r]
			}
		}
	}
	for _, n := range times {
		if n > 0 {
			h.rows++
		}
	}
	return h, nil
}

// holdOut fits every candidate without the fold and returns the losses of the
// fold's rows, in their order.
func (t *task) holdOut(ctx context.Context, fold []int, grid []float64) ([][]float64, error) {
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
	p := t.problem(rows)
	losses := make([][]float64, len(grid))
	var start params
	for g, c := range grid {
		m, err := t.solve(ctx, p, c, start, selectTolerance)
		if err != nil {
			return nil, err
		}
		start = m.params
		losses[g] = make([]float64, len(fold))
		for k, r := range fold {
			losses[g][k] = t.weight[r] * t.loss(r, m)
		}
	}
	return losses, nil
}

// loss is the log-loss of row r under the model.
func (t *task) loss(r int, m model) float64 {
	k, stride := t.outputs(), t.support.x.Cols
	x := t.support.x.Data[t.rows[r]*stride:][:stride]
	z := make([]float64, k)
	for c := range k {
		if z[c] = m.bias[c]; m.params != nil {
			z[c] = floats.Dot(m.params[c*stride:(c+1)*stride], x)
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
// difference to the best with its standard error over patients. The best one
// gets all the weight.
func (h *heldOut) path(grid []float64) []PathPoint {
	points := make([]PathPoint, len(grid))
	best := 0
	for g, c := range grid {
		points[g] = PathPoint{C: c, Lambda: lambdaOf(c), Loss: floats.Sum(h.losses[g]) / h.rows}
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

const (
	// trust and doubt set the average over the path; they were chosen on 160
	// generated worlds (testdata/selection/README.md). Trust from 0.15 to 0.25
	// and doubt from 45 to 50 patients differ by at most .005 AUC.
	trust = 0.15
	doubt = 50
	// leastWeight is below which weight a penalty is left out.
	leastWeight = 1e-3
)

// average gives each penalty λ of the path the weight
//
//	w(λ) ∝ exp(−trust·(Lλ − L∞ + rλ·(doubt/u)²))
//
// with Lλ the held-out log-loss summed over u patients, L∞ that of zero-shot,
// which is the first of the path, and rλ the root mean square of the patients'
// differences between the two. A probe thus has to earn its distance from
// zero-shot, the more so the fewer patients speak for it; where they are few
// their evidence is noise, which picking one λ, by least loss or by one
// standard error above it, obeys or ignores as a whole, while an average of
// classifiers is linear again and moves by as much as is known. Averaging by
// exponential weights is that of Yang, Annals of Statistics 28 (2000) 75–87.
func (h *heldOut) average(path []PathPoint) {
	units := float64(len(h.losses[0]))
	total := 0.0
	scores := make([]float64, len(path))
	for g := range path {
		d := slices.Clone(h.losses[g])
		floats.Sub(d, h.losses[0])
		scores[g] = floats.Sum(d) + doubt*doubt/(units*units)*floats.Norm(d, 2)/math.Sqrt(units-1)
	}
	least := slices.Min(scores)
	for pass := range 2 { // the second without what weighs too little
		sum := 0.0
		for g := range path {
			w := math.Exp(-trust * (scores[g] - least))
			if pass > 0 && w < leastWeight*total {
				w = 0
			}
			path[g].Weight = w
			sum += w
		}
		total = sum
	}
	for g := range path {
		path[g].Weight /= total
	}
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
