package experiment

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/medprobe/medprobe/evaluate"
	"github.com/medprobe/medprobe/trainer"
	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/stat"
)

// family is a pool of generated patients, two images each, in groups that are
// not equally frequent; a share of them is positive, along one direction, and
// part of the positives lie in a group of their own.
type family struct {
	dim    int
	rate   float64
	groups int
}

func (f family) draw(t *testing.T, random *rand.Rand, people int) (x [][]float32, labels []bool, patients []string) {
	centres := rand.New(rand.NewPCG(99, uint64(f.dim)))
	means := make([][]float64, f.groups+1)
	for g := range means {
		means[g] = make([]float64, f.dim)
		for j := range means[g] {
			means[g][j] = centres.NormFloat64()
		}
	}
	for p := range people {
		g := min(int(random.ExpFloat64()*1.5), f.groups-1)
		positive := random.Float64() < f.rate
		own := make([]float64, f.dim)
		for j := range own {
			own[j] = means[g][j] + 0.7*random.NormFloat64()
			if positive {
				own[j] += 0.45 * means[f.groups][j]
			}
		}
		for range 2 {
			v := make([]float32, f.dim)
			for j := range v {
				v[j] = float32(own[j] + 0.5*random.NormFloat64())
			}
			x, labels, patients = append(x, unit(t, v)), append(labels, positive), append(patients, fmt.Sprint(p))
		}
	}
	return x, labels, patients
}

// fitOn trains a logistic head on the rows.
func fitOn(t *testing.T, x [][]float32, labels []bool, patients []string, rows []int) *trainer.Head {
	t.Helper()
	m := blas32.General{Rows: len(rows), Cols: len(x[0]), Stride: len(x[0])}
	y := trainer.Targets{Classes: []string{"a"}}
	var groups []string
	for _, i := range rows {
		m.Data = append(m.Data, x[i]...)
		value := int8(0)
		if labels[i] {
			value = trainer.Positive
		}
		y.Values, groups = append(y.Values, []int8{value}), append(groups, patients[i])
	}
	head, err := trainer.Fit(t.Context(), m, y, groups, trainer.Options{Head: trainer.Logistic, C: 10})
	if err != nil {
		t.Fatal(err)
	}
	return head
}

