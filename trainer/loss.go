package trainer

import "math"

// logLoss returns log(1+e^(−±z)) for label 1 or 0, and the probability of 1.
func logLoss(z float64, label int) (loss, prob float64) {
	e := math.Exp(-math.Abs(z))
	loss, prob = math.Log1p(e), 1/(1+e)
	if z < 0 {
		prob = e * prob
	}
	if (z < 0) == (label == 1) {
		loss += math.Abs(z)
	}
	return loss, prob
}

// sigmoid is 1/(1+e⁻ᶻ) without overflow.
func sigmoid(z float64) float64 {
	if z >= 0 {
		return 1 / (1 + math.Exp(-z))
	}
	e := math.Exp(z)
	return e / (1 + e)
}

// softmax replaces logits by probabilities and returns log Σ eᶻ.
func softmax(z []float64) float64 {
	highest := math.Inf(-1)
	for _, v := range z {
		highest = max(highest, v)
	}
	sum := 0.0
	for k, v := range z {
		z[k] = math.Exp(v - highest)
		sum += z[k]
	}
	for k := range z {
		z[k] /= sum
	}
	return highest + math.Log(sum)
}

// rowLoss returns the log-loss of a row of logits, which it overwrites.
func rowLoss(z []float64, class int) float64 {
	if len(z) == 1 {
		loss, _ := logLoss(z[0], class)
		return loss
	}
	own := z[class]
	return softmax(z) - own
}
