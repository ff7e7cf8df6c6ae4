package evaluate

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The confusion at every edge is that of counting samples one by one, also where
// probabilities lie on an edge or next to it.
func TestConfusionIsThatOfCounting(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(8, 8))
	var p []float64
	var labels []bool
	for k := range HistogramBins + 1 {
		edge := float64(k) / HistogramBins
		for _, v := range []float64{edge, math.Nextafter(edge, 0), math.Nextafter(edge, 1), random.Float64()} {
			p, labels = append(p, v), append(labels, random.IntN(2) == 0)
		}
	}
	h, err := newHistogram(p, labels)
	if err != nil {
		t.Fatal(err)
	}
	for k := range HistogramBins {
		var want Confusion
		for i, v := range p {
			switch called := v >= float64(k)/HistogramBins; {
			case called && labels[i]:
				want.TruePositives++
			case called:
				want.FalsePositives++
			case labels[i]:
				want.FalseNegatives++
			default:
				want.TrueNegatives++
			}
		}
		if got := h.At(k); got != want {
			t.Errorf("at %d/%d: %+v, want %+v", k, HistogramBins, got, want)
		}
	}
	for _, bad := range []float64{-0.1, 1.1, math.NaN()} {
		if _, err := newHistogram([]float64{bad}, []bool{true}); err == nil {
			t.Errorf("probability %v is counted", bad)
		}
	}
	if _, err := newHistogram([]float64{1}, nil); err == nil {
		t.Error("a probability without a label is counted")
	}
}
