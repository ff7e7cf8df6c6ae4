package evaluate

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/medprobe/medprobe/internal/needs"
	"gonum.org/v1/gonum/stat/distuv"
)

func TestCurvesEqualThoseOfScikitLearn(t *testing.T) {
	t.Parallel()
	var want struct {
		Cases []struct {
			Name                string
			Y                   []int
			P                   []float64
			Precision, Recall   []float64
			Thresholds          []float64
			Observed, Predicted []float64
		}
	}
	golden(t, "curves.json", &want)
	for _, c := range want.Cases {
		s, err := newSweep(c.P, booleans(c.Y), nil)
		if err != nil {
			t.Fatal(err)
		}
		points := s.precisionRecall()
		last := len(c.Thresholds) // scikit-learn's end, (0, 1), without a threshold
		for k, p := range points {
			at := last - k
			within(t, fmt.Sprintf("%s: recall %d", c.Name, k), p.Recall, c.Recall[at], 1e-12)
			within(t, fmt.Sprintf("%s: precision %d", c.Name, k), p.Precision, c.Precision[at], 1e-12)
			if k > 0 {
				within(t, fmt.Sprintf("%s: threshold %d", c.Name, k), *p.Threshold, c.Thresholds[at], 0)
			}
		}
		if n := len(points); points[n-1].Recall != 1 || points[n-2].Recall == 1 {
			t.Errorf("%s: the curve does not end where recall first is 1", c.Name)
		}
		bins, err := Reliability(c.P, booleans(c.Y), nil, "image")
		if err != nil {
			t.Fatal(err)
		}
		if len(bins) != len(c.Observed) {
			t.Fatalf("%s: %d bins, want %d", c.Name, len(bins), len(c.Observed))
		}
		apart, n := 0.0, 0
		for k, b := range bins {
			within(t, fmt.Sprintf("%s: observed %d", c.Name, k), b.Observed.Point, c.Observed[k], 1e-12)
			within(t, fmt.Sprintf("%s: predicted %d", c.Name, k), b.Predicted, c.Predicted[k], 1e-12)
			if low, high := Wilson(b.Observed.Point*float64(b.N), float64(b.N), Level); b.Observed.Low > low+1e-12 || b.Observed.High < high-1e-12 {
				t.Errorf("%s: bin %d: interval %v narrower than Wilson's %v–%v", c.Name, k, b.Observed, low, high)
			}
			apart += float64(b.N) * math.Abs(b.Observed.Point-b.Predicted)
			n += b.N
		}
		ece, err := ECE(c.P, booleans(c.Y))
		if err != nil {
			t.Fatal(err)
		}
		within(t, c.Name+": ECE", apart/float64(n), ece, 1e-12)
	}
}

// The curves of one resample are those of the samples written as often as their
// unit weighs.
func TestCurvesOfAResample(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 3))
	for range 50 {
		n := 30
		scores, labels, weights := make([]float64, n), make([]bool, n), make([]int32, n)
		var written []float64
		var truth []bool
		for i := range n {
			labels[i] = i%3 == 0
			scores[i] = math.Round(4*random.NormFloat64()) / 4
			weights[i] = int32(random.IntN(3))
			if i < 2 {
				weights[i] = 1
			}
			for range weights[i] {
				written, truth = append(written, scores[i]), append(truth, labels[i])
			}
		}
		read := func(scores []float64, labels []bool, weights []int32) (tpr, precision []float64) {
			s, err := newSweep(scores, labels, nil)
			if err != nil {
				t.Fatal(err)
			}
			tpr, precision = make([]float64, bandSteps+1), make([]float64, bandSteps)
			s.curves(weights, tpr, precision)
			return tpr, precision
		}
		a1, a2 := read(scores, labels, weights)
		b1, b2 := read(written, truth, nil)
		if !reflect.DeepEqual(a1, b1) || !reflect.DeepEqual(a2, b2) {
			t.Fatalf("curves of weights %v differ from those of the samples repeated", weights)
		}
		// Where the ROC curve has a point at a rate, the reading is its highest.
		points, err := ROC(written, truth)
		if err != nil {
			t.Fatal(err)
		}
		for k, tpr := range b1 {
			for _, p := range points {
				if p.FPR <= float64(k)/bandSteps && p.TPR > tpr+1e-12 {
					t.Fatalf("at rate %v the curve is read as %v, below its point %v", float64(k)/bandSteps, tpr, p)
				}
			}
		}
	}
}

