package trainer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/floats"
)

// Fit trains a head on the rows of x, n×D, with labels y. groups names the
// patient of each row, which cross-validation never divides; nil makes every
// row a patient of its own. x is used as given: embeddings should have length
// one. Only these rows are looked at, by whatever is chosen too.
//
// logistic minimises scikit-learn's ½‖w‖² + C·Σ log-loss with an unpenalised
// intercept, for each finding on the rows whose label is known, or as one
// softmax for exclusive classes. linear-probe minimises
//
//	λ/2·‖Δ‖² + Σ log-loss(y, τ·x·T + x·Δ + b)
//
// where T is the prior and τ its scale, fitted to the labels first; λ = ∞ is the
// zero-shot classifier. Given o.C, λ is 1/C; otherwise the head is an average
// over λ that cross-validation weighs, so that few patients move it little (see
// Path in [ClassFit], and testdata/selection). Without a prior linear-probe
// falls back to logistic and says so in Head.Notes.
//
// Cross-validation never divides a patient, and looks at the given rows only.
// Where there are too few patients for one, zero-shot is kept (logistic: C = 1),
// with a note.
//
// Findings of which only one side is known are an error that names them all,
// with their counts. Values that are not finite are errors that name the row.
// The result is the same whatever the number of CPUs.
//
// Oracles: scikit-learn's LogisticRegression (testdata/logistic), LIBLINEAR
// through golearn.
func Fit(ctx context.Context, x blas32.General, y Targets, groups []string, o Options) (*Head, error) {
	folds := checkFolds(o.Folds, groups, x.Rows)
	o.setDefaults()
	faults := errors.Join(folds, finite(x), o.validate(len(y.Classes), x.Cols), y.validate(x.Rows), checkGroups(groups, x.Rows), o.checkWeights(x.Rows), y.tunable(o), o.fits(x.Rows, x.Cols, len(y.Classes)))
	if faults != nil {
		return nil, fmt.Errorf("trainer: fit: %w", faults)
	}
	if x, y, groups, o.Weights = labelled(x, y, groups, o.Weights); x.Rows == 0 {
		return nil, fmt.Errorf("trainer: fit: %w", y.oneSided())
	}
	h := &Head{Kind: o.Head, Classes: y.Classes, Exclusive: y.Exclusive, Space: o.Space}
	if o.Head == LinearProbe && o.Prior == nil {
		h.Notes = append(h.Notes, "no zero-shot prior: linear-probe falls back to logistic")
	}
	width := x.Cols
	if o.scores != nil {
		h.Covariates = o.scores.encoding()
		width += h.Covariates.Width()
	}
	h.W = blas32.General{Rows: len(y.Classes), Cols: width, Stride: max(1, width), Data: make([]float32, len(y.Classes)*width)}
	h.B = make([]float32, len(y.Classes))
	if err := h.fit(ctx, x, y, groups, o); err != nil {
		return nil, fmt.Errorf("trainer: fit: %w", err)
	}
	if err := h.finish(ctx, x, y, groups, o); err != nil {
		return nil, fmt.Errorf("trainer: fit: %w", err)
	}
	return h, nil
}

// fit fits a head of its kind.
func (h *Head) fit(ctx context.Context, x blas32.General, y Targets, groups []string, o Options) error {
	return kindOf(o.Head).fit(ctx, x, y, groups, o, h)
}

// fitLogistic fits logistic and linear-probe.
func fitLogistic(ctx context.Context, x blas32.General, y Targets, groups []string, o Options, h *Head) error {
	if o.L1Ratio > 0 {
		return fitElastic(ctx, x, y, groups, o, h)
	}
	tasks, err := newTasks(x, y, groups, o)
	if err != nil {
		return err
	}
	return fitTasks(ctx, tasks, h)
}

// tasksTogether is of how many tasks the problems are solved together: so many
// that products are wide, and so few that what is known of every row in every
// fold takes little memory beside the vectors.
const tasksTogether = 6

// fitTasks chooses the penalties of all tasks, solves, and writes weights and
// accounts into the head.
func fitTasks(ctx context.Context, tasks []*task, h *Head) error {
	d := tasks[0].design
	var problems []*problem
	for some := range slices.Chunk(tasks, tasksTogether) {
		if err := chooseAll(ctx, some); err != nil {
			return err
		}
	}
	for _, t := range tasks {
		problems = append(problems, t.final()...)
	}
	solutions, err := d.minimize(ctx, problems, fitTolerance)
	if err != nil {
		return err
	}
	for _, t := range tasks {
		n := t.solved()
		if err := t.write(h, solutions[:n]); err != nil {
			return err
		}
		solutions = solutions[n:]
		h.Fits = append(h.Fits, t.fit)
		if t.note != "" {
			h.Notes = append(h.Notes, t.note)
		}
	}
	return nil
}

// whole reports whether the matrix holds what its shape says.
func whole(x blas32.General) error {
	if x.Rows < 0 || x.Cols < 1 || x.Stride < x.Cols || x.Rows > 0 && len(x.Data) < (x.Rows-1)*x.Stride+x.Cols {
		return fmt.Errorf("a matrix of %d×%d with stride %d and %d values: want as many values as the shape says", x.Rows, x.Cols, x.Stride, len(x.Data))
	}
	return nil
}

