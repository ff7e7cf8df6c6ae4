package trainer

import (
	"cmp"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/medprobe/medprobe/internal/testworld"
	"gonum.org/v1/gonum/blas/blas32"
)

// area is the area under the ROC curve of scores without ties.
func area(scores []float64, labels []int8) float64 {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(scores[a], scores[b]) })
	sum, negatives := 0, 0
	for _, i := range order {
		if labels[i] == Positive {
			sum += negatives
		} else {
			negatives++
		}
	}
	return float64(sum) / float64(negatives*(len(scores)-negatives))
}

// drawWorld draws a world with a zero-shot classifier that knows anything from
// nothing to much.
func drawWorld(seed uint64) *testworld.World {
	random := rand.New(rand.NewPCG(seed, 99))
	return testworld.New(testworld.Options{
		Decay: 0.2 + 0.6*random.Float64(), Signal: 2 + 2.5*random.Float64(), Knowledge: 0.5 * random.Float64(),
	}, seed)
}

// binaryTargets turns labels into those of one finding.
func binaryTargets(labels []int8) Targets {
	y := Targets{Classes: []string{"finding"}}
	for _, v := range labels {
		y.Values = append(y.Values, []int8{v})
	}
	return y
}

var studyWorlds = flag.Int("worlds", 24, "generated worlds in the study of the selection rule")

// rules are ways to choose λ, read off the path of the default rule.
var rules = []string{"zero-shot", "logistic, C by CV", "λ of least loss", "one standard error", "linear-probe"}

// areas fits the support by each rule and returns the AUC on the test sample.
func areas(t *testing.T, w *testworld.World, support, test testworld.Sample, seed uint64) []float64 {
	y := binaryTargets(support.Labels)
	score := func(o Options) (*Head, float64) {
		o.Seed, o.Prior = seed, &Prior{T: w.T, Scale: w.Scale}
		h, err := Fit(t.Context(), support.X, y, support.Groups, o)
		if err != nil {
			t.Fatal(err)
		}
		return h, headArea(t, h, test)
	}
	zero, err := ZeroShot(Prior{T: w.T, Scale: w.Scale}, y.Classes, false, Space{})
	if err != nil {
		t.Fatal(err)
	}
	out := []float64{headArea(t, zero, test), 0, 0, 0, 0}
	_, out[1] = score(Options{Head: Logistic})
	h, auc := score(Options{})
	out[4] = auc
	least, oneError := 0.0, -1.0
	for _, p := range h.Fits[0].Path {
		if p.Excess == 0 {
			least = p.C
		}
		if oneError < 0 && p.Excess <= p.StdErr {
			oneError = p.C
		}
	}
	for k, c := range []float64{least, oneError} {
		if out[2+k] = out[0]; c > 0 {
			_, out[2+k] = score(Options{C: c})
		}
	}
	return out
}

func headArea(t *testing.T, h *Head, s testworld.Sample) float64 {
	t.Helper()
	z, err := h.Logits(s.X)
	if err != nil {
		t.Fatal(err)
	}
	return area(z.Data, s.Labels)
}

// On generated worlds the probe is at least as good as zero-shot in nearly all
// runs at every number of shots, and in the mean as good as λ of least loss.
// testdata/selection/README.md holds the table of the full study.
func TestProbeStaysAboveZeroShot(t *testing.T) {
	t.Parallel()
	worlds, shots := *studyWorlds, []int{1, 2, 4, 8, 16, 32, 64}
	if testing.Short() {
		worlds, shots = 6, []int{1, 2, 4, 16}
	}
	results := make([][][]float64, len(shots)) // shots × worlds × rules
	for k := range shots {
		results[k] = make([][]float64, worlds)
	}
	var all sync.WaitGroup
	for world := range worlds {
		all.Go(func() {
			w := drawWorld(uint64(5000 + world)) // none that the rule was tuned on
			test := w.Draw(1000, 1000, "t", uint64(world))
			for k, n := range shots {
				support := w.Draw(n, n, "s", uint64(1000*(world+1)+n))
				results[k][world] = areas(t, w, support, test, uint64(world))
			}
		})
	}
	all.Wait()
	above, runs := 0, 0
	for k, n := range shots {
		line := fmt.Sprintf("%2d shots:", n)
		means := make([]float64, len(rules))
		for r := range rules {
			count, worst := 0, 0.0
			for _, auc := range results[k] {
				means[r] += auc[r] / float64(worlds)
				worst = min(worst, auc[r]-auc[0])
				if auc[r] >= auc[0]-0.002 {
					count++
				}
			}
			line += fmt.Sprintf(" | %.3f %3.0f%% %+.3f", means[r], 100*float64(count)/float64(worlds), worst)
			if rules[r] == "linear-probe" {
				above, runs = above+count, runs+worlds
				if worst < -0.08 {
					t.Errorf("%d shots: a run lies %.3f below zero-shot", n, -worst)
				}
			}
		}
		t.Log(line)
		if probe := means[4]; probe < means[0]-0.001 || probe < means[1] || probe < means[2]-0.012 {
			t.Errorf("%d shots: mean AUC %.3f, want at least zero-shot %.3f, logistic %.3f and about least loss %.3f", n, probe, means[0], means[1], means[2])
		}
	}
	if 100*above < 95*runs {
		t.Errorf("%d of %d runs at or above zero-shot − .002, want 95%%", above, runs)
	}
	t.Log("columns: " + strings.Join(rules, " | ") + " (mean AUC, runs ≥ zero-shot − .002, worst difference)")
}