func probabilities(t *testing.T, head *trainer.Head, x [][]float32) blas64.General {
	t.Helper()
	p, err := head.Probabilities(blas32.General{Rows: len(x), Cols: len(x[0]), Stride: len(x[0]), Data: slices.Concat(x...)})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Sixteen labels to begin with, then twice sixteen more, suggested or at random;
// the AUC on other patients, paired over worlds. MEDPROBE_SIMULATE=long makes
// the figures of docs/suggest.md.
func TestSuggestionsBeatChance(t *testing.T) {
	t.Parallel()
	worlds := 60
	if os.Getenv("MEDPROBE_SIMULATE") == "long" {
		worlds = 300
	}
	for _, f := range []family{{16, 0.5, 5}, {16, 0.1, 5}, {64, 0.2, 10}} {
		var byHead, byDiversity, positives []float64
		for w := range worlds {
			random := rand.New(rand.NewPCG(uint64(w), 1))
			x, labels, patients := f.draw(t, random, 400)
			testX, testLabels, testPatients := f.draw(t, random, 400)
			auc := func(rows []int) float64 {
				p := probabilities(t, fitOn(t, x, labels, patients, rows), testX)
				e, err := evaluate.AUC(column(p, 0), testLabels, testPatients)
				if err != nil {
					t.Fatal(err)
				}
				return e.Point
			}
			start := startWith(random, labels, 16)
			grow := func(choose func(rows []int) []int) []int {
				rows := slices.Clone(start)
				for range 2 {
					rows = append(rows, choose(rows)...)
				}
				return rows
			}
			suggested := func(withHead bool) func(rows []int) []int {
				return func(rows []int) []int {
					taught := map[string]bool{}
					for _, i := range rows {
						taught[patients[i]] = true
					}
					var u []float64
					if withHead {
						head := fitOn(t, x, labels, patients, rows)
						var err error
						if u, err = entropies(probabilities(t, head, x), head, ""); err != nil {
							t.Fatal(err)
						}
					}
					var picked []int
					for _, c := range choose(x, u, patients, taught, 16, uint64(w)) {
						picked = append(picked, c.Index)
					}
					return picked
				}
			}
			chance := grow(func(rows []int) []int {
				var others []int
				for _, i := range random.Perm(len(x)) {
					if !slices.Contains(rows, i) && len(others) < 16 {
						others = append(others, i)
					}
				}
				return others
			})
			base, clever := auc(chance), grow(suggested(true))
			byHead = append(byHead, auc(clever)-base)
			byDiversity = append(byDiversity, auc(grow(suggested(false)))-base)
			positives = append(positives, float64(count(labels, clever)-count(labels, chance)))
		}
		mean, se := stat.MeanStdDev(byHead, nil)
		se /= math.Sqrt(float64(worlds))
		plain, plainSE := stat.MeanStdDev(byDiversity, nil)
		t.Logf("%d dimensions, %.0f %% positive: with a head %+.4f (%+.4f to %+.4f), without %+.4f (%+.4f to %+.4f) in AUC over chance, %+.1f positives; %d worlds", f.dim, 100*f.rate,
			mean, mean-1.96*se, mean+1.96*se, plain, plain-1.96*plainSE/math.Sqrt(float64(worlds)), plain+1.96*plainSE/math.Sqrt(float64(worlds)), stat.Mean(positives, nil), worlds)
		// Where half are positive a random draw is hard to beat: no worse will do.
		if bound := mean - 1.96*se; f.rate < 0.5 && bound <= 0 || mean+1.96*se < 0 {
			t.Errorf("%+v: %+.4f ± %.4f over chance", f, mean, 1.96*se)
		}
	}
}

// startWith draws rows with at least two of each class.
func startWith(random *rand.Rand, labels []bool, n int) []int {
	for {
		rows := random.Perm(len(labels))[:n]
		if k := count(labels, rows); k >= 2 && n-k >= 2 {
			return rows
		}
	}
}

func count(labels []bool, rows []int) int {
	n := 0
	for _, i := range rows {
		if labels[i] {
			n++
		}
	}
	return n
}

func TestChoicesRespectPatients(t *testing.T) {
	t.Parallel()
	x, _, patients := family{8, 0.5, 3}.draw(t, rand.New(rand.NewPCG(1, 1)), 30)
	taught := map[string]bool{"0": true, "1": true}
	chosen := choose(x, nil, patients, taught, 28, 3)
	seen := map[string]int{}
	for _, c := range chosen {
		if seen[patients[c.Index]]++; taught[patients[c.Index]] {
			t.Errorf("patient %s has labels", patients[c.Index])
		}
	}
	if len(seen) != 28 {
		t.Errorf("%d patients of 28 chosen rows", len(seen))
	}
	if again := choose(x, nil, patients, taught, 28, 3); !slices.Equal(again, chosen) {
		t.Error("the same rows and seed give another choice")
	}
	rows := map[int]bool{}
	for _, c := range choose(x, nil, patients, taught, 100, 3) {
		rows[c.Index] = true
	}
	if len(rows) != 60 {
		t.Errorf("%d of 60 rows when all are asked for", len(rows))
	}
	same := slices.Repeat([][]float32{unit(t, []float32{1, 2})}, 5)
	if got := choose(same, nil, []string{"a", "b", "c", "d", "e"}, nil, 3, 0); len(got) != 3 || got[0].Index == got[1].Index || got[1].Index == got[2].Index {
		t.Errorf("copies of one row: %v", got)
	}
	if got := choose(nil, nil, nil, nil, 3, 0); got != nil {
		t.Errorf("of nothing: %v", got)
	}
}

// The entropies are written out here.
func TestEntropies(t *testing.T) {
	t.Parallel()
	p := blas64.General{Rows: 2, Cols: 2, Stride: 2, Data: []float64{0.5, 0.5, 1, 0}}
	for _, c := range []struct {
		exclusive bool
		finding   string
		want      []float64
	}{{true, "", []float64{1, 0}}, {false, "", []float64{1, 0}}, {false, "b", []float64{1, 0}}} {
		got, err := entropies(p, &trainer.Head{Classes: []string{"a", "b"}, Exclusive: c.exclusive}, c.finding)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v, %v", c, got, err)
		}
	}
	quarter := blas64.General{Rows: 1, Cols: 1, Stride: 1, Data: []float64{0.25}}
	if got, err := entropies(quarter, &trainer.Head{Classes: []string{"a"}}, ""); err != nil || math.Abs(got[0]-(0.25*2+0.75*math.Log2(4.0/3))) > 1e-12 {
		t.Errorf("entropy %v, %v", got, err)
	}
	if _, err := entropies(p, &trainer.Head{Classes: []string{"a", "b"}}, "c"); err == nil {
		t.Error("a finding that the head does not know")
	}
}
