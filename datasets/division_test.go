package datasets

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// population is a dataset of many findings, some rare, with several samples of
// a patient.
func population(patients int, seed uint64) *Dataset {
	random := rand.New(rand.NewPCG(seed, 5))
	rates := []float64{0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01}
	d := &Dataset{Spec: "drawn", Task: Multilabel, Unit: "patient", Attributes: []string{"site", "date"}}
	for c := range rates {
		d.Classes = append(d.Classes, fmt.Sprintf("finding %d", c))
	}
	for p := range patients {
		for k := range 1 + random.IntN(3) {
			s := Sample{ID: fmt.Sprintf("%05d-%d", p, k), Patient: fmt.Sprintf("patient %05d", p), Attrs: []string{string(rune('A' + p%3)), fmt.Sprintf("20%02d-05-0%d", 15+p%8, 1+k)}}
			for _, rate := range rates {
				label := Negative
				if random.Float64() < rate {
					label = Positive
				} else if random.Float64() < 0.1 {
					label = Missing
				}
				s.Labels = append(s.Labels, label)
			}
			d.Samples = append(d.Samples, s)
		}
	}
	return d
}

// Every finding is spread over the parts as the shares say, but for what cannot
// be divided.
func TestSplitIsStratifiedByEveryLabel(t *testing.T) {
	t.Parallel()
	d := population(3000, 1)
	shares := []Part{{"train", 0.7}, {"validation", 0.1}, {"test", 0.2}}
	parts, err := Split(d, shares, 0)
	if err != nil {
		t.Fatal(err)
	}
	for c, class := range d.Classes {
		owners := map[string]map[string]bool{}
		for i := range d.Samples {
			if d.Samples[i].Labels[c] != Positive {
				continue
			}
			if owners[parts[i]] == nil {
				owners[parts[i]] = map[string]bool{}
			}
			owners[parts[i]][d.Samples[i].Patient] = true
		}
		total := len(owners["train"]) + len(owners["validation"]) + len(owners["test"])
		for _, p := range shares {
			if got, want := float64(len(owners[p.Name])), p.Share*float64(total); math.Abs(got-want) > 2+0.01*want {
				t.Errorf("%s: %v of %d positive patients in %s, want %.1f", class, got, total, p.Name, want)
			}
		}
	}
	if leaks := Leaks(d, parts, Contents{}); len(leaks) != 0 {
		t.Errorf("leaks %v", leaks)
	}
}

// Rows in another order change nothing; a hundredth more patients move few.
func TestSplitIsStable(t *testing.T) {
	t.Parallel()
	d := population(3000, 2)
	shares := []Part{{"train", 0.7}, {"test", 0.3}}
	of := func(d *Dataset) map[string]string {
		parts, err := Split(d, shares, 4)
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]string{}
		for i := range d.Samples {
			all[d.Samples[i].ID] = parts[i]
		}
		return all
	}
	first := of(d)
	mixed := *d
	mixed.Samples = slices.Clone(d.Samples)
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(mixed.Samples), func(i, j int) { mixed.Samples[i], mixed.Samples[j] = mixed.Samples[j], mixed.Samples[i] })
	for id, part := range of(&mixed) {
		if first[id] != part {
			t.Fatalf("%s moved when rows were mixed", id)
		}
	}
	grown := population(30, 77)
	for i := range grown.Samples {
		grown.Samples[i].ID, grown.Samples[i].Patient = "new "+grown.Samples[i].ID, "new "+grown.Samples[i].Patient
	}
	grown.Samples = append(grown.Samples, d.Samples...)
	moved := 0
	for id, part := range of(grown) {
		if old, known := first[id]; known && old != part {
			moved++
		}
	}
	if moved > len(d.Samples)/50 {
		t.Errorf("%d of %d samples moved when a hundredth was added", moved, len(d.Samples))
	}
}

