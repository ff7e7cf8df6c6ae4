package evaluate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestFiguresOverLabelsEqualThoseOfScikitLearn(t *testing.T) {
	t.Parallel()
	type at struct {
		Threshold                          float64
		TP, FN, TN, FP                     int
		Sensitivity, Specificity, PPV, NPV float64
		F1                                 float64
		BalancedAccuracy                   float64 `json:"balanced_accuracy"`
	}
	var want struct {
		Labels []struct {
			Name                            string
			Y                               [][]int
			P                               [][]float64
			Macro, Weighted, Micro, Hamming float64
			AP                              map[string]float64
			At                              [][]at
		}
	}
	golden(t, "classes.json", &want)
	if len(want.Labels) != 3 {
		t.Fatalf("%d cases, want 3", len(want.Labels))
	}
	for _, c := range want.Labels {
		for l, cuts := range c.At {
			for _, w := range cuts {
				got, err := Confuse(c.P[l], booleans(c.Y[l]), nil, w.Threshold, "sample")
				if err != nil {
					t.Fatal(err)
				}
				if counts := [4]int{got.TruePositives, got.FalseNegatives, got.TrueNegatives, got.FalsePositives}; counts != [4]int{w.TP, w.FN, w.TN, w.FP} {
					t.Errorf("%s: counts %v, want %+v", c.Name, counts, w)
				}
				for _, f := range []struct {
					name string
					got  *Estimate
					want float64
				}{
					{"sensitivity", got.Sensitivity, w.Sensitivity}, {"specificity", got.Specificity, w.Specificity},
					{"PPV", got.PPV, w.PPV}, {"NPV", got.NPV, w.NPV}, {"F1", got.F1, w.F1},
					{"balanced accuracy", got.BalancedAccuracy, w.BalancedAccuracy},
				} {
					switch {
					case f.got == nil && f.want == 0: // scikit-learn's word for a share of nothing
					case f.got == nil:
						t.Errorf("%s: %s is nil, want %v", c.Name, f.name, f.want)
					default:
						within(t, c.Name+": "+f.name, f.got.Point, f.want, 1e-12)
						if !(f.got.Low <= f.got.Point && f.got.Point <= f.got.High && f.got.Low < f.got.High) {
							t.Errorf("%s: %s: interval %v", c.Name, f.name, *f.got)
						}
					}
				}
			}
		}
		s := &Scores{Rows: len(c.Y[0])}
		for l := range c.Y {
			s.Labels = append(s.Labels, labelScores(fmt.Sprint(l), c.Y[l], c.P[l]))
		}
		sum, err := s.Summarize(t.Context(), SummaryOptions{})
		if err != nil {
			t.Fatal(err)
		}
		a := sum.Averages[0]
		within(t, c.Name+": macro", a.MacroAUC.Point, c.Macro, 1e-12)
		within(t, c.Name+": weighted", a.WeightedAUC.Point, c.Weighted, 1e-12)
		within(t, c.Name+": micro", a.MicroAUC.Point, c.Micro, 1e-12)
		for name, got := range map[string]*Estimate{"macro": a.MacroAP, "weighted": a.WeightedAP, "micro": a.MicroAP} {
			within(t, c.Name+": average precision, "+name, got.Point, c.AP[name], 1e-12)
			if !(got.Low < got.Point && got.Point < got.High) || got.Method != "logit" || got.Unit != "sample" {
				t.Errorf("%s: average precision, %s: %+v", c.Name, name, got)
			}
		}
		within(t, c.Name+": Hamming", a.HammingLoss.Point, c.Hamming, 1e-12)
		if a.Score != "p_" || a.Classes != nil || a.MacroAUC.Unit != "sample" {
			t.Errorf("%s: %+v", c.Name, a)
		}
	}
}

func labelScores(name string, y []int, p []float64) LabelScores {
	l := LabelScores{Name: name, Scores: []ScoreColumn{{Name: "p_" + name, Values: p}}}
	for _, v := range y {
		l.Values = append(l.Values, int8(v))
	}
	return l
}

