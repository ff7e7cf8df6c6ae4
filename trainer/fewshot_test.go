package trainer

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/medprobe/medprobe/internal/needs"
	"gonum.org/v1/gonum/blas/blas32"
)

// shotsGolden is one head of PyTorch's; testdata/fewshot/README.md says how it
// was made.
type shotsGolden struct {
	Head    string
	Seed    uint64
	N, D, K int
	Logits  [][]float64
}

func (g shotsGolden) String() string {
	return fmt.Sprintf("%s, %d×%d, %d classes", g.Head, g.N, g.D, g.K)
}

func unitRows(m blas32.General) {
	for i := range m.Rows {
		row := m.Data[i*m.Stride : i*m.Stride+m.Cols]
		length := 0.0
		for _, v := range row {
			length += float64(v) * float64(v)
		}
		for j, v := range row {
			row[j] = float32(float64(v) / math.Sqrt(length))
		}
	}
}

// data draws what fewshot.py draws: training rows, their labels, prior and six
// test rows.
func (g shotsGolden) data() (x blas32.General, y Targets, prior *Prior, test blas32.General) {
	all, labels := drawLarge(g.Seed, g.N+6, g.D, g.K, false)
	unitRows(all)
	x, test = all, all
	x.Rows, test.Rows, test.Data = g.N, 6, all.Data[g.N*g.D:]
	labels.Values = labels.Values[:g.N]
	texts := blas32.General{Rows: g.K, Cols: g.D, Stride: g.D, Data: uniform(g.Seed+5, g.K*g.D)}
	unitRows(texts)
	if g.K == 2 {
		texts.Rows, texts.Data = 1, texts.Data[g.D:]
	}
	return x, labels, &Prior{T: texts, Scale: 100}, test
}

