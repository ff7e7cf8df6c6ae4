package trainer

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/internal/safetensors"
	"gonum.org/v1/gonum/blas/blas32"
)

func TestRidgeEqualsScikitLearn(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/ridge/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Cases []struct {
			N, D           int
			Alpha          float64
			X, Y, T, Coef  []float64
			Intercept      float64
			PriorCoef      []float64 `json:"prior_coef"`
			PriorIntercept float64   `json:"prior_intercept"`
		}
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) != 5 {
		t.Fatalf("%d cases, want 5", len(file.Cases))
	}
	narrow := func(values []float64) (out []float32) {
		for _, v := range values {
			out = append(out, float32(v))
		}
		return out
	}
	for _, g := range file.Cases {
		x := blas32.General{Rows: g.N, Cols: g.D, Stride: g.D, Data: narrow(g.X)}
		v := Values{Names: []string{"value"}}
		for _, y := range g.Y {
			v.Rows = append(v.Rows, []float64{y})
		}
		for _, want := range []struct {
			o    Options
			coef []float64
			b    float64
		}{
			{Options{Head: Ridge, Alpha: g.Alpha}, g.Coef, g.Intercept},
			{Options{Head: RidgePrior, Alpha: g.Alpha, Prior: &Prior{T: blas32.General{Rows: 1, Cols: g.D, Stride: g.D, Data: narrow(g.T)}, Scale: 1}}, g.PriorCoef, g.PriorIntercept},
		} {
			h, err := FitValues(t.Context(), x, v, nil, want.o)
			if err != nil {
				t.Fatal(err)
			}
			far, norm := math.Pow(float64(h.B[0])-want.b, 2), want.b*want.b
			for j, w := range want.coef {
				far += math.Pow(float64(h.W.Data[j])-w, 2)
				norm += w * w
			}
			if math.Sqrt(far) > 1e-5*math.Sqrt(norm) {
				t.Errorf("%s, %d×%d, α = %v: %.2g of %.2g away", want.o.Head, g.N, g.D, g.Alpha, math.Sqrt(far), math.Sqrt(norm))
			}
			if f := h.Fits[0]; f.GradientNorm > 1e-9 || f.Samples != g.N {
				t.Errorf("%s, %d×%d, α = %v: %+v", want.o.Head, g.N, g.D, g.Alpha, f)
			}
		}
	}
}

// drawValues draws patients of two samples, whose value lies along t and, by
// off, along another axis.
func drawValues(patients, d int, off float64) (blas32.General, Values, []string, *Prior) {
	random := rand.New(rand.NewPCG(1, 2))
	x, v := blas32.General{Rows: 2 * patients, Cols: d, Stride: d}, Values{Names: []string{"crp"}}
	var groups []string
	for i := range x.Rows {
		row := make([]float32, d)
		for j := range row {
			row[j] = float32(random.NormFloat64())
		}
		x.Data = append(x.Data, row...)
		v.Rows = append(v.Rows, []float64{20 + 3*float64(row[0]) + off*float64(row[1]) + random.NormFloat64()})
		groups = append(groups, fmt.Sprint("p", i/2))
	}
	axis := make([]float32, d)
	axis[0] = 1
	return x, v, groups, &Prior{T: blas32.General{Rows: 1, Cols: d, Stride: d, Data: axis}, Scale: 1}
}

