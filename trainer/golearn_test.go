package trainer

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/sjwhitworth/golearn/base"
	"github.com/sjwhitworth/golearn/knn"
)

// LIBLINEAR through golearn reaches the solution of "logistic", but for the
// slight penalty on its intercept.
func TestGolearnAgrees(t *testing.T) {
	t.Parallel()
	cases, archive := readGolden(t)
	for _, g := range cases {
		if g.Exclusive || g.Standardize || g.ClassWeight != "none" || g.C < 1 || g.C > 100 || g.Name == "two samples" {
			continue
		}
		x, y := g.read(t, archive)
		outside, err := Fit(t.Context(), x, y, nil, Options{Head: GolearnLogistic, C: g.C})
		if err != nil {
			t.Fatalf("%s: %v", g, err)
		}
		ours, err := Fit(t.Context(), x, y, nil, Options{Head: Logistic, C: g.C})
		if err != nil {
			t.Fatal(err)
		}
		want, err := ours.Logits(x)
		if err != nil {
			t.Fatal(err)
		}
		got, err := outside.Logits(x)
		if err != nil {
			t.Fatal(err)
		}
		for i := range want.Data {
			if math.Abs(got.Data[i]-want.Data[i]) > 0.01*(1+math.Abs(want.Data[i])) {
				t.Errorf("%s: logit %d is %.6g by golearn, %.6g by logistic", g, i, got.Data[i], want.Data[i])
				break
			}
		}
	}
}

func TestGolearnNeighboursFindTheirOwn(t *testing.T) {
	t.Parallel()
	w := drawWorld(1)
	support, test := w.Draw(50, 50, "s", 1), w.Draw(200, 200, "t", 2)
	scores, err := GolearnNeighbours(t.Context(), support.X, support.Labels, test.X)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range scores {
		if s*5 != math.Round(s*5) {
			t.Fatalf("score %v: want a share of five votes", s)
		}
	}
	mean := [2]float64{}
	for i, s := range scores {
		mean[test.Labels[i]] += s / 200
	}
	if mean[1] < mean[0]+0.1 {
		t.Errorf("mean score of positives %.3f, of negatives %.3f: want the first well above", mean[1], mean[0])
	}
	if _, err := GolearnNeighbours(t.Context(), support.X, support.Labels[1:], test.X); err == nil {
		t.Error("a label less than vectors: no error")
	}
}

func TestGolearnForestFindsWhatIsThere(t *testing.T) {
	t.Parallel()
	w := drawWorld(1)
	support, test := w.Draw(40, 40, "s", 1), w.Draw(200, 200, "t", 2)
	scores, err := GolearnForest(t.Context(), support.X, support.Labels, test.X, 1)
	if err != nil {
		t.Fatal(err)
	}
	mean := [2]float64{}
	for i, s := range scores {
		if s < 0 || s > 1+1e-9 {
			t.Fatalf("score %v: want a share", s)
		}
		mean[test.Labels[i]] += s / 200
	}
	if mean[1] < mean[0]+0.05 {
		t.Errorf("mean score of positives %.3f, of negatives %.3f: want the first above", mean[1], mean[0])
	}
	again, err := GolearnForest(t.Context(), support.X, support.Labels, test.X, 1)
	if err != nil || !slices.Equal(again, scores) {
		t.Errorf("the same seed gives other scores: %v", err)
	}
	other, err := GolearnForest(t.Context(), support.X, support.Labels, test.X, 2)
	if err != nil || slices.Equal(other, scores) {
		t.Errorf("another seed gives the same scores: %v", err)
	}
}

// fussy is a classifier that golearn might have: one that panics.
type fussy struct{ base.Classifier }

func (fussy) Fit(base.FixedDataGrid) error { panic("no such attribute") }

func TestAnyGolearnClassifierIsTaken(t *testing.T) {
	t.Parallel()
	w := drawWorld(1)
	support := w.Draw(30, 30, "s", 1)
	called, err := Golearn(t.Context(), knn.NewKnnClassifier("euclidean", "linear", 1), support.X, support.Labels, support.X)
	if err != nil {
		t.Fatal(err)
	}
	for i, yes := range called {
		if yes != (support.Labels[i] == Positive) {
			t.Fatalf("row %d is not its own nearest neighbour", i)
		}
	}
	if _, err := Golearn(t.Context(), fussy{}, support.X, support.Labels, support.X); err == nil || !strings.Contains(err.Error(), "gave up: no such attribute") {
		t.Errorf("a panic gives %v", err)
	}
	for want, labels := range map[string][]int8{
		"59 labels for 60":             support.Labels[1:],
		"row 0: label -1":              append([]int8{-1}, support.Labels[1:]...),
		"60 positives and 0 negatives": slices.Repeat([]int8{1}, 60),
	} {
		if _, err := GolearnForest(t.Context(), support.X, labels, support.X, 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v: want %q", err, want)
		}
	}
}
