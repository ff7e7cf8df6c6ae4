package datasets

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// world makes a multilabel dataset of n samples over patients with 1 to 5
// images each.
func world(n int, seed uint64) *Dataset {
	rng := rand.New(rand.NewPCG(seed, 1))
	d := &Dataset{Spec: "world", Classes: []string{"common", "rare"}, Task: Multilabel}
	for patient := 0; len(d.Samples) < n; patient++ {
		for range 1 + rng.IntN(5) {
			labels := []Label{Negative, Negative}
			if rng.Float64() < 0.4 {
				labels[0] = Positive
			}
			if rng.Float64() < 0.05 {
				labels[1] = Positive
			}
			d.Samples = append(d.Samples, Sample{ID: fmt.Sprintf("i%05d", len(d.Samples)), Patient: fmt.Sprintf("p%04d", patient), Labels: labels})
		}
	}
	return d
}

var thirds = []Part{{"train", 0.5}, {"validation", 0.2}, {"test", 0.3}}

func TestSplitNeverDividesAPatient(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		d := world(400, seed)
		parts, err := Split(d, thirds, seed)
		if err != nil {
			t.Fatal(err)
		}
		if leaks := Leaks(d, parts, Contents{}); len(leaks) > 0 {
			t.Fatalf("seed %d: %v", seed, leaks[0])
		}
	}
}

func TestSplitKeepsSharesAndRareFindings(t *testing.T) {
	t.Parallel()
	d := world(4000, 3)
	parts, err := Split(d, thirds, 9)
	if err != nil {
		t.Fatal(err)
	}
	patients, rare := map[string]map[string]bool{}, map[string]map[string]bool{}
	for i, part := range parts {
		if patients[part] == nil {
			patients[part], rare[part] = map[string]bool{}, map[string]bool{}
		}
		patients[part][d.Samples[i].Patient] = true
		if d.Samples[i].Labels[1] == Positive {
			rare[part][d.Samples[i].Patient] = true
		}
	}
	for what, groups := range map[string]map[string]map[string]bool{"patients": patients, "patients with the rare finding": rare} {
		total := 0
		for _, g := range groups {
			total += len(g)
		}
		for _, p := range thirds {
			got, want := float64(len(groups[p.Name])), p.Share*float64(total)
			if got < want-3 || got > want+3 {
				t.Errorf("%s in %s: %v, want %.1f", what, p.Name, got, want)
			}
		}
	}
}

func TestSplitDoesNotDependOnTheOrderOfRows(t *testing.T) {
	t.Parallel()
	d := world(300, 1)
	before, err := Split(d, thirds, 4)
	if err != nil {
		t.Fatal(err)
	}
	byID := map[string]string{}
	for i, part := range before {
		byID[d.Samples[i].ID] = part
	}
	rand.New(rand.NewPCG(7, 7)).Shuffle(len(d.Samples), func(i, j int) { d.Samples[i], d.Samples[j] = d.Samples[j], d.Samples[i] })
	after, err := Split(d, thirds, 4)
	if err != nil {
		t.Fatal(err)
	}
	for i, part := range after {
		if byID[d.Samples[i].ID] != part {
			t.Fatalf("%s went from %s to %s when rows were reordered", d.Samples[i].ID, byID[d.Samples[i].ID], part)
		}
	}
}

func TestSplitHardlyMovesWhenAPatientIsAdded(t *testing.T) {
	t.Parallel()
	d := world(600, 2)
	before, err := Split(d, thirds, 4)
	if err != nil {
		t.Fatal(err)
	}
	d.Samples = append(d.Samples, Sample{ID: "new", Patient: "new", Labels: []Label{Positive, Negative}})
	after, err := Split(d, thirds, 4)
	if err != nil {
		t.Fatal(err)
	}
	moved := 0
	for i := range before {
		if before[i] != after[i] {
			moved++
		}
	}
	if moved > 15 {
		t.Errorf("%d of 600 samples moved for one new patient", moved)
	}
}

func TestSplitRefusesSharesThatDoNotAddUp(t *testing.T) {
	t.Parallel()
	for _, parts := range [][]Part{{{"train", 0.5}, {"test", 0.4}}, {{"train", 1.5}, {"test", -0.5}}, {}} {
		if _, err := Split(world(10, 1), parts, 0); err == nil {
			t.Errorf("Split accepted %v", parts)
		}
	}
}

func TestDrawsAreNestedAndSpreadOverPatients(t *testing.T) {
	t.Parallel()
	d := world(2000, 5)
	pool := make([]int, len(d.Samples))
	for i := range pool {
		pool[i] = i
	}
	var smaller []int
	for _, k := range []int{1, 4, 8, 32} {
		shots, err := Draw(d, pool, []int{0}, Shots{K: k, Seed: 11, Draw: 2})
		if err != nil {
			t.Fatal(err)
		}
		positives, patients := 0, map[string]int{}
		for _, i := range shots {
			if d.Samples[i].Labels[0] == Positive {
				positives++
				patients[d.Samples[i].Patient]++
			}
		}
		if len(shots) != 2*k || positives != k || len(patients) != k {
			t.Errorf("%d shots: %d samples, %d positives of %d patients", k, len(shots), positives, len(patients))
		}
		for _, i := range smaller {
			if !slices.Contains(shots, i) {
				t.Errorf("%d shots do not contain sample %d of the smaller draw", k, i)
			}
		}
		smaller = shots
	}
	other, err := Draw(d, pool, []int{0}, Shots{K: 32, Seed: 11, Draw: 3})
	if err != nil || slices.Equal(other, smaller) {
		t.Errorf("another draw gives the same shots (error %v)", err)
	}
}

func TestShortDrawSaysWhatIsThere(t *testing.T) {
	t.Parallel()
	d := &Dataset{Classes: []string{"rare"}, Samples: []Sample{
		{ID: "a", Labels: []Label{Positive}}, {ID: "b", Labels: []Label{Negative}}, {ID: "c", Labels: []Label{Missing}}, {ID: "d", Labels: []Label{Uncertain}},
	}}
	_, err := Draw(d, []int{0, 1, 2, 3}, []int{0}, Shots{K: 2})
	short, ok := err.(*ShortError)
	if !ok || short.Have != 1 || short.Want != 2 || short.Of != "positive rare" {
		t.Errorf("Draw = %v, want a ShortError with 1 of 2", err)
	}
	_, err = Draw(d, []int{0, 1, 2, 3}, []int{0}, Shots{K: 2, Scenario: Population})
	if want := "datasets: 4 shots of labelled samples asked for, 2 there"; err == nil || err.Error() != want {
		t.Errorf("of the population: %v, want %s", err, want)
	}
}

func TestLeaksFindsPatientsAndContent(t *testing.T) {
	t.Parallel()
	d := &Dataset{Samples: []Sample{{ID: "a", Patient: "p"}, {ID: "b", Patient: "p"}, {ID: "c", Patient: "q"}, {ID: "d"}, {ID: "e", Patient: "p"}}}
	digests := [][32]byte{{1}, {2}, {3}, {3}, {9}}
	leaks := Leaks(d, []string{"train", "test", "train", "test", ""}, Contents{Bytes: digests})
	if len(leaks) != 2 || leaks[0].Kind != "patient" || leaks[0].What != "p" || leaks[0].Samples != 2 || leaks[1].Kind != "content" || leaks[1].What != "c" {
		t.Errorf("Leaks = %v", leaks)
	}
}
