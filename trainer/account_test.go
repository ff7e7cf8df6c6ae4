package trainer

import (
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"testing"

	"gonum.org/v1/gonum/floats"
)

// What was chosen, over which path and with which fold scores, is in a head's
// metadata and in what fit --json prints, for every kind that chooses; the others
// say that nothing was.
func TestWhatWasChosenIsKept(t *testing.T) {
	t.Parallel()
	chosen := map[string]func(f ClassFit, p PathPoint) bool{
		LinearProbe: func(f ClassFit, p PathPoint) bool { return p.Lambda > 0 },
		Logistic:    func(f ClassFit, p PathPoint) bool { return p.C == f.C },
		TipAdapter:  func(f ClassFit, p PathPoint) bool { return p.Alpha == f.Alpha && p.Beta == f.Beta },
		TipAdapterF: func(f ClassFit, p PathPoint) bool { return p.Alpha == f.Alpha && p.Beta == f.Beta },
		GDA:         func(f ClassFit, p PathPoint) bool { return p.Alpha == f.Alpha },
		KNN:         func(f ClassFit, p PathPoint) bool { return p.Neighbours == f.Neighbours },
		Ridge:       func(f ClassFit, p PathPoint) bool { return p.Lambda == f.Lambda },
		RidgePrior:  func(f ClassFit, p PathPoint) bool { return p.Lambda == f.Lambda },
	}
	s, prior := draw(2, 20, 2)
	v := Values{Names: []string{"crp"}}
	for i, label := range s.Labels {
		v.Rows = append(v.Rows, []float64{float64(3*label) + math.Sin(float64(i))})
	}
	for _, kind := range append(Kinds(), ValueKinds()...) {
		o := Options{Head: kind, Prior: prior}
		var h *Head
		var err error
		if slices.Contains(ValueKinds(), kind) {
			if kind == Ridge {
				o.Prior = nil
			}
			h, err = FitValues(t.Context(), s.X, v, s.Groups, o)
		} else {
			h, err = Fit(t.Context(), s.X, binaryTargets(s.Labels), s.Groups, o)
		}
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		kept := reloaded(t, h)
		if !reflect.DeepEqual(kept.Fits, h.Fits) {
			t.Errorf("%s: the file says %+v, the fit was %+v", kind, kept.Fits, h.Fits)
		}
		text, err := json.Marshal(h.Summary())
		if err != nil {
			t.Fatal(err)
		}
		var said Summary
		if err := json.Unmarshal(text, &said); err != nil || !reflect.DeepEqual(said.Labels, h.Fits) {
			t.Errorf("%s: --json says %+v (%v), the fit was %+v", kind, said.Labels, err, h.Fits)
		}
		f := h.Fits[0]
		is, choosing := chosen[kind]
		switch {
		case kind == Ensemble:
			if !f.Chosen || f.ChosenOn != "cross-validation" || len(f.Members) != 3 {
				t.Errorf("%s: %+v", kind, f)
			}
			for _, m := range f.Members {
				if m.Fit == nil || m.Loss == 0 || m.Fit.Chosen && len(m.Fit.Path) == 0 {
					t.Errorf("%s: member %+v: want how it was fitted", kind, m)
				}
			}
			continue
		case !choosing:
			if f.Chosen || f.Path != nil {
				t.Errorf("%s: %+v: nothing is chosen, and the fit says so", kind, f)
			}
			continue
		}
		if !f.Chosen || len(f.Path) < 2 {
			t.Errorf("%s: chosen %v over %d values", kind, f.Chosen, len(f.Path))
			continue
		}
		weight, found := 0.0, false
		for _, p := range f.Path {
			if weight += p.Weight; p.Weight > 0 && is(f, p) {
				found = true
			}
			// Folds may differ in size: the mean lies between them.
			if len(p.Folds) < 2 || p.Loss < floats.Min(p.Folds)*(1-1e-5) || p.Loss > floats.Max(p.Folds)*(1+1e-5) {
				t.Errorf("%s: a loss of %v with folds %v", kind, p.Loss, p.Folds)
			}
			if p.Excess < -1e-12 {
				t.Errorf("%s: excess %v", kind, p.Excess)
			}
		}
		if !found || math.Abs(weight-1) > 1e-9 {
			t.Errorf("%s: %+v: want what is in use among those tried, and weights that add up to 1", kind, f)
		}
	}
}
