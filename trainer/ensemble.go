package trainer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/blas/blas64"
)

// defaultMembers are those of an ensemble for which none are named.
var defaultMembers = []string{LinearProbe, Logistic, GDA}

// MemberWeight is a member of an ensemble with its part in one finding, or in
// all exclusive classes.
type MemberWeight struct {
	// Head is its kind, or the name of an outside column.
	Head   string  `json:"head"`
	Weight float64 `json:"weight"`
	// Loss is the mean log-loss of the member alone on what the weights were chosen
	// on; 0 where they were not chosen.
	Loss float64 `json:"loss,omitempty"`
	// Fit says how the member itself was fitted; nil for an outside column.
	Fit *ClassFit `json:"fit,omitempty"`
}

// validateMembers checks the members of an ensemble.
func (o *Options) validateMembers() error {
	if o.Head != Ensemble {
		if o.Members != nil || o.Validation != nil {
			return fmt.Errorf("%s has no members; leave them and their validation part out, or take %s", o.Head, Ensemble)
		}
		return nil
	}
	if o.Validation != nil && (o.Calibrate != "" || len(o.Thresholds) > 0) {
		return errors.New("an ensemble that is weighed on a validation part is calibrated there, by Head.Calibrate")
	}
	if len(o.Members) == 1 && o.scores == nil {
		return fmt.Errorf("an ensemble of %q alone: want at least two members", o.Members[0])
	}
	for k, member := range o.Members {
		switch {
		case slices.Contains(o.Members[:k], member):
			return fmt.Errorf("member %q stands twice", member)
		case !slices.Contains(Kinds(), member) || member == Ensemble:
			return fmt.Errorf("member %q of an ensemble: want other heads, such as %q", member, defaultMembers)
		case NeedsPrior(member) && o.Prior == nil:
			return fmt.Errorf("member %q starts from zero-shot: want a prior", member)
		}
	}
	return nil
}

// Validation is a part of the data on which the weights of an ensemble are chosen:
// rows that its members are not fitted on, with labels of the same classes and,
// where it has outside scores, those of these rows.
type Validation struct {
	X      blas32.General
	Y      Targets
	Scores *Scores
}

func (v *Validation) validate(dim int, y Targets) error {
	if v.X.Cols != dim || !slices.Equal(v.Y.Classes, y.Classes) || v.Y.Exclusive != y.Exclusive {
		return fmt.Errorf("validation part of %d dimensions and the classes %q: want %d, and %q", v.X.Cols, v.Y.Classes, dim, y.Classes)
	}
	if err := errors.Join(finite(v.X), v.Y.validate(v.X.Rows)); err != nil {
		return fmt.Errorf("validation part: %w", err)
	}
	return nil
}

// Part is a member of an ensemble that is not linear: Weights of its logits are
// added to those of the classes from First on.
type Part struct {
	Head    *Head
	First   int
	Weights []float64
}

// add adds to the logits z, n×C, of the rows of x, of which the member sees its own
// dimensions.
func (p *Part) add(x blas32.General, z blas64.General) error {
	x.Cols = p.Head.W.Cols
	own, err := p.Head.Logits(x)
	if err != nil {
		return fmt.Errorf("member %s: %w", p.Head.Kind, err)
	}
	for i := range own.Rows {
		for k, w := range p.Weights {
			z.Data[i*z.Stride+p.First+k] += w * own.Data[i*own.Stride+k]
		}
	}
	return nil
}