func TestFoldsNeverDivideAPatient(t *testing.T) {
	t.Parallel()
	d := population(200, 3)
	for repeat := range 3 {
		folds, err := Folds(d, 5, 9, repeat)
		if err != nil {
			t.Fatal(err)
		}
		of, count := map[string]int{}, map[int]int{}
		for i := range d.Samples {
			p := d.Samples[i].Patient
			if other, ok := of[p]; ok && other != folds[i] {
				t.Fatalf("%s stands in folds %d and %d", p, other, folds[i])
			}
			if of[p] == 0 {
				count[folds[i]]++
			}
			of[p] = folds[i]
		}
		for f := 1; f <= 5; f++ {
			if count[f] < 37 || count[f] > 43 {
				t.Errorf("repeat %d: %v patients by fold", repeat, count)
			}
		}
	}
	a, _ := Folds(d, 5, 9, 0)
	b, _ := Folds(d, 5, 9, 1)
	if slices.Equal(a, b) {
		t.Error("two repeats are the same")
	}
	if _, err := Folds(d, 1, 0, 0); err == nil {
		t.Error("one fold: no error")
	}
	few := *d
	few.Samples = d.Samples[:2]
	if _, err := Folds(&few, 5, 0, 0); err == nil {
		t.Error("five folds of fewer patients: no error")
	}
}

// A division that is written is read back, to the draw.
func TestDivisionsAreRepeatedExactly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := "path,patient,effusion,nodule\n"
	random := rand.New(rand.NewPCG(8, 8))
	for i := range 200 {
		text += fmt.Sprintf("%03d.png,p%d,%d,%d\n", i, i/2, random.IntN(2), random.IntN(2))
	}
	s := Spec{Format: "csv", Path: write(t, dir, "labels.csv", text), Labels: []string{"effusion", "nodule"}}
	d := open(t, s)
	parts, err := Split(d, []Part{{"train", 0.5}, {"test", 0.5}}, 3)
	if err != nil {
		t.Fatal(err)
	}
	var pool []int
	for i, p := range parts {
		if p == "train" {
			pool = append(pool, i)
		}
	}
	how := Shots{K: 16, Seed: 3, Draw: 2}
	ranks, short := Ranks(d, pool, how)
	if len(short) != 0 {
		t.Fatalf("short: %v", short)
	}
	for _, name := range []string{"split.csv", "split.parquet"} {
		s.SplitFile = filepath.Join(dir, name)
		if err := WriteDivision(s.SplitFile, d, Division{Parts: parts, Shots: ranks}); err != nil {
			t.Fatal(err)
		}
		again := open(t, s)
		for i := range again.Samples {
			if again.Samples[i].Split != parts[i] {
				t.Fatalf("%s: %s is in %q, want %q", name, again.Samples[i].ID, again.Samples[i].Split, parts[i])
			}
		}
		for c := range d.Classes {
			for _, k := range []int{1, 4, 16} {
				want := how
				want.K = k
				first, err := Draw(d, pool, []int{c}, want)
				if err != nil {
					t.Fatal(err)
				}
				// Another seed, and the file's order all the same.
				second, err := Draw(again, pool, []int{c}, Shots{K: k, Seed: 99})
				if err != nil || !slices.Equal(first, second) {
					t.Errorf("%s: %d shots of %s: %v, %v, want %v", name, k, d.Classes[c], second, err, first)
				}
			}
		}
		if _, err := Draw(again, pool, []int{0}, Shots{K: 17}); err == nil {
			t.Errorf("%s: 17 of 16 ranked shots: no error", name)
		}
	}
	folds, err := Folds(d, 4, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	s.SplitFile, s.Fold = filepath.Join(dir, "folds.csv"), 3
	if err := WriteDivision(s.SplitFile, d, Division{Folds: [][]int{folds}}); err != nil {
		t.Fatal(err)
	}
	for i, sample := range open(t, s).Samples {
		if want := map[bool]string{true: "test", false: "train"}[folds[i] == 3]; sample.Split != want {
			t.Fatalf("fold %d is %s", folds[i], sample.Split)
		}
	}
}

