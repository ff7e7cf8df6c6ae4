package evaluate

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// world is samples of patients: labels, two columns of scores that go
// together, and who they belong to.
type world struct {
	labels []bool
	a, b   []float64
	groups []string
}

// drawWorld draws patients with per samples each. Each sample is positive with
// probability one half if mixed, else each patient is, alternately. icc is the
// share of the noise's variance that a patient's samples have in common.
func drawWorld(random *rand.Rand, patients, per int, mixed bool, d, icc float64) world {
	var w world
	for p := range patients {
		common := random.NormFloat64()
		shared := [2]float64{random.NormFloat64(), random.NormFloat64()}
		for range per {
			positive := p%2 == 0
			if mixed {
				positive = random.IntN(2) == 0
			}
			noise := func(column int) float64 {
				// Half of each part of the noise is common to both columns.
				patient := math.Sqrt(icc) * (common + shared[column]) * math.Sqrt(0.5)
				return patient + math.Sqrt(1-icc)*random.NormFloat64()
			}
			a, b := noise(0), noise(1)
			if positive {
				a, b = a+d, b+d
			}
			w.labels = append(w.labels, positive)
			w.a, w.b = append(w.a, a), append(w.b, b)
			w.groups = append(w.groups, fmt.Sprintf("p%03d", p))
		}
	}
	return w
}

func (w world) permuted(random *rand.Rand) world {
	order := random.Perm(len(w.labels))
	var v world
	for _, i := range order {
		v.labels = append(v.labels, w.labels[i])
		v.a, v.b = append(v.a, w.a[i]), append(v.b, w.b[i])
		v.groups = append(v.groups, w.groups[i])
	}
	return v
}

func rounded(scores []float64, step float64) []float64 {
	out := make([]float64, len(scores))
	for i, s := range scores {
		out[i] = math.Round(s/step) * step
	}
	return out
}

// allPairs is the AUC by its definition.
func allPairs(scores []float64, labels []bool) float64 {
	won, pairs := 0.0, 0.0
	for i, positive := range labels {
		for j, other := range labels {
			if !positive || other {
				continue
			}
			pairs++
			switch {
			case scores[i] > scores[j]:
				won++
			case scores[i] == scores[j]:
				won += 0.5
			}
		}
	}
	return won / pairs
}

func TestAUCIsTheShareOfPairsInOrder(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 0))
	for trial := range 200 {
		w := drawWorld(random, 2+random.IntN(40), 1+random.IntN(3), trial%2 == 0, 0.8, 0.4)
		scores := rounded(w.a, []float64{1e-9, 0.5, 2, 100}[trial%4])
		if trial%5 == 0 {
			scores[0], scores[len(scores)-1] = math.Inf(1), math.Inf(-1)
		}
		e, err := AUC(scores, w.labels, w.groups)
		if errors.Is(err, ErrOneClass) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		within(t, "AUC", e.Point, allPairs(scores, w.labels), 1e-15)
		if !(0 <= e.Low && e.Low <= e.Point && e.Point <= e.High && e.High <= 1 && e.Low < e.High) {
			t.Errorf("interval %v of trial %d", e, trial)
		}
		points, err := ROC(scores, w.labels)
		if err != nil {
			t.Fatal(err)
		}
		within(t, "area under the points", area(points), e.Point, 1e-12)
		within(t, "area under the simplified points", area(simplify(points, 0.0005)), e.Point, 0.0005)
		s, err := newSweep(scores, w.labels, nil)
		if err != nil {
			t.Fatal(err)
		}
		within(t, "AUC by the sweep", s.auc(nil), e.Point, 0)
	}
}

func area(points []Point) float64 {
	sum := 0.0
	for k := 1; k < len(points); k++ {
		sum += (points[k].FPR - points[k-1].FPR) * (points[k].TPR + points[k-1].TPR) / 2
	}
	return sum
}

func TestMonotoneMapOfScoresChangesNothing(t *testing.T) {
	t.Parallel()
	w := drawWorld(rand.New(rand.NewPCG(2, 0)), 60, 2, true, 1, 0.3)
	a, b := rounded(w.a, 0.25), rounded(w.b, 0.25)
	mapped := make([]float64, len(a))
	for i, s := range a {
		mapped[i] = math.Exp(3*s) - 7
	}
	want, err := Compare(a, b, w.labels, w.groups)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Compare(mapped, b, w.labels, w.groups)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, want)
}

