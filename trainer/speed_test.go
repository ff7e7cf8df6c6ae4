package trainer_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/medprobe/medprobe/encoder"
	"github.com/medprobe/medprobe/internal/npy"
	"github.com/medprobe/medprobe/internal/testworld"
	"github.com/medprobe/medprobe/internal/turns"
	"github.com/medprobe/medprobe/trainer"
	"golang.org/x/sync/errgroup"
	"gonum.org/v1/gonum/blas/blas32"
)

// decade is the C grid of the sweeps: ten values from 1e-4 to 1e4.
func decade() []float64 {
	grid := make([]float64, 10)
	for i := range grid {
		grid[i] = math.Pow(10, -4+8*float64(i)/9)
	}
	return grid
}

// matrixOf draws n vectors of MedSigLIP's width and the labels of so many
// findings: the world's own, and directions of the same noise.
func matrixOf(n, findings int) (blas32.General, trainer.Targets) {
	w := testworld.New(testworld.Options{Dim: 1152, Knowledge: 0.3}, 1)
	s := w.Draw(n/2, n/2, "p", 1)
	random := rand.New(rand.NewPCG(7, 7))
	for i := n - 1; i > 0; i-- { // the first rows hold both classes
		k := random.IntN(i + 1)
		s.Labels[i], s.Labels[k] = s.Labels[k], s.Labels[i]
		for j := range 1152 {
			s.X.Data[i*1152+j], s.X.Data[k*1152+j] = s.X.Data[k*1152+j], s.X.Data[i*1152+j]
		}
	}
	y := trainer.Targets{Values: make([][]int8, n)}
	for f := range findings {
		y.Classes = append(y.Classes, fmt.Sprint("finding ", f))
		u := make([]float64, 1152)
		for j := range u {
			u[j] = random.NormFloat64()
		}
		for i := range n {
			label := s.Labels[i]
			if f > 0 {
				z := 0.3 * random.NormFloat64()
				for j, v := range s.X.Data[i*1152 : (i+1)*1152] {
					z += u[j] * float64(v)
				}
				label = 0
				if z > 0 {
					label = 1
				}
			}
			y.Values[i] = append(y.Values[i], label)
		}
	}
	return s.X, y
}

func timed(t *testing.T, x blas32.General, y trainer.Targets, o trainer.Options) float64 {
	t.Helper()
	start := time.Now()
	h, err := trainer.Fit(t.Context(), x, y, nil, o)
	if err != nil {
		t.Fatal(err)
	}
	seconds := time.Since(start).Seconds()
	for _, f := range h.Fits {
		if !f.Converged {
			t.Errorf("%s", f)
		}
	}
	return seconds
}