func TestBadSplitFiles(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"name,split\na,train\n":             `no column "id"`,
		"id,fold\na,1\n":                    "the key fold says which is tested on",
		"id,split\na,train\na,test\n":       `the id "a" stands twice`,
		"id,split\nzzz,train\n":             "no id is of a sample",
		"id,split,shots:effusoin\na,train,": `did you mean "effusion"?`,
		"id,split,shots\na,train,one\n":     `shots = "one"`,
	} {
		dir := t.TempDir()
		_, err := openCSV(t, "path,effusion\na,1\nb,0\n", Spec{SplitFile: write(t, dir, "split.csv", text)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	d, err := openCSV(t, "path,effusion\na,1\nb,0\n", Spec{SplitFile: write(t, t.TempDir(), "split.csv", "id,split\na,train\nc,test\n")})
	if err != nil || len(d.Problems) != 3 {
		t.Errorf("%v, problems %v: want one for b, one for c", err, d.Problems)
	}
}

func TestHoldout(t *testing.T) {
	t.Parallel()
	const text = "path,patient,y,site,date\na,1,1,A,2019-01-01\nb,1,0,B,2020-02-02\nc,2,1,A,20191231\nd,3,0,B,2020-01-01T10:00\ne,4,1,A,\n"
	for _, tt := range []struct {
		spec Spec
		want string
	}{
		{Spec{Holdout: "site=B"}, " test train test train"},
		{Spec{After: "2020-01-01"}, " test train test train"},
		{Spec{After: "2020"}, " test train test train"},
		{Spec{Holdout: "site=A", After: "2019-12-31"}, "train train test train train"},
	} {
		tt.spec.Labels = []string{"y"}
		d, err := openCSV(t, text, tt.spec)
		if err != nil {
			t.Errorf("%+v: %v", tt.spec, err)
			continue
		}
		var parts []string
		for _, s := range d.Samples {
			parts = append(parts, s.Split)
		}
		if got := strings.Join(parts, " "); got != tt.want {
			t.Errorf("%s%s: %q, want %q", tt.spec.Holdout, tt.spec.After, got, tt.want)
		}
	}
	for _, s := range []Spec{{Holdout: "site=C"}, {Holdout: "sight=B"}, {After: "2030-01-01"}, {After: "2020-01-01", Date: "day"}} {
		s.Labels = []string{"y"}
		if _, err := openCSV(t, text, s); err == nil {
			t.Errorf("%s%s: no error", s.Holdout, s.After)
		}
	}
}

func TestDaysAreReadOrRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"2020-01-31": "20200131", "2020/1/3": "20200103", "2020.1": "202001", "20200131": "20200131", "2020": "2020",
		"2020-01-31T10:00:00Z": "20200131", "2020-01-31 10:00": "20200131", "20200131235959": "20200131",
		// Which is the month?
		"31/12/2019": "", "12-31-2019": "", "1.2.19": "", "yesterday": "", "2020-Jan-01": "", "": "", "202": "", "2020-01-01-05": "",
	} {
		got, ok := day(text)
		if !ok {
			got = ""
		}
		if got != want {
			t.Errorf("day(%q) = %q, want %q", text, got, want)
		}
	}
	_, err := openCSV(t, "path,y,date\na,1,31/12/2019\nb,0,01/02/2020\n", Spec{Labels: []string{"y"}, After: "2020-01-01"})
	if err == nil || !strings.Contains(err.Error(), `date of "a" = "31/12/2019"`) {
		t.Errorf("days with the year last: %v", err)
	}
}

func TestScenariosDraw(t *testing.T) {
	t.Parallel()
	d := population(400, 6)
	pool := upToN(len(d.Samples))
	counts := func(shots []int) (p, n int) {
		for _, i := range shots {
			switch d.Samples[i].Labels[1] {
			case Positive:
				p++
			case Negative:
				n++
			}
		}
		return
	}
	four, err := Draw(d, pool, []int{1}, Shots{K: 4, Scenario: Population})
	if err != nil {
		t.Fatal(err)
	}
	eight, err := Draw(d, pool, []int{1}, Shots{K: 8, Scenario: Population})
	if p, n := counts(eight); err != nil || p+n != 16 || p == 8 {
		t.Errorf("population: %d positives and %d negatives, %v: want 16 as they come", p, n, err)
	}
	for _, i := range four {
		if !slices.Contains(eight, i) {
			t.Errorf("8 shots do not contain sample %d of the 4", i)
		}
	}
	missing, err := Draw(d, pool, []int{1}, Shots{K: 4, Scenario: MissingClasses})
	if p, n := counts(missing); err != nil || p+n != 4 || p*n != 0 {
		t.Errorf("missing classes: %d positives and %d negatives, %v: want one kind", p, n, err)
	}
	if _, err := Draw(d, pool, []int{1}, Shots{K: 4, Scenario: "few"}); err == nil {
		t.Error("a scenario that is none: no error")
	}
}
