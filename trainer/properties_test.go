package trainer

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/internal/testworld"
	"gonum.org/v1/gonum/blas/blas32"
)

// draw returns vectors of patients with several each, in a mixed order.
func draw(seed uint64, patients, perPatient int) (testworld.Sample, *Prior) {
	w := testworld.New(testworld.Options{Dim: 24, Knowledge: 0.4, PerPatient: perPatient, Likeness: 0.5}, seed)
	s := w.Draw(patients, patients, "p", seed)
	return permuted(s, rand.New(rand.NewPCG(seed, 0)).Perm(len(s.Labels))), &Prior{T: w.T, Scale: w.Scale}
}

func permuted(s testworld.Sample, order []int) testworld.Sample {
	out := testworld.Sample{X: blas32.General{Rows: len(order), Cols: s.X.Cols, Stride: s.X.Cols}}
	for _, i := range order {
		out.X.Data = append(out.X.Data, s.X.Data[i*s.X.Stride:i*s.X.Stride+s.X.Cols]...)
		out.Labels = append(out.Labels, s.Labels[i])
		out.Groups = append(out.Groups, s.Groups[i])
	}
	return out
}

func fit(t *testing.T, s testworld.Sample, o Options) *Head {
	t.Helper()
	h, err := Fit(t.Context(), s.X, binaryTargets(s.Labels), s.Groups, o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// distance is the Euclidean distance of two heads' weights and biases, the
// second scaled, relative to the length of the first.
func distance(a, b *Head, scale float64) float64 {
	d, length := 0.0, 1e-9
	for j, v := range a.W.Data {
		d = math.Hypot(d, float64(v)-scale*float64(b.W.Data[j]))
		length = math.Hypot(length, float64(v))
	}
	for k, v := range a.B {
		d = math.Hypot(d, float64(v-b.B[k]))
	}
	return d / length
}

func TestFoldsNeverDivideAPatient(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 5))
		s, _ := draw(seed, 1+random.IntN(15), 1+random.IntN(4))
		for i := range s.Labels { // patients with both labels too
			if random.IntN(4) == 0 {
				s.Labels[i] = 1 - s.Labels[i]
			}
		}
		tasks, err := newTasks(s.X, binaryTargets(s.Labels), s.Groups, Options{Head: Logistic, Folds: 5, Seed: seed})
		if err != nil {
			continue // of one class
		}
		for _, fold := range tasks[0].folds() {
			inside := map[string]bool{}
			for _, r := range fold {
				inside[s.Groups[r]] = true
			}
			left := [2]int{}
			for r, name := range s.Groups {
				if !slices.Contains(fold, r) {
					left[s.Labels[r]]++
					if inside[name] {
						t.Fatalf("seed %d: patient %s is both in and outside of a fold", seed, name)
					}
				}
			}
			if left[0] == 0 || left[1] == 0 {
				t.Fatalf("seed %d: a fold leaves %d negatives and %d positives", seed, left[0], left[1])
			}
		}
	}
}

func TestOrderOfRowsDoesNotMatter(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{Logistic, LinearProbe} {
		s, prior := draw(3, 15, 2)
		o := Options{Head: kind, Prior: prior, Seed: 4}
		want := fit(t, s, o)
		got := fit(t, permuted(s, rand.New(rand.NewPCG(9, 9)).Perm(len(s.Labels))), o)
		if got.Fits[0].C != want.Fits[0].C {
			t.Errorf("%s: C = %v after permuting the rows, %v before", kind, got.Fits[0].C, want.Fits[0].C)
		}
		if d := distance(want, got, 1); d > 1e-5 {
			t.Errorf("%s: weights move by %.1e when the rows are permuted", kind, d)
		}
	}
}

// Not parallel: it sets GOMAXPROCS.
func TestWorkersDoNotMatter(t *testing.T) {
	s, prior := draw(5, 20, 2)
	y := Targets{Classes: []string{"a", "b"}}
	for i, v := range s.Labels {
		y.Values = append(y.Values, []int8{v, int8(i % 2)})
	}
	two := blas32.General{Rows: 2, Cols: prior.T.Cols, Stride: prior.T.Cols, Data: append(slices.Clone(prior.T.Data), prior.T.Data...)}
	var heads []*Head
	for _, n := range []int{1, 2, 7} {
		before := runtime.GOMAXPROCS(n)
		h, err := Fit(t.Context(), s.X, y, s.Groups, Options{Prior: &Prior{T: two, Scale: 100}})
		runtime.GOMAXPROCS(before)
		if err != nil {
			t.Fatal(err)
		}
		heads = append(heads, h)
	}
	if !reflect.DeepEqual(heads[0], heads[1]) || !reflect.DeepEqual(heads[0], heads[2]) {
		t.Error("the head differs between 1, 2 and 7 workers")
	}
}

