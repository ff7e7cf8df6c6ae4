package evaluate

import (
	"errors"
	"math"
	"testing"
)

func TestProportionsEqualThoseOfR(t *testing.T) {
	t.Parallel()
	var want struct {
		Cases []struct {
			K, N   int
			Level  float64
			Wilson [2]float64
		}
		Clustered []struct {
			Hit       []int
			Group     []string
			Effective float64
			StdErr    float64 `json:"std_err"`
		}
	}
	golden(t, "proportion.json", &want)
	if len(want.Cases) != 33 || len(want.Clustered) != 3 {
		t.Fatalf("%d and %d cases, want 33 and 3", len(want.Cases), len(want.Clustered))
	}
	for _, c := range want.Cases {
		low, high := Wilson(float64(c.K), float64(c.N), c.Level)
		within(t, "Wilson: low", low, c.Wilson[0], 1e-12)
		within(t, "Wilson: high", high, c.Wilson[1], 1e-12)
	}
	for _, c := range want.Clustered {
		e, err := Proportion(booleans(c.Hit), c.Group)
		if err != nil {
			t.Fatal(err)
		}
		within(t, "clustered: standard error", e.StdErr, c.StdErr, 1e-12)
		low, high := Wilson(e.Point*c.Effective, c.Effective, Level)
		within(t, "clustered: low", e.Low, low, 1e-12)
		within(t, "clustered: high", e.High, high, 1e-12)
		if !(c.Effective < float64(len(c.Hit))) {
			t.Errorf("effective size %v of %d: the case tests nothing", c.Effective, len(c.Hit))
		}
	}
}

func TestProportionAtTheEdges(t *testing.T) {
	t.Parallel()
	if low, high := Wilson(0, 0, Level); low != 0 || high != 1 {
		t.Errorf("Wilson of nothing: %v to %v", low, high)
	}
	if _, err := Proportion(nil, nil); err == nil {
		t.Error("a proportion of nothing")
	}
	// Without groups it is Wilson's interval and nothing else.
	plain, err := Proportion([]bool{true, true, true, true, false}, nil)
	if err != nil {
		t.Fatal(err)
	}
	low, high := Wilson(4, 5, Level)
	within(t, "four of five: low", plain.Low, low, 1e-12)
	within(t, "four of five: high", plain.High, high, 1e-12)
	// Twelve samples of three patients, all hits, say as much as three.
	e, err := Proportion([]bool{true, true, true, true, true, true, true, true, true, true, true, true}, []string{"a", "a", "a", "a", "b", "b", "b", "b", "c", "c", "c", "c"})
	if err != nil {
		t.Fatal(err)
	}
	if low, _ := Wilson(3, 3, Level); e.Low != low || e.High != 1 || e.Units != 3 || e.N != 12 {
		t.Errorf("three patients: %+v, want from %v to 1", e, low)
	}
}

func TestOperateCounts(t *testing.T) {
	t.Parallel()
	labels := []bool{true, true, true, false, false}
	o, err := Operate([]float64{.9, .5, .2, .5, .1}, labels, nil, .5, "patient")
	if err != nil {
		t.Fatal(err)
	}
	if o.TruePositives != 2 || o.FalseNegatives != 1 || o.FalsePositives != 1 || o.TrueNegatives != 1 {
		t.Errorf("counts %+v", o)
	}
	for name, f := range map[string]struct {
		e     *Estimate
		point float64
		n     int
	}{"sensitivity": {o.Sensitivity, 2. / 3, 3}, "specificity": {o.Specificity, .5, 2}, "ppv": {o.PPV, 2. / 3, 3}, "npv": {o.NPV, .5, 2}} {
		if f.e.Point != f.point || f.e.N != f.n || f.e.Unit != "patient" {
			t.Errorf("%s: %+v, want %v of %d", name, f.e, f.point, f.n)
		}
	}
	if o, err = Operate([]float64{.1, .1, .1, .1, .1}, labels, nil, .5, "patient"); err != nil || o.PPV != nil || o.NPV == nil {
		t.Errorf("nothing called: %+v, %v", o, err)
	}
	for _, bad := range []struct {
		scores    []float64
		threshold float64
	}{{[]float64{1, 1, math.NaN(), 1, 1}, .5}, {[]float64{1, 1, 1, 1, 1}, math.NaN()}} {
		if _, err := Operate(bad.scores, labels, nil, bad.threshold, "patient"); !errors.Is(err, ErrScore) {
			t.Errorf("%v at %v: %v", bad.scores, bad.threshold, err)
		}
	}
	if _, err := Operate([]float64{1}, labels, nil, .5, "patient"); err == nil {
		t.Error("one score for five labels")
	}
}
