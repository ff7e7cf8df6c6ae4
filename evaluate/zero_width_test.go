package evaluate

import (
	"fmt"
	"math"
	"testing"
)

// intervalsOf are all intervals that this package makes of two columns of
// probabilities, by name.
func intervalsOf(t *testing.T, a, b []float64, labels []bool, groups []string) map[string]*Estimate {
	t.Helper()
	all := map[string]*Estimate{}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	add := func(name string, e Estimate) { all[name] = &e }
	auc, err := AUC(a, labels, groups)
	check(err)
	add("AUC", auc)
	few := Bootstrap{Resamples: 200}
	boot, err := few.AUC(t.Context(), a, labels, groups)
	check(err)
	add("AUC, bootstrap", boot)
	mean, err := meanAUC([][]float64{a, b}, labels, groups)
	check(err)
	add("mean AUC of draws", mean)
	c, err := Compare(a, b, labels, groups)
	check(err)
	add("difference", c.Difference)
	c, err = few.Compare(t.Context(), a, b, labels, groups)
	check(err)
	add("difference, bootstrap", c.Difference)
	x, y := Column{a, labels, groups}, Column{b, labels, groups}
	c, err = CompareApart(x, y)
	check(err)
	add("difference of two sets", c.Difference)
	c, err = MacroCompare([]Column{x, x}, []Column{y, y})
	check(err)
	add("macro AUC", c.A)
	add("macro difference", c.Difference)
	r := MethodResult{AUC: &auc}
	check(r.resample(t.Context(), Scored{Scores: a, Probabilities: a}, labels, groups, few))
	all["average precision"], all["Brier"], all["log-loss"], all["ECE"] = r.AveragePrecision, r.Brier, r.LogLoss, r.ECE
	at, err := Confuse(a, labels, groups, DefaultThreshold, "patient")
	check(err)
	for name, e := range map[string]*Estimate{"sensitivity": at.Sensitivity, "specificity": at.Specificity, "PPV": at.PPV, "NPV": at.NPV, "F1": at.F1, "balanced accuracy": at.BalancedAccuracy} {
		if e != nil {
			all[name] = e
		}
	}
	s := &Scores{Rows: len(labels), Groups: groups}
	truth := make([]int, len(labels))
	for k, name := range []string{"one", "other"} {
		l := LabelScores{Name: name, Scores: []ScoreColumn{{Name: "p_" + name, Values: a}}}
		for i, positive := range labels {
			l.Values = append(l.Values, Negative)
			if positive == (k == 0) {
				l.Values[i], truth[i] = Positive, k
			}
		}
		if k == 1 {
			l.Scores[0].Values = nil
			for _, p := range a {
				l.Scores[0].Values = append(l.Scores[0].Values, 1-p)
			}
		}
		s.Labels = append(s.Labels, l)
	}
	summary, err := s.Summarize(t.Context(), SummaryOptions{Bootstrap: &few})
	check(err)
	v := summary.Averages[0]
	for name, e := range map[string]*Estimate{
		"macro, resampled": v.MacroAUC, "weighted": v.WeightedAUC, "micro": v.MicroAUC, "macro AP": v.MacroAP, "weighted AP": v.WeightedAP, "micro AP": v.MicroAP,
		"Hamming loss": v.HammingLoss, "Hand–Till": &v.Classes.HandTill, "weighted Hand–Till": &v.Classes.HandTillWeighted, "accuracy": &v.Classes.Accuracy, "balanced accuracy of classes": &v.Classes.BalancedAccuracy,
	} {
		all[name] = e
	}
	ranking := make([]bool, 0, len(labels)) // the positives first
	for _, first := range []bool{true, false} {
		for _, positive := range labels {
			if positive == first {
				ranking = append(ranking, positive)
			}
		}
	}
	found, err := few.Retrieval(t.Context(), ranking, nil, 2)
	check(err)
	all["precision@2"], all["recall@2"], all["mAP"] = &found.Precision, &found.Recall, &found.AveragePrecision
	return all
}

