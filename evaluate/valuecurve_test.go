package evaluate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// The figures of a point are the means of those of its draws, and a difference is
// that of the means, with an interval that is wider where the draws differ.
func TestValueCurvePoint(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(4, 4))
	var truth, flat []float64
	var groups []string
	for i := range 60 {
		truth, flat, groups = append(truth, random.NormFloat64()), append(flat, 0.1), append(groups, fmt.Sprint("p", i/2))
	}
	draw := func(noise float64) (predicted []float64) {
		for _, y := range truth {
			predicted = append(predicted, y+noise*random.NormFloat64())
		}
		return predicted
	}
	own := ValueDraws{"ridge", [][]float64{draw(0.2), draw(0.3), draw(0.4)}}
	base := ValueDraws{"mean", [][]float64{flat, flat, flat}}
	b := Bootstrap{Resamples: 400, Seed: 1}
	p, err := NewValueCurvePoint(t.Context(), 8, own, []ValueDraws{base}, truth, groups, "patient", b)
	if err != nil {
		t.Fatal(err)
	}
	var want ValueFigures
	for _, predicted := range own.Draws {
		f, err := Values(t.Context(), truth, predicted, groups, b)
		if err != nil {
			t.Fatal(err)
		}
		want.R2.Point += f.R2.Point / 3
		want.MAE.Point += f.MAE.Point / 3
		want.Spearman.Point += f.Spearman.Point / 3
	}
	for name, pair := range map[string][2]*Estimate{"R²": {p.R2, &want.R2}, "MAE": {p.MAE, &want.MAE}, "Spearman": {p.Spearman, &want.Spearman}} {
		if got := pair[0]; math.Abs(got.Point-pair[1].Point) > 1e-12 || !(got.Low < got.Point && got.Point < got.High) || got.Units != 30 || got.Unit != "patient" {
			t.Errorf("%s: %+v, want %v", name, got, pair[1].Point)
		}
	}
	if p.Draws != 3 || len(p.DrawMAEs) != 3 || *p.DrawLow != p.DrawMAEs[0] || *p.DrawHigh != p.DrawMAEs[2] {
		t.Errorf("draws %v from %v to %v", p.DrawMAEs, *p.DrawLow, *p.DrawHigh)
	}
	gain := p.Over[0]
	sums := newValueSums(truth, flat, make([]int32, 60))
	if d := gain.Difference; gain.Baseline != "mean" || math.Abs(d.Point-(p.MAE.Point-sums.mae([]int32{1}))) > 1e-12 || !(d.High < 0) || d.Method != "bootstrap+draws" {
		t.Errorf("over the mean: %+v", d)
	}
	same := ValueDraws{"ridge", [][]float64{own.Draws[1], own.Draws[1], own.Draws[1]}}
	narrow, err := NewValueCurvePoint(t.Context(), 8, same, []ValueDraws{base}, truth, groups, "patient", b)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := narrow.Over[0].Difference, gain.Difference; *narrow.Over[0].DrawSD != 0 || !(a.High-a.Low < b.High-b.Low) {
		t.Errorf("draws that are alike: %+v, others %+v", a, b)
	}
	if one, err := NewValueCurvePoint(t.Context(), 8, ValueDraws{"ridge", own.Draws[:1]}, []ValueDraws{{"mean", base.Draws[:1]}}, truth, groups, "patient", b); err != nil || one.Over[0].Difference != nil {
		t.Errorf("one draw: %+v, %v: want no difference", one.Over, err)
	}
	if _, err := NewValueCurvePoint(t.Context(), 8, own, []ValueDraws{{"mean", base.Draws[:1]}}, truth, groups, "patient", b); err == nil {
		t.Error("baselines of fewer draws: no error")
	}
	alone := make([]string, len(truth))
	if few, err := NewValueCurvePoint(t.Context(), 8, own, nil, truth, alone, "patient", b); err == nil && few.Unmet == "" {
		t.Errorf("one unit: %+v, want none", few)
	}
}

func TestEnoughLabelsForValues(t *testing.T) {
	t.Parallel()
	point := func(shots int, low, high float64) ValueCurvePoint {
		return ValueCurvePoint{Shots: shots, MAE: &Estimate{}, Patients: shots / 2, Over: []ValueGain{{Baseline: "mean", Difference: &Estimate{Low: low, High: high}}}}
	}
	for _, c := range []struct {
		points []ValueCurvePoint
		labels int
	}{
		{[]ValueCurvePoint{point(4, -2, 1), point(8, -2, -1), point(16, -3, -2)}, 8},
		{[]ValueCurvePoint{point(4, -2, -1), point(8, -2, 1), point(16, -3, -2)}, 16},
		{[]ValueCurvePoint{point(4, -2, -1), point(8, -2, 1)}, 0},
		{[]ValueCurvePoint{point(4, -2, -1), {Shots: 8, Unmet: "too few", Over: nil}}, 4},
	} {
		curve := ValueCurve{Points: c.points}
		curve.FindEnough()
		if e := curve.Enough[0]; e.Labels != c.labels || e.Patients != c.labels/2 || (e.Unmet == "") != (c.labels > 0) || e.Baseline != "mean" {
			t.Errorf("%+v: enough is %+v, want %d", c.points, e, c.labels)
		}
	}
}
