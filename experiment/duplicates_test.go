package experiment

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/internal/vec"
	"gonum.org/v1/gonum/blas/blas32"
)

// Every pair is found that measuring all of them finds.
func TestTwinsAreAllFound(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 3))
	const n, width = 600, 24
	x := blas32.General{Rows: n, Cols: width, Stride: width, Data: make([]float32, n*width)}
	for i := range n {
		v := row(x, i)
		for k := range v {
			v[k] = float32(random.NormFloat64())
		}
		if i%3 == 2 { // near one before it
			copy(v, row(x, random.IntN(i)))
			v[random.IntN(width)] += float32(0.2 * random.NormFloat64())
		}
		if err := vec.Unit(v, v); err != nil {
			t.Fatal(err)
		}
	}
	var train, test []int
	for i := range n {
		if i%2 == 0 {
			train = append(train, i)
		} else {
			test = append(test, i)
		}
	}
	for _, least := range []float64{0.9, 0.99, 0.999, 0.9999} {
		found, err := twins(t.Context(), x, train, test, least)
		if err != nil {
			t.Fatal(err)
		}
		want := 0
		for _, i := range train {
			for _, j := range test {
				if distance(row(x, i), row(x, j), math.Inf(1)) <= 2*(1-least) {
					want++
				}
			}
		}
		if len(found) != want || want == 0 {
			t.Errorf("cosine %v: %d pairs, want %d", least, len(found), want)
		}
		if !slices.IsSortedFunc(found, func(a, b twin) int { return -int(math.Copysign(1, a.cosine-b.cosine)) }) && len(found) > 1 {
			for k := 1; k < len(found); k++ {
				if found[k].cosine > found[k-1].cosine {
					t.Errorf("cosine %v: not sorted at %d", least, k)
				}
			}
		}
	}
}

// rewritten is the image in other bytes: of the same pixels, or with one changed
// a little.
func (w *world) rewritten(name string, data []byte, change uint8) string {
	w.t.Helper()
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		w.t.Fatal(err)
	}
	out := image.NewNRGBA(img.Bounds())
	for y := range 8 {
		for x := range 8 {
			out.Set(x, y, img.At(x, y))
		}
	}
	if change > 0 {
		c := out.NRGBAAt(7, 7)
		out.SetNRGBA(7, 7, color.NRGBA{c.R ^ change, c.G, c.B, 255})
	}
	var b bytes.Buffer
	if err := png.Encode(&b, out); err != nil {
		w.t.Fatal(err)
	}
	w.write(name, b.Bytes())
	return name
}

func TestSamePixelsInOtherBytesAreALeak(t *testing.T) {
	t.Parallel()
	quarters := [4]uint8{130, 20, 77, 90}
	w := newWorld(t)
	w.write("one.png", picture(t, quarters))
	w.rows = append(w.rows, "one.png,Roe^A,train,1,0", w.rewritten("same.png", picture(t, quarters), 0)+",Roe^B,test,1,0")
	if _, err := Run(t.Context(), w.load(pairs), w.options()); !errors.Is(err, ErrLeak) || !strings.Contains(err.Error(), "pixels") {
		t.Errorf("error %v: want a leak of pixels", err)
	}
	r := w.run(pairs + "leakage: drop\n").Report
	if r.NearDuplicates != nil {
		t.Errorf("near duplicates %+v: want none when they were dropped", r.NearDuplicates)
	}
}

