package trainer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"

	"golang.org/x/sync/errgroup"
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
	o.setDefaults()
	if err := errors.Join(finite(x), o.validate(len(y.Classes), x.Cols), y.validate(x.Rows), checkGroups(groups, x.Rows)); err != nil {
		return nil, fmt.Errorf("trainer: fit: %w", err)
	}
	h := &Head{Kind: o.Head, Classes: y.Classes, Exclusive: y.Exclusive, Space: o.Space}
	if o.Head == LinearProbe && o.Prior == nil {
		h.Notes = append(h.Notes, "no zero-shot prior: linear-probe falls back to logistic")
	}
	h.W = blas32.General{Rows: len(y.Classes), Cols: x.Cols, Stride: max(1, x.Cols), Data: make([]float32, len(y.Classes)*x.Cols)}
	h.B = make([]float32, len(y.Classes))
	if o.Head == GolearnLogistic {
		if err := fitGolearn(ctx, x, y, o, h); err != nil {
			return nil, fmt.Errorf("trainer: fit: %w", err)
		}
		return h, nil
	}

	tasks, err := newTasks(x, y, groups, o)
	if err != nil {
		return nil, fmt.Errorf("trainer: fit: %w", err)
	}
	h.Fits = make([]ClassFit, len(tasks))
	notes := make([]string, len(tasks))
	group, ctx := errgroup.WithContext(ctx)
	// A cross-validation runs its folds at once, each with rows of its own.
	group.SetLimit(1)
	if o.C != 0 {
		group.SetLimit(runtime.GOMAXPROCS(0))
	}
	for i, t := range tasks {
		group.Go(func() (err error) {
			notes[i], err = t.fit(ctx, h, &h.Fits[i])
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("trainer: fit: %w", err)
	}
	for _, n := range notes {
		if n != "" {
			h.Notes = append(h.Notes, n)
		}
	}
	return h, nil
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
	for i := range x.Rows {
		for j, v := range x.Data[i*x.Stride : i*x.Stride+x.Cols] {
			if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
				return fmt.Errorf("row %d, dimension %d: %v: want a finite number", i, j, v)
			}
		}
	}
	return nil
}

func checkGroups(groups []string, n int) error {
	if groups != nil && len(groups) != n {
		return fmt.Errorf("%d groups for %d vectors: want as many", len(groups), n)
	}
	return nil
}

// task is what is fitted at once: one finding, or all exclusive classes.
type task struct {
	o       Options
	name    string // of the finding; empty for exclusive classes
	classes []int
	support *support
	rows    []int // of x, with a known label
	y       []int // class of each of the rows; 0 and 1 for a finding
	weight  []float64
	group   []string
	// base is x·T of the rows, [rows × outputs]; nil without a prior.
	base []float64
}

func newTasks(x blas32.General, y Targets, groups []string, o Options) ([]*task, error) {
	s := newSupport(x, o.Standardize, o.C == 0 || len(y.Classes) > 8)
	if y.Exclusive {
		t, err := newTask(x, y, groups, o, s, -1)
		return []*task{t}, err
	}
	var tasks []*task
	var errs []error
	for c := range y.Classes {
		t, err := newTask(x, y, groups, o, s, c)
		tasks, errs = append(tasks, t), append(errs, err)
	}
	return tasks, errors.Join(errs...)
}

// newTask gathers the rows for finding c, or for all classes if c is −1.
func newTask(x blas32.General, y Targets, groups []string, o Options, s *support, c int) (*task, error) {
	t := &task{o: o, support: s, classes: []int{c}}
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
			for k, v := range values {
				if v == Positive {
					class = k
				}
			}
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
			return fmt.Errorf("%q has %d positives and %d negatives: want at least one of each", t.name, counts[1], counts[0])
		}
		return fmt.Errorf("class %q has no sample: want at least one of each class", names[k])
	}
	t.weight = make([]float64, len(t.y))
	for i, k := range t.y {
		t.weight[i] = 1
		if t.o.ClassWeight == "balanced" {
			t.weight[i] = float64(len(t.y)) / float64(len(counts)*counts[k])
		}
	}
	return nil
}

func (t *task) priorScores(x, prior blas32.General) []float64 {
	scores := make([]float64, 0, len(t.rows)*t.outputs())
	for _, i := range t.rows {
		for _, c := range t.classes {
			sum := 0.0
			for j, v := range prior.Data[c*prior.Stride : c*prior.Stride+prior.Cols] {
				sum += float64(float64(v) * float64(x.Data[i*x.Stride+j]))
			}
			scores = append(scores, sum)
		}
	}
	return scores
}

// title names the task in notes.
func (t *task) title() string { return cmp.Or(t.name, "the classes") }

// fit chooses the penalty if need be, solves, and writes weights and account
// into the head; tasks write to rows of their own.
func (t *task) fit(ctx context.Context, h *Head, f *ClassFit) (note string, err error) {
	*f = ClassFit{Class: t.name, C: t.o.C}
	f.count(t.y)
	if t.name == "" {
		f.Positives, f.Negatives = len(t.y), 0
	}
	shares := []share{{t.o.C, 1}}
	if t.o.C == 0 {
		if shares, note, err = t.choose(ctx, f); err != nil {
			return "", err
		}
	}
	f.Lambda = lambdaOf(f.C)
	all := make([]int, len(t.rows))
	for i := range all {
		all[i] = i
	}
	p := t.problem(all)
	sum := t.newSum()
	f.Converged = true
	var start params
	for _, s := range shares {
		m, err := t.solve(ctx, p, s.c, start, fitTolerance)
		if err != nil {
			return "", err
		}
		start = m.params
		if s.c == f.C {
			f.Objective = m.objective
		}
		f.Iterations += m.iterations
		f.Converged = f.Converged && m.converged
		f.GradientNorm = max(f.GradientNorm, m.gradient)
		f.Scale += s.weight * m.scale
		sum.add(m, s.weight)
	}
	if !f.Converged {
		note = fmt.Sprintf("%s: stopped after %d iterations with a gradient of %.1e of that at zero", t.title(), f.Iterations, f.GradientNorm)
	}
	return note, sum.write(h)
}

// sum is a weighted sum of models.
type sum struct {
	t      *task
	params params // outputs × (r+1), without the prior
	scale  float64
}

func (t *task) newSum() *sum {
	return &sum{t: t, params: make(params, t.outputs()*t.support.x.Cols)}
}

func (s *sum) add(m model, weight float64) {
	s.scale += weight * m.scale
	if m.params != nil {
		floats.AddScaled(s.params, weight, m.params)
		return
	}
	stride := s.t.support.x.Cols
	for k, b := range m.bias {
		s.params[(k+1)*stride-1] += weight * b
	}
}

// write puts the weights, prior included, into the head.
func (s *sum) write(h *Head) error {
	t, stride := s.t, s.t.support.x.Cols
	for k, c := range t.classes {
		w, shift := t.support.weights(s.params[k*stride : (k+1)*stride-1])
		for j := range w {
			if t.base != nil {
				w[j] += s.scale * float64(t.o.Prior.T.Data[c*t.o.Prior.T.Stride+j])
			}
			h.W.Data[c*h.W.Stride+j] = float32(w[j])
		}
		b := s.params[(k+1)*stride-1] + shift
		h.B[c] = float32(b)
		for _, v := range append(w, b) {
			if !(math.Abs(v) <= math.MaxFloat32) {
				return fmt.Errorf("a weight of %q is %v, beyond float32; scale the vectors to length one", h.Classes[c], v)
			}
		}
	}
	return nil
}