func TestFiguresOverClassesEqualThoseOfScikitLearn(t *testing.T) {
	t.Parallel()
	var want struct {
		Classes []struct {
			Name             string
			Y                []int
			P                [][]float64
			OvrMacro         float64 `json:"ovr_macro"`
			OvrWeighted      float64 `json:"ovr_weighted"`
			OvrMicro         float64 `json:"ovr_micro"`
			OvoMacro         float64 `json:"ovo_macro"`
			OvoWeighted      float64 `json:"ovo_weighted"`
			Accuracy         float64
			BalancedAccuracy float64 `json:"balanced_accuracy"`
			Confusion        [][]int
		}
	}
	golden(t, "classes.json", &want)
	if len(want.Classes) != 3 {
		t.Fatalf("%d cases, want 3", len(want.Classes))
	}
	for _, c := range want.Classes {
		s := &Scores{Rows: len(c.Y)}
		for class := range c.P {
			y := make([]int, len(c.Y))
			for i, v := range c.Y {
				if v == class {
					y[i] = 1
				}
			}
			s.Labels = append(s.Labels, labelScores(fmt.Sprint(class), y, c.P[class]))
		}
		sum, err := s.Summarize(t.Context(), SummaryOptions{})
		if err != nil {
			t.Fatal(err)
		}
		a := sum.Averages[0]
		if a.Classes == nil {
			t.Fatalf("%s: no figures of classes", c.Name)
		}
		for _, f := range []struct {
			name string
			got  Estimate
			want float64
		}{
			{"one-vs-rest, macro", *a.MacroAUC, c.OvrMacro}, {"one-vs-rest, weighted", *a.WeightedAUC, c.OvrWeighted},
			{"one-vs-rest, micro", *a.MicroAUC, c.OvrMicro}, {"Hand-Till", a.Classes.HandTill, c.OvoMacro},
			{"Hand-Till, weighted", a.Classes.HandTillWeighted, c.OvoWeighted}, {"accuracy", a.Classes.Accuracy, c.Accuracy},
			{"balanced accuracy", a.Classes.BalancedAccuracy, c.BalancedAccuracy},
		} {
			within(t, c.Name+": "+f.name, f.got.Point, f.want, 1e-12)
			if !(f.got.Low < f.got.Point && f.got.Point < f.got.High) || f.got.Unit != "sample" || f.got.Units != len(c.Y) {
				t.Errorf("%s: %s: %+v", c.Name, f.name, f.got)
			}
		}
		if !slices.EqualFunc(a.Classes.Confusion, c.Confusion, slices.Equal[[]int]) {
			t.Errorf("%s: confusion %v, want %v", c.Name, a.Classes.Confusion, c.Confusion)
		}
	}
}

// TestBalancedAccuracyCoverage draws patients whose samples are alike, and
// counts how often the interval holds the true figure.
func TestBalancedAccuracyCoverage(t *testing.T) {
	t.Parallel()
	n := repetitions()
	for _, c := range []struct {
		patients, per int
		mixed         bool
		icc           float64
	}{{60, 1, false, 0}, {80, 4, false, 0.5}, {80, 4, true, 0.7}} {
		random := rand.New(rand.NewPCG(17, 0))
		inside, f1Inside := 0, 0
		for range n {
			w := drawWorld(random, c.patients, c.per, c.mixed, 2, c.icc)
			at, err := Confuse(w.a, w.labels, w.groups, 1, "patient")
			if err != nil {
				t.Fatal(err)
			}
			truth := 0.5 * math.Erfc(-1/math.Sqrt2) // Φ(1), of both classes
			if e := at.BalancedAccuracy; e.Low <= truth && truth <= e.High {
				inside++
			}
			// Half of the samples are positive, so F1 is Φ(1) as well.
			if e := at.F1; e.Low <= truth && truth <= e.High {
				f1Inside++
			}
		}
		share, f1 := float64(inside)/float64(n), float64(f1Inside)/float64(n)
		t.Logf("%+v: coverage %.3f, of F1 %.3f", c, share, f1)
		floor := 0.93 - 3*math.Sqrt(0.93*0.07/float64(n))
		if share < floor || f1 < floor {
			t.Errorf("%+v: coverage %.3f, of F1 %.3f: want at least %.3f", c, share, f1, floor)
		}
	}
}

func TestFiguresOfNothingAreNil(t *testing.T) {
	t.Parallel()
	at, err := Confuse([]float64{0.1, 0.2}, []bool{false, false}, nil, 0.5, "sample")
	if err != nil || at.F1 != nil || at.BalancedAccuracy != nil || at.Sensitivity != nil || at.Specificity == nil {
		t.Errorf("%+v, %v", at, err)
	}
	if _, err := BalancedAccuracy([]int{0, 0}, []int{0, 1}, nil, 2); err == nil {
		t.Error("a class without samples has a balanced accuracy")
	}
	if _, err := Classify([][]float64{{1, 2}, {1}}, []int{0, 1}, []string{"a", "b"}); err == nil {
		t.Error("a short column of scores was taken")
	}
	if _, err := Classify([][]float64{{1, 2}, {1, 2}}, []int{0, 2}, []string{"a", "b"}); err == nil {
		t.Error("class 2 of 2 was taken")
	}
	if _, err := WeightedAUC([]Column{{Scores: []float64{1, 2}, Labels: []bool{true, false}, Groups: []string{"a", "b"}}}, []float64{0}); err == nil {
		t.Error("a weight of 0 was taken")
	}
}