func TestSwappedLabelsGiveTheComplement(t *testing.T) {
	t.Parallel()
	w := drawWorld(rand.New(rand.NewPCG(3, 0)), 60, 2, true, 1, 0.3)
	swapped := make([]bool, len(w.labels))
	for i, positive := range w.labels {
		swapped[i] = !positive
	}
	e, err := AUC(w.a, w.labels, w.groups)
	if err != nil {
		t.Fatal(err)
	}
	s, err := AUC(w.a, swapped, w.groups)
	if err != nil {
		t.Fatal(err)
	}
	within(t, "AUC", s.Point, 1-e.Point, 1e-15)
	within(t, "standard error", s.StdErr, e.StdErr, 1e-15)
	within(t, "low", s.Low, 1-e.High, 1e-14)
}

func TestOrderOfSamplesDoesNotMoveABit(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(4, 0))
	w := drawWorld(random, 80, 3, true, 1, 0.5)
	w.a = rounded(w.a, 0.1)
	trial := func(w world) Trial {
		p := make([]float64, len(w.a))
		for i, s := range w.a {
			p[i] = 1 / (1 + math.Exp(-s))
		}
		return Trial{Name: "x", Labels: w.labels, Groups: w.groups, Methods: []Scored{{Method: "zero-shot", Scores: w.b}, {Method: "linear-probe", Scores: p, Probabilities: p}}}
	}
	assess := func(w world) string {
		findings, macro, err := Assess(t.Context(), []Trial{trial(w), trial(w)}, "patient", Bootstrap{Resamples: 200})
		if err != nil {
			t.Fatal(err)
		}
		out, err := json.Marshal([]any{findings, macro})
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	want := assess(w)
	for range 5 {
		if got := assess(w.permuted(random)); got != want {
			t.Fatalf("permuted samples give other bytes:\n%s\n%s", got, want)
		}
	}
}

func same(t *testing.T, got, want any) {
	t.Helper()
	a, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if string(a) != string(b) {
		t.Errorf("got  %s\nwant %s", a, b)
	}
}

func TestBootstrapDoesNotDependOnWorkers(t *testing.T) {
	t.Parallel()
	w := drawWorld(rand.New(rand.NewPCG(5, 0)), 60, 2, true, 1, 0.3)
	var want Comparison
	for k, workers := range []int{1, 2, 7} {
		c, err := Bootstrap{Resamples: 300, Seed: 9, Workers: workers}.Compare(t.Context(), w.a, w.b, w.labels, w.groups)
		if err != nil {
			t.Fatal(err)
		}
		if k == 0 {
			want = c
		}
		same(t, c, want)
	}
	other, err := Bootstrap{Resamples: 300, Seed: 10}.Compare(t.Context(), w.a, w.b, w.labels, w.groups)
	if err != nil {
		t.Fatal(err)
	}
	if other.Difference.Low == want.Difference.Low {
		t.Error("another seed gives the same interval")
	}
}

func TestBootstrapAgreesWithDeLong(t *testing.T) {
	t.Parallel()
	w := drawWorld(rand.New(rand.NewPCG(6, 0)), 400, 2, false, 1, 0.5)
	want, err := Compare(w.a, w.b, w.labels, w.groups)
	if err != nil {
		t.Fatal(err)
	}
	for _, percentile := range []bool{true, false} {
		got, err := Bootstrap{Percentile: percentile}.Compare(t.Context(), w.a, w.b, w.labels, w.groups)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range [][2]Estimate{{got.A, want.A}, {got.B, want.B}, {got.Difference, want.Difference}} {
			within(t, "standard error over DeLong's", e[0].StdErr/e[1].StdErr, 1, 0.06)
			within(t, "low", e[0].Low, e[1].Low, 0.15*e[1].StdErr*4)
			within(t, "high", e[0].High, e[1].High, 0.15*e[1].StdErr*4)
		}
		within(t, "p", got.P, want.P, 0.05)
	}
}

func TestBootstrapStopsWhenTold(t *testing.T) {
	t.Parallel()
	w := drawWorld(rand.New(rand.NewPCG(7, 0)), 40, 1, false, 1, 0)
	ctx, cancel := contextCancelled(t)
	defer cancel()
	if _, err := (Bootstrap{}).AUC(ctx, w.a, w.labels, nil); !errors.Is(err, ctx.Err()) {
		t.Errorf("error = %v, want %v", err, ctx.Err())
	}
}

