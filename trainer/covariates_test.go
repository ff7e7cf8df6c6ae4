package trainer

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/blas/blas32"
)

var clinical = Covariates{Names: []string{"age", "sex"}, Rows: [][]string{{"40", "f"}, {"60", "m"}, {" ", "f"}, {"80", ""}}}

func TestCovariatesAreEncodedAsTrainingTaught(t *testing.T) {
	t.Parallel()
	e, err := newEncoding(clinical)
	if err != nil {
		t.Fatal(err)
	}
	x := blas32.General{Rows: 3, Cols: 1, Stride: 1, Data: []float32{7, 8, 9}}
	// Other order of the columns; a level and a number that training did not see.
	got, err := e.Join(x, Covariates{Names: []string{"sex", "site", "age"}, Rows: [][]string{{"m", "A", "60"}, {"x", "B", ""}, {"", "", "100"}}})
	if err != nil {
		t.Fatal(err)
	}
	dev := math.Sqrt(800. / 3) // of 40, 60, 80
	want := []float32{
		7, 0, 0, 0, 1, 0, // 60 is the mean; m
		8, 0, 1, 0, 0, 0, // age missing; a level not seen
		9, float32(40 / dev), 0, 0, 0, 1, // sex missing
	}
	if !slices.Equal(got.Data, want) || got.Cols != 1+e.Width() {
		t.Errorf("joined %v, want %v", got.Data, want)
	}
}

func TestHeadWithCovariatesWantsThem(t *testing.T) {
	t.Parallel()
	s, prior := draw(1, 30, 1)
	c := Covariates{Names: []string{"sex"}}
	for _, label := range s.Labels {
		c.Rows = append(c.Rows, []string{map[int8]string{1: "f", 0: "m"}[label]}) // says it all
	}
	y := binaryTargets(s.Labels)
	for _, o := range []Options{{Head: Logistic}, {Prior: prior}} {
		h, err := FitJoined(t.Context(), s.X, c, y, s.Groups, o)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "h.safetensors")
		if err := h.Save(path); err != nil {
			t.Fatal(err)
		}
		loaded, err := LoadHead(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := loaded.Probabilities(s.X); err == nil || !strings.Contains(err.Error(), `covariates ["sex"]`) {
			t.Errorf("without covariates: %v", err)
		}
		joined, err := loaded.Covariates.Join(s.X, c)
		if err != nil {
			t.Fatal(err)
		}
		p, err := loaded.Probabilities(joined)
		if err != nil {
			t.Fatal(err)
		}
		for i, label := range s.Labels {
			if (p.Data[i] > 0.5) != (label == Positive) {
				t.Fatalf("%s: row %d: %v for %d, which sex tells", h.Kind, i, p.Data[i], label)
			}
		}
		if _, err := Stack([]*Head{h, h}); err == nil {
			t.Error("heads with covariates were stacked")
		}
	}
	// The covariates alone.
	none := blas32.General{Rows: s.X.Rows}
	if h, err := FitJoined(t.Context(), none, c, y, s.Groups, Options{Head: Logistic}); err != nil || h.W.Cols != 3 {
		t.Errorf("covariates alone: %v, %v", h, err)
	}
}

func TestBadCovariatesAreNamed(t *testing.T) {
	t.Parallel()
	s, _ := draw(1, 30, 1)
	y := binaryTargets(s.Labels)
	n := len(s.Labels)
	column := func(cell func(i int) string) Covariates {
		c := Covariates{Names: []string{"age"}}
		for i := range n {
			c.Rows = append(c.Rows, []string{cell(i)})
		}
		return c
	}
	for want, c := range map[string]struct {
		c Covariates
		o Options
	}{
		`"age" is empty in every row`:               {c: column(func(int) string { return "" })},
		`"age" has more than 50 levels`:             {c: column(func(i int) string { return fmt.Sprint("p", i) })},
		`"age" = "60,5": want numbers with a point`: {c: column(func(i int) string { return fmt.Sprintf("6%d,5", i%3) })},
		`"age" = "NA": want numbers with a point`:   {c: column(func(i int) string { return []string{"61", "", "NA", "62.5"}[i%4] })},
		`"age" = "nan": want numbers with a point`:  {c: column(func(i int) string { return []string{"61", "nan"}[i%2] })},
		"1 rows of 1 covariates":                    {c: Covariates{Names: []string{"age"}, Rows: [][]string{{"1"}}}},
		`"age" stands twice`:                        {c: Covariates{Names: []string{"age", "age"}, Rows: make([][]string, n)}},
		"knn takes no covariates":                   {c: column(func(int) string { return "1" }), o: Options{Head: KNN}},
	} {
		if _, err := FitJoined(t.Context(), s.X, c.c, y, s.Groups, c.o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v: want %q", err, want)
		}
	}
	for _, words := range [][]string{{"T1", "T1,2"}, {"NA", "yes"}, {"60", "old"}, {"NA", "nan"}, {"60,5", "60,5 mm"}} { // are words that may be meant
		e, err := newEncoding(column(func(i int) string { return words[i%2] }))
		if err != nil || len(e.Columns[0].Levels) != 2 {
			t.Errorf("%q: %+v, %v: want two levels", words, e, err)
		}
	}
	e, err := newEncoding(clinical)
	if err != nil {
		t.Fatal(err)
	}
	x := blas32.General{Rows: 1, Cols: 1, Stride: 1, Data: []float32{1}}
	for want, c := range map[string]Covariates{
		`covariate "sex" is missing`:                           {Names: []string{"age"}, Rows: [][]string{{"1"}}},
		`row 0: covariate "age" = "old": want a finite number`: {Names: []string{"age", "sex"}, Rows: [][]string{{"old", "f"}}},
		`row 0: covariate "age" = "1e300"`:                     {Names: []string{"age", "sex"}, Rows: [][]string{{"1e300", "f"}}},
	} {
		if _, err := e.Join(x, c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v: want %q", err, want)
		}
	}
}
