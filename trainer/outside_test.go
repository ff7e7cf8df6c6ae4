package trainer

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/internal/needs"
	"github.com/medprobe/medprobe/internal/testworld"
	"gonum.org/v1/gonum/blas/blas32"
)

// An ensemble of heads that are not linear is the mean of their logits, also when
// it was kept, and for classes that exclude one another.
func TestEnsembleOfHeadsThatAreNotLinear(t *testing.T) {
	needs.Time(t)
	t.Parallel()
	members := []string{Prototype, KNN, MLP, TipAdapter, GolearnKNN}
	for _, exclusive := range []bool{false, true} {
		x, y := drawLarge(9, 60, 20, 3, !exclusive)
		prior := &Prior{T: blas32.General{Rows: 3, Cols: 20, Stride: 20, Data: uniform(11, 60)}, Scale: 10}
		h, err := Fit(t.Context(), x, y, nil, Options{Head: Ensemble, Members: members, Prior: prior})
		if err != nil {
			t.Fatal(err)
		}
		if h.Linear() || len(h.Parts) == 0 {
			t.Fatalf("%d parts, linear %v", len(h.Parts), h.Linear())
		}
		got, err := reloaded(t, h).Logits(x)
		if err != nil {
			t.Fatal(err)
		}
		want := make([]float64, len(got.Data))
		for m, kind := range members {
			own, err := Fit(t.Context(), x, y, nil, Options{Head: kind, Prior: prior})
			if err != nil {
				t.Fatal(err)
			}
			z, err := own.Logits(x)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range z.Data {
				f := h.fitOf(y.Classes[i%3])
				want[i] += f.Members[m].Weight * v
				if f.Members[m].Head != kind || f.Members[m].Fit == nil {
					t.Fatalf("member %+v, want %s and its fit", f.Members[m], kind)
				}
			}
		}
		for i, v := range want {
			if math.Abs(got.Data[i]-v) > 1e-4*(1+math.Abs(v)) {
				t.Fatalf("exclusive %v: logit %d is %v, the mean of the members is %v", exclusive, i, got.Data[i], v)
			}
		}
	}
}

// The weights that a validation part gives are the best on it, and differ from
// those of other labels there.
func TestEnsembleIsWeighedOnValidation(t *testing.T) {
	t.Parallel()
	w := testworld.New(testworld.Options{Dim: 24, Knowledge: 0.4, PerPatient: 1}, 3)
	s, v := w.Draw(30, 30, "s", 1), w.Draw(40, 40, "v", 2)
	prior := &Prior{T: w.T, Scale: w.Scale}
	o := Options{Head: Ensemble, Members: []string{LinearProbe, Prototype, KNN}, Prior: prior}
	weights := func(labels []int8) []float64 {
		o.Validation = &Validation{X: v.X, Y: binaryTargets(labels)}
		h := fit(t, s, o)
		f := h.Fits[0]
		if f.ChosenOn != "validation" || !f.Chosen || !strings.Contains(f.String(), "(chosen on validation)") {
			t.Errorf("fit %+v", f)
		}
		var got []float64
		for _, m := range f.Members {
			got = append(got, m.Weight)
		}
		// No corner and no mean of two does better.
		logLossOf := func(z []float64) (sum float64) {
			for i, x := range z {
				one, _ := logLoss(x, int(labels[i]))
				sum += one / float64(len(z))
			}
			return sum
		}
		z, err := h.Logits(v.X)
		if err != nil {
			t.Fatal(err)
		}
		if loss := logLossOf(z.Data); math.Abs(loss-f.HeldOut) > 1e-4 {
			t.Errorf("loss %v on the validation part, the fit says %v", loss, f.HeldOut)
		}
		for _, m := range f.Members {
			if m.Loss < f.HeldOut-stackTolerance {
				t.Errorf("%s alone has a loss of %v, the ensemble %v", m.Head, m.Loss, f.HeldOut)
			}
		}
		return got
	}
	first := weights(v.Labels)
	turned := slices.Clone(v.Labels)
	for i := range turned {
		turned[i] = 1 - turned[i]
	}
	if slices.Equal(first, weights(turned)) {
		t.Error("other labels of the validation part gave the same weights")
	}
	o.Validation = &Validation{X: v.X, Y: binaryTargets(slices.Repeat([]int8{1}, 80))}
	if _, err := Fit(t.Context(), s.X, binaryTargets(s.Labels), s.Groups, o); err == nil || !strings.Contains(err.Error(), "validation part") {
		t.Errorf("error %v: want one that names the validation part", err)
	}
	o.Calibrate = Platt
	if _, err := Fit(t.Context(), s.X, binaryTargets(s.Labels), s.Groups, o); err == nil || !strings.Contains(err.Error(), "calibrated there") {
		t.Errorf("error %v", err)
	}
}