func finite(x blas32.General) error {
	if err := whole(x); err != nil {
		return err
	}
	faults := make([]error, chunks)
	each(chunks, func(c int) {
		for i := c * x.Rows / chunks; i < (c+1)*x.Rows/chunks && faults[c] == nil; i++ {
			for j, v := range x.Data[i*x.Stride : i*x.Stride+x.Cols] {
				if v-v != 0 { // NaN and the infinities
					faults[c] = fmt.Errorf("row %d, dimension %d: %v: want a finite number", i, j, v)
					break
				}
			}
		}
	})
	return cmp.Or(faults...)
}

func checkGroups(groups []string, n int) error {
	if groups != nil && len(groups) != n {
		return fmt.Errorf("%d groups for %d vectors: want as many", len(groups), n)
	}
	if i := slices.Index(groups, ""); i >= 0 {
		return fmt.Errorf("row %d: its group is missing: want the patient, or a name of its own where that is not known", i)
	}
	return nil
}

// checkFolds returns an error if more folds are asked for than there are
// patients; 0, the default, takes as many as there can be.
func checkFolds(folds int, groups []string, n int) error {
	if patients := patientsOf(groups, n); folds > patients {
		return fmt.Errorf("%d folds for %d patients: want at most as many; leave folds out to take what there is", folds, patients)
	}
	return nil
}

// patientsOf counts them; without groups each row is one.
func patientsOf(groups []string, n int) int {
	if groups == nil {
		return n
	}
	return len(slices.Compact(slices.Sorted(slices.Values(groups))))
}

// task is what is fitted at once: one finding, or all exclusive classes.
type task struct {
	o       Options
	name    string // of the finding; empty for exclusive classes
	classes []int
	design  *design
	rows    []int // of the design, with a known label
	y       []int // class of each of the rows; 0 and 1 for a finding
	weight  []float64
	group   []string
	// base is x·T, outputs × rows of the design; nil without a prior.
	base []float64

	shares []share // penalties and their parts in the head
	fit    ClassFit
	note   string
	zero   *calibrated // on all rows
	spread []int       // y of each row of the design
}

// newTasks gathers what is to be fitted; all tasks share a design.
func newTasks(x blas32.General, y Targets, groups []string, o Options) ([]*task, error) {
	d, err := newDesign(x, o.Standardize, o.Multiplier)
	if err != nil {
		return nil, err
	}
	return tasksOn(d, x, y, groups, o)
}

// tasksOn gathers what is to be fitted on a design of the rows of x.
func tasksOn(d *design, x blas32.General, y Targets, groups []string, o Options) ([]*task, error) {
	if y.Exclusive {
		t, err := newTask(x, y, groups, o, d, -1)
		return []*task{t}, err
	}
	var tasks []*task
	var errs []error
	for c := range y.Classes {
		t, err := newTask(x, y, groups, o, d, c)
		tasks, errs = append(tasks, t), append(errs, err)
	}
	return tasks, errors.Join(errs...)
}

// labelled leaves out rows without a known label.
func labelled(x blas32.General, y Targets, groups []string, weights []float64) (blas32.General, Targets, []string, []float64) {
	var rows []int
	for i, values := range y.Values {
		if slices.ContainsFunc(values, func(v int8) bool { return v != Unknown }) {
			rows = append(rows, i)
		}
	}
	if len(rows) == x.Rows {
		return x, y, groups, weights
	}
	some := blas32.General{Rows: len(rows), Cols: x.Cols, Stride: max(1, x.Cols), Data: make([]float32, 0, len(rows)*x.Cols)}
	values := make([][]int8, len(rows))
	var names []string
	var parts []float64
	for k, i := range rows {
		some.Data = append(some.Data, x.Data[i*x.Stride:i*x.Stride+x.Cols]...)
		values[k] = y.Values[i]
		if groups != nil {
			names = append(names, groups[i])
		} else {
			names = append(names, fmt.Sprint(i))
		}
		if weights != nil {
			parts = append(parts, weights[i])
		}
	}
	y.Values = values
	return some, y, names, parts
}

// newTask gathers the rows of one class, or of all classes together for c < 0.
func newTask(x blas32.General, y Targets, groups []string, o Options, d *design, c int) (*task, error) {
	t := &task{o: o, design: d, classes: []int{c}}
	if c < 0 {
		t.classes = make([]int, len(y.Classes))
		for k := range t.classes {
			t.classes[k] = k
		}
	} else {
		t.name = y.Classes[c]
	}
	for i, values := range y.Values {
		class := -1
		if c >= 0 {
			class = int(values[c])
		} else {
			class = slices.Index(values, Positive)
		}
		if class < 0 {
			continue
		}
		t.rows, t.y = append(t.rows, i), append(t.y, class)
		if groups == nil {
			t.group = append(t.group, fmt.Sprint(i))
		} else {
			t.group = append(t.group, groups[i])
		}
	}
	if o.Prior != nil && o.Head == LinearProbe {
		t.base = t.priorScores(x, o.Prior.T)
	}
	return t, t.weigh(y.Classes)
}

