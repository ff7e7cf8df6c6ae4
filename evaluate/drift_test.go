package evaluate

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/internal/needs"
)

// seen draws what a head says of units of two samples; labels are known where
// labelled, and the head's scores lie shift higher.
func seen(random *rand.Rand, units int, shift float64, labelled bool) (rows []Prediction, vectors [][]float32, at []int) {
	x, groups := cloud(random, units, 2, 16, 0.5, shift)
	for i, v := range x {
		for f, name := range []string{"effusion", "nodule"} {
			z := float64(v[f])
			p := Prediction{ID: fmt.Sprintf("Doe/%d.png", i), Patient: "Doe^" + groups[i], Finding: name, Method: "logistic", Score: z, Probability: 1 / (1 + math.Exp(-z))}
			if positive := int32(0); labelled {
				if z+random.NormFloat64() > 0.5 {
					positive = 1
				}
				p.Label = &positive
			}
			rows = append(rows, p)
		}
		at = append(at, i)
	}
	return rows, x, at
}

func patientReport() *Report { return &Report{Dataset: DatasetFacts{Unit: "patient"}} }

func reference(t *testing.T, seed uint64, units int, shift float64, labelled bool) *Reference {
	t.Helper()
	rows, x, at := seen(rand.New(rand.NewPCG(seed, 0)), units, shift, labelled)
	r, err := NewReference(patientReport(), "logistic", rows, x, at)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Check(); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestDriftIsFoundAndNamed(t *testing.T) {
	t.Parallel()
	ref := reference(t, 1, 100, 0, true).Population()
	for _, c := range []struct {
		name     string
		units    int
		shift    float64
		labelled bool
		want     DriftVerdict
		says     string
	}{
		{"the same", 60, 0, true, NoDrift, "more than chance would have it in 60 patients"},
		{"another scanner", 60, 1, false, Drifted, "the embeddings lie apart; the scores of effusion are higher, on average"},
		{"more of the sick", 60, 1, true, Drifted, "effusion is positive in "},
		{"too few", 12, 0, true, CannotTell, "12 patients now and 100 patients in the reference: at least 30"},
		{"few, but far", 12, 2, true, Drifted, "embeddings"},
	} {
		now := reference(t, 2, 100, c.shift, c.labelled).Population()
		now.Units = c.units
		if c.units < 100 {
			rows, x, at := seen(rand.New(rand.NewPCG(3, 0)), max(c.units, FewDriftUnits), c.shift, c.labelled)
			r, err := NewReference(patientReport(), "logistic", rows, x, at)
			if err != nil {
				t.Fatal(err)
			}
			now = r.Population()
			now.Units = c.units
		}
		d, err := CompareDrift(t.Context(), ref, now, DriftOptions{Seed: 4})
		if err != nil {
			t.Fatal(err)
		}
		if d.Verdict != c.want || !strings.Contains(d.Reason, c.says) {
			t.Errorf("%s: %s: %s; want %s: … %s …", c.name, d.Verdict, d.Reason, c.want, c.says)
		}
		if d.Embedding == nil || len(d.Findings) != 2 || d.Findings[0].Scores == nil {
			t.Fatalf("%s: %+v: want an embedding and two findings", c.name, d)
		}
		if labels := d.Findings[0].Rate != nil && d.Findings[0].AUC != nil; labels != c.labelled {
			t.Errorf("%s: rate and AUC: %v, want %v", c.name, labels, c.labelled)
		}
		again, err := CompareDrift(t.Context(), ref, now, DriftOptions{Seed: 4})
		if err != nil || !reflect.DeepEqual(again, d) {
			t.Errorf("%s: another result of the same seed (%v)", c.name, err)
		}
	}
}

// Over whole verdicts there are at most as many false alarms as α says.
func TestDriftCriesNoWolf(t *testing.T) {
	needs.Time(t)
	t.Parallel()
	worlds := repetitions() / 3
	random := rand.New(rand.NewPCG(31, 0))
	draw := func(units int) Population {
		rows, x, at := seen(random, units, 0, true)
		r, err := NewReference(patientReport(), "logistic", rows, x, at)
		if err != nil {
			t.Fatal(err)
		}
		return r.Population()
	}
	alarms := 0
	for w := range worlds {
		d, err := CompareDrift(t.Context(), draw(50), draw(40), DriftOptions{Seed: uint64(w), Permutations: 299})
		if err != nil {
			t.Fatal(err)
		}
		if d.Verdict == Drifted {
			alarms++
		}
	}
	rate := float64(alarms) / float64(worlds)
	t.Logf("%.3f false alarms in %d worlds", rate, worlds)
	if limit := 0.05 + 3*math.Sqrt(0.05*0.95/float64(worlds)); rate > limit {
		t.Errorf("%.3f false alarms at α = .05: want at most %.3f", rate, limit)
	}
}

// Newcombe's own example of method 10: 56/70 − 48/80 = 0.2, .0524 to .3339.
func TestChangeOfRateIsNewcombes(t *testing.T) {
	t.Parallel()
	rate := func(k, n int) *Estimate {
		labels := make([]bool, n)
		for i := range k {
			labels[i] = true
		}
		e, err := Rate(labels, nil, "patient")
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	c := newChange(rate(48, 80), rate(56, 70))
	within(t, "difference", c.Difference.Point, 0.2, 1e-12)
	within(t, "low", c.Difference.Low, 0.0524, 1e-4)
	within(t, "high", c.Difference.High, 0.3339, 1e-4)
	if (c.P < 0.05) != (c.Difference.Low > 0) {
		t.Errorf("p = %v with an interval from %v", c.P, c.Difference.Low)
	}
	if same := newChange(rate(5, 50), rate(5, 50)); same.P != 1 || same.Difference.Point != 0 {
		t.Errorf("no change: %+v", same)
	}
	if newChange(nil, rate(1, 2)) != nil || newChange(rate(1, 2), nil) != nil {
		t.Error("a change without both sides")
	}
}

func TestReferenceNamesNobody(t *testing.T) {
	t.Parallel()
	rows, x, at := seen(rand.New(rand.NewPCG(5, 0)), 60, 0, true)
	r, err := NewReference(patientReport(), "logistic", rows, x, at)
	if err != nil {
		t.Fatal(err)
	}
	// The order of the samples leaves no trace.
	backwards, other := slices.Clone(rows), slices.Clone(x)
	slices.Reverse(backwards)
	slices.Reverse(other)
	for i := range backwards { // findings in their order
		if i%2 == 0 {
			backwards[i], backwards[i+1] = backwards[i+1], backwards[i]
		}
	}
	again, err := NewReference(patientReport(), "logistic", backwards, other, at)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(r.Scores, again.Scores) || !reflect.DeepEqual(r.ScoreUnits, again.ScoreUnits) || !reflect.DeepEqual(r.Sketch, again.Sketch) || !reflect.DeepEqual(r.SketchUnits, again.SketchUnits) {
		t.Error("the reference depends on the order of the samples")
	}
	if k := len(r.Projection); k != 4 || len(r.Sketch) != 120 || len(r.Sketch[0]) != k || len(r.Scores) != 120 {
		t.Errorf("%d×%d kept of 120 vectors of 16 dimensions, by %d axes", len(r.Sketch), len(r.Sketch[0]), k)
	}
	if text := fmt.Sprint(*r); strings.Contains(text, "Doe") {
		t.Error("a name is kept")
	}
	// Few are not kept at all.
	if _, err := NewReference(patientReport(), "logistic", rows[:4*20], nil, nil); !errors.Is(err, ErrTooFew) {
		t.Errorf("of 20 patients: %v: want ErrTooFew", err)
	}
}

func TestReferenceKeepsWholeUnitsWithinBounds(t *testing.T) {
	t.Parallel()
	rows, x, _ := seen(rand.New(rand.NewPCG(6, 0)), 900, 0, false)
	groups := make([]string, len(x))
	for i := range groups {
		groups[i] = rows[2*i].Patient
	}
	drawn := DrawUnits(groups, SketchRows, SketchPerUnit, 9)
	var vectors [][]float32
	for _, i := range drawn {
		vectors = append(vectors, x[i])
	}
	r, err := NewReference(patientReport(), "logistic", rows, vectors, drawn)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Sketch) != SketchRows || len(r.Scores) != ReferenceScores {
		t.Errorf("%d vectors and %d scores: want %d and %d", len(r.Sketch), len(r.Scores), SketchRows, ReferenceScores)
	}
	for what, units := range map[string][]int{"sketch": r.SketchUnits, "scores": r.ScoreUnits} {
		count := map[int]int{}
		for _, u := range units {
			count[u]++
		}
		for u, n := range count {
			if n != 2 {
				t.Errorf("%s: unit %d has %d of its 2 samples", what, u, n)
			}
		}
	}
	if !slices.Equal(DrawUnits(groups, SketchRows, SketchPerUnit, 9), drawn) || slices.Equal(DrawUnits(groups, SketchRows, SketchPerUnit, 8), drawn) {
		t.Error("a draw is not of its seed")
	}
}

// A projection keeps distances as well as its dimensions let it.
func TestProjectionKeepsDistances(t *testing.T) {
	t.Parallel()
	x, _ := cloud(rand.New(rand.NewPCG(7, 0)), 60, 1, 512, 0, 0)
	r := &Reference{Projection: projection(512)}
	y, err := r.Project(x)
	if err != nil {
		t.Fatal(err)
	}
	full, kept := squaredDistances(x), squaredDistances(y)
	ratio, spread := 0.0, 0.0
	for i := range full {
		ratio += kept[i] / full[i] / float64(len(full))
	}
	for i := range full {
		spread += math.Pow(kept[i]/full[i]-1, 2) / float64(len(full))
	}
	if len(y[0]) != SketchDim || math.Abs(ratio-1) > 0.1 || math.Abs(math.Sqrt(spread)-0.25) > 0.08 {
		t.Errorf("%d dimensions keep %.3f ± %.3f of distances: want 1 ± 0.25", len(y[0]), ratio, math.Sqrt(spread))
	}
	if _, err := r.Project([][]float32{{1, 2}}); err == nil {
		t.Error("a vector of another length is projected")
	}
}

func TestReferenceCheckRefuses(t *testing.T) {
	t.Parallel()
	for want, spoil := range map[string]func(*Reference){
		"schema":                  func(r *Reference) { r.Schema = "medprobe.reference/2" },
		"want at least 30 units":  func(r *Reference) { r.Units = 3 },
		"rows of scores":          func(r *Reference) { r.ScoreUnits = r.ScoreUnits[1:] },
		"row 0 of scores has":     func(r *Reference) { r.Scores[0] = nil },
		"without scores":          func(r *Reference) { r.Scores, r.ScoreUnits = nil, nil },
		"want 0 to 1":             func(r *Reference) { r.Scores[3][0] = 1.5 },
		"holds NaN":               func(r *Reference) { r.Sketch[2][1] = float32(math.NaN()) },
		"units numbered in order": func(r *Reference) { r.SketchUnits[0] = 7 },
		"want both or neither":    func(r *Reference) { r.Sketch, r.SketchUnits = nil, nil },
		"moments hold +Inf":       func(r *Reference) { r.Projection[1][2] = float32(math.Inf(1)) },
		"within its interval":     func(r *Reference) { r.Findings[1].AUC.High = 0.1 },
		"projection of":           func(r *Reference) { r.Mean = r.Mean[1:] },
	} {
		r := reference(t, 8, 40, 0, true)
		spoil(r)
		if err := r.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: want an error with %q", err, want)
		}
	}
}