// A column that says nothing gets about no weight, one that knows it all much; so by
// cross-validation, and on a validation part.
func TestOutsideScoresAreWeighed(t *testing.T) {
	t.Parallel()
	w := testworld.New(testworld.Options{Dim: 24, Knowledge: 0.4, PerPatient: 2, Likeness: 0.5}, 3)
	s, v := w.Draw(60, 60, "s", 1), w.Draw(60, 60, "v", 2)
	random := rand.New(rand.NewPCG(8, 8))
	scores := func(of testworld.Sample, columns ...string) *Scores {
		out := &Scores{Names: columns}
		for range columns {
			out.Classes = append(out.Classes, "finding")
		}
		for _, label := range of.Labels {
			var row []float64
			for _, name := range columns {
				switch name {
				case "noise":
					row = append(row, 1e4*random.NormFloat64())
				case "perfect":
					row = append(row, 1e-3*(float64(label)+0.1*random.NormFloat64()))
				}
			}
			out.Rows = append(out.Rows, row)
		}
		return out
	}
	prior := &Prior{T: w.T, Scale: w.Scale}
	for _, validated := range []bool{false, true} {
		for name, want := range map[string][2]float64{"noise": {0, 0.1}, "perfect": {0.8, 1}} {
			o := Options{Prior: prior, Members: []string{LinearProbe, KNN}}
			if validated {
				o.Validation = &Validation{X: v.X, Y: binaryTargets(v.Labels), Scores: scores(v, name)}
			}
			mine := scores(s, name)
			h, err := FitWithScores(t.Context(), s.X, *mine, binaryTargets(s.Labels), s.Groups, o)
			if err != nil {
				t.Fatal(err)
			}
			m := h.Fits[0].Members
			if len(m) != 3 || m[2].Head != name || m[2].Weight < want[0] || m[2].Weight > want[1] {
				t.Errorf("validated %v: members %+v, want a weight of %v for %s", validated, m, want, name)
			}
			// Kept, it scores vectors with their scores, and nothing else.
			h = reloaded(t, h)
			joined, err := h.Covariates.Join(s.X, mine.Covariates())
			if err != nil {
				t.Fatal(err)
			}
			z, err := h.Logits(joined)
			if err != nil {
				t.Fatal(err)
			}
			right := 0
			for i, label := range s.Labels {
				if (z.Data[i] > 0) == (label == Positive) {
					right++
				}
			}
			if least := map[string]int{"noise": 160, "perfect": 230}[name]; right < least {
				t.Errorf("%s: %d of %d are called right, want at least %d", name, right, len(s.Labels), least)
			}
			if _, err := h.Logits(s.X); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("vectors without scores: error %v", err)
			}
		}
	}
}

func TestBadScoresAreNamed(t *testing.T) {
	t.Parallel()
	s, _ := draw(2, 5, 1)
	y := binaryTargets(s.Labels)
	good := Scores{Names: []string{"reader"}, Classes: []string{"finding"}}
	for i := range s.Labels {
		good.Rows = append(good.Rows, []float64{float64(i)})
	}
	bad := func(change func(*Scores)) Scores {
		other := Scores{Names: slices.Clone(good.Names), Classes: slices.Clone(good.Classes)}
		for _, row := range good.Rows {
			other.Rows = append(other.Rows, slices.Clone(row))
		}
		change(&other)
		return other
	}
	for want, c := range map[string]struct {
		scores Scores
		o      Options
		y      Targets
	}{
		`row 3: "reader" = NaN`:      {scores: bad(func(s *Scores) { s.Rows[3][0] = math.NaN() }), y: y},
		"9 rows of 1 outside scores": {scores: bad(func(s *Scores) { s.Rows = s.Rows[:9] }), y: y},
		`"reader" of "mass"`:         {scores: bad(func(s *Scores) { s.Classes[0] = "mass" }), y: y},
		"calibrated already":         {scores: good, y: y, o: Options{Calibrate: Platt}},
		"exclude one another":        {scores: good, y: Targets{Classes: []string{"finding", "other"}, Exclusive: true, Values: y.Values}},
		"other outside scores":       {scores: good, y: y, o: Options{Validation: &Validation{X: s.X, Y: y}}},
	} {
		if _, err := FitWithScores(t.Context(), s.X, c.scores, c.y, s.Groups, c.o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v: want %q in it", err, want)
		}
	}
}
