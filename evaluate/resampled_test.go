package evaluate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
)

// drawScores is a table of two labels of patients with three rows each.
func drawScores(random *rand.Rand, patients int) *Scores {
	s := &Scores{Labels: make([]LabelScores, 2), group: "patient"}
	sexes := Attributed{Attribute: Attribute{Column: "sex"}}
	for k := range s.Labels {
		s.Labels[k].Name = string(rune('a' + k))
		s.Labels[k].Scores = []ScoreColumn{{Name: "p_" + s.Labels[k].Name}}
	}
	for p := range patients {
		own := random.NormFloat64()
		for range 3 {
			s.Rows++
			s.Groups, sexes.Values = append(s.Groups, fmt.Sprint(p)), append(sexes.Values, []string{"f", "m"}[p%2])
			for k := range s.Labels {
				l := &s.Labels[k]
				y := (p >> k / 2) % 2
				l.Values = append(l.Values, int8(y))
				l.Scores[0].Values = append(l.Scores[0].Values, logistic(0.9*float64(y)-0.5+0.7*own+0.7*random.NormFloat64()))
			}
		}
	}
	s.By = []Attributed{sexes}
	return s
}

func logistic(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// The bootstrap's intervals lie about those that theory gives, over patients, and
// are wider than if every row were one.
func TestBootstrapOfAveragesAndSubgroups(t *testing.T) {
	t.Parallel()
	s := drawScores(rand.New(rand.NewPCG(5, 5)), 120)
	resampled, err := s.Summarize(t.Context(), SummaryOptions{Bootstrap: &Bootstrap{Resamples: 1000}})
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.Summarize(t.Context(), SummaryOptions{Bootstrap: &Bootstrap{Resamples: 1000, Workers: 7}})
	if err != nil || !reflect.DeepEqual(resampled, again) {
		t.Errorf("other workers, other figures: %v", err)
	}
	theory, err := s.Summarize(t.Context(), SummaryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	near := func(name string, got, want *Estimate) {
		t.Helper()
		if got.Point != want.Point || got.Unit != "patient" || got.Units != want.Units {
			t.Errorf("%s: %+v, want about %+v", name, got, want)
		}
		if w := (got.High - got.Low) / (want.High - want.Low); w < 0.85 || w > 1.15 {
			t.Errorf("%s: interval %v by the bootstrap, %v by theory", name, got, want)
		}
	}
	a, b := resampled.Averages[0], theory.Averages[0]
	near("macro", a.MacroAUC, b.MacroAUC)
	near("weighted", a.WeightedAUC, b.WeightedAUC)
	near("micro", a.MicroAUC, b.MicroAUC)
	if a.MacroAUC.Method != "percentile" || b.MacroAUC.Method != "clustered" {
		t.Errorf("methods %q and %q", a.MacroAUC.Method, b.MacroAUC.Method)
	}
	if len(resampled.Subgroups) != 4 {
		t.Fatalf("%d subgroups", len(resampled.Subgroups))
	}
	for k, g := range resampled.Subgroups {
		h := theory.Subgroups[k]
		near("subgroup", g.AUC, h.AUC)
		near("rest", g.RestAUC, h.RestAUC)
		near("difference", g.Difference, h.Difference)
		if g.AUC.Method != "bca" || g.Difference.Method != "percentile" || *g.P < 0.25**h.P || *g.P > 4**h.P+0.01 {
			t.Errorf("%s: %s, %s, p %v, by theory %v", g.Group, g.AUC.Method, g.Difference.Method, *g.P, *h.P)
		}
	}
	for k, one := range theory.Scores {
		f := one.Intervals
		for name, pair := range map[string][2]any{
			"precision": {f.AveragePrecision, *one.AveragePrecision}, "Brier": {f.Brier, *one.Brier}, "log-loss": {f.LogLoss, *one.LogLoss}, "ECE": {f.ECE, *one.ECE},
		} {
			e, point := pair[0].(*Estimate), pair[1].(float64)
			within(t, name, e.Point, point, 1e-12)
			if !(e.Low < e.High) || e.Unit != "patient" || e.Units != 120 || name != "ECE" && (point < e.Low || point > e.High) {
				t.Errorf("score %d: %s: %+v", k, name, e)
			}
		}
		alone := *s
		alone.Groups = nil
		wide, err := alone.Summarize(t.Context(), SummaryOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if w := wide.Scores[k].Intervals.Brier; f.Brier.High-f.Brier.Low < 1.1*(w.High-w.Low) {
			t.Errorf("Brier over patients %v, over rows %v: want wider", f.Brier, w)
		}
	}
}