func readShots(t *testing.T) []shotsGolden {
	t.Helper()
	data, err := os.ReadFile("testdata/fewshot/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []shotsGolden }
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	return file.Cases
}

// want returns the golden logits as those of a head: a finding has one, the
// difference of two.
func (g shotsGolden) want() [][]float64 {
	var rows [][]float64
	for _, z := range g.Logits {
		row := slices.Clone(z)
		if g.Head == KNN { // probabilities
			for k, p := range row {
				row[k] = math.Log(max(p, leastProbability))
			}
		}
		if g.K == 2 {
			row = []float64{row[1] - row[0]}
		}
		rows = append(rows, row)
	}
	return rows
}

func TestPublishedHeadsEqualPyTorch(t *testing.T) {
	t.Parallel()
	for _, g := range readShots(t) {
		if g.Head == MLP {
			continue
		}
		x, y, prior, test := g.data()
		o := Options{Head: g.Head, Prior: prior}
		switch g.Head {
		case GDA:
			o.Alpha = 0.5
		case TipAdapter, TipAdapterF:
			o.Alpha, o.Beta = 1.17, 5.5
		case KNN:
			o.Neighbours = 10
		case CLAP:
			prior.Scale = 10
		}
		h, err := Fit(t.Context(), x, y, nil, o)
		if err != nil {
			t.Fatalf("%s: %v", g, err)
		}
		g.compare(t, h, test)
		again := reloaded(t, h)
		again.Notes = h.Notes
		if !reflect.DeepEqual(again, h) {
			t.Errorf("%s: the head is another after saving and loading", g)
		}
		g.compare(t, again, test)
	}
}

// compare compares logits with the golden ones, which are in float64; the head's
// weights are float32. A shift of all logits of a softmax has no effect.
func (g shotsGolden) compare(t *testing.T, h *Head, test blas32.General) {
	t.Helper()
	z, err := h.Logits(test)
	if err != nil {
		t.Fatalf("%s: %v", g, err)
	}
	for i, want := range g.want() {
		shift, size := 0.0, 1.0
		for k, v := range want {
			size = max(size, math.Abs(v))
			if g.K > 2 {
				shift += (z.Data[i*z.Stride+k] - v) / float64(len(want))
			}
		}
		for k, v := range want {
			if got := z.Data[i*z.Stride+k] - shift; math.Abs(got-v) > 2e-5*size {
				t.Errorf("%s: logit %d of row %d is %.7g, want %.7g (PyTorch)", g, k, i, got, v)
			}
		}
	}
}

func reloaded(t *testing.T, h *Head) *Head {
	t.Helper()
	path := filepath.Join(t.TempDir(), "head.safetensors")
	if err := h.Save(path); err != nil {
		t.Fatal(err)
	}
	again, err := LoadHead(path)
	if err != nil {
		t.Fatal(err)
	}
	return again
}

// Three epochs from drawn weights, without dropout and shuffling.
func TestNetworkEqualsPyTorch(t *testing.T) {
	t.Parallel()
	for _, g := range readShots(t) {
		if g.Head != MLP {
			continue
		}
		x, y, _, test := g.data()
		n, inputs := &Network{}, g.D
		for l, units := range []int{16, 8, g.K} {
			n.Weights = append(n.Weights, blas32.General{Rows: units, Cols: inputs, Stride: inputs, Data: uniform(uint64(70+l), units*inputs)})
			n.Biases = append(n.Biases, make([]float32, units))
			inputs = units
		}
		if err := (&schedule{epochs: 3, multiplier: gonum{}}).train(t.Context(), n, x, y); err != nil {
			t.Fatal(err)
		}
		h := &Head{Kind: MLP, Classes: y.Classes, Exclusive: true, Networks: []*Network{n}, B: make([]float32, g.K)}
		h.W = blas32.General{Rows: g.K, Cols: g.D, Stride: g.D, Data: make([]float32, g.K*g.D)}
		g.compare(t, h, test)
	}
}

// The gradient of a network with missing labels and dropout is that of its loss.
func TestNetworkLearnsFindingsAndIsTheSameAgain(t *testing.T) {
	needs.Time(t)
	t.Parallel()
	x, y := drawLarge(7, 400, 30, 3, true)
	for i := range x.Data { // far from one another: 25 epochs are few
		x.Data[i] *= 4
	}
	fitted := func(seed uint64) *Head {
		h, err := Fit(t.Context(), x, y, nil, Options{Head: MLP, Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	h := fitted(1)
	if !reflect.DeepEqual(h, fitted(1)) {
		t.Error("the same seed gives another network")
	}
	if reflect.DeepEqual(h.Networks, fitted(2).Networks) {
		t.Error("another seed gives the same network")
	}
	p, err := reloaded(t, h).Probabilities(x)
	if err != nil {
		t.Fatal(err)
	}
	right, known := 0, 0
	for i, row := range y.Values {
		for k, label := range row {
			if label != Unknown {
				known++
				if (p.Data[i*p.Stride+k] > 0.5) == (label == Positive) {
					right++
				}
			}
		}
	}
	if 10*right < 8*known {
		t.Errorf("%d of %d labels right", right, known)
	}
}

// What cross-validation chooses is noted, and findings stack into one head that
// scores as each does.
func TestCachesStack(t *testing.T) {
	t.Parallel()
	s, prior := draw(4, 20, 2)
	for _, kind := range []string{TipAdapter, TipAdapterF, KNN, GDA, MLP} {
		o := Options{Head: kind}
		if kind != KNN && kind != MLP {
			o.Prior = prior
		}
		h := fit(t, s, o)
		if f := h.Fits[0]; kind != MLP && (!f.Chosen || f.HeldOut <= 0 || f.Alpha == 0 && f.Neighbours == 0) {
			t.Errorf("%s: %+v: want a choice and its held-out loss", kind, f)
		}
		swapped := permuted(s, order(len(s.Labels)))
		for i := range swapped.Labels {
			swapped.Labels[i] = 1 - swapped.Labels[i]
		}
		other := fit(t, swapped, o)
		other.Classes = []string{"its absence"}
		all, err := Stack([]*Head{h, other})
		if err != nil {
			t.Fatal(err)
		}
		got, err := reloaded(t, all).Logits(s.X)
		if err != nil {
			t.Fatal(err)
		}
		for c, one := range []*Head{h, other} {
			want, err := one.Logits(s.X)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range want.Data {
				if math.Abs(got.Data[2*i+c]-v) > 1e-9*(1+math.Abs(v)) {
					t.Fatalf("%s: logit %v of row %d, want %v", kind, got.Data[2*i+c], i, v)
				}
			}
		}
	}
}

// One shot of each class is enough for every head.
func TestOneShot(t *testing.T) {
	t.Parallel()
	for _, exclusive := range []bool{false, true} {
		x, y := drawLarge(9, 3, 20, 3, false)
		prior := &Prior{T: blas32.General{Rows: 3, Cols: 20, Stride: 20, Data: uniform(11, 60)}, Scale: 100}
		if y.Exclusive = exclusive; !exclusive {
			prior.Bias = -1
		}
		for _, kind := range Kinds() {
			h, err := Fit(t.Context(), x, y, nil, Options{Head: kind, Prior: prior})
			if err != nil {
				t.Errorf("%s: %v", kind, err)
				continue
			}
			if _, err := h.Probabilities(x); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
		}
	}
}
