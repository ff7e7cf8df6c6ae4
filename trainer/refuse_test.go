package trainer

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gonum.org/v1/gonum/blas/blas32"
)

func TestBadInputIsNamed(t *testing.T) {
	t.Parallel()
	nan := float32(math.NaN())
	good := blas32.General{Rows: 4, Cols: 2, Stride: 2, Data: []float32{0, 1, 1, 0, 0, 2, 2, 0}}
	one := binaryTargets([]int8{1, 0, 1, 0})
	prior := &Prior{T: blas32.General{Rows: 1, Cols: 2, Stride: 2, Data: []float32{1, 1}}, Scale: 100}
	for _, c := range []struct {
		name   string
		x      blas32.General
		y      Targets
		groups []string
		o      Options
		want   []string
	}{
		{name: "NaN", x: blas32.General{Rows: 4, Cols: 2, Stride: 2, Data: []float32{0, 1, 1, 0, 0, nan, 2, 0}}, y: one, want: []string{"row 2, dimension 1: NaN"}},
		{name: "infinity", x: blas32.General{Rows: 4, Cols: 2, Stride: 2, Data: []float32{float32(math.Inf(1)), 1, 1, 0, 0, 1, 2, 0}}, y: one, want: []string{"row 0, dimension 0: +Inf"}},
		{name: "values missing", x: blas32.General{Rows: 4, Cols: 2, Stride: 2, Data: []float32{1}}, y: one, want: []string{"4×2", "1 values"}},
		{name: "no rows", x: blas32.General{Cols: 2, Stride: 2}, y: Targets{Classes: []string{"finding"}}, want: []string{`"finding" has 0 positives and 0 negatives`}},
		{name: "too few labels", x: good, y: binaryTargets([]int8{1, 0}), want: []string{"2 rows of labels for 4 vectors"}},
		{name: "a label of 7", x: good, y: binaryTargets([]int8{1, 0, 7, 0}), want: []string{"row 2", "= 7: want 1, 0 or -1"}},
		{name: "one class only", x: good, y: Targets{Classes: []string{"edema", "mass"}, Values: [][]int8{{1, 0}, {1, -1}, {1, 0}, {-1, 0}}},
			want: []string{`"edema" has 3 positives and 0 negatives`, `"mass" has 0 positives and 3 negatives`}},
		{name: "a class without sample", x: good, y: Targets{Classes: []string{"a", "b", "c"}, Exclusive: true, Values: [][]int8{{1, 0, 0}, {0, 1, 0}, {1, 0, 0}, {-1, -1, -1}}},
			want: []string{`class "c" has no sample`}},
		{name: "two exclusive positives", x: good, y: Targets{Classes: []string{"a", "b"}, Exclusive: true, Values: [][]int8{{1, 1}, {0, 1}, {1, 0}, {-1, 0}}},
			want: []string{"row 0: 2 positives", "row 3: 0 positives"}},
		{name: "class twice", x: good, y: Targets{Classes: []string{"a", "a"}, Values: [][]int8{{1, 1}, {0, 0}, {1, 1}, {0, 0}}}, want: []string{`"a" stands twice`}},
		{name: "groups", x: good, y: one, groups: []string{"p"}, want: []string{"1 groups for 4 vectors"}},
		{name: "head", x: good, y: one, o: Options{Head: "svm"}, want: []string{`head "svm"`, "logistic", "linear-probe"}},
		{name: "class weight", x: good, y: one, o: Options{ClassWeight: "heavy"}, want: []string{`class weight "heavy"`}},
		{name: "C", x: good, y: one, o: Options{C: -1}, want: []string{"C = -1"}},
		{name: "C grid", x: good, y: one, o: Options{CGrid: []float64{1, 0}}, want: []string{"C = 0 in the grid"}},
		{name: "folds", x: good, y: one, o: Options{Folds: 1}, want: []string{"1 folds"}},
		{name: "group missing", x: good, y: one, groups: []string{"a", "b", "", "d"}, want: []string{"row 2: its group is missing"}},
		{name: "memory that would not fit", x: good, y: one, o: Options{Memory: 100}, want: []string{"linear-probe on 4 vectors of 2 dimensions takes about", "of memory, and 100 bytes are available: take fewer rows"}},
		{name: "more folds than patients", x: good, y: one, groups: []string{"a", "b", "b", "a"}, o: Options{Folds: 3}, want: []string{"3 folds for 2 patients"}},
		{name: "prior's fingerprint", x: good, y: one, o: Options{Prior: &Prior{T: prior.T, Scale: 1, Space: Space{Encoder: "aaaa"}}, Space: Space{Encoder: "bbbb"}}, want: []string{"prior is of encoder aaaa", "vectors are of bbbb"}},
		{name: "prior of another dimension", x: good, y: one, o: Options{Prior: &Prior{T: blas32.General{Rows: 1, Cols: 3, Stride: 3, Data: []float32{1, 1, 1}}, Scale: 1}}, want: []string{"prior of 1×3: want 1 classes × 2 dimensions"}},
		{name: "a label outside the classes", x: good, y: Targets{Classes: []string{"a", "b"}, Exclusive: true, Values: [][]int8{{1, 0}, {0, 1}, {0, 0}, {1, 0}}}, want: []string{"row 2: 0 positives among classes that exclude one another"}},
		{name: "prior's shape", x: good, y: one, o: Options{Prior: &Prior{T: good, Scale: 1}}, want: []string{"prior of 4×2: want 1 classes × 2 dimensions"}},
		{name: "prior's scale", x: good, y: one, o: Options{Prior: &Prior{T: prior.T}}, want: []string{"scale 0"}},
		{name: "prior's values", x: good, y: one, o: Options{Prior: &Prior{T: blas32.General{Rows: 1, Cols: 2, Stride: 2, Data: []float32{1, nan}}, Scale: 1}}, want: []string{"prior", "dimension 1: NaN"}},
	} {
		_, err := Fit(t.Context(), c.x, c.y, c.groups, c.o)
		if err == nil {
			t.Errorf("%s: no error", c.name)
			continue
		}
		for _, part := range append(c.want, "trainer: fit: ") {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: error %q, want %q in it", c.name, err, part)
			}
		}
	}
}

