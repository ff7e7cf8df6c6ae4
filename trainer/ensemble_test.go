package trainer

import (
	"math"
	"slices"
	"strings"
	"testing"
)

func TestEnsembleWeighsOnHeldOutPatients(t *testing.T) {
	t.Parallel()
	s, prior := draw(2, 40, 2)
	h := fit(t, s, Options{Head: Ensemble, Prior: prior})
	f := h.Fits[0]
	if !f.Chosen || !f.Converged || len(f.Members) != 3 || !h.Linear() {
		t.Fatalf("fit %+v", f)
	}
	sum := 0.0
	for _, m := range f.Members {
		if m.Weight < 0 || m.Loss < f.HeldOut-1e-9 {
			t.Errorf("member %+v: the ensemble's loss is %v, and at least that of each", m, f.HeldOut)
		}
		sum += m.Weight
	}
	if math.Abs(sum-1) > 1e-9 {
		t.Errorf("weights add up to %v", sum)
	}
	// The head is the mean of its members.
	z, err := h.Logits(s.X)
	if err != nil {
		t.Fatal(err)
	}
	mean := make([]float64, len(z.Data))
	for _, m := range f.Members {
		own, err := fit(t, s, Options{Head: m.Head, Prior: prior}).Logits(s.X)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range own.Data {
			mean[i] += m.Weight * v
		}
	}
	for i, v := range z.Data {
		if math.Abs(v-mean[i]) > 1e-4*(1+math.Abs(v)) {
			t.Fatalf("row %d: logit %v, the mean of the members is %v", i, v, mean[i])
		}
	}
	if text := f.String(); !strings.Contains(text, "linear-probe + ") || !strings.Contains(text, "chosen by cross-validation") {
		t.Errorf("text %q", text)
	}
}

// The weights have the least loss: a fine grid over the simplex has none less.
func TestStackFindsTheLeast(t *testing.T) {
	t.Parallel()
	s := &stack{t: &task{classes: []int{0}}, members: 3}
	for i := range 60 {
		z := math.Sin(float64(i))
		class := 0
		if z+0.8*math.Cos(float64(7*i)) > 0 {
			class = 1
		}
		s.z, s.class = append(s.z, []float64{3 * z, math.Cos(float64(3 * i)), -2 * z}), append(s.class, class)
	}
	s.minimize()
	least := math.Inf(1)
	for a := range 101 {
		for b := range 101 - a {
			least = min(least, s.loss([]float64{float64(a) / 100, float64(b) / 100, float64(100-a-b) / 100}))
		}
	}
	if got := s.loss(s.weights); got > least+stackTolerance || s.gap > stackTolerance {
		t.Errorf("loss %v at %v with gap %v; a grid has %v", got, s.weights, s.gap, least)
	}
}

func TestEnsembleOfFewAndOfWhatCannotBe(t *testing.T) {
	t.Parallel()
	s, prior := draw(2, 1, 1)
	h := fit(t, s, Options{Head: Ensemble, Prior: prior, Members: []string{LinearProbe, Prototype}})
	if m := h.Fits[0].Members; len(m) != 2 || m[0].Weight != 0.5 || !slices.ContainsFunc(h.Notes, func(n string) bool { return strings.Contains(n, "all weigh the same") }) {
		t.Errorf("one patient of each: %+v, notes %q", m, h.Notes)
	}
	for want, o := range map[string]Options{
		`member "ensemble" of an`:        {Head: Ensemble, Members: []string{Ensemble, Logistic}},
		`member "logistic" stands twice`: {Head: Ensemble, Members: []string{Logistic, Logistic}},
		"at least two members":           {Head: Ensemble, Members: []string{Logistic}},
		`member "clap" starts`:           {Head: Ensemble, Members: []string{CLAP, Logistic}},
		"logistic has no members":        {Head: Logistic, Members: []string{Logistic, GDA}},
	} {
		if _, err := Fit(t.Context(), s.X, binaryTargets(s.Labels), s.Groups, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v: want %q", err, want)
		}
	}
}
