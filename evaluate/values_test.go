package evaluate

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
)

func TestValueFiguresEqualThoseOfScikitLearnAndScipy(t *testing.T) {
	t.Parallel()
	var want struct {
		Cases []struct {
			Truth, Predicted  []float64
			R2, MAE, Spearman float64
		}
	}
	golden(t, "values.json", &want)
	if len(want.Cases) != 4 {
		t.Fatalf("%d cases, want 4", len(want.Cases))
	}
	for _, c := range want.Cases {
		f, err := Values(t.Context(), c.Truth, c.Predicted, nil, Bootstrap{Resamples: 400, Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		within(t, "R²", f.R2.Point, c.R2, 1e-12)
		within(t, "MAE", f.MAE.Point, c.MAE, 1e-12)
		within(t, "Spearman", f.Spearman.Point, c.Spearman, 1e-12)
		for _, e := range []Estimate{f.R2, f.MAE, f.Spearman} {
			if !(e.Low < e.Point && e.Point < e.High) || e.N != len(c.Truth) || e.Units != e.N || e.Unit != "sample" {
				t.Errorf("%+v: want an interval around the point", e)
			}
		}
	}
}

// A resample is the data with units repeated: the figures of weights are those
// of the repeated data.
func TestWeightsOfValuesRepeatThem(t *testing.T) {
	t.Parallel()
	truth, predicted, unit := []float64{1, 2, 2, 4, 7}, []float64{2, 1, 3, 3, 6}, []int32{0, 0, 1, 2, 2}
	weights := []int32{2, 0, 3}
	var y, p []float64
	var units []int32
	for i, u := range unit {
		for range weights[u] {
			y, p, units = append(y, truth[i]), append(p, predicted[i]), append(units, 0)
		}
	}
	a, b := newValueSums(truth, predicted, unit), newValueSums(y, p, units)
	within(t, "R²", a.r2(weights), b.r2([]int32{1}), 1e-12)
	within(t, "MAE", a.mae(weights), b.mae([]int32{1}), 1e-12)
	within(t, "Spearman", a.spearman(weights), b.spearman([]int32{1}), 1e-12)
}

func TestValuesOfPatients(t *testing.T) {
	t.Parallel()
	var truth, predicted []float64
	var groups []string
	for i := range 40 {
		for range 4 { // four samples that say the same
			truth, predicted = append(truth, float64(i)), append(predicted, float64(i)+5*math.Sin(float64(i)))
			groups = append(groups, fmt.Sprint("p", i))
		}
	}
	wide, err := Values(t.Context(), truth, predicted, groups, Bootstrap{})
	if err != nil {
		t.Fatal(err)
	}
	narrow, err := Values(t.Context(), truth, predicted, nil, Bootstrap{})
	if err != nil {
		t.Fatal(err)
	}
	if ratio := wide.MAE.StdErr / narrow.MAE.StdErr; ratio < 1.7 || ratio > 2.3 || wide.MAE.Units != 40 || wide.MAE.Unit != "group" {
		t.Errorf("standard error grows %.2f times with four samples of a patient, want about 2", ratio)
	}
	one, err := Values(t.Context(), truth, predicted, groups, Bootstrap{Workers: 1})
	if err != nil || one.R2.Low != wide.R2.Low {
		t.Errorf("with one worker %v, with several %v", one.R2, wide.R2)
	}
}

func TestBadValuesAreRefused(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]struct {
		truth, predicted []float64
		groups           []string
	}{
		"2 predicted values for 3": {truth: []float64{1, 2, 3}, predicted: []float64{1, 2}},
		"sample 1: value NaN":      {truth: []float64{1, math.NaN(), 3}, predicted: []float64{1, 2, 3}},
		"sample 2: value +Inf":     {truth: []float64{1, 2, 3}, predicted: []float64{1, 2, math.Inf(1)}},
		"1 units":                  {truth: []float64{1, 2}, predicted: []float64{1, 2}, groups: []string{"a", "a"}},
		"1 groups":                 {truth: []float64{1, 2}, predicted: []float64{1, 2}, groups: []string{"a"}},
	} {
		if _, err := Values(t.Context(), c.truth, c.predicted, c.groups, Bootstrap{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v: want %q", err, want)
		}
	}
	for _, c := range [][2][]float64{{{3, 3, 3}, {1, 2, 3}}, {{1, 2, 3}, {2, 2, 2}}} {
		if _, err := Values(t.Context(), c[0], c[1], nil, Bootstrap{}); !errors.Is(err, ErrNoSpread) {
			t.Errorf("%v: error %v", c, err)
		}
	}
}
