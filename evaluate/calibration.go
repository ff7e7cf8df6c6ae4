package evaluate

import (
	"fmt"
	"math"
)

// Bins is the number of equal-width bins of [ECE].
const Bins = 15

// areProbabilities says whether all scores lie in [0, 1], so that Brier score,
// log-loss and ECE mean something.
func areProbabilities(scores []float64) bool {
	for _, s := range scores {
		if !(s >= 0 && s <= 1) {
			return false
		}
	}
	return true
}

// Brier returns the Brier score: the mean of (p − y)², from 0 (best) to 1.
// probabilities and labels have one entry per sample; it is defined for one
// class as well. No samples, or a probability outside [0, 1], is an error that
// names its index. Oracle: scikit-learn brier_score_loss.
func Brier(probabilities []float64, labels []bool) (float64, error) {
	return calibrationFigure((*sweep).brier, probabilities, labels)
}

// LogLoss returns the mean of −ln p for positives and −ln(1−p) for negatives,
// in nats, with p clipped to [ε, 1−ε], ε = 2⁻⁵², as scikit-learn's log_loss
// does for float64. The rest is as for [Brier].
func LogLoss(probabilities []float64, labels []bool) (float64, error) {
	return calibrationFigure((*sweep).logLoss, probabilities, labels)
}

// ECE returns the expected calibration error of the positive class: over
// [Bins] equal-width bins of p, the mean over samples of the distance between
// the bin's mean p and its share of positives (Naeini, Cooper and Hauskrecht,
// AAAI 2015). A bin holds its upper end, and the first one 0 as well. It falls
// with the number of bins and, for perfect calibration, is above 0 by chance.
// The rest is as for [Brier].
func ECE(probabilities []float64, labels []bool) (float64, error) {
	return calibrationFigure((*sweep).ece, probabilities, labels)
}

func calibrationFigure(figure func(*sweep, []int32) float64, probabilities []float64, labels []bool) (float64, error) {
	if len(labels) == 0 {
		return 0, fmt.Errorf("evaluate: no samples")
	}
	s, err := newSweep(probabilities, labels, nil)
	if err != nil {
		return 0, err
	}
	for i, p := range probabilities {
		if p < 0 || p > 1 {
			return 0, fmt.Errorf("evaluate: probability %d is %v: want 0 to 1", i, p)
		}
	}
	return figure(s, nil), nil
}

func (s *sweep) brier(weights []int32) float64 {
	return s.mean(weights, func(p float64, positive bool) float64 {
		if positive {
			p = 1 - p
		}
		return p * p
	})
}

// epsilon keeps the log-loss finite, and maxLogLoss is what it is at most: −ln ε.
const (
	epsilon    = 0x1p-52
	maxLogLoss = 52 * math.Ln2
)

func (s *sweep) logLoss(weights []int32) float64 {
	return s.mean(weights, func(p float64, positive bool) float64 {
		p = min(max(p, epsilon), 1-epsilon)
		if positive {
			return -math.Log(p)
		}
		return -math.Log1p(-p)
	})
}

// mean is 0 if the weights leave nothing.
func (s *sweep) mean(weights []int32, loss func(p float64, positive bool) float64) float64 {
	sum, total := 0.0, int64(0)
	s.runs(weights, func(p float64, positive bool, weight int64) {
		sum += float64(float64(weight) * loss(p, positive))
		total += weight
	})
	return sum / float64(max(1, total))
}

func (s *sweep) ece(weights []int32) float64 {
	var excess [Bins]float64 // sum of p − y
	total := int64(0)
	s.runs(weights, func(p float64, positive bool, weight int64) {
		bin := max(0, int(math.Ceil(p*Bins))-1)
		if positive {
			p--
		}
		excess[bin] += float64(float64(weight) * p)
		total += weight
	})
	sum := 0.0
	for _, e := range excess {
		sum += math.Abs(e)
	}
	return sum / float64(max(1, total))
}
