package evaluate

import "fmt"

// HistogramBins is the number of equal-width bins of a [Histogram].
const HistogramBins = 50

// Histogram counts the probabilities of the test samples by class. Bin k of K
// holds those from k/K to below (k+1)/K, and the last one 1 as well.
type Histogram struct {
	Positives []int `json:"positives"`
	Negatives []int `json:"negatives"`
}

// newHistogram counts probabilities in [HistogramBins] bins. Probabilities and
// labels have one entry per sample; one outside [0, 1] is an error that names its
// index.
func newHistogram(probabilities []float64, labels []bool) (Histogram, error) {
	h := Histogram{Positives: make([]int, HistogramBins), Negatives: make([]int, HistogramBins)}
	if len(probabilities) != len(labels) {
		return h, fmt.Errorf("evaluate: %d probabilities for %d labels", len(probabilities), len(labels))
	}
	for i, p := range probabilities {
		if !(p >= 0 && p <= 1) {
			return h, fmt.Errorf("evaluate: probability %d is %v: want 0 to 1", i, p)
		}
		k := min(int(p*HistogramBins), HistogramBins-1)
		switch { // p·K is rounded; the edges are k/K
		case k+1 < HistogramBins && p >= float64(k+1)/HistogramBins:
			k++
		case p < float64(k)/HistogramBins:
			k--
		}
		if labels[i] {
			h.Positives[k]++
		} else {
			h.Negatives[k]++
		}
	}
	return h, nil
}

// Confusion counts what a threshold makes of samples.
type Confusion struct{ TruePositives, FalseNegatives, FalsePositives, TrueNegatives int }

// At returns the confusion at the threshold k/K, where a sample is called
// positive if its probability is at least that.
func (h Histogram) At(k int) Confusion {
	var c Confusion
	for bin := range h.Positives {
		if bin >= k {
			c.TruePositives += h.Positives[bin]
			c.FalsePositives += h.Negatives[bin]
		} else {
			c.FalseNegatives += h.Positives[bin]
			c.TrueNegatives += h.Negatives[bin]
		}
	}
	return c
}