func TestRidgeChoosesWithoutDividingPatients(t *testing.T) {
	t.Parallel()
	x, v, groups, prior := drawValues(20, 30, 0)
	// Where the axis is all there is, the ridge toward it stays there.
	h, err := FitValues(t.Context(), x, v, groups, Options{Head: RidgePrior, Prior: prior})
	if err != nil {
		t.Fatal(err)
	}
	if f := h.Fits[0]; !f.Chosen || len(f.Path) != 18 || f.alpha() < 100 || f.HeldOut > 2 {
		t.Errorf("fit %v: want it near the axis", f)
	}
	again, err := FitValues(t.Context(), x, v, groups, Options{Head: RidgePrior, Prior: prior})
	if err != nil || fmt.Sprint(again) != fmt.Sprint(h) {
		t.Errorf("again: %v, %v", again, err)
	}
	// Where it is not, it leaves it.
	x2, v2, groups2, prior2 := drawValues(60, 10, 8)
	h, err = FitValues(t.Context(), x2, v2, groups2, Options{Head: RidgePrior, Prior: prior2})
	if err != nil {
		t.Fatal(err)
	}
	if f := h.Fits[0]; f.alpha() > 10 || f.HeldOut > 2 {
		t.Errorf("fit %v: want it away from the axis", f)
	}
	for _, fold := range valueFolds(groups, 5, 0) {
		in := map[string]bool{}
		for _, i := range fold {
			in[groups[i]] = true
		}
		if len(fold) != 2*len(in) {
			t.Errorf("fold %v divides a patient", fold)
		}
	}
}

func TestValuesAreNotTakenForProbabilities(t *testing.T) {
	t.Parallel()
	x, v, groups, _ := drawValues(12, 6, 0)
	v.Rows[0][0] = math.NaN() // unknown
	h, err := FitValues(t.Context(), x, v, groups, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if h.Fits[0].Samples != x.Rows-1 {
		t.Errorf("%d samples, want %d", h.Fits[0].Samples, x.Rows-1)
	}
	path := filepath.Join(t.TempDir(), "ridge.safetensors")
	if err := h.Save(path); err != nil {
		t.Fatal(err)
	}
	f, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := f.Metadata()["format"]; got == headFormat {
		t.Errorf("format %q: a reader of classifiers would take it", got)
	}
	loaded, err := LoadHead(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, score := range map[string]func() error{
		"probabilities": func() error { _, err := loaded.Probabilities(x); return err },
		"log-odds":      func() error { _, err := loaded.LogOdds(x); return err },
	} {
		if err := score(); err == nil || !strings.Contains(err.Error(), "ridge gives values") {
			t.Errorf("%s: error %v", name, err)
		}
	}
	a, errA := h.Values(x)
	b, errB := loaded.Values(x)
	if errA != nil || errB != nil || fmt.Sprint(a) != fmt.Sprint(b) {
		t.Errorf("values %v, %v: want them the same after saving", errA, errB)
	}
	if _, err := (&Head{Kind: Logistic}).Values(x); err == nil {
		t.Error("a classifier gave values")
	}
}

func TestBadValuesAreNamed(t *testing.T) {
	t.Parallel()
	x, v, groups, prior := drawValues(6, 4, 0)
	other := func(change func(v *Values)) Values {
		out := Values{Names: v.Names}
		for _, row := range v.Rows {
			out.Rows = append(out.Rows, append([]float64(nil), row...))
		}
		change(&out)
		return out
	}
	for want, c := range map[string]struct {
		v      Values
		groups []string
		o      Options
	}{
		`row 3: "crp" = +Inf`: {v: other(func(v *Values) { v.Rows[3][0] = math.Inf(1) })},
		"11 rows of 1 values": {v: other(func(v *Values) { v.Rows = v.Rows[1:] })},
		`"crp" has 1 known values`: {v: other(func(v *Values) {
			for i := range v.Rows[1:] {
				v.Rows[i][0] = math.NaN()
			}
		})},
		"1 groups for 12":    {v: v, groups: []string{"p"}},
		"want a prior":       {v: v, o: Options{Head: RidgePrior}},
		"ridge has no prior": {v: v, o: Options{Prior: prior}},
		"alpha -1":           {v: v, o: Options{Alpha: -1}},
		"no C":               {v: v, o: Options{C: 1}},
		`head "logistic"`:    {v: v, o: Options{Head: Logistic}},
	} {
		if c.groups == nil {
			c.groups = groups
		}
		if _, err := FitValues(t.Context(), x, c.v, c.groups, c.o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v: want %q", err, want)
		}
	}
	one := slices.Repeat([]string{"p"}, x.Rows)
	if h, err := FitValues(t.Context(), x, v, one, Options{}); err != nil || len(h.Notes) != 1 {
		t.Errorf("one patient: %v, %v: want a note", h, err)
	}
}