// kinds is the number of classes that y can name.
func (t *task) kinds() int { return max(2, len(t.classes)) }

// outputs is the number of logits.
func (t *task) outputs() int { return len(t.classes) }

// weigh sets the weight of each row and checks that every class is there.
func (t *task) weigh(names []string) error {
	counts := make([]int, t.kinds())
	for _, k := range t.y {
		counts[k]++
	}
	for k, n := range counts {
		if n > 0 {
			continue
		}
		if t.name != "" {
			return oneSided(t.name, counts[1], counts[0])
		}
		return fmt.Errorf("class %q has no sample: want at least one of each class", names[k])
	}
	t.weight = make([]float64, len(t.y))
	for i, k := range t.y {
		t.weight[i] = 1
		if t.o.ClassWeight == "balanced" {
			t.weight[i] = float64(len(t.y)) / float64(len(counts)*counts[k])
		}
		if t.o.Weights != nil {
			t.weight[i] *= t.o.Weights[t.rows[i]]
		}
	}
	return nil
}

func oneSided(name string, positives, negatives int) error {
	return fmt.Errorf("%q has %d positives and %d negatives: want at least one of each", name, positives, negatives)
}

// priorScores returns x·Tᵀ, outputs × rows.
func (t *task) priorScores(x, prior blas32.General) []float64 {
	scores := make([]float64, 0, x.Rows*t.outputs())
	for _, c := range t.classes {
		row := prior.Data[c*prior.Stride : c*prior.Stride+prior.Cols]
		for i := range x.Rows {
			sum := 0.0
			for j, v := range row {
				sum += float64(float64(v) * float64(x.Data[i*x.Stride+j]))
			}
			scores = append(scores, sum)
		}
	}
	return scores
}

// title names the task in notes.
func (t *task) title() string { return cmp.Or(t.name, "the classes") }

// final lists the problems whose solutions the head is made of.
func (t *task) final() []*problem {
	m := t.calibrated(t.all())
	var problems []*problem
	for _, s := range t.shares {
		if t.base == nil || s.c != 0 {
			p := m.problem(s.c)
			p.start, p.reference, p.needed = s.near.params, s.near.reference, true
			problems = append(problems, p)
		}
	}
	t.zero = m
	return problems
}

// all lists the rows of the task.
func (t *task) all() []int { return upTo(len(t.rows)) }

// solved counts the problems that final lists.
func (t *task) solved() int {
	n := 0
	for _, s := range t.shares {
		if t.base == nil || s.c != 0 {
			n++
		}
	}
	return n
}

// write puts the average of the solutions, prior included, into the head, and
// the account of them into fit.
func (t *task) write(h *Head, solutions []solution) error {
	f, d := &t.fit, t.design
	stride := d.dim + 1
	sum, scale := make(params, t.outputs()*stride), 0.0
	f.Lambda, f.Converged = lambdaOf(f.C), true
	for _, s := range t.shares {
		if t.base != nil && s.c == 0 {
			zero, bias, loss := t.zero.zeroShot()
			scale += s.weight * zero
			for k, b := range bias {
				sum[(k+1)*stride-1] += s.weight * b
			}
			if f.C == 0 {
				f.Objective = loss
			}
			continue
		}
		m := solutions[0]
		solutions = solutions[1:]
		if s.c == f.C {
			f.Objective = d.objective(m.objective)
		}
		f.Iterations += m.iterations + s.near.iterations
		f.Converged = f.Converged && m.converged
		f.GradientNorm = max(f.GradientNorm, m.gradient)
		scale += s.weight * t.zero.scale
		floats.AddScaled(sum, s.weight, m.params)
	}
	if t.base != nil {
		f.Scale = scale
	}
	if !f.Converged {
		t.note = fmt.Sprintf("%s: stopped after %d iterations with a gradient of %.1e of that at the start", t.title(), f.Iterations, f.GradientNorm)
	}
	for k, c := range t.classes {
		w, shift := d.weights(sum[k*stride : (k+1)*stride-1])
		for j := range w {
			if t.base != nil {
				w[j] += scale * float64(t.o.Prior.T.Data[c*t.o.Prior.T.Stride+j])
			}
		}
		if err := h.set(c, w, sum[(k+1)*stride-1]+shift); err != nil {
			return err
		}
	}
	return nil
}

// set puts weights and bias of class c into the head.
func (h *Head) set(c int, w []float64, b float64) error {
	for j, v := range w {
		h.W.Data[c*h.W.Stride+j] = float32(v)
	}
	h.B[c] = float32(b)
	for _, v := range append(slices.Clone(w), b) {
		if !(math.Abs(v) <= math.MaxFloat32) {
			return fmt.Errorf("a weight of %q is %v, beyond float32; scale the vectors to length one", h.Classes[c], v)
		}
	}
	return nil
}