// A probe with all the weight on λ = ∞ ranks as zero-shot does.
func TestStrongPenaltyIsZeroShot(t *testing.T) {
	t.Parallel()
	w := drawWorld(3)
	support, test := w.Draw(10, 10, "s", 1), w.Draw(200, 200, "t", 2)
	prior := &Prior{T: w.T, Scale: w.Scale}
	zero, err := ZeroShot(*prior, []string{"finding"}, false, Space{})
	if err != nil {
		t.Fatal(err)
	}
	h, err := Fit(t.Context(), support.X, binaryTargets(support.Labels), nil, Options{C: 1e-12, Prior: prior})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := headArea(t, h, test), headArea(t, zero, test); got != want {
		t.Errorf("AUC at λ = 1e12 is %v, want zero-shot's %v", got, want)
	}
	// One patient per class: nothing can be held out.
	h, err = Fit(t.Context(), blas32.General{Rows: 2, Cols: w.T.Cols, Stride: 10 * w.T.Cols, Data: support.X.Data}, binaryTargets([]int8{1, 0}), nil, Options{Prior: prior})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := headArea(t, h, test), headArea(t, zero, test); got != want || len(h.Notes) != 1 || h.Fits[0].C != 0 {
		t.Errorf("with one sample a class: AUC %v, notes %q, C = %v; want zero-shot's %v and a note", got, h.Notes, h.Fits[0].C, want)
	}
	scale := float64(h.W.Data[0]) / float64(w.T.Data[0])
	for j, v := range h.W.Data {
		if d := float64(v) - scale*float64(w.T.Data[j]); d > 1e-5 || d < -1e-5 {
			t.Fatalf("weight %d is %v, want %v·T", j, v, scale)
		}
	}
}

// Exclusive classes leave a poor zero-shot classifier too.
func TestExclusiveProbeLearns(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(2, 2))
	const dim, classes = 40, 3
	normal := func(rows int) blas32.General {
		m := blas32.General{Rows: rows, Cols: dim, Stride: dim, Data: make([]float32, rows*dim)}
		for i := range m.Data {
			m.Data[i] = float32(random.NormFloat64() / math.Sqrt(dim))
		}
		return m
	}
	centers, texts := normal(classes), normal(classes)
	for i, v := range centers.Data {
		texts.Data[i] = 0.2*v + texts.Data[i]
	}
	y := Targets{Classes: []string{"a", "b", "c"}, Exclusive: true}
	sample := func(n int) (blas32.General, []int) {
		x, own := normal(n), make([]int, n)
		for i := range n {
			own[i] = i % classes
			for j := range dim {
				x.Data[i*dim+j] += 0.7 * centers.Data[own[i]*dim+j]
			}
		}
		return x, own
	}
	x, own := sample(90)
	for _, k := range own {
		row := make([]int8, classes)
		row[k] = Positive
		y.Values = append(y.Values, row)
	}
	prior := Prior{T: texts, Scale: 100}
	h, err := Fit(t.Context(), x, y, nil, Options{Prior: &prior})
	if err != nil {
		t.Fatal(err)
	}
	zero, err := ZeroShot(prior, y.Classes, true, Space{})
	if err != nil {
		t.Fatal(err)
	}
	test, truth := sample(600)
	accuracy := func(h *Head) float64 {
		p, err := h.Probabilities(test)
		if err != nil {
			t.Fatal(err)
		}
		right := 0
		for i, k := range truth {
			row := p.Data[i*classes : (i+1)*classes]
			if row[k] == slices.Max(row) {
				right++
			}
		}
		return float64(right) / float64(len(truth))
	}
	if got, before := accuracy(h), accuracy(zero); got < before+0.1 {
		t.Errorf("accuracy %.3f with 30 samples a class, %.3f zero-shot; want well above (%s)", got, before, h.Fits[0])
	}
}
