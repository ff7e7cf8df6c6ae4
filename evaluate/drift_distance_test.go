package evaluate

import (
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/internal/needs"
)

// names makes groups of numbers.
func names(units []int) []string {
	groups := make([]string, len(units))
	for i, u := range units {
		groups[i] = strconv.Itoa(u)
	}
	return groups
}

// exactly compares a p value from n permutations with that of all arrangements.
func exactly(t *testing.T, what string, got, want float64, n int) {
	t.Helper()
	if margin := 4*math.Sqrt(want*(1-want)/float64(n)) + 2/float64(n); math.Abs(got-want) > margin {
		t.Errorf("%s: p = %v, of all arrangements %v: want within %v", what, got, want, margin)
	}
}

func TestDistancesAgreeWithSciPy(t *testing.T) {
	t.Parallel()
	var want struct {
		Values []struct {
			A, B                 []float64
			UnitsA               []int `json:"units_a"`
			UnitsB               []int `json:"units_b"`
			KS, Wasserstein, PSI float64
			P                    *float64
		}
		Vectors []struct {
			A, B            [][]float32
			UnitsA          []int `json:"units_a"`
			UnitsB          []int `json:"units_b"`
			Bandwidth, MMD2 float64
			P               *float64
		}
	}
	golden(t, "drift.json", &want)
	if len(want.Values) != 5 || len(want.Vectors) != 4 {
		t.Fatalf("%d and %d cases: want 5 and 4", len(want.Values), len(want.Vectors))
	}
	const n = 20000
	for k, c := range want.Values {
		name := strconv.Itoa(k)
		got, err := newShift(c.A, c.B, names(c.UnitsA), names(c.UnitsB), n, 3)
		if err != nil {
			t.Fatal(err)
		}
		within(t, name+" KS", got.KS, c.KS, 1e-12)
		within(t, name+" Wasserstein", got.Wasserstein, c.Wasserstein, 1e-12)
		within(t, name+" PSI", got.PSI, c.PSI, 1e-12)
		if c.P != nil {
			exactly(t, name+" KS", got.P, *c.P, n)
		}
	}
	for k, c := range want.Vectors {
		name := strconv.Itoa(k)
		got, err := newApart(c.A, c.B, names(c.UnitsA), names(c.UnitsB), n, 3)
		if err != nil {
			t.Fatal(err)
		}
		within(t, name+" bandwidth", got.Bandwidth, c.Bandwidth, 1e-12)
		within(t, name+" MMD²", got.MMD2, c.MMD2, 1e-12)
		if c.P != nil {
			exactly(t, name+" MMD²", got.P, *c.P, n)
		}
	}
}

// cloud draws units of size vectors; what the vectors of a unit have in common
// is icc of their variance, and each lies shift away on every axis.
func cloud(random *rand.Rand, units, size, dim int, icc, shift float64) (x [][]float32, groups []string) {
	for u := range units {
		common := make([]float64, dim)
		for k := range common {
			common[k] = random.NormFloat64()
		}
		for range size {
			v := make([]float32, dim)
			for k := range v {
				v[k] = float32(shift + math.Sqrt(icc)*common[k] + math.Sqrt(1-icc)*random.NormFloat64())
			}
			x, groups = append(x, v), append(groups, strconv.Itoa(u))
		}
	}
	return x, groups
}

func firsts(x [][]float32) []float64 {
	values := make([]float64, len(x))
	for i := range x {
		values[i] = float64(x[i][0])
	}
	return values
}

// alarms draws pairs of sets and returns how often each test says p < .05, and
// where the p of KS lie: the greatest distance from the uniform.
func alarms(t *testing.T, worlds int, icc, shift float64, unitsA, unitsB, size, permutations int, grouped bool) (ks, mmd, bent float64) {
	t.Helper()
	random := rand.New(rand.NewPCG(21, 0))
	var p []float64
	for w := range worlds {
		a, groupsA := cloud(random, unitsA, size, 4, icc, 0)
		b, groupsB := cloud(random, unitsB, size, 4, icc, shift)
		if !grouped {
			groupsA, groupsB = nil, nil
		}
		s, err := newShift(firsts(a), firsts(b), groupsA, groupsB, permutations, uint64(w))
		if err != nil {
			t.Fatal(err)
		}
		d, err := newApart(a, b, groupsA, groupsB, permutations, uint64(w))
		if err != nil {
			t.Fatal(err)
		}
		p = append(p, s.P)
		if s.P <= 0.05 {
			ks += 1 / float64(worlds)
		}
		if d.P <= 0.05 {
			mmd += 1 / float64(worlds)
		}
	}
	slices.Sort(p)
	for k, v := range p {
		bent = max(bent, float64(k+1)/float64(worlds)-v) // p below the uniform
	}
	return ks, mmd, bent
}

