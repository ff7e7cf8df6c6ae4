package trainer_test

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/medprobe/medprobe/encoder"
	"github.com/medprobe/medprobe/internal/npy"
	"github.com/medprobe/medprobe/internal/testworld"
	"github.com/medprobe/medprobe/trainer"
	"golang.org/x/sync/errgroup"
	"gonum.org/v1/gonum/blas/blas32"
)

var speed = flag.Int("speed", 0, "how often TestSpeed measures")

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

// scikitLearn starts tools/reference/logistic_speed.py; nil where there is no
// scikit-learn.
func scikitLearn(t *testing.T) func(fit, x, y string) float64 {
	t.Helper()
	const python = "/usr/bin/python3"
	if err := exec.Command(python, "-c", "import sklearn").Run(); err != nil {
		t.Log("no Python with scikit-learn: left out")
		return nil
	}
	cmd := exec.CommandContext(t.Context(), python, filepath.Join("..", "tools", "reference", "logistic_speed.py"))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); _ = cmd.Wait() })
	answers := bufio.NewScanner(out)
	return func(fit, x, y string) float64 {
		fmt.Fprintln(in, fit, x, y)
		if !answers.Scan() {
			t.Fatal("logistic_speed.py gave no answer")
		}
		seconds, err := strconv.ParseFloat(strings.TrimSpace(answers.Text()), 64)
		if err != nil {
			t.Fatal(err)
		}
		return seconds
	}
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

// TestSpeed prints how long the fits of a study take, in turns with
// scikit-learn, by ONNX Runtime and by gonum alone. It asserts nothing of time:
// machines are shared.
func TestSpeed(t *testing.T) {
	if *speed == 0 {
		t.Skip("make bench-trainer runs it")
	}
	if _, _, err := encoder.FindRuntime(""); err != nil {
		t.Fatal(err)
	}
	fast, err := encoder.NewMultiplier()
	if err != nil {
		t.Fatal(err)
	}
	defer fast.Close()
	fmt.Printf("\nFew-shot study of 8 numbers of shots × 20 draws × 14 findings × 10 C: %.1f s\n", fewShotStudy(t, fast))
	theirs := scikitLearn(t)
	one := 0.0 // scikit-learn's sweep of one finding
	fmt.Printf("\nMedian of %d turns, of %d up to n = 1000 (least–greatest), after one that does not count, in seconds; 1152 dimensions\n\n", *speed, 5**speed)
	fmt.Println("| work | scikit-learn | medprobe | | without ONNX Runtime | |\n|---|---|---|---|---|---|")
	for _, work := range []struct {
		name, fit   string
		n, findings int
	}{
		{"10 C × 5 folds, n = 64", "sweep", 64, 1},
		{"10 C × 5 folds, n = 256", "sweep", 256, 1},
		{"10 C × 5 folds, n = 1000", "sweep", 1000, 1},
		{"10 C × 5 folds, n = 10,000", "sweep", 10000, 1},
		{"the same, 14 findings", "sweep", 10000, 14},
		{"one fit, n = 10,000, C = 1", "one", 10000, 1},
	} {
		x, y := matrixOf(work.n, work.findings)
		dir := t.TempDir()
		xFile, yFile := filepath.Join(dir, "x.npy"), filepath.Join(dir, "y.npy")
		labels := make([]float32, x.Rows)
		for i, row := range y.Values {
			labels[i] = float32(row[0])
		}
		if err := errors.Join(npy.WriteMatrix(xFile, x), npy.WriteMatrix(yFile, blas32.General{Rows: x.Rows, Cols: 1, Stride: 1, Data: labels})); err != nil {
			t.Fatal(err)
		}
		o := trainer.Options{Head: trainer.Logistic, C: 1}
		if work.fit == "sweep" {
			o = trainer.Options{Head: trainer.Logistic, CGrid: decade()}
		}
		var seconds [3][]float64
		turns := *speed
		if work.n <= 1000 {
			turns *= 5
		}
		for range turns + 1 {
			if theirs != nil && work.findings == 1 {
				seconds[0] = append(seconds[0], theirs(work.fit, xFile, yFile))
			}
			o.Multiplier = fast
			seconds[1] = append(seconds[1], timed(t, x, y, o))
			if o.Multiplier = nil; work.findings == 1 {
				seconds[2] = append(seconds[2], timed(t, x, y, o))
			}
		}
		cells := make([]string, 3)
		median := make([]float64, 3)
		for k, s := range seconds {
			if len(s) > 0 {
				s = s[1:] // the first loads libraries and makes room
			}
			if slices.Sort(s); len(s) > 0 {
				median[k] = s[len(s)/2]
				cells[k] = fmt.Sprintf("%.3f (%.3f–%.3f)", median[k], s[0], s[len(s)-1])
			}
		}
		if work.findings > 1 {
			fmt.Printf("| %s | %d × %.3f | %s | %.1f× | | |\n", work.name, work.findings, one, cells[1], float64(work.findings)*one/median[1])
			continue
		}
		if one = median[0]; theirs == nil {
			fmt.Printf("| %s | | %s | | %s | |\n", work.name, cells[1], cells[2])
			continue
		}
		fmt.Printf("| %s | %s | %s | %.1f× | %s | %.1f× |\n", work.name, cells[0], cells[1], median[0]/median[1], cells[2], median[0]/median[2])
	}
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
