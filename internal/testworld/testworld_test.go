package testworld

import (
	"math"
	"reflect"
	"testing"
)

// zeroShotArea is the share of pairs of a positive and a negative that the
// zero-shot direction puts in order.
func zeroShotArea(w *World, s Sample) float64 {
	var scores [2][]float64
	for i, label := range s.Labels {
		sum := 0.0
		for j, v := range w.T.Data {
			sum += float64(v) * float64(s.X.Data[i*s.X.Stride+j])
		}
		scores[label] = append(scores[label], sum)
	}
	right := 0
	for _, p := range scores[1] {
		for _, n := range scores[0] {
			if p > n {
				right++
			}
		}
	}
	return float64(right) / float64(len(scores[0])*len(scores[1]))
}

// Along a direction at angle θ to the best one the means lie Signal·cos θ
// deviations apart, so that the AUC is Φ(Signal·cos θ/√2); scaling the vectors
// to length one costs a little of it.
func TestZeroShotKnowsWhatItIsTold(t *testing.T) {
	t.Parallel()
	for _, knowledge := range []float64{0, 0.2, 0.5, 1} {
		w := New(Options{Knowledge: knowledge}, 3)
		want := math.Erfc(-3*knowledge/2) / 2
		if got := zeroShotArea(w, w.Draw(1000, 1000, "p", 4)); math.Abs(got-want) > 0.03 {
			t.Errorf("knowledge %v: AUC %.3f, want about %.3f", knowledge, got, want)
		}
	}
}

func TestSameSeedSameWorld(t *testing.T) {
	t.Parallel()
	o := Options{Knowledge: 0.3, PerPatient: 3, Likeness: 0.5}
	a, b := New(o, 8).Draw(4, 5, "p", 9), New(o, 8).Draw(4, 5, "p", 9)
	if !reflect.DeepEqual(a, b) {
		t.Error("two draws with one seed differ")
	}
	if n := len(a.Groups); n != 27 || a.Groups[0] != a.Groups[2] || a.Groups[2] == a.Groups[3] {
		t.Errorf("groups %v, want nine patients of three", a.Groups)
	}
}
