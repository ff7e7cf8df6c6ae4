package evaluate

import (
	"math"
	"reflect"
	"strings"
	"testing"
)

// The figures of a report are those of Values, to the last digit of the interval,
// and its differences are those of the errors.
func TestAssessedValuesAreThoseOfValues(t *testing.T) {
	t.Parallel()
	var truth, near, far, mean []float64
	var groups []string
	for i := range 40 {
		y := math.Sin(float64(i)) + float64(i)/10
		truth, mean = append(truth, y), append(mean, 2)
		near, far = append(near, y+0.1*math.Cos(float64(3*i))), append(far, y+2*math.Cos(float64(5*i)))
		groups = append(groups, string(rune('a'+i/2)))
	}
	b := Bootstrap{Resamples: 500, Seed: 3}
	trial := ValueTrial{Target: ValueTarget{Name: "crp", Missing: 4}, Truth: truth, Groups: groups, Baselines: 2,
		Methods: []ValuePredictions{{Method: "mean", Detail: "2", Predicted: mean}, {Method: "far", Predicted: far}, {Method: "near", Predicted: near}, {Method: "again", Predicted: near}}}
	r, err := AssessValues(t.Context(), []ValueTrial{trial}, "patient", b)
	if err != nil {
		t.Fatal(err)
	}
	got := r.Targets[0]
	if got.N != 40 || got.Missing != 4 || got.Units != 20 || got.Unit != "patient" {
		t.Errorf("%+v: want 40 samples of 20 patients, 4 missing", got)
	}
	for k, predicted := range [][]float64{far, near} {
		want, err := Values(t.Context(), truth, predicted, groups, b)
		if err != nil {
			t.Fatal(err)
		}
		m := got.Methods[k+1]
		for what, pair := range map[string][2]Estimate{"R²": {*m.R2, want.R2}, "MAE": {*m.MAE, want.MAE}, "Spearman": {*m.Spearman, want.Spearman}} {
			if pair[1].Unit = "patient"; !reflect.DeepEqual(pair[0], pair[1]) {
				t.Errorf("%s of %s = %+v, want %+v", what, m.Method, pair[0], pair[1])
			}
		}
	}
	if m := got.Methods[0]; m.Spearman != nil || m.R2 == nil || m.R2.Point > 0 {
		t.Errorf("the mean: %+v: want no correlation, and R² of 0 or less", m)
	}
	type pair struct{ a, b string }
	seen := map[pair]Difference{}
	for _, d := range got.Differences {
		seen[pair{d.A, d.B}] = d
	}
	if len(seen) != 5 { // far, near and again with the mean; near and again with far
		t.Errorf("differences %v: want 5", got.Differences)
	}
	d := seen[pair{"near", "far"}]
	within(t, "difference", d.Difference.Point, got.Methods[2].MAE.Point-got.Methods[1].MAE.Point, 1e-12)
	if !(d.Difference.High < 0) || d.P > 0.01 {
		t.Errorf("near − far: %+v: want less than 0", d)
	}
}

func TestValuesThatSayNothing(t *testing.T) {
	t.Parallel()
	assess := func(truth, predicted []float64) (ValueTarget, error) {
		r, err := AssessValues(t.Context(), []ValueTrial{{Truth: truth, Baselines: 1, Methods: []ValuePredictions{{Method: "a", Predicted: predicted}, {Method: "b", Predicted: predicted}}}}, "patient", Bootstrap{Resamples: 200})
		if err != nil {
			return ValueTarget{}, err
		}
		return r.Targets[0], nil
	}
	got, err := assess([]float64{3, 3, 3}, []float64{1, 2, 3})
	if err != nil || got.Methods[0].R2 != nil || got.Methods[0].Spearman != nil || got.Methods[0].MAE == nil {
		t.Errorf("values that are alike: %+v, %v: want no R² and no correlation", got.Methods, err)
	}
	if d := got.Differences[0]; d.Difference.Point != 0 || d.P != 1 {
		t.Errorf("a method less itself: %+v", d)
	}
	if len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0].Text, "need >= 10 patients") {
		t.Errorf("warnings %v", got.Warnings)
	}
	got, err = assess([]float64{3}, []float64{1})
	if err != nil || got.Methods[0].MAE != nil || len(got.Differences) != 0 || len(got.Warnings) != 1 {
		t.Errorf("one patient: %+v, %v: want nothing but a warning", got, err)
	}
	if _, err = assess([]float64{3, 4}, []float64{1, math.NaN()}); err == nil || !strings.Contains(err.Error(), "NaN") {
		t.Errorf("error %v: want one that names NaN", err)
	}
}