func TestDegenerateScoresHaveHonestIntervals(t *testing.T) {
	t.Parallel()
	labels := make([]bool, 40)
	perfect, constant, reversed := make([]float64, 40), make([]float64, 40), make([]float64, 40)
	for i := range labels {
		labels[i] = i >= 20
		perfect[i], reversed[i] = float64(i), -float64(i)
	}
	for _, c := range []struct {
		name      string
		scores    []float64
		point     float64
		low, high float64 // the least and greatest that low and high may be
		code      string
	}{
		{"perfect", perfect, 1, 0.87, 1, WarnSeparation},
		{"reversed", reversed, 0, 0, 0.13, WarnSeparation},
		{"constant", constant, 0.5, 0.33, 0.67, WarnConstant},
	} {
		e, err := AUC(c.scores, labels, nil)
		if err != nil {
			t.Fatal(err)
		}
		if e.Point != c.point || e.Low >= e.High || e.Method != "newcombe" || e.High-e.Low < 0.09 {
			t.Errorf("%s: %v by %s", c.name, e, e.Method)
		}
		within(t, c.name+": low", e.Low, c.low, 0.03)
		within(t, c.name+": high", e.High, c.high, 0.03)
		if len(e.Warnings) != 1 || e.Warnings[0].Code != c.code {
			t.Errorf("%s: warnings %v, want %s", c.name, e.Warnings, c.code)
		}
		b, err := Bootstrap{}.AUC(t.Context(), c.scores, labels, nil)
		if err != nil {
			t.Fatal(err)
		}
		if b.Low != e.Low || b.High != e.High {
			t.Errorf("%s: bootstrap %v, want that of AUC, %v", c.name, b, e)
		}
	}

	identical, err := Compare(perfect, perfect, labels, nil)
	if err != nil {
		t.Fatal(err)
	}
	if d := identical.Difference; d.Point != 0 || d.Low != 0 || d.High != 0 || identical.P != 1 || d.Warnings[0].Code != WarnIdentical {
		t.Errorf("identical columns: %+v", identical)
	}
	apart, err := Compare(perfect, constant, labels, nil)
	if err != nil {
		t.Fatal(err)
	}
	if d := apart.Difference; d.Point != 0.5 || d.Method != "mover" || d.Low < 0.2 || d.High > 0.8 || d.Low >= d.High || apart.P > 1e-4 || apart.P == 0 {
		t.Errorf("perfect against constant: %+v", apart)
	}
}

func TestFewUnitsAreWarnedOf(t *testing.T) {
	t.Parallel()
	scores := []float64{1, 2, 3, 4, 5, 6}
	labels := []bool{false, false, true, false, true, true}
	groups := []string{"a", "a", "b", "b", "b", "c"}
	e, err := AUC(scores, labels, groups)
	if err != nil {
		t.Fatal(err)
	}
	if e.N != 6 || e.Positives != 3 || e.Units != 3 || e.Unit != "group" || e.Method != "newcombe" {
		t.Errorf("%+v", e)
	}
	want := "not estimable (*): need >= 10 groups with positives for a dependable interval, have 2"
	if len(e.Warnings) != 2 || e.Warnings[0].Text != want {
		t.Errorf("warnings %v, want first %q", e.Warnings, want)
	}
	if e := e.over("patient"); !strings.Contains(e.Warnings[0].Text, "10 patients with positives") {
		t.Errorf("warning %q does not name patients", e.Warnings[0].Text)
	}
}

func TestBadInputIsRefusedByName(t *testing.T) {
	t.Parallel()
	labels := []bool{true, false, true}
	for _, c := range []struct {
		scores []float64
		labels []bool
		groups []string
		want   string
	}{
		{[]float64{1, 2, math.NaN()}, labels, nil, "score 2: score is not a number"},
		{[]float64{1, 2}, labels, nil, "2 scores for 3 labels"},
		{[]float64{1, 2, 3}, labels, []string{"a"}, "1 groups for 3 labels"},
		{[]float64{1, 2}, []bool{true, true}, nil, "all of 2 samples are positive: only one class"},
		{[]float64{1, 2}, []bool{false, false}, nil, "none of 2 samples is positive: only one class"},
		{nil, nil, nil, "no samples: only one class"},
	} {
		_, err := AUC(c.scores, c.labels, c.groups)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("AUC: %v, want %q", err, c.want)
		}
		if _, err2 := Compare(c.scores, c.scores, c.labels, c.groups); err2 == nil {
			t.Errorf("Compare accepts what AUC refuses: %v", err)
		}
		if _, err2 := ROC(c.scores, c.labels); err2 == nil && c.groups == nil {
			t.Errorf("ROC accepts what AUC refuses: %v", err)
		}
		if _, err2 := AveragePrecision(c.scores, c.labels); err2 == nil && c.groups == nil {
			t.Errorf("AveragePrecision accepts what AUC refuses: %v", err)
		}
	}
	if _, err := Brier([]float64{0.5, 1.5}, labels[:2]); err == nil || !strings.Contains(err.Error(), "probability 1 is 1.5: want 0 to 1") {
		t.Errorf("Brier: %v", err)
	}
	if _, err := LogLoss(nil, nil); err == nil {
		t.Error("LogLoss of nothing is no error")
	}
}

