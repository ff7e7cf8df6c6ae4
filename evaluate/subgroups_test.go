package evaluate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"
)

// Without a shared patient the variance is the sum of pROC's two.
func TestApartHasTheSumOfPROCsVariances(t *testing.T) {
	t.Parallel()
	var want struct {
		Cases []struct {
			Name string
			Y    []int
			A, B []float64
			PROC struct {
				AUCA float64 `json:"auc_a"`
				VarA float64 `json:"var_a"`
			} `json:"proc"`
		}
	}
	golden(t, "auc.json", &want)
	column := func(k int) Column {
		c := Column{Scores: want.Cases[k].A, Labels: booleans(want.Cases[k].Y)}
		for i := range c.Scores {
			c.Groups = append(c.Groups, fmt.Sprint(k, " ", i))
		}
		return c
	}
	for k := range len(want.Cases) - 1 {
		a, b := want.Cases[k].PROC, want.Cases[k+1].PROC
		got, err := CompareApart(column(k), column(k+1))
		if err != nil {
			t.Fatal(err)
		}
		sd := math.Sqrt(a.VarA + b.VarA)
		within(t, "difference", got.Difference.Point, a.AUCA-b.AUCA, 1e-12)
		within(t, "standard error", got.Difference.StdErr, sd, 1e-12)
		within(t, "p", got.P, twoSided((a.AUCA-b.AUCA)/sd), 1e-9)
	}
}

// TestSubgroupCoverage gives half of each patient's samples to a site, so that
// subgroup and rest share the patients. The AUC is the same in both.
func TestSubgroupCoverage(t *testing.T) {
	t.Parallel()
	n := repetitions()
	d := math.Sqrt2 * distuv.UnitNormal.Quantile(0.8)
	for _, c := range []struct {
		patients, per int
		shared        bool
		icc           float64
	}{{120, 4, true, 0.7}, {120, 4, false, 0.5}, {60, 1, false, 0}, {30, 4, true, 0.5}} {
		random := rand.New(rand.NewPCG(18, 0))
		inside := 0
		for range n {
			w := drawWorld(random, c.patients, c.per, false, d, c.icc)
			in, rest := Column{Scores: w.a, Labels: w.labels, Groups: w.groups}.divide(func(i int) bool {
				if c.shared {
					return i%2 == 0
				}
				return i/c.per%4 < 2
			})
			got, err := CompareApart(in, rest)
			if err != nil {
				t.Fatal(err)
			}
			if got.Difference.Low <= 0 && 0 <= got.Difference.High {
				inside++
			}
		}
		share := float64(inside) / float64(n)
		t.Logf("%+v: coverage %.3f", c, share)
		if floor := 0.935 - 3*math.Sqrt(0.935*0.065/float64(n)); share < floor {
			t.Errorf("%+v: coverage %.3f, want at least %.3f", c, share, floor)
		}
	}
}

func TestSubgroupsOfATable(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("patient,sex,age,y,s\n")
	random := rand.New(rand.NewPCG(19, 0))
	for i := range 400 {
		y := (i / 2) % 2
		sex := []string{"f", "m"}[i/4%2]
		p := 1 / (1 + math.Exp(-random.NormFloat64()-2*float64(y)+1))
		if sex == "m" && y == 1 {
			p *= 0.3 // the score knows less of men
		}
		age := fmt.Sprint(20 + i%60)
		if i < 6 {
			age = ""
		}
		fmt.Fprintf(&b, "p%d,%s,%s,%d,%.6f\n", i/2, sex, age, y, p)
	}
	s, err := ReadScores(strings.NewReader(b.String()), ScoreColumns{Labels: []string{"y"}, Scores: []string{"s"}, Group: "patient",
		By: []Attribute{{Column: "sex"}, {Column: "age", Cuts: []float64{40, 65}}}})
	if err != nil {
		t.Fatal(err)
	}
	sum, err := s.Summarize(t.Context(), SummaryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(sum.Subgroups) != 6 {
		t.Fatalf("%d subgroups, want 2 of sex, 3 of age and the unknown", len(sum.Subgroups))
	}
	f, m, none := sum.Subgroups[0], sum.Subgroups[1], sum.Subgroups[2]
	within(t, "the two differences", f.Difference.Point, -m.Difference.Point, 1e-15)
	within(t, "the two p", *f.P, *m.P, 1e-12)
	if *f.AdjustedP != *m.AdjustedP || *f.AdjustedP >= 0.05 || f.AUC.Point <= m.AUC.Point {
		t.Errorf("women %+v\nmen %+v", f, m)
	}
	// Four tests: one of sex, three of age; the unknown are not estimable.
	within(t, "adjusted p", *f.AdjustedP, 4**f.P, 1e-12)
	if none.Group != "" || none.Estimable || none.MorePositives == 0 || none.AUC != nil || none.Observed == nil || none.N != 6 {
		t.Errorf("unknown age: %+v", none)
	}
	total := 0
	for _, g := range sum.Subgroups[2:] {
		total += g.N
	}
	if total != 400 {
		t.Errorf("%d samples by age, want 400", total)
	}
	within(t, "excess", m.Excess.Point, m.Observed.Point-*m.MeanPredicted, 1e-12)
	if !(m.Excess.Low < m.Excess.Point && m.Excess.Point < m.Excess.High) || m.AtThreshold.Sensitivity.Point >= f.AtThreshold.Sensitivity.Point {
		t.Errorf("men: %+v", m)
	}
}

// Of fifty samples of which a head is all but sure, and right, the excess may still be
// what one in some dozens does: its interval reaches as far as that of no misses in
// fifty (Wilson, 1927, by hand: z²/(50+z²)). One miss, and the samples speak for themselves.
func TestSureSubgroupHasAnExcessOfSomeWidth(t *testing.T) {
	t.Parallel()
	var patients []string
	for i := range 50 {
		patients = append(patients, fmt.Sprint(i))
	}
	for _, groups := range [][]string{nil, patients} {
		in := Column{Scores: make([]float64, 50), Labels: make([]bool, 50), Groups: groups}
		for i := range in.Scores {
			in.Labels[i] = i < 20
			if in.Scores[i] = 0.00001 * float64(1+i%3); in.Labels[i] {
				in.Scores[i] = 1 - in.Scores[i]
			}
		}
		g := Subgroup{N: 50, Positives: 20, Observed: &Estimate{Point: 0.4}}
		if err := g.calibration(in, "patient"); err != nil {
			t.Fatal(err)
		}
		within(t, "reach", g.Excess.High-g.Excess.Point, 0.0713476, 1e-6)
		within(t, "reach", g.Excess.Point-g.Excess.Low, 0.0713476, 1e-6)
		in.Labels[0], g.Observed.Point = false, 0.38
		if err := g.calibration(in, "patient"); err != nil {
			t.Fatal(err)
		}
		within(t, "reach by Student", g.Excess.High-g.Excess.Point, 0.0401917, 1e-4)
	}
}