func TestPenaltyAndScaleBehave(t *testing.T) {
	t.Parallel()
	s, _ := draw(7, 30, 1)
	at := func(s testworld.Sample, c float64) *Head { return fit(t, s, Options{Head: Logistic, C: c}) }
	base := at(s, 1)

	for _, v := range at(s, 1e-12).W.Data {
		if math.Abs(float64(v)) > 1e-9 {
			t.Fatalf("C = 1e-12: weight %v, want 0", v)
		}
	}
	twice := permuted(s, append(order(60), order(60)...))
	if d := distance(at(s, 2), at(twice, 1), 1); d > 1e-5 {
		t.Errorf("every row twice differs from C twice as large by %.1e", d)
	}
	scaled := permuted(s, order(60))
	for i := range scaled.X.Data {
		scaled.X.Data[i] *= 8
	}
	if d := distance(base, at(scaled, 1.0/64), 8); d > 1e-5 {
		t.Errorf("vectors 8 times as long with C/64 differ by %.1e", d)
	}
	flipped := permuted(s, order(60))
	for i := range flipped.Labels {
		flipped.Labels[i] = 1 - flipped.Labels[i]
	}
	other := at(flipped, 1)
	other.B[0] = -other.B[0]
	if d := distance(base, other, -1); d > 1e-5 {
		t.Errorf("swapped labels differ from swapped weights by %.1e", d)
	}
}

// Vectors as short or as long as float32 goes have the probabilities of vectors
// of length one with C as much greater or smaller.
func TestScalesAtTheEndsOfFloat32(t *testing.T) {
	t.Parallel()
	for _, rows := range []int{10, 60} { // fewer than dimensions, and more
		s, _ := draw(7, 30, 1)
		s = permuted(s, order(60)[:rows])
		for _, factor := range []float64{1e-30, 1e-10, 1e10, 1e30} {
			extreme := permuted(s, upTo(rows))
			for i := range extreme.X.Data {
				extreme.X.Data[i] *= float32(factor)
			}
			for _, c := range []float64{1e-4, 1, 1e4} {
				h := fit(t, extreme, Options{Head: Logistic, C: c})
				if !h.Fits[0].Converged {
					t.Errorf("%d vectors of length %g, C = %v: not converged: %s", rows, factor, c, h.Fits[0])
				}
				p, err := h.Probabilities(extreme.X)
				if err != nil {
					t.Fatal(err)
				}
				want, err := fit(t, s, Options{Head: Logistic, C: c * factor * factor}).Probabilities(s.X)
				if err != nil {
					t.Fatal(err)
				}
				for i, v := range p.Data {
					if math.Abs(v-want.Data[i]) > 1e-5 {
						t.Fatalf("%d vectors of length %g, C = %v: probability %v, want %v", rows, factor, c, v, want.Data[i])
					}
				}
			}
		}
	}
}

// What leaves nothing to learn, or no more than one row says, has a defined
// head: found, and found to be the minimum.
func TestDegenerateData(t *testing.T) {
	t.Parallel()
	s, _ := draw(5, 20, 1)
	alike := permuted(s, order(40))
	for i := range alike.X.Data {
		alike.X.Data[i] = alike.X.Data[i%alike.X.Cols]
	}
	lone := permuted(s, order(40))
	for i := range lone.Labels {
		lone.Labels[i] = 0
	}
	lone.Labels[7] = 1
	collinear := permuted(s, order(40))
	for i := range collinear.X.Rows {
		row := collinear.X.Data[i*24 : (i+1)*24]
		for j := 1; j < 24; j++ {
			row[j] = row[0] * float32(j)
		}
	}
	for name, data := range map[string]testworld.Sample{"rows all alike": alike, "one positive": lone, "columns that are multiples of one": collinear} {
		for _, standardize := range []bool{false, true} {
			for _, c := range []float64{1e-4, 1, 1e4} {
				h := fit(t, data, Options{Head: Logistic, C: c, Standardize: standardize})
				if f := h.Fits[0]; !f.Converged {
					t.Errorf("%s, C = %v: %s", name, c, f)
				}
				if standardize {
					continue
				}
				least := objective(data.X, binaryTargets(data.Labels), h, c)
				if want := h.Fits[0].Objective; math.Abs(least-want) > 1e-5*want {
					t.Errorf("%s, C = %v: objective of the head %.9g, reported %.9g", name, c, least, want)
				}
				if name != "rows all alike" {
					continue
				}
				for _, w := range h.W.Data {
					if math.Abs(float64(w)) > 1e-6 {
						t.Fatalf("%s: weight %v, want 0", name, w)
					}
				}
			}
		}
	}
}

// A weight counts as so many rows, and a weight of 0 as none.
func TestSampleWeights(t *testing.T) {
	t.Parallel()
	for _, patients := range []int{8, 40} {
		s, _ := draw(6, patients, 1)
		weights := make([]float64, len(s.Labels))
		var repeated []int
		for i := range weights {
			weights[i] = float64(i % 3)
			for range i % 3 {
				repeated = append(repeated, i)
			}
		}
		got := fit(t, s, Options{Head: Logistic, C: 3, Weights: weights})
		if d := distance(fit(t, permuted(s, repeated), Options{Head: Logistic, C: 3}), got, 1); d > 1e-5 {
			t.Errorf("weights of 0, 1 and 2 differ from so many rows by %.1e", d)
		}
	}
	s, _ := draw(6, 3, 1)
	for _, weights := range [][]float64{{1}, {1, 1, 1, -1, 1, 1}, {1, 1, math.NaN(), 1, 1, 1}} {
		if _, err := Fit(t.Context(), s.X, binaryTargets(s.Labels), nil, Options{Head: Logistic, C: 1, Weights: weights}); err == nil {
			t.Errorf("weights %v: no error", weights)
		}
	}
}