func TestHolm(t *testing.T) {
	t.Parallel()
	// R: p.adjust(c(.01, .04, .03, .005), "holm")
	got := Holm([]float64{0.01, 0.04, 0.03, 0.005})
	for k, want := range []float64{0.03, 0.06, 0.06, 0.02} {
		within(t, "adjusted p", got[k], want, 1e-15)
	}
}

func TestMacroOfOneFindingIsNearlyItsAUC(t *testing.T) {
	t.Parallel()
	w := drawWorld(rand.New(rand.NewPCG(8, 0)), 300, 2, true, 1, 0.3)
	want, err := Compare(w.a, w.b, w.labels, w.groups)
	if err != nil {
		t.Fatal(err)
	}
	a, b := Column{w.a, w.labels, w.groups}, Column{w.b, w.labels, w.groups}
	got, err := MacroCompare([]Column{a, a, a}, []Column{b, b, b})
	if err != nil {
		t.Fatal(err)
	}
	within(t, "mean", got.A.Point, want.A.Point, 1e-14)
	within(t, "standard error", got.A.StdErr/want.A.StdErr, 1, 0.01)
	within(t, "difference", got.Difference.Point, want.Difference.Point, 1e-14)
	within(t, "standard error of the difference", got.Difference.StdErr/want.Difference.StdErr, 1, 0.01)
	mixed, err := MacroAUC([]Column{a, b})
	if err != nil {
		t.Fatal(err)
	}
	within(t, "mean of two", mixed.Point, (want.A.Point+want.B.Point)/2, 1e-14)
	if mixed.Units != 300 || mixed.N != 1200 || mixed.Method != "clustered" {
		t.Errorf("%+v", mixed)
	}
	if _, err := MacroAUC([]Column{a, {Scores: w.a, Labels: w.labels}}); err == nil || !strings.Contains(err.Error(), "column 1") {
		t.Errorf("without groups: %v", err)
	}
}

func TestVarianceAloneIsThatOfUnitsOfOne(t *testing.T) {
	t.Parallel()
	w := drawWorld(rand.New(rand.NewPCG(3, 1)), 301, 1, true, 0.8, 0)
	for i := range w.a {
		w.a[i] = math.Round(w.a[i] * 8) // with ties
	}
	c, err := newContrast(w.labels, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.add(w.a, 1); err != nil {
		t.Fatal(err)
	}
	if alone, units := c.varianceAlone(), c.variance(c.tallies()); alone != units || alone <= 0 {
		t.Errorf("%v alone, %v of units", alone, units)
	}
}

func TestMeanAUCIsTheMean(t *testing.T) {
	t.Parallel()
	w := drawWorld(rand.New(rand.NewPCG(9, 0)), 100, 2, true, 1, 0.3)
	p, err := NewCurvePoint(4, [][]float64{w.a, w.b}, w.labels, w.groups, "patient")
	if err != nil {
		t.Fatal(err)
	}
	a, b := allPairs(w.a, w.labels), allPairs(w.b, w.labels)
	within(t, "mean", p.AUC.Point, (a+b)/2, 1e-14)
	within(t, "lowest draw", *p.DrawLow, min(a, b), 1e-15)
	within(t, "highest draw", *p.DrawHigh, max(a, b), 1e-15)
	if p.AUC.Unit != "patient" || p.Draws != 2 || p.Shots != 4 {
		t.Errorf("%+v", p)
	}
	p, err = NewCurvePoint(4, [][]float64{{1, 2}}, []bool{true, true}, nil, "image")
	if err != nil || p.AUC != nil || p.Unmet == "" {
		t.Errorf("one class: %+v, %v", p, err)
	}
}

func TestDrawsAreThoseOfRand(t *testing.T) {
	t.Parallel()
	ours, theirs := rand.NewPCG(5, 6), rand.New(rand.NewPCG(5, 6))
	for k := range 200_000 {
		n := uint64(1 + k%5000)
		if k%7 == 0 {
			n = 1<<62 + 1<<61 + uint64(k) // large numbers are drawn again more often
		}
		if got, want := below(ours, n), theirs.IntN(int(n)); got != uint64(want) {
			t.Fatalf("draw %d below %d is %d, want %d", k, n, got, want)
		}
	}
}
