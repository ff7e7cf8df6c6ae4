package trainer

import (
	"math"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/blas/blas32"
)

func headOf(exclusive bool, w ...float32) *Head {
	h := &Head{Kind: Logistic, Exclusive: exclusive, W: blas32.General{Rows: len(w), Cols: 1, Stride: 1, Data: w}, B: make([]float32, len(w))}
	for c := range w {
		h.Classes = append(h.Classes, string(rune('a'+c)))
	}
	return h
}

func TestLogOddsAreThoseOfTheProbabilities(t *testing.T) {
	t.Parallel()
	x := blas32.General{Rows: 4, Cols: 1, Stride: 1, Data: []float32{-2, 0, 0.5, 3}}
	for _, h := range []*Head{headOf(false, 1.5), headOf(true, 1, -2), headOf(true, 0.3, 2, -1)} {
		odds, err := h.LogOdds(x)
		if err != nil {
			t.Fatal(err)
		}
		p, err := h.Probabilities(x)
		if err != nil {
			t.Fatal(err)
		}
		for k, got := range odds.Data {
			if want := math.Log(p.Data[k] / (1 - p.Data[k])); math.Abs(got-want) > 1e-12 {
				t.Errorf("%d classes: log-odds %v at %d: want %v", len(h.Classes), got, k, want)
			}
		}
	}
}

func TestLogOddsKeepApartWhatProbabilitiesRoundTogether(t *testing.T) {
	t.Parallel()
	h, x := headOf(true, 100, -100), blas32.General{Rows: 2, Cols: 1, Stride: 1, Data: []float32{0.5, 0.6}}
	p, err := h.Probabilities(x)
	if err != nil {
		t.Fatal(err)
	}
	if p.Data[0] != p.Data[2] {
		t.Fatalf("probabilities %v and %v do not round together", p.Data[0], p.Data[2])
	}
	odds, err := h.LogOdds(x)
	if err != nil {
		t.Fatal(err)
	}
	if odds.Data[0] >= odds.Data[2] {
		t.Errorf("log-odds %v and %v: want the second greater", odds.Data[0], odds.Data[2])
	}
}

func TestStackIsEachOfItsHeads(t *testing.T) {
	t.Parallel()
	a, b := headOf(false, 1), headOf(false, 2)
	b.Classes, b.B = []string{"b"}, []float32{-1}
	a.Notes, b.Notes = []string{"same"}, []string{"same", "other"}
	all, err := Stack([]*Head{a, b})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(all.Classes, []string{"a", "b"}) || !slices.Equal(all.Notes, []string{"same", "other"}) {
		t.Errorf("classes %q, notes %q", all.Classes, all.Notes)
	}
	got, err := all.Logits(blas32.General{Rows: 1, Cols: 1, Stride: 1, Data: []float32{3}})
	if err != nil || !slices.Equal(got.Data, []float64{3, 5}) {
		t.Errorf("logits %v, %v: want 3 and 5", got.Data, err)
	}
}

func TestStackRefusesHeadsThatDoNotFit(t *testing.T) {
	t.Parallel()
	other := headOf(false, 1)
	other.Space.Encoder = "another"
	for name, heads := range map[string][]*Head{
		"no heads":     nil,
		"stands twice": {headOf(false, 1), headOf(false, 2)},
		"does not fit": {headOf(false, 1), other},
	} {
		if _, err := Stack(heads); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v: want %q", err, name)
		}
	}
}
