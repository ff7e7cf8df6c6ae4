package trainer

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/internal/needs"
	"gonum.org/v1/gonum/blas/blas32"
)

// The votes of golearn's neighbours are those of scikit-learn's.
func TestGolearnNeighboursVoteAsScikitLearns(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/golearn/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Cases []struct {
			N, M, D   int
			Exclusive bool
			X, T      []float32
			Y         [][]int8
			Votes     [][]float64
		}
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) != 4 {
		t.Fatalf("%d cases, want 4", len(file.Cases))
	}
	for _, g := range file.Cases {
		y := Targets{Exclusive: g.Exclusive, Values: g.Y}
		for c := range g.Votes[0] {
			y.Classes = append(y.Classes, fmt.Sprint(c))
		}
		x, test := blas32.General{Rows: g.N, Cols: g.D, Stride: g.D, Data: g.X}, blas32.General{Rows: g.M, Cols: g.D, Stride: g.D, Data: g.T}
		h, err := Fit(t.Context(), x, y, nil, Options{Head: GolearnKNN})
		if err != nil {
			t.Fatal(err)
		}
		z, err := reloaded(t, h).Logits(test)
		if err != nil {
			t.Fatal(err)
		}
		for i, row := range g.Votes {
			for c, votes := range row {
				of := 5.0
				if g.N < 9 {
					of = 3
				}
				want := math.Log((votes + 0.5) / (of - votes + 0.5))
				if g.Exclusive {
					want = math.Log((votes + 0.5) / (of + 1))
				}
				if got := z.Data[i*z.Stride+c]; math.Abs(got-want) > 1e-12 {
					t.Errorf("%d samples, row %d, class %d: logit %v, want %v of %v votes", g.N, i, c, got, want, votes)
				}
			}
		}
	}
}

// A forest that was kept votes as golearn's own trees do, for each class against
// the others, and another seed grows another.
func TestAKeptForestIsGolearns(t *testing.T) {
	needs.Time(t)
	t.Parallel()
	for _, exclusive := range []bool{false, true} {
		x, y := drawLarge(5, 60, 10, 3, !exclusive)
		y.Values[7] = []int8{1, 0, 0}
		if !exclusive {
			y.Values[7][1] = Unknown
		}
		test, _ := drawLarge(6, 40, 10, 3, true)
		o := Options{Head: GolearnTrees, Seed: 3}
		h, err := Fit(t.Context(), x, y, nil, o)
		if err != nil {
			t.Fatal(err)
		}
		z, err := reloaded(t, h).Logits(test)
		if err != nil {
			t.Fatal(err)
		}
		for c := range y.Classes {
			rows := blas32.General{Cols: 10, Stride: 10}
			var labels []int8
			for i, values := range y.Values {
				if values[c] != Unknown {
					rows.Rows++
					rows.Data, labels = append(rows.Data, x.Data[i*10:(i+1)*10]...), append(labels, values[c])
				}
			}
			shares, err := GolearnForest(t.Context(), rows, labels, test, 3)
			if err != nil {
				t.Fatal(err)
			}
			for i, share := range shares {
				votes := math.Round(100 * share)
				want := math.Log((votes + 0.5) / (100 - votes + 0.5))
				if exclusive {
					want = math.Log((votes + 0.5) / 101)
				}
				if got := z.Data[i*z.Stride+c]; math.Abs(got-want) > 1e-12 {
					t.Fatalf("exclusive %v, row %d, class %d: logit %v, want %v of %v trees", exclusive, i, c, got, want, votes)
				}
			}
		}
		o.Seed = 4
		other, err := Fit(t.Context(), x, y, nil, o)
		if err != nil {
			t.Fatal(err)
		}
		if slices.EqualFunc(h.Votes.Trees[0], other.Votes.Trees[0], slices.Equal[Tree]) {
			t.Error("another seed grew the same forest")
		}
	}
}

func TestDamagedVotesAreRefused(t *testing.T) {
	t.Parallel()
	x, y := drawLarge(5, 20, 6, 2, false)
	for want, damage := range map[string]func(v *Votes){
		"leads to":              func(v *Votes) { v.Trees[0][0][0].Left = 0 },
		"leads to 99":           func(v *Votes) { v.Trees[0][0][0].Right = 99 },
		"feature 6":             func(v *Votes) { v.Trees[0][1][0].Feature = 6 },
		"feature -1":            func(v *Votes) { v.Trees[0][1][0].Feature = -1 },
		"finite threshold":      func(v *Votes) { v.Trees[0][2][0].Threshold = float32(math.NaN()) },
		"forests for 2 classes": func(v *Votes) { v.Trees = append(v.Trees, v.Trees[0]) },
		"at least 1":            func(v *Votes) { v.Trees[0][0] = nil },
	} {
		h, err := Fit(t.Context(), x, y, nil, Options{Head: GolearnTrees})
		if err != nil {
			t.Fatal(err)
		}
		damage(h.Votes)
		path := filepath.Join(t.TempDir(), "head.safetensors")
		err = h.Save(path)
		if err == nil {
			_, err = LoadHead(path)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v: want %q in it", err, want)
		}
	}
	h, err := Fit(t.Context(), x, y, nil, Options{Head: GolearnKNN})
	if err != nil {
		t.Fatal(err)
	}
	h.Votes.Values.Data[3] = 0.5
	path := filepath.Join(t.TempDir(), "head.safetensors")
	if err := h.Save(path); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadHead(path); err == nil || !strings.Contains(err.Error(), "value 0.5: want 1, -1 or 0") {
		t.Errorf("error %v", err)
	}
}