// fitEnsemble makes the head a mean of its members' logits: linear if they are, and
// with a [Part] for each that is not. The weights of each finding, or of all
// exclusive classes, lie on the simplex and have the least log-loss on logits of
// samples that the members were not fitted on: those of o.Validation or, without
// one, cross-validated ones, those of each patient by members that were fitted, with
// whatever they choose, without that patient. The loss is convex in the weights. With
// too few patients for a cross-validation all weigh the same, with a note.
//
// Source: Wolpert's stacking, Neural Networks 5 (1992) 241–259, with weights
// that add up to one (Breiman, Machine Learning 24 (1996) 49–64).
func fitEnsemble(ctx context.Context, x blas32.General, y Targets, groups []string, o Options, h *Head) error {
	e := &ensemble{kinds: o.Members, scores: o.scores, validation: o.Validation, classes: len(y.Classes)}
	if e.kinds == nil {
		e.kinds = defaultMembers
	}
	o.Members, o.scores, o.Validation = nil, nil, nil
	if o.Folds = min(o.Folds, patientsOf(groups, x.Rows)); o.Folds < 2 {
		o.Folds = 0
	}
	o.Calibrate, o.Thresholds = "", nil
	whole := o
	whole.setDefaults()
	tasks, err := shotTasks(x, y, groups, whole)
	if err != nil {
		return err
	}
	judges := tasks
	if v := e.validation; v != nil {
		if err := v.validate(x.Cols, y); err != nil {
			return err
		}
		if judges, err = shotTasks(v.X, v.Y, nil, Options{}); err != nil {
			return fmt.Errorf("validation part: %w", err)
		}
		e.scores = v.Scores
	}
	e.chosen = e.validation != nil || !slices.ContainsFunc(tasks, func(t *task) bool { return t.folds() == nil })
	for _, kind := range e.kinds {
		o.Head = kind
		if err := e.fit(ctx, x, y, groups, o, h); err != nil {
			return fmt.Errorf("member %s: %w", kind, err)
		}
	}
	if !e.chosen {
		h.Notes = append(h.Notes, "too few patients to weigh the members by cross-validation: all weigh the same")
	}
	e.parts = make([]*Part, len(e.heads))
	for k, t := range tasks {
		f := ClassFit{Class: t.name, Converged: true}
		if f.count(t.y); t.name == "" {
			f.Positives, f.Negatives = len(t.y), 0
		}
		if err := e.weigh(judges[k], &f, h); err != nil {
			return err
		}
		h.Fits = append(h.Fits, f)
	}
	for _, p := range e.parts {
		if p != nil {
			h.Parts = append(h.Parts, p)
		}
	}
	return nil
}

// ensemble is an ensemble on its way.
type ensemble struct {
	kinds      []string
	heads      []*Head
	parts      []*Part // of the heads that are not linear
	scores     *Scores // of the rows that are judged; nil without outside columns
	validation *Validation
	chosen     bool
	classes    int
	// logits of each member for the rows that are judged, times how often each was
	// held out.
	logits [][]float64
	times  []float64
}

// fit fits a member, and lets it judge rows that it was not fitted on.
func (e *ensemble) fit(ctx context.Context, x blas32.General, y Targets, groups []string, o Options, h *Head) error {
	head, err := Fit(ctx, x, y, groups, o)
	if err != nil {
		return err
	}
	e.heads = append(e.heads, head)
	for _, note := range head.Notes {
		h.Notes = append(h.Notes, o.Head+": "+note)
	}
	if !e.chosen {
		return nil
	}
	var z blas64.General
	if v := e.validation; v != nil {
		z, err = head.Logits(v.X)
		e.times = slices.Repeat([]float64{1}, len(z.Data))
	} else {
		o.setDefaults()
		z, e.times, err = crossValidated(ctx, x, y, groups, o)
	}
	e.logits = append(e.logits, z.Data)
	return err
}

// weigh chooses the weights of the classes that t judges, and puts them into the
// head and their account into f.
func (e *ensemble) weigh(t *task, f *ClassFit, h *Head) error {
	names := slices.Clone(e.kinds)
	columns := e.scores.of(t.name)
	for _, j := range columns {
		names = append(names, e.scores.Names[j])
	}
	s := &stack{t: t, members: len(names)}
	lines := slices.Repeat([]Calibration{{Slope: 1}}, len(names))
	if e.chosen {
		s.gather(e.logits, e.times, e.classes, e.scores, columns)
		if e.scores != nil {
			lines = s.calibrate()
		}
		s.minimize()
		f.Chosen, f.HeldOut, f.Iterations = true, s.loss(s.weights), s.iterations
		f.GradientNorm, f.Converged = s.gap, s.gap <= stackTolerance
		if f.ChosenOn = "cross-validation"; e.validation != nil {
			f.ChosenOn = "validation"
		}
	} else {
		s.weights = slices.Repeat([]float64{1 / float64(len(names))}, len(names))
	}
	for m, name := range names {
		w := MemberWeight{Head: name, Weight: s.weights[m]}
		if m < len(e.heads) && len(e.heads[m].Fits) > 0 {
			w.Fit = e.heads[m].fitOf(t.name)
		}
		if e.chosen {
			only := make([]float64, len(names))
			only[m] = 1
			w.Loss = s.loss(only)
		}
		f.Members = append(f.Members, w)
	}
	for _, c := range t.classes {
		w, b := make([]float64, h.W.Cols), 0.0
		for m, line := range lines {
			b += s.weights[m] * line.Intercept
			part := s.weights[m] * line.Slope
			if m >= len(e.heads) {
				e.scores.weigh(columns[m-len(e.heads)], part, w, h.Covariates)
				continue
			}
			head := e.heads[m]
			if !head.Linear() {
				if e.parts[m] == nil && part > 0 {
					e.parts[m] = &Part{Head: head, Weights: make([]float64, e.classes)}
				}
				if part > 0 {
					e.parts[m].Weights[c] = part
				}
				continue
			}
			b += part * float64(head.B[c])
			for j, v := range head.W.Data[c*head.W.Stride : c*head.W.Stride+head.W.Cols] {
				w[j] += part * float64(v)
			}
		}
		if err := h.set(c, w, b); err != nil {
			return err
		}
	}
	return nil
}

