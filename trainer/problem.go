package trainer

import "context"

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
	solutions := make([]solution, 0, len(problems))
	for len(problems) > 0 {
		some, outputs := 0, 0
		for some < len(problems) && (some == 0 || outputs+problems[some].outputs <= d.columns()) {
			outputs += problems[some].outputs
			some++
		}
		b, err := d.newDescent(problems[:some], outputs)
		if err != nil {
			return nil, err
		}
		if err := b.run(ctx, tolerance); err != nil {
			return nil, err
		}
		solutions = append(solutions, b.solutions(tolerance)...)
		problems = problems[some:]
	}
	return solutions, nil
}

// columns is how many outputs go side by side: so many that their logits take
// about half the memory of the vectors.
func (d *design) columns() int { return max(48, len(d.mean)/16) }
