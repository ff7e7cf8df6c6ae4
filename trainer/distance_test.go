package trainer

import (
	"fmt"
	"math"
	"testing"

	"github.com/medprobe/medprobe/internal/npy"
	"github.com/medprobe/medprobe/internal/testworld"
)

// testdata/linearprobe/README.md says how the expected values were made.
func TestDistanceEqualsSciPy(t *testing.T) {
	t.Parallel()
	archive, err := npy.OpenArchive("testdata/linearprobe/departure.npz")
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	for number := range 7 {
		read := func(name string) []float64 {
			_, values := readArray(t, archive, name+"%d", number)
			out := make([]float64, len(values))
			for i, v := range values {
				out[i] = float64(v)
			}
			return out
		}
		p := departure{units: read("units")[0], scale: 1, sample: sample{weight: read("weight")}}
		for _, class := range read("y") {
			p.y = append(p.y, int(class))
		}
		z, d := read("z"), read("d")
		p.outputs = len(z) / len(p.y)
		p.stack(z, d, max(2, p.outputs))
		if got, want := p.distance(), read("rho")[0]; math.Abs(got-want) > 1e-5 {
			t.Errorf("data %d: %d outputs, distance %.7f, want %.7f (SciPy)", number, p.outputs, got, want)
		}
	}
}

// pathOf returns the path of a probe of one finding.
func pathOf(t *testing.T, s testworld.Sample, o Options) []PathPoint {
	t.Helper()
	h, err := Fit(t.Context(), s.X, binaryTargets(s.Labels), s.Groups, o)
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, p := range h.Fits[0].Path {
		if !(p.Weight >= 0) {
			t.Errorf("C = %v has the weight %v", p.C, p.Weight)
		}
		sum += p.Weight
	}
	if math.Abs(sum-1) > 1e-12 {
		t.Errorf("the weights of the path add up to %v, want 1", sum)
	}
	return h.Fits[0].Path
}

// A prior that says nothing is left altogether, one that says all is kept, and
// the more patients there are the further a prior that
// knows a little is left.
func TestDistanceByKnowledge(t *testing.T) {
	t.Parallel()
	w := testworld.New(testworld.Options{Knowledge: 1, Signal: 4}, 11)
	all, test := w.Draw(8, 8, "s", 1), w.Draw(500, 500, "t", 2)
	prior := Prior{T: w.T, Scale: w.Scale}
	zero, err := ZeroShot(prior, []string{"finding"}, false, Space{})
	if err != nil {
		t.Fatal(err)
	}
	h, err := Fit(t.Context(), all.X, binaryTargets(all.Labels), nil, Options{Prior: &prior})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := headArea(t, h, test), headArea(t, zero, test); got < want-0.002 {
		t.Errorf("AUC %.4f with a prior that knows all, want that of zero-shot, %.4f", got, want)
	}
	nothing := compact(w.T)
	clear(nothing.Data)
	if got := pathOf(t, all, Options{Prior: &Prior{T: nothing, Scale: w.Scale}})[0].Weight; got != 0 {
		t.Errorf("T = 0 has the weight %.3f, want 0", got)
	}
	few, many := 0.0, 0.0
	for seed := range uint64(6) {
		w := testworld.New(testworld.Options{Knowledge: 0.2}, 20+seed)
		o := Options{Prior: &Prior{T: w.T, Scale: w.Scale}}
		few += pathOf(t, w.Draw(4, 4, "s", seed), o)[0].Weight
		many += pathOf(t, w.Draw(60, 60, "s", seed), o)[0].Weight
	}
	if !(many < few) {
		t.Errorf("zero-shot has a mean weight of %.3f with 60 patients a class and of %.3f with 4, want less", many/6, few/6)
	}
}

// A patient's rows count as fewer patients than they are, and the class with
// fewer patients counts more.
func TestUnits(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		positives, negatives, perPatient int
		want                             float64
	}{
		{10, 10, 1, 20}, {10, 10, 3, 30}, {5, 45, 1, 18},
	} {
		t.Run(fmt.Sprint(test), func(t *testing.T) {
			w := testworld.New(testworld.Options{PerPatient: test.perPatient, Likeness: 0.5}, 5)
			s := w.Draw(test.positives, test.negatives, "s", 1)
			o := Options{Prior: &Prior{T: w.T, Scale: w.Scale}}
			o.setDefaults()
			tasks, err := newTasks(s.X, binaryTargets(s.Labels), s.Groups, o)
			if err != nil {
				t.Fatal(err)
			}
			if got := tasks[0].units(tasks[0].study()); math.Abs(got-test.want) > 1e-9 {
				t.Errorf("%v units, want %v", got, test.want)
			}
		})
	}
}