func TestNearlyTheSameIsAWarningWithPictures(t *testing.T) {
	t.Parallel()
	quarters := [4]uint8{130, 20, 77, 90}
	w := newWorld(t)
	w.write("one.png", picture(t, quarters))
	w.rows = append(w.rows, "one.png,Roe^A,train,1,0", w.rewritten("near.png", picture(t, quarters), 1)+",Roe^B,test,1,0")
	r := w.run(pairs).Report
	near := r.NearDuplicates
	if near == nil || near.Pairs != 1 || near.TestSamples != 1 || len(near.Shown) != 1 || len(near.Shown[0].Train) == 0 {
		t.Fatalf("near duplicates %+v: want one pair with pictures", near)
	}
	if !slices.ContainsFunc(r.Warnings, func(s string) bool { return strings.Contains(s, "nearly the same as one in train") }) {
		t.Errorf("warnings %q", r.Warnings)
	}
	hidden := w.run(strings.Replace(pairs, "{cosine: 0.99999}", "{cosine: 0.99999, thumbnails: no}", 1)).Report.NearDuplicates
	if hidden == nil || hidden.Shown[0].Train != nil {
		t.Errorf("near duplicates %+v: want no picture", hidden)
	}
}

// Google's data-efficient recipe divides images 80/20, though a case has up to
// three: it must be caught.
func TestSplitByImageOfCasesWithThreeImagesIsALeak(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.rows = nil
	random := rand.New(rand.NewPCG(42, 42))
	for i := range 90 {
		name := fmt.Sprintf("case-%d-%d.png", i/3, i%3)
		w.write(name, picture(t, [4]uint8{uint8(60 + 100*(i/3%2) + random.IntN(50)), uint8(random.IntN(255)), uint8(i), uint8(random.IntN(255))}))
		part := "train"
		if random.Float64() < 0.2 {
			part = "test"
		}
		w.rows = append(w.rows, fmt.Sprintf("%s,case %d,%s,%d,%d", name, i/3, part, i/3%2, i/3/2%2))
	}
	if _, err := Run(t.Context(), w.load(pairs), w.options()); !errors.Is(err, ErrLeak) || !strings.Contains(err.Error(), "patients") {
		t.Errorf("error %v: want a leak of patients", err)
	}
}

func TestAggregateMakesOneVectorOfAPatient(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.run(strings.Replace(pairs, "patient: patient,", "patient: patient, aggregate: {by: patient},", 1))
	if s := one.Report.Splits; s[trainPart].Samples != patients/2 || s[testPart].Samples != patients/2 {
		t.Errorf("parts %+v, want a sample for each patient", s)
	}
	if c := one.Report.Counts; c.Used != 2*patients {
		t.Errorf("counts %+v, want every image used", c)
	}
	if !slices.ContainsFunc(one.Report.Warnings, func(s string) bool { return strings.Contains(s, "made one for each patient: 60") }) {
		t.Errorf("warnings %q", one.Report.Warnings)
	}
	// Means of unit vectors, brought to length one again.
	x := blas32.General{Rows: 2, Cols: 2, Stride: 2, Data: []float32{1, 0, 0.6, 0.8}}
	for how, want := range map[string][]float32{"mean": {0.8944272, 0.4472136}, "max": {0.7808688, 0.62469506}} {
		got := make([]float32, 2)
		if err := pool(got, x, []int{0, 1}, how); err != nil || math.Abs(float64(got[0]-want[0])) > 1e-6 || math.Abs(float64(got[1]-want[1])) > 1e-6 {
			t.Errorf("%s: %v, %v, want %v", how, got, err, want)
		}
	}
	if err := pool(make([]float32, 2), blas32.General{Rows: 2, Cols: 2, Stride: 2, Data: []float32{1, 0, -1, 0}}, []int{0, 1}, ""); err == nil {
		t.Error("vectors that add up to zero: no error")
	}
}

func TestScenarios(t *testing.T) {
	t.Parallel()
	for _, scenario := range []string{"population", "missing-classes"} {
		r := newWorld(t).run(strings.Replace(pairs, "[1, 4, 500]", "[4, 8]", 1) + "scenario: " + scenario + "\n").Report
		if len(r.Curves) == 0 {
			t.Fatalf("%s: no curves", scenario)
		}
		for _, c := range r.Curves {
			for _, p := range c.Points {
				if p.AUC == nil && p.Unmet == "" {
					t.Errorf("%s, %s of %s at %d shots: neither a figure nor a reason", scenario, c.Method, c.Finding, p.Shots)
				}
			}
		}
	}
}
