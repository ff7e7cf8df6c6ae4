package evaluate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/medprobe/medprobe/internal/needs"
)

func TestDrawUnitsTakesAFewOfMany(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(11, 0))
	for range 50 {
		var groups []string
		size := map[string]int{}
		for u := range 5 + random.IntN(200) {
			name := fmt.Sprint("unit ", u)
			size[name] = 1 + random.IntN(90)
			for range size[name] {
				groups = append(groups, name)
			}
		}
		random.Shuffle(len(groups), func(i, j int) { groups[i], groups[j] = groups[j], groups[i] })
		most, each := 1+random.IntN(300), random.IntN(9)
		drawn := DrawUnits(groups, most, each, 7)
		if len(drawn) > most || !slices.IsSorted(drawn) || len(slices.Compact(slices.Clone(drawn))) != len(drawn) {
			t.Fatalf("%d drawn of at most %d, or not each once and in order: %v", len(drawn), most, drawn)
		}
		count, all := map[string]int{}, 0
		for _, i := range drawn {
			count[groups[i]]++
		}
		for name, n := range size {
			want := n
			if each > 0 {
				want = min(n, each)
			}
			all += want
			if count[name] != 0 && count[name] != want {
				t.Errorf("%d samples of %s are drawn, which has %d: want %d", count[name], name, n, want)
			}
		}
		if len(count) < len(size) && all <= most {
			t.Errorf("%d of %d units, where all fit", len(count), len(size))
		}
		if each > 0 && len(count) < min(len(size), most/each) {
			t.Errorf("%d of %d units: %d of each fit into %d", len(count), len(size), each, most)
		}
		if !slices.Equal(DrawUnits(groups, most, each, 7), drawn) {
			t.Error("another draw of the same seed")
		}
	}
}

// Every image of a unit is drawn as often as the others.
func TestDrawUnitsDrawsWithinAUnitEvenly(t *testing.T) {
	t.Parallel()
	groups := slices.Repeat([]string{"one"}, 10)
	count := make([]float64, len(groups))
	const draws = 4000
	for seed := range uint64(draws) {
		for _, i := range DrawUnits(groups, 100, 4, seed) {
			count[i]++
		}
	}
	chi := 0.0
	for _, n := range count {
		chi += (n - 0.4*draws) * (n - 0.4*draws) / (0.4 * draws)
	}
	if chi > 27.9 { // χ² of 9 degrees, p = .001; drawing without replacement makes it less
		t.Errorf("χ² %.1f over %v", chi, count)
	}
}

// wards draws units whose numbers of images are skewed, as those of blood smears and
// of intensive care are; a unit's vectors have icc of their variance in common, and
// those of units with many images lie elsewhere.
func wards(random *rand.Rand, units int, icc, shift float64) (x [][]float32, groups []string) {
	const dim = 4
	for u := range units {
		size := 1 + int(math.Exp(1.5+1.1*random.NormFloat64()))
		common := make([]float64, dim)
		for k := range common {
			common[k] = random.NormFloat64()
		}
		for range min(size, 200) {
			v := make([]float32, dim)
			for k := range v {
				v[k] = float32(shift + 0.7*math.Log(float64(size)) + math.Sqrt(icc)*common[k] + math.Sqrt(1-icc)*random.NormFloat64())
			}
			x, groups = append(x, v), append(groups, fmt.Sprint(u))
		}
	}
	return x, groups
}

// alarmsOfDrawn is how often p is at most .05 when samples are drawn from both sets
// as a reference and drift draw them; eachNow bounds those of a unit of the second.
func alarmsOfDrawn(t *testing.T, worlds, eachNow int, shift float64) (ks, mmd float64) {
	t.Helper()
	random := rand.New(rand.NewPCG(31, 0))
	for w := range worlds {
		a, groupsA := wards(random, 150, 0.4, 0)
		b, groupsB := wards(random, 60, 0.4, shift)
		keptA, keptB := DrawUnits(groupsA, SketchRows/2, SketchPerUnit, uint64(w)), DrawUnits(groupsB, SketchRows, eachNow, uint64(w)+9)
		a, b, groupsA, groupsB = pickRows(a, keptA), pickRows(b, keptB), pickGroups(groupsA, keptA), pickGroups(groupsB, keptB)
		s, err := newShift(firsts(a), firsts(b), groupsA, groupsB, 199, uint64(w))
		if err != nil {
			t.Fatal(err)
		}
		d, err := newApart(a, b, groupsA, groupsB, 199, uint64(w))
		if err != nil {
			t.Fatal(err)
		}
		if s.P <= 0.05 {
			ks += 1 / float64(worlds)
		}
		if d.P <= 0.05 {
			mmd += 1 / float64(worlds)
		}
	}
	return ks, mmd
}