// fitOf returns how the head was fitted for a class, or for all of them.
func (h *Head) fitOf(class string) *ClassFit {
	if k := slices.IndexFunc(h.Fits, func(f ClassFit) bool { return f.Class == class }); k >= 0 {
		return &h.Fits[k]
	}
	return &h.Fits[0]
}

// stackTolerance is how far, in log-loss per sample, weights may lie above the
// least.
const stackTolerance = 1e-7

// stack chooses the weights of one task.
type stack struct {
	t          *task
	members    int
	z          [][]float64 // of each sample, members × outputs
	class      []int
	weights    []float64
	iterations int
	gap        float64 // how far above the least the loss can be
}

// gather takes the logits of the rows that were held out, and those columns of
// outside scores.
func (s *stack) gather(logits [][]float64, times []float64, classes int, scores *Scores, columns []int) {
	for k, i := range s.t.rows {
		if times[i*classes+s.t.classes[0]] == 0 {
			continue
		}
		row := make([]float64, 0, s.members*s.t.outputs())
		for _, z := range logits {
			for _, c := range s.t.classes {
				row = append(row, z[i*classes+c])
			}
		}
		for _, j := range columns {
			row = append(row, scores.scaled(i, j))
		}
		s.z, s.class = append(s.z, row), append(s.class, s.t.y[k])
	}
}

// loss is the mean log-loss of the weighted logits.
func (s *stack) loss(weights []float64) float64 {
	loss, _ := s.slope(weights)
	return loss
}

// slope returns the loss and its gradient by the weights.
func (s *stack) slope(weights []float64) (loss float64, gradient []float64) {
	outputs := s.t.outputs()
	gradient = make([]float64, s.members)
	z, off, n := make([]float64, outputs), make([]float64, outputs), float64(len(s.z))
	for i, row := range s.z {
		clear(z)
		for m, w := range weights {
			for k := range z {
				z[k] += w * row[m*outputs+k]
			}
		}
		class := s.class[i]
		if outputs == 1 {
			part, p := logLoss(z[0], class)
			loss += part / n
			off[0] = p - float64(class)
		} else {
			own := z[class]
			loss += (softmax(z) - own) / n
			copy(off, z)
			off[class]--
		}
		for m := range gradient {
			for k, v := range off {
				gradient[m] += v * row[m*outputs+k] / n
			}
		}
	}
	return loss, gradient
}

// minimize goes down by exponentiated gradients with a line search, from equal
// weights, until the duality gap, g·w − min g, is below the tolerance.
func (s *stack) minimize() {
	s.weights = slices.Repeat([]float64{1 / float64(s.members)}, s.members)
	loss, g := s.slope(s.weights)
	step := 1.0
	for {
		s.gap = -slices.Min(g)
		for m, w := range s.weights {
			s.gap += w * g[m]
		}
		if s.gap <= stackTolerance || s.iterations >= 10_000 {
			return
		}
		s.iterations++
		for ; step > 1e-12; step /= 2 {
			next, sum := make([]float64, s.members), 0.0
			for m, w := range s.weights {
				next[m] = w * math.Exp(-step*(g[m]-slices.Min(g)))
				sum += next[m]
			}
			for m := range next {
				next[m] /= sum
			}
			if after, slope := s.slope(next); after < loss {
				s.weights, loss, g = next, after, slope
				break
			}
		}
		if step <= 1e-12 {
			return // as near as rounding allows
		}
		step *= 4
	}
}
