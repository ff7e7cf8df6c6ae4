package trainer

import (
	"context"
	"slices"
)

// problem is a penalised logistic regression with offsets, on a design:
//
//	F(w, b) = ½‖w‖² + C·Σᵢ sᵢ·loss(yᵢ, X·w + b + oᵢ)
//
// With one output the loss is log(1+e^(−±z)), with K > 1 the cross-entropy of
// the softmax. C = 1/λ. The intercepts are not penalised.
type problem struct {
	outputs int // 1, or K
	// y holds the class 0…K−1 of each row, or 0 and 1 for one output.
	y      []int
	weight []float64 // sᵢ; 0 leaves the row out
	// base holds scores, outputs × rows, that count scale-fold; nil for none.
	base  []float64
	scale float64
	c     float64
	// start and bias are where the descent starts; start nil is w = 0.
	start params
	bias  []float64
	// reference is the norm of the gradient that counts as 1; 0: at the start.
	reference float64
	// held are rows whose losses are wanted.
	held []int
	// needed says that the parameters are wanted.
	needed bool
	// lost is the rough solution of a problem that is not worth more; taken counts
	// the iterations before the start.
	lost  *solution
	taken int
	// task is what the problem is part of.
	task *task
}

// params is outputs×(dim+1): a row of weights and their intercept for each
// output.
type params []float64

// solution is a minimum and how it was reached.
type solution struct {
	params     params
	objective  float64
	iterations int
	converged  bool
	gradient   float64 // ‖∇F‖ relative to the reference
	reference  float64
	held       []float64 // losses of the held rows
	logits     []float64 // of the held rows, rows × outputs, where there is a base
}

const (
	maxIterations = 200
	// Gradients are measured against the gradient at the start. fitTolerance is
	// for the head, selectTolerance for the fits of a cross-validation, of which
	// enoughTolerance is enough where float32 ends the descent, and raceTolerance
	// for a first look at them; convergedTolerance is what counts as converged
	// where rounding ends it. A selectTolerance of 1e-4 takes a tenth less time on a
	// few hundred rows, but the held-out losses of a great C, which are reported, are
	// then off by percents.
	fitTolerance       = 1e-9
	selectTolerance    = 1e-5
	enoughTolerance    = 1e-4
	raceTolerance      = 1e-2
	convergedTolerance = 1e-8
	roundingTolerance  = 1e-13
	// leastGain of the objective is what the last step of a head's fit may have
	// gained: the next one, as Newton's method goes, would gain the square.
	leastGain = 1e-6
	// smallProduct is how many multiplications are so few that float64 takes no
	// longer.
	smallProduct = 1 << 18
	// sharedProduct is up to how many multiplications one processor takes no longer
	// for than two.
	sharedProduct = 1 << 23
)

// minimize finds the minima of all problems, by Newton's method with conjugate
// gradients. F is convex, strictly but for the common shift of softmax
// intercepts, so that the minimum is the only one.
//
// The problems go side by side, so that their products are one product: of
// matrices in float32 first; then, where more is asked for, with gradients in
// float64, and at last in float64 altogether. Each step ends where its precision
// does. It is the same on any number of processors.
func (d *design) minimize(ctx context.Context, problems []*problem, tolerance float64) ([]solution, error) {
	if err := d.findSpectrum(); err != nil {
		return nil, err
	}
	if outputs := outputsOf(problems); len(problems) > 1 && outputs*d.rows*d.dim <= sharedProduct {
		return d.halves(ctx, problems, tolerance)
	}
	solutions := make([]solution, 0, len(problems))
	for len(problems) > 0 {
		some := 1
		for some < len(problems) && outputsOf(problems[:some+1]) <= d.columns() {
			some++
		}
		found, err := d.newDescent(problems[:some]).run(ctx, tolerance)
		if err != nil {
			return nil, err
		}
		solutions = append(solutions, found...)
		problems = problems[some:]
	}
	return solutions, nil
}

// halves is minimize for problems whose products are too small to be divided
// among processors: the first half of them and the others go at the same time.
func (d *design) halves(ctx context.Context, problems []*problem, tolerance float64) ([]solution, error) {
	middle := len(problems) / 2
	halves := [2][]*problem{problems[:middle], problems[middle:]}
	var found [2][]solution
	var errs [2]error
	each(len(halves), func(i int) {
		found[i], errs[i] = d.apart().newDescent(halves[i]).run(ctx, tolerance)
	})
	for _, err := range errs {
		if err != nil {
			return nil, err // both are ended by one context
		}
	}
	return slices.Concat(found[:]...), nil
}

// apart returns the design with rooms of its own, for one processor.
func (d *design) apart() *design {
	own := *d
	own.rooms, own.wide, own.alone = [len(d.rooms)][]float32{}, [len(d.wide)][]float64{}, true
	return &own
}

// outputsOf counts the outputs of problems.
func outputsOf(problems []*problem) int {
	n := 0
	for _, p := range problems {
		n += p.outputs
	}
	return n
}

// columns is how many outputs go side by side: so many that their logits take
// about half the memory of the vectors.
func (d *design) columns() int { return max(48, len(d.mean)/16) }
