package trainer

import (
	"math"
	"math/rand/v2"
)

// adam is AdamW: Adam with a decay of the weights beside the gradient.
//
// Source: Kingma and Ba, ICLR 2015, algorithm 1; Loshchilov and Hutter, ICLR
// 2019, algorithm 2; as in PyTorch's AdamW. Without decay it is Adam.
type adam struct {
	rate, epsilon, decay float64
	steps                int
	mean, square         []float64
}

func newAdam(rate, epsilon, decay float64, n int) *adam {
	return &adam{rate: rate, epsilon: epsilon, decay: decay, mean: make([]float64, n), square: make([]float64, n)}
}

// step moves v against the gradient, at factor times the rate.
func (a *adam) step(v, gradient []float64, factor float64) {
	const beta1, beta2 = 0.9, 0.999
	a.steps++
	rate := a.rate * factor
	c1, c2 := 1-math.Pow(beta1, float64(a.steps)), 1-math.Pow(beta2, float64(a.steps))
	for i, g := range gradient {
		v[i] -= rate * a.decay * v[i]
		a.mean[i] = beta1*a.mean[i] + (1-beta1)*g
		a.square[i] = beta2*a.square[i] + (1-beta2)*g*g
		v[i] -= rate * a.mean[i] / c1 / (math.Sqrt(a.square[i]/c2) + a.epsilon)
	}
}

// newRandom returns a source of its own for each use of a seed.
func newRandom(seed, use uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, use)) }