// Where the classes are separated, scores are constant or patients few, another
// sample could show something else, and every interval says so: none is of zero
// width, not a number, without its point or beyond what the figure can be.
func TestNoIntervalIsOfZeroWidth(t *testing.T) {
	t.Parallel()
	type columns struct {
		name string
		of   func(i int, positive bool) (a, b float64)
	}
	pick := func(positive bool, yes, no float64) float64 {
		if positive {
			return yes
		}
		return no
	}
	for _, c := range []columns{
		{"separated and sure", func(i int, positive bool) (a, b float64) {
			return pick(positive, 1, 0), pick(positive, 0.9, 0.1) - 0.01*float64(i)
		}},
		{"separated", func(i int, positive bool) (a, b float64) {
			return pick(positive, 0.8, 0.1) + 0.01*float64(i), pick(positive, 0.9, 0.2) - 0.01*float64(i)
		}},
		{"separated the wrong way", func(i int, positive bool) (a, b float64) {
			return pick(positive, 0, 1), pick(positive, 0.2, 0.7) + 0.01*float64(i)
		}},
		{"constant", func(i int, positive bool) (a, b float64) { return 0.3, pick(positive, 0.6, 0.4) }},
	} {
		for _, patients := range []int{3, 9, 30} {
			for _, each := range []int{1, 2} {
				t.Run(fmt.Sprintf("%s, %d patients of %d", c.name, patients, each), func(t *testing.T) {
					t.Parallel()
					var labels []bool
					var groups []string
					var a, b []float64
					for p := range patients {
						for range each {
							positive := p%3 > 0 // of 3 patients one is negative
							x, y := c.of(p%10, positive)
							labels, groups, a, b = append(labels, positive), append(groups, fmt.Sprint(p)), append(a, x), append(b, y)
						}
					}
					for name, e := range intervalsOf(t, a, b, labels, groups) {
						switch {
						case !(e.High-e.Low > 0.001) || math.IsInf(e.High-e.Low, 0):
							t.Errorf("%s: %v by %s: of no width", name, *e, e.Method)
						case e.Point < e.Low-1e-9 || e.Point > e.High+1e-9:
							t.Errorf("%s: %v by %s: the point is outside", name, *e, e.Method)
						case e.Low < -1 || e.High > 1 && name != "log-loss":
							t.Errorf("%s: %v by %s: beyond what can be", name, *e, e.Method)
						}
					}
				})
			}
		}
	}
}

// Ten of ten found first, as docs/report.md has it.
func TestSeparatedAveragePrecisionIsWilsons(t *testing.T) {
	t.Parallel()
	var labels []bool
	var scores []float64
	for i := range 20 {
		labels, scores = append(labels, i < 10), append(scores, -float64(i))
	}
	r := MethodResult{AUC: &Estimate{}}
	if err := r.resample(t.Context(), Scored{Scores: scores}, labels, nil, Bootstrap{}); err != nil {
		t.Fatal(err)
	}
	if e := r.AveragePrecision; e.String() != "1.000 (0.722–1.000)" || e.Method != "wilson" {
		t.Errorf("%v by %s", e, e.Method)
	}
}

// The same of continuous targets: perfect prediction, one that is off by the same
// everywhere, and one that is the exact opposite.
func TestNoIntervalOfValuesIsOfZeroWidth(t *testing.T) {
	t.Parallel()
	for _, patients := range []int{3, 30} {
		var truth, base []float64
		var groups []string
		for p := range patients {
			truth, base, groups = append(truth, float64(10+p)), append(base, float64(12+p)), append(groups, fmt.Sprint(p))
		}
		for name, predict := range map[string]func(y float64) float64{
			"perfect": func(y float64) float64 { return y }, "off by one": func(y float64) float64 { return y + 1 }, "opposite": func(y float64) float64 { return -y },
		} {
			var predicted []float64
			for _, y := range truth {
				predicted = append(predicted, predict(y))
			}
			trial := ValueTrial{Truth: truth, Groups: groups, Baselines: 1, Methods: []ValuePredictions{{Method: "base", Predicted: base}, {Method: "head", Predicted: predicted}}}
			r, err := AssessValues(t.Context(), []ValueTrial{trial}, "patient", Bootstrap{Resamples: 500})
			if err != nil {
				t.Fatal(err)
			}
			m := r.Targets[0].Methods[1]
			f, err := Values(t.Context(), truth, predicted, groups, Bootstrap{Resamples: 500})
			if err != nil {
				t.Fatal(err)
			}
			for figure, e := range map[string]*Estimate{"R²": m.R2, "MAE": m.MAE, "Spearman": m.Spearman, "difference": &r.Targets[0].Differences[0].Difference, "R² alone": &f.R2, "MAE alone": &f.MAE, "Spearman alone": &f.Spearman} {
				if !(e.High-e.Low > 0.001) || e.Point < e.Low-1e-9 || e.Point > e.High+1e-9 || math.IsInf(e.High-e.Low, 0) {
					t.Errorf("%d patients, %s, %s: %v by %s", patients, name, figure, *e, e.Method)
				}
			}
		}
	}
}

// What is the same in every sample there can be has no width: a column against
// itself, or against a rising function of itself.
func TestSameOrderHasNoDifference(t *testing.T) {
	t.Parallel()
	labels := []bool{true, false, true, false, true, false}
	a := []float64{0.9, 0.1, 0.4, 0.6, 0.6, 0.2}
	for name, b := range map[string][]float64{"itself": a, "three times itself less one": {1.7, -0.7, 0.2, 0.8, 0.8, -0.4}} {
		c, err := Compare(a, b, labels, nil)
		if err != nil || c.Difference.Low != 0 || c.Difference.High != 0 || c.P != 1 || c.Difference.Warnings[2].Code != WarnIdentical {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
	// Two that separate the classes alike, but order their samples otherwise, may
	// differ in the next patients.
	c, err := Compare([]float64{0.9, 0.1, 0.8, 0.2, 0.7, 0.3}, []float64{0.7, 0.1, 0.8, 0.2, 0.9, 0.3}, labels, nil)
	if d := c.Difference; err != nil || d.Point != 0 || d.Low > -0.2 || d.High < 0.2 || c.P != 1 || d.Method != "mover" {
		t.Errorf("both separate: %+v, %v", c, err)
	}
}