// A few of each unit on both sides keep the size of the tests where some units have
// many images and those look otherwise; whole units on one side only do not.
func TestDrawnUnitsFalseAlarms(t *testing.T) {
	needs.Time(t)
	t.Parallel()
	worlds := repetitions() / 2
	margin := 3 * math.Sqrt(0.05*0.95/float64(worlds))
	ks, mmd := alarmsOfDrawn(t, worlds, SketchPerUnit, 0)
	t.Logf("%d of a unit on both sides: %.3f by KS, %.3f by MMD", SketchPerUnit, ks, mmd)
	for what, rate := range map[string]float64{"KS": ks, "MMD²": mmd} {
		if rate > 0.05+margin || rate < 0.05-margin-0.02 {
			t.Errorf("%s: %.3f false alarms at .05: want that within %.3f", what, rate, margin)
		}
	}
	ks, mmd = alarmsOfDrawn(t, worlds/4, 0, 0)
	t.Logf("whole units on one side: %.3f by KS, %.3f by MMD", ks, mmd)
	if mmd < 0.12 {
		t.Errorf("whole units on one side: %.3f false alarms by MMD; this world does not show why both are drawn alike", mmd)
	}
}

func TestDrawnUnitsFindAShift(t *testing.T) {
	t.Parallel()
	ks, mmd := alarmsOfDrawn(t, repetitions()/6, SketchPerUnit, 0.6)
	t.Logf("shift of 0.6: power %.2f by KS, %.2f by MMD", ks, mmd)
	if ks < 0.5 || mmd < 0.8 {
		t.Errorf("shift of 0.6: power %.2f by KS and %.2f by MMD", ks, mmd)
	}
}

// A reference of 40 patients with hundreds of images holds vectors of all of them,
// and says how many; new images are told from them.
func TestReferenceOfManyImagesPerUnit(t *testing.T) {
	t.Parallel()
	rows, x, at := manyImages(rand.New(rand.NewPCG(12, 0)), 40, 120, 0)
	r, err := NewReference(patientReport(), "logistic", rows, x, at)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Check(); err != nil {
		t.Fatal(err)
	}
	units := func(of []int) int { return slices.Max(of) + 1 }
	if r.Samples != 4800 || units(r.SketchUnits) != 40 || len(r.Sketch) != 160 || r.VectorsPerUnit != 4 || units(r.ScoreUnits) != 40 || len(r.Scores) != 640 || r.ScoresPerUnit != 16 {
		t.Fatalf("%d vectors of %d units, at most %d of each; %d scores of %d units, at most %d of each",
			len(r.Sketch), units(r.SketchUnits), r.VectorsPerUnit, len(r.Scores), units(r.ScoreUnits), r.ScoresPerUnit)
	}
	for shift, want := range map[float64]DriftVerdict{0: NoDrift, 1: Drifted} {
		rows, x, at := manyImages(rand.New(rand.NewPCG(13, 0)), 35, 90, shift)
		now, err := NewReference(patientReport(), "logistic", rows, x, at)
		if err != nil {
			t.Fatal(err)
		}
		d, err := CompareDrift(t.Context(), r.Population(), now.Population(), DriftOptions{})
		if err != nil || d.Verdict != want || d.Embedding == nil || d.Embedding.UnitsA != 40 || d.Embedding.UnitsB != 35 {
			t.Errorf("shift of %v: %+v, %v", shift, d, err)
		}
	}
	// What an earlier medprobe kept of whole units, too few to hide among, is left out.
	kept := DrawUnits(groupsOf(rows), SketchRows, 0, 1)
	r, err = NewReference(patientReport(), "logistic", rows, pickRows(x, kept), kept)
	if err != nil || len(r.Sketch) != 0 || r.VectorsPerUnit != 0 {
		t.Errorf("vectors of 2 whole units: %d are kept (%v)", len(r.Sketch), err)
	}
	r.ScoresPerUnit = 3
	if err := r.Check(); err == nil {
		t.Error("16 scores of a unit pass for at most 3")
	}
	r.ScoresPerUnit = -1
	if err := r.Check(); err == nil {
		t.Error("at most -1 scores of a unit pass")
	}
}

// manyImages is [seen] with one finding and many images of each unit.
func manyImages(random *rand.Rand, units, size int, shift float64) (rows []Prediction, x [][]float32, at []int) {
	x, groups := cloud(random, units, size, 16, 0.3, shift)
	for i, v := range x {
		z := float64(v[0])
		rows = append(rows, Prediction{ID: fmt.Sprint(i), Patient: groups[i], Finding: "effusion", Method: "logistic", Score: z, Probability: 1 / (1 + math.Exp(-z))})
		at = append(at, i)
	}
	return rows, x, at
}

func groupsOf(rows []Prediction) (groups []string) {
	for i := range rows {
		groups = append(groups, rows[i].Patient)
	}
	return groups
}