// TestSpeed notes how long the fits of a study take, in turns with scikit-learn,
// by ONNX Runtime and by gonum alone.
func TestSpeed(t *testing.T) {
	rounds := turns.Rounds(t)
	if _, _, err := encoder.FindRuntime(""); err != nil {
		t.Fatal(err)
	}
	fast, err := encoder.NewMultiplier()
	if err != nil {
		t.Fatal(err)
	}
	defer fast.Close()
	peer := turns.Peer(t, "sklearn", filepath.Join("..", "tools", "reference", "logistic_speed.py"))
	const scikitLearn, byGonum = "scikit-learn", ", without ONNX Runtime"
	var one []float64 // scikit-learn's sweep of one finding, n = 10,000
	for _, work := range []struct {
		name, fit   string
		n, findings int
		goal, gonum float64 // so many times as fast as scikit-learn
	}{
		{"10 C × 5 folds, n = 64", "sweep", 64, 1, 0, 0},
		{"10 C × 5 folds, n = 256", "sweep", 256, 1, 10, 0},
		{"10 C × 5 folds, n = 1,000", "sweep", 1000, 1, 0, 0},
		{"10 C × 5 folds, n = 10,000", "sweep", 10000, 1, 6, 1},
		{"the same, 14 findings", "sweep", 10000, 14, 12, 0},
		{"one fit, n = 10,000, C = 1", "one", 10000, 1, 1, 1},
	} {
		x, y := matrixOf(work.n, work.findings)
		o := trainer.Options{Head: trainer.Logistic, C: 1}
		if work.fit == "sweep" {
			o = trainer.Options{Head: trainer.Logistic, CGrid: decade()}
		}
		by := func(m trainer.Multiplier) func() float64 {
			o := o
			o.Multiplier = m
			return func() float64 { return timed(t, x, y, o) }
		}
		turn := rounds
		if work.n <= 1000 {
			turn *= 5 // short works are soon disturbed
		}
		if work.findings > 1 {
			took := turns.Take(turn, by(fast))
			times := make([]float64, len(one))
			for i, s := range one {
				times[i] = float64(work.findings) * s
			}
			turns.Note(t, turns.Line{Work: work.name, Unit: "s", Ours: took[0], Peer: fmt.Sprint(scikitLearn, ", ", work.findings, " times its sweep of one"), Theirs: times, Goal: turns.Goal{Ratio: work.goal}})
			continue
		}
		took := turns.Take(turn, turns.First(peer, question(t, work.fit, x, y)), by(fast), by(nil))
		if work.n == 10000 && work.fit == "sweep" {
			one = took[0]
		}
		turns.Note(t,
			turns.Line{Work: work.name, Unit: "s", Ours: took[1], Peer: scikitLearn, Theirs: took[0], Goal: turns.Goal{Ratio: work.goal}},
			turns.Line{Work: work.name + byGonum, Unit: "s", Ours: took[2], Peer: scikitLearn, Theirs: took[0], Goal: turns.Goal{Ratio: work.gonum}})
	}
	turns.Note(t, turns.Line{Work: "few-shot study: 8 numbers of shots × 20 draws × 14 findings × 10 C", Unit: "s",
		Ours: []float64{fewShotStudy(t, fast)}, Goal: turns.Goal{Most: 120}})
}

// question writes matrix and labels as files, and asks logistic_speed.py to fit
// them.
func question(t *testing.T, fit string, x blas32.General, y trainer.Targets) string {
	t.Helper()
	dir := t.TempDir()
	xFile, yFile := filepath.Join(dir, "x.npy"), filepath.Join(dir, "y.npy")
	labels := make([]float32, x.Rows)
	for i, row := range y.Values {
		labels[i] = float32(row[0])
	}
	if err := errors.Join(npy.WriteMatrix(xFile, x), npy.WriteMatrix(yFile, blas32.General{Rows: x.Rows, Cols: 1, Stride: 1, Data: labels})); err != nil {
		t.Fatal(err)
	}
	return fit + " " + xFile + " " + yFile
}

// fewShotStudy fits every finding at 8 numbers of shots from 1 to 128, by 20
// draws, with 10 C to choose from, and returns the seconds it took.
func fewShotStudy(t *testing.T, by trainer.Multiplier) float64 {
	const draws, findings = 20, 14
	x, y := matrixOf(4000, findings)
	start := time.Now()
	var group errgroup.Group
	group.SetLimit(2)
	for shots := 1; shots <= 128; shots *= 2 {
		for draw := range draws {
			for f := range findings {
				group.Go(func() error {
					order := rand.New(rand.NewPCG(uint64(draw), uint64(f))).Perm(x.Rows)
					one, left := trainer.Targets{Classes: y.Classes[f : f+1]}, [2]int{shots, shots}
					some := blas32.General{Cols: x.Cols, Stride: x.Cols}
					for _, i := range order {
						if label := y.Values[i][f]; left[label] > 0 {
							left[label]--
							some.Data = append(some.Data, x.Data[i*x.Stride:i*x.Stride+x.Cols]...)
							one.Values = append(one.Values, []int8{label})
						}
					}
					some.Rows = len(one.Values)
					_, err := trainer.Fit(t.Context(), some, one, nil, trainer.Options{Head: trainer.Logistic, CGrid: decade(), Multiplier: by})
					return err
				})
			}
		}
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	return time.Since(start).Seconds()
}
