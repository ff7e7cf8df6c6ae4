// Package testworld makes small worlds in which the truth is known: embeddings
// of patients with and without a finding, and a zero-shot direction that knows
// a given part of the truth.
//
// Vectors are x = unit(m + √λ∘ε ± signal·u/2): a common mean m, as embeddings
// have, noise whose variance falls along the dimensions, a patient's own share
// of that noise, and a finding that moves the mean along u. The zero-shot
// direction lies at a known angle to the best linear one.
package testworld

import (
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/blas/blas32"
)

// Options describes a world. The zero value of each field means its default.
type Options struct {
	Dim    int     // default 256
	Decay  float64 // the noise's standard deviation in dimension j is (1+j)^−Decay; default 0.4
	Signal float64 // distance of the two means in standard deviations of the best direction; default 3
	// Knowledge is the cosine between the zero-shot direction and the best one,
	// both seen with white noise; 0 means a zero-shot classifier that knows nothing.
	Knowledge float64
	// PerPatient is the number of vectors of each patient, default 1, and
	// Likeness the share of the noise that they have in common.
	PerPatient int
	Likeness   float64
}

// World is one drawn world.
type World struct {
	o     Options
	noise []float64 // standard deviation per dimension
	mean  []float64
	shift []float64 // of a positive
	// T is the zero-shot direction, 1×Dim, of a length as the difference of two
	// text vectors has; Scale is the encoder's.
	T     blas32.General
	Scale float64
}

// New draws a world.
func New(o Options, seed uint64) *World {
	if o.Dim == 0 {
		o.Dim = 256
	}
	if o.Decay == 0 {
		o.Decay = 0.4
	}
	if o.Signal == 0 {
		o.Signal = 3
	}
	o.PerPatient = max(1, o.PerPatient)
	random := rand.New(rand.NewPCG(seed, 1))
	w := &World{o: o, noise: make([]float64, o.Dim), mean: normal(random, o.Dim), shift: normal(random, o.Dim), Scale: 100}
	total := 0.0
	for j := range w.noise {
		w.noise[j] = math.Pow(float64(1+j), -o.Decay)
		total += w.noise[j] * w.noise[j]
	}
	// In white coordinates the best direction is the shift itself.
	best, ignorance := scaled(w.shift, 1), normal(random, o.Dim)
	ignorance = scaled(minus(ignorance, best, dot(ignorance, best)), 1)
	t := make([]float64, o.Dim)
	for j := range t {
		w.mean[j] *= math.Sqrt(total / float64(o.Dim))
		w.shift[j] = o.Signal * best[j] * w.noise[j]
		t[j] = (o.Knowledge*best[j] + math.Sqrt(1-o.Knowledge*o.Knowledge)*ignorance[j]) / w.noise[j]
	}
	t = scaled(t, 0.3)
	w.T = blas32.General{Rows: 1, Cols: o.Dim, Stride: o.Dim, Data: make([]float32, o.Dim)}
	for j, v := range t {
		w.T.Data[j] = float32(v)
	}
	return w
}

// Sample is vectors of a world, patient by patient.
type Sample struct {
	X      blas32.General
	Labels []int8 // 1 or 0
	Groups []string
}

// Draw returns vectors of the given numbers of patients with and without the
// finding. The names of patients begin with prefix.
func (w *World) Draw(positives, negatives int, prefix string, seed uint64) Sample {
	random := rand.New(rand.NewPCG(seed, 2))
	n := (positives + negatives) * w.o.PerPatient
	s := Sample{X: blas32.General{Rows: n, Cols: w.o.Dim, Stride: w.o.Dim, Data: make([]float32, 0, n*w.o.Dim)}}
	for p := range positives + negatives {
		label := int8(0)
		if p < positives {
			label = 1
		}
		common := normal(random, w.o.Dim)
		for range w.o.PerPatient {
			x := normal(random, w.o.Dim)
			for j := range x {
				e := math.Sqrt(w.o.Likeness)*common[j] + math.Sqrt(1-w.o.Likeness)*x[j]
				x[j] = w.mean[j] + w.noise[j]*e + (float64(label)-0.5)*w.shift[j]
			}
			for _, v := range scaled(x, 1) {
				s.X.Data = append(s.X.Data, float32(v))
			}
			s.Labels = append(s.Labels, label)
			s.Groups = append(s.Groups, fmt.Sprintf("%s%d", prefix, p))
		}
	}
	return s
}

func normal(random *rand.Rand, n int) []float64 {
	v := make([]float64, n)
	for j := range v {
		v[j] = random.NormFloat64()
	}
	return v
}

func dot(a, b []float64) float64 {
	sum := 0.0
	for j := range a {
		sum += a[j] * b[j]
	}
	return sum
}

func scaled(v []float64, length float64) []float64 {
	return minus(make([]float64, len(v)), v, -length/math.Sqrt(dot(v, v)))
}

// minus returns a − s·b.
func minus(a, b []float64, s float64) []float64 {
	out := make([]float64, len(a))
	for j := range a {
		out[j] = a[j] - s*b[j]
	}
	return out
}