// Without a shift p is uniform, or a little above where values tie, also where
// the images of a patient are alike; and the images taken one by one cry wolf.
func TestShiftFalseAlarms(t *testing.T) {
	needs.Time(t)
	t.Parallel()
	worlds := repetitions() / 2
	margin := 3 * math.Sqrt(0.05*0.95/float64(worlds))
	for _, c := range []struct {
		icc            float64
		unitsA, unitsB int
		size           int
	}{{0, 40, 30, 1}, {0.6, 30, 20, 3}} {
		ks, mmd, bent := alarms(t, worlds, c.icc, 0, c.unitsA, c.unitsB, c.size, 199, true)
		t.Logf("ICC %v: %.3f by KS, %.3f by MMD", c.icc, ks, mmd)
		for what, rate := range map[string]float64{"KS": ks, "MMD²": mmd} {
			if rate > 0.05+margin || rate < 0.05-margin-0.02 {
				t.Errorf("ICC %v: %s: %.3f false alarms at .05: want that within %.3f", c.icc, what, rate, margin)
			}
		}
		if limit := 1.95 / math.Sqrt(float64(worlds)); bent > limit { // Kolmogorov's .001 point
			t.Errorf("ICC %v: p of KS is below the uniform by %.3f: want at most %.3f", c.icc, bent, limit)
		}
	}
	ks, mmd, _ := alarms(t, worlds, 0.6, 0, 30, 20, 3, 199, false)
	t.Logf("each image its own unit: %.3f by KS, %.3f by MMD", ks, mmd)
	if ks < 0.08 || mmd < 0.08 {
		t.Errorf("each image its own unit: %.3f and %.3f false alarms; this world does not show why patients matter", ks, mmd)
	}
}

func TestShiftIsFound(t *testing.T) {
	t.Parallel()
	worlds := repetitions() / 6
	for _, c := range []struct {
		units           int
		shift, ks, mmd2 float64 // least power
	}{{30, 0.8, 0.6, 0.9}, {100, 0.5, 0.75, 0.95}} {
		ks, mmd, _ := alarms(t, worlds, 0, c.shift, 100, c.units, 1, 199, true)
		t.Logf("%d against 100, shift of %v: power %.2f by KS, %.2f by MMD", c.units, c.shift, ks, mmd)
		if ks < c.ks || mmd < c.mmd2 {
			t.Errorf("%d units, shift of %v: power %.2f by KS and %.2f by MMD: want %v and %v", c.units, c.shift, ks, mmd, c.ks, c.mmd2)
		}
	}
}

func TestDistancesDependOnSeedAloneAndNotOnOrder(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 0))
	a, groupsA := cloud(random, 12, 2, 3, 0.5, 0)
	b, groupsB := cloud(random, 9, 2, 3, 0.5, 0.3)
	first, err := newApart(a, b, groupsA, groupsB, 499, 5)
	if err != nil {
		t.Fatal(err)
	}
	again, _ := newApart(a, b, groupsA, groupsB, 499, 5)
	other, _ := newApart(a, b, groupsA, groupsB, 499, 6)
	if first != again || first.P == other.P && first.Chance == other.Chance {
		t.Errorf("%+v, again %+v, of another seed %+v", first, again, other)
	}
	// KS does not see a monotone map, nor the order of rows.
	s, err := newShift(firsts(a), firsts(b), groupsA, groupsB, 499, 5)
	if err != nil {
		t.Fatal(err)
	}
	mapped := func(x [][]float32, g []string) (v []float64, groups []string) {
		for i := range slices.Backward(x) {
			v, groups = append(v, math.Exp(float64(x[i][0]))), append(groups, g[i])
		}
		return v, groups
	}
	va, ga := mapped(a, groupsA)
	vb, gb := mapped(b, groupsB)
	m, err := newShift(va, vb, ga, gb, 499, 5)
	if err != nil || m.KS != s.KS || m.P != s.P {
		t.Errorf("KS %v, p %v after a monotone map and in another order (%v): want %v, %v", m.KS, m.P, err, s.KS, s.P)
	}
	// The same set twice is no shift at all.
	same, err := newShift(va, va, ga, ga, 199, 1)
	if err != nil || same.KS != 0 || same.P != 1 || same.Wasserstein != 0 || same.PSI != 0 {
		t.Errorf("a set against itself: %+v, %v", same, err)
	}
	flat := [][]float32{{1, 0}, {1, 0}, {1, 0}}
	if d, err := newApart(flat, flat, nil, nil, 99, 1); err != nil || d.MMD2 != 0 || d.P != 1 {
		t.Errorf("vectors that are all the same: %+v, %v: want MMD² 0 and p 1", d, err)
	}
}

func TestDistancesRefuse(t *testing.T) {
	t.Parallel()
	nan := math.NaN()
	for want, call := range map[string]func() error{
		"without values":     func() error { _, err := newShift(nil, []float64{1}, nil, nil, 9, 0); return err },
		"value 1 of set 2":   func() error { _, err := newShift([]float64{1}, []float64{1, nan}, nil, nil, 9, 0); return err },
		"1 groups for 2":     func() error { _, err := newShift([]float64{1, 2}, []float64{1}, []string{"a"}, nil, 9, 0); return err },
		"at least two units": func() error { _, err := newApart([][]float32{{1}}, [][]float32{{1}, {2}}, nil, nil, 9, 0); return err },
		"has 2 values, the first has 1": func() error {
			_, err := newApart([][]float32{{1}, {2}}, [][]float32{{1}, {2, 3}}, nil, nil, 9, 0)
			return err
		},
		"want finite values": func() error {
			_, err := newApart([][]float32{{1}, {2}}, [][]float32{{1}, {float32(math.Inf(1))}}, nil, nil, 9, 0)
			return err
		},
	} {
		if err := call(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: want an error with %q", err, want)
		}
	}
}