// What lies between the rows of a matrix with a stride is never read.
func TestSlackIsNeverRead(t *testing.T) {
	t.Parallel()
	s, prior := draw(11, 12, 1)
	wide := blas32.General{Rows: s.X.Rows, Cols: s.X.Cols, Stride: s.X.Cols + 3}
	for i := range s.X.Rows {
		wide.Data = append(wide.Data, s.X.Data[i*s.X.Cols:(i+1)*s.X.Cols]...)
		for range 3 {
			wide.Data = append(wide.Data, float32(math.NaN()))
		}
	}
	o := Options{Prior: prior}
	want := fit(t, s, o)
	got := fit(t, testworld.Sample{X: wide, Labels: s.Labels, Groups: s.Groups}, o)
	if !reflect.DeepEqual(want, got) {
		t.Error("the head depends on what lies between the rows")
	}
}

func TestNoPriorFallsBackToLogistic(t *testing.T) {
	t.Parallel()
	s, prior := draw(2, 20, 1)
	h, want := fit(t, s, Options{}), fit(t, s, Options{Head: Logistic, CGrid: (&Options{}).candidates(false)})
	if len(h.Notes) != 1 || !strings.Contains(h.Notes[0], "falls back to logistic") {
		t.Errorf("notes %q, want one of the fallback", h.Notes)
	}
	if !reflect.DeepEqual(h.W, want.W) {
		t.Error("without a prior the weights are not those of logistic")
	}
	// A prior that says nothing leaves logistic too.
	clear(prior.T.Data)
	if d := distance(fit(t, s, Options{Head: Logistic, C: 10}), fit(t, s, Options{C: 10, Prior: prior}), 1); d > 1e-6 {
		t.Errorf("T = 0 differs from logistic by %.1e", d)
	}
}

func TestExclusivePriorAloneIsZeroShot(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 1))
	classes, dim := []string{"a", "b", "c"}, 10
	matrix := func(rows int) blas32.General {
		m := blas32.General{Rows: rows, Cols: dim, Stride: dim, Data: make([]float32, rows*dim)}
		for i := range m.Data {
			m.Data[i] = float32(random.NormFloat64())
		}
		return m
	}
	prior, x := Prior{T: matrix(3), Scale: 2, Bias: -1}, matrix(3)
	y := Targets{Classes: classes, Exclusive: true, Values: [][]int8{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}}
	h, err := Fit(t.Context(), x, y, nil, Options{Prior: &prior}) // one patient a class: λ = ∞
	if err != nil {
		t.Fatal(err)
	}
	zero, err := ZeroShot(prior, classes, true, Space{})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(h.W, zero.W) || !slices.Equal(h.B, zero.B) {
		t.Errorf("weights %v, %v; want those of zero-shot %v, %v", h.W.Data, h.B, zero.W.Data, zero.B)
	}
	p, err := h.Probabilities(x)
	if err != nil {
		t.Fatal(err)
	}
	for i := range p.Rows {
		if s := p.Data[3*i] + p.Data[3*i+1] + p.Data[3*i+2]; math.Abs(s-1) > 1e-12 {
			t.Errorf("row %d: probabilities sum to %v", i, s)
		}
	}
}

func TestCancelledFitStops(t *testing.T) {
	t.Parallel()
	s, prior := draw(2, 20, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Fit(ctx, s.X, binaryTargets(s.Labels), s.Groups, Options{Prior: prior}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

func TestHeadSurvivesItsFile(t *testing.T) {
	t.Parallel()
	s, prior := draw(4, 20, 2)
	h := fit(t, s, Options{Prior: prior, Space: Space{Encoder: "3f2a", Preprocess: "hf"}})
	path := filepath.Join(t.TempDir(), "head.safetensors")
	if err := h.Save(path); err != nil {
		t.Fatal(err)
	}
	got, err := LoadHead(path)
	if err != nil {
		t.Fatal(err)
	}
	got.Notes = h.Notes // empty and nil read the same
	if !reflect.DeepEqual(got, h) {
		t.Errorf("read\n%+v, wrote\n%+v", got, h)
	}
	var wrong *FingerprintError
	if err := got.Check(Space{Encoder: "91bc", Preprocess: "hf"}); !errors.As(err, &wrong) || wrong.Got.Encoder != "91bc" {
		t.Errorf("check against another encoder: %v, want a FingerprintError", err)
	}
	if err := got.Check(h.Space); err != nil {
		t.Error(err)
	}
}

func order(n int) []int { return rand.New(rand.NewPCG(6, 6)).Perm(n) }
