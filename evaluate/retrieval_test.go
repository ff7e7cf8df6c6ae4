package evaluate

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
)

func TestRetrievalAgreesWithScikitLearn(t *testing.T) {
	t.Parallel()
	var want struct {
		Cases []struct {
			Ranking           []int
			K                 int
			Precision, Recall float64
			AveragePrecision  float64 `json:"average_precision"`
		}
	}
	golden(t, "retrieval.json", &want)
	if len(want.Cases) != 9 {
		t.Fatalf("%d cases, want 9", len(want.Cases))
	}
	for i, c := range want.Cases {
		name, ranking := strconv.Itoa(i), booleans(c.Ranking)
		scores := make([]float64, len(ranking))
		for i := range scores {
			scores[i] = -float64(i)
		}
		s, err := newSweep(scores, ranking, nil)
		if err != nil {
			t.Fatal(err)
		}
		within(t, name+" precision", s.precisionAt(nil, c.K), c.Precision, 1e-12)
		within(t, name+" recall", s.recallAt(nil, c.K), c.Recall, 1e-12)
		within(t, name+" average precision", s.averagePrecision(nil), c.AveragePrecision, 1e-12)
		if !slices.Contains(ranking, false) {
			continue // an AUC has no meaning
		}
		r, err := Bootstrap{Resamples: 200}.Retrieval(t.Context(), ranking, nil, c.K)
		if err != nil {
			t.Fatal(err)
		}
		within(t, name+" precision, estimated", r.Precision.Point, c.Precision, 1e-12)
		within(t, name+" recall, estimated", r.Recall.Point, c.Recall, 1e-12)
		within(t, name+" average precision, estimated", r.AveragePrecision.Point, c.AveragePrecision, 1e-12)
	}
}

// relevant counts those among the items.
func relevant(items []bool) float64 {
	found := 0.0
	for _, is := range items {
		if is {
			found++
		}
	}
	return found
}

// The figures of a resample are those of the ranking in which each item stands as
// often as it was drawn.
func TestRetrievalOfResamples(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(2, 3))
	for range 50 {
		n := 5 + random.IntN(40)
		ranking, scores, weights := make([]bool, n), make([]float64, n), make([]int32, n)
		var drawn []bool
		for i := range n {
			ranking[i], scores[i], weights[i] = random.IntN(3) == 0 || i == 2, -float64(i), int32(random.IntN(4))
			weights[2] = 1
			drawn = append(drawn, slices.Repeat([]bool{ranking[i]}, int(weights[i]))...)
		}
		k := 1 + random.IntN(len(drawn))
		s, err := newSweep(scores, ranking, nil)
		if err != nil {
			t.Fatal(err)
		}
		found := relevant(drawn[:k])
		within(t, "precision", s.precisionAt(weights, k), found/float64(k), 1e-12)
		within(t, "recall", s.recallAt(weights, k), found/relevant(drawn), 1e-12)
	}
}

func TestRetrievalIntervals(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(4, 4))
	var ranking []bool
	var groups []string
	for i := range 400 {
		ranking = append(ranking, random.Float64() < 0.7*math.Exp(-float64(i)/100))
		groups = append(groups, strconv.Itoa(random.IntN(150)))
	}
	r, err := Bootstrap{}.Retrieval(t.Context(), ranking, groups, 25)
	if err != nil {
		t.Fatal(err)
	}
	r = r.Over("patient")
	if r.N != 400 || r.K != 25 || r.Precision.N != 400 || r.Precision.Unit != "patient" || r.Precision.Positives != r.Positives || r.Prevalence != float64(r.Positives)/400 {
		t.Errorf("%+v", r)
	}
	for name, e := range map[string]Estimate{"precision": r.Precision, "recall": r.Recall, "average precision": r.AveragePrecision} {
		if !(e.Low < e.Point && e.Point < e.High && e.StdErr > 0) || e.Method != map[bool]string{true: "logit", false: "percentile"}[name == "average precision"] || len(e.Warnings) > 0 {
			t.Errorf("%s: %+v", name, e)
		}
	}
	perfect := append(slices.Repeat([]bool{true}, 30), slices.Repeat([]bool{false}, 30)...)
	if r, err = (Bootstrap{}).Retrieval(t.Context(), perfect, nil, 5); err != nil {
		t.Fatal(err)
	}
	low, high := Wilson(5, 5, Level)
	if e := r.Precision; len(e.Warnings) != 1 || e.Warnings[0].Code != WarnNoSpread || e.Low != low || e.High != high || e.Method != "wilson" {
		t.Errorf("%+v: want Wilson's interval of five, and the warning", e)
	}
}

func TestRetrievalRefuses(t *testing.T) {
	t.Parallel()
	for _, k := range []int{-1, 0, 3} {
		if r, err := (Bootstrap{}).Retrieval(t.Context(), []bool{true, false}, nil, k); err == nil {
			t.Errorf("%+v for k %d", r, k)
		}
	}
	if r, err := (Bootstrap{}).Retrieval(t.Context(), []bool{false, false}, nil, 1); !errors.Is(err, ErrOneClass) {
		t.Errorf("%+v, %v: want ErrOneClass", r, err)
	}
}
