package trainer

import (
	"context"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/blas/blas32"
)

// defaultMembers are those of an ensemble for which none are named.
var defaultMembers = []string{LinearProbe, Logistic, GDA}

// MemberWeight is a member of an ensemble with its part in one finding, or in
// all exclusive classes.
type MemberWeight struct {
	Head   string  `json:"head"`
	Weight float64 `json:"weight"`
	// Loss is the mean cross-validated log-loss of the member alone; 0 where the
	// weights were not chosen.
	Loss float64 `json:"loss,omitempty"`
}

// validateMembers checks the members of an ensemble.
func (o *Options) validateMembers() error {
	if o.Head != Ensemble {
		if o.Members != nil {
			return fmt.Errorf("%s has no members; leave them out, or take %s", o.Head, Ensemble)
		}
		return nil
	}
	if len(o.Members) == 1 {
		return fmt.Errorf("an ensemble of %q alone: want at least two members", o.Members[0])
	}
	for k, member := range o.Members {
		switch {
		case slices.Contains(o.Members[:k], member):
			return fmt.Errorf("member %q stands twice", member)
		case !slices.Contains(Kinds(), member) || member == Ensemble || slices.Contains([]string{TipAdapter, TipAdapterF, KNN, MLP}, member):
			return fmt.Errorf("member %q of an ensemble: want heads that are linear in the vectors, such as %q", member, defaultMembers)
		case NeedsPrior(member) && o.Prior == nil:
			return fmt.Errorf("member %q starts from zero-shot: want a prior", member)
		}
	}
	return nil
}

// fitEnsemble makes the head a mean of its members' logits, and so linear as
// they are. The weights of each finding, or of all exclusive classes, lie on the
// simplex and have the least log-loss on cross-validated logits: those of each
// patient by members that were fitted, with whatever they choose, without that
// patient. The loss is convex in the weights. With too few patients for a
// cross-validation all weigh the same, with a note.
//
// Source: Wolpert's stacking, Neural Networks 5 (1992) 241–259, with weights
// that add up to one (Breiman, Machine Learning 24 (1996) 49–64).
func fitEnsemble(ctx context.Context, x blas32.General, y Targets, groups []string, o Options, h *Head) error {
	members := o.Members
	if members == nil {
		members = defaultMembers
	}
	o.Members = nil
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
	enough := true
	for _, t := range tasks {
		enough = enough && t.folds() != nil
	}
	heads, logits := make([]*Head, len(members)), make([][]float64, len(members))
	var times []float64
	for m, kind := range members {
		own := o
		own.Head = kind
		if heads[m], err = Fit(ctx, x, y, groups, own); err != nil {
			return fmt.Errorf("member %s: %w", kind, err)
		}
		for _, note := range heads[m].Notes {
			h.Notes = append(h.Notes, kind+": "+note)
		}
		if enough {
			own.setDefaults()
			z, seen, err := crossValidated(ctx, x, y, groups, own)
			if err != nil {
				return fmt.Errorf("member %s: %w", kind, err)
			}
			logits[m], times = z.Data, seen
		}
	}
	if !enough {
		h.Notes = append(h.Notes, "too few patients to weigh the members by cross-validation: all weigh the same")
	}
	for _, t := range tasks {
		f := ClassFit{Class: t.name, Converged: true}
		if f.count(t.y); t.name == "" {
			f.Positives, f.Negatives = len(t.y), 0
		}
		s := &stack{t: t, members: len(members)}
		if enough {
			s.gather(logits, times, len(y.Classes))
			s.minimize()
			f.Chosen, f.HeldOut, f.Iterations = true, s.loss(s.weights), s.iterations
			f.GradientNorm, f.Converged = s.gap, s.gap <= stackTolerance
		} else {
			s.weights = slices.Repeat([]float64{1 / float64(len(members))}, len(members))
		}
		for m, kind := range members {
			w := MemberWeight{Head: kind, Weight: s.weights[m]}
			if enough {
				only := make([]float64, len(members))
				only[m] = 1
				w.Loss = s.loss(only)
			}
			f.Members = append(f.Members, w)
		}
		for _, c := range t.classes {
			w, b := make([]float64, x.Cols), 0.0
			for m, head := range heads {
				b += s.weights[m] * float64(head.B[c])
				for j, v := range head.W.Data[c*head.W.Stride : c*head.W.Stride+x.Cols] {
					w[j] += s.weights[m] * float64(v)
				}
			}
			if err := h.set(c, w, b); err != nil {
				return err
			}
		}
		h.Fits = append(h.Fits, f)
	}
	return nil
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

// gather takes the logits of the rows that were held out.
func (s *stack) gather(logits [][]float64, times []float64, classes int) {
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