func TestFaultsAreListedUpToTwenty(t *testing.T) {
	t.Parallel()
	labels := make([]int8, 57)
	for i := range labels {
		labels[i] = 9
	}
	text := binaryTargets(labels).validate(57).Error()
	if n := strings.Count(text, "\n"); n != 20 || !strings.HasSuffix(text, "and 37 more") {
		t.Errorf("%d lines and the end %q, want 20 faults and 37 more", n, text[len(text)-12:])
	}
}

func TestHeadRefusesOtherVectors(t *testing.T) {
	t.Parallel()
	s, prior := draw(4, 5, 1)
	h := fit(t, s, Options{Prior: prior})
	for name, x := range map[string]blas32.General{
		"other dimension": {Rows: 1, Cols: 3, Stride: 3, Data: make([]float32, 3)},
		"values missing":  {Rows: 2, Cols: 24, Stride: 24, Data: make([]float32, 24)},
		"NaN":             {Rows: 1, Cols: 24, Stride: 24, Data: append(make([]float32, 23), float32(math.NaN()))},
	} {
		if _, err := h.Probabilities(x); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestDamagedHeadIsRefused(t *testing.T) {
	t.Parallel()
	s, prior := draw(4, 5, 1)
	h := fit(t, s, Options{Prior: prior})
	path := filepath.Join(t.TempDir(), "head.safetensors")
	for i, damage := range []func(h *Head){
		func(h *Head) { h.Classes = nil },
		func(h *Head) { h.Classes = []string{"a", "b"} },
		func(h *Head) { h.B = append(h.B, 0) },
		func(h *Head) { h.B = []float32{float32(math.Inf(1))} },
	} {
		bad := *h
		damage(&bad)
		if err := bad.Save(path); err != nil {
			continue // refused already
		}
		if _, err := LoadHead(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("damage %d: error %v, want one that names the file", i, err)
		}
	}
	if err := os.WriteFile(path, []byte("not safetensors at all"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadHead(path); err == nil {
		t.Error("a text file was read as a head")
	}
}

func Example_faults() {
	y := Targets{Classes: []string{"effusion"}, Values: [][]int8{{Positive}, {2}, {Negative, Negative}}}
	fmt.Println(y.validate(3))
	// Output:
	// row 1: class 0 = 2: want 1, 0 or -1
	// row 2: 2 labels for 1 classes
}