// bandsOf is bands of what [AUC] takes.
func bandsOf(ctx context.Context, scores []float64, labels []bool, groups []string, b Bootstrap) (roc, pr *Band, err error) {
	b.setDefaults()
	c, err := newContrast(labels, groups)
	if err != nil {
		return nil, nil, err
	}
	s, err := newSweep(scores, labels, c.unit)
	if err != nil {
		return nil, nil, err
	}
	unit := "sample"
	if groups != nil {
		unit = "group"
	}
	return s.bands(ctx, c, b, unit)
}

func TestBandsAreHonestUnderSeparation(t *testing.T) {
	t.Parallel()
	var scores []float64
	var labels []bool
	for i := range 40 {
		scores, labels = append(scores, float64(i)), append(labels, i >= 20)
	}
	roc, pr, err := bandsOf(t.Context(), scores, labels, nil, Bootstrap{Resamples: 200})
	if err != nil {
		t.Fatal(err)
	}
	for k := range bandSteps {
		if roc.High[k] != 1 || !(roc.Low[k] < 0.85) {
			t.Errorf("at rate %v the band is %v–%v: want Wilson's of 20 of 20", roc.At[k], roc.Low[k], roc.High[k])
		}
	}
	if roc.Low[bandSteps] != 1 || pr.Low[0] >= pr.Low[bandSteps-1] {
		t.Errorf("ends: %v, %v and %v", roc.Low[bandSteps], pr.Low[0], pr.Low[bandSteps-1])
	}
	for _, w := range []int{1, 3} {
		again, _, err := bandsOf(t.Context(), scores, labels, nil, Bootstrap{Resamples: 200, Workers: w})
		if err != nil || !reflect.DeepEqual(again, roc) {
			t.Errorf("%d workers give another band (%v)", w, err)
		}
	}
}

// At any one rate the band holds the truth about as often as it says, with several
// samples of one patient too.
func TestBandCoverage(t *testing.T) {
	needs.Time(t)
	t.Parallel()
	const trials, resamples = 300, 300
	random := rand.New(rand.NewPCG(5, 9))
	for _, c := range []struct{ patients, images int }{{60, 1}, {50, 3}} {
		rates, recalls := []int{5, 15, 30}, []int{25, 40}
		held := make([]int, len(rates)+len(recalls))
		for range trials {
			var scores []float64
			var labels []bool
			var groups []string
			for p := range 2 * c.patients {
				positive, common := p%2 == 0, random.NormFloat64()
				for range c.images {
					x := math.Sqrt(0.5)*common + math.Sqrt(0.5)*random.NormFloat64()
					if positive {
						x += 1.5
					}
					scores, labels, groups = append(scores, x), append(labels, positive), append(groups, fmt.Sprint(p))
				}
			}
			roc, pr, err := bandsOf(t.Context(), scores, labels, groups, Bootstrap{Resamples: resamples, Seed: random.Uint64(), Workers: 1})
			if err != nil {
				t.Fatal(err)
			}
			normal := distuv.UnitNormal
			for k, at := range rates {
				truth := normal.Survival(normal.Quantile(1-roc.At[at]) - 1.5)
				if roc.Low[at] <= truth && truth <= roc.High[at] {
					held[k]++
				}
			}
			for k, at := range recalls {
				recall := pr.At[at-1]
				fpr := normal.Survival(normal.Quantile(1-recall) + 1.5)
				truth := recall / (recall + fpr)
				if pr.Low[at-1] <= truth && truth <= pr.High[at-1] {
					held[len(rates)+k]++
				}
			}
		}
		if low := slices.Min(held); float64(low) < 0.91*trials {
			t.Errorf("%d patients of %d images: the band holds the truth in %v of %d trials: want 95 %%", c.patients, c.images, held, trials)
		}
		t.Logf("%d patients of %d images: %v of %d", c.patients, c.images, held, trials)
	}
}
