//go:build unix

package evaluate

import (
	"bufio"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

var speed = flag.Int("speed", 0, "how often TestSpeed measures")

// scikitLearn starts tools/reference/metrics_speed.py on the scores and labels;
// nil where there is no scikit-learn. It answers with seconds and the AUC.
func scikitLearn(t *testing.T, scores []float64, labels []bool) func() (seconds, auc float64) {
	t.Helper()
	const python = "/usr/bin/python3"
	if err := exec.Command(python, "-c", "import sklearn").Run(); err != nil {
		t.Log("no Python with scikit-learn: left out")
		return nil
	}
	var table strings.Builder
	for i, s := range scores {
		fmt.Fprintf(&table, "%t %v\n", labels[i], s)
	}
	file := filepath.Join(t.TempDir(), "scores.txt")
	if err := os.WriteFile(file, []byte(table.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, filepath.Join("..", "tools", "reference", "metrics_speed.py"), file)
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
	return func() (seconds, auc float64) {
		fmt.Fprintln(in, "auc")
		if !answers.Scan() {
			t.Fatal("metrics_speed.py gave no answer")
		}
		if _, err := fmt.Sscan(answers.Text(), &seconds, &auc); err != nil {
			t.Fatal(err)
		}
		return seconds, auc
	}
}

// processorSeconds is what this process has used, of all processors together:
// what others do on the machine does not count.
func processorSeconds(t *testing.T) float64 {
	t.Helper()
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		t.Fatal(err)
	}
	return float64(use.Utime.Sec+use.Stime.Sec) + float64(use.Utime.Usec+use.Stime.Usec)/1e6
}

// TestSpeed prints how much processor time an AUC takes, in turns with
// scikit-learn's, and the bootstrap of fourteen labels does. It asserts nothing of
// time: machines differ.
func TestSpeed(t *testing.T) {
	if *speed == 0 {
		t.Skip("make bench-evaluate runs it")
	}
	large := drawWorld(rand.New(rand.NewPCG(15, 0)), 100_000, 1, false, 1, 0)
	theirs := scikitLearn(t, large.a, large.labels)
	fourteen := make([]world, 14)
	for k := range fourteen {
		fourteen[k] = drawWorld(rand.New(rand.NewPCG(16, uint64(k))), 5000, 2, true, 1, 0.5)
	}
	var seconds [3][]float64
	timed := func(k int, work func()) {
		start := processorSeconds(t)
		work()
		seconds[k] = append(seconds[k], processorSeconds(t)-start)
	}
	for range *speed {
		var ours Estimate
		var auc float64
		if theirs != nil {
			var s float64
			s, auc = theirs()
			seconds[0] = append(seconds[0], s)
		}
		timed(1, func() {
			var err error
			if ours, err = AUC(large.a, large.labels, nil); err != nil {
				t.Fatal(err)
			}
		})
		if theirs != nil {
			within(t, "AUC", ours.Point, auc, 1e-12)
		}
		timed(2, func() {
			for _, w := range fourteen {
				if _, err := (Bootstrap{}).AUC(t.Context(), w.a, w.labels, w.groups); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	fmt.Printf("\nMedian of %d in turns (least–greatest), processor seconds\n\n", *speed)
	fmt.Println("| work | scikit-learn | medprobe | |\n|---|---|---|---|")
	least := func(k int) float64 { return slices.Min(seconds[k]) }
	cell := func(k int) (string, float64) {
		s := slices.Sorted(slices.Values(seconds[k]))
		if len(s) == 0 {
			return "", 0
		}
		return fmt.Sprintf("%.4f (%.4f–%.4f)", s[len(s)/2], s[0], s[len(s)-1]), s[len(s)/2]
	}
	their, a := cell(0)
	our, b := cell(1)
	ratio := ""
	if a > 0 {
		ratio = fmt.Sprintf("%.1f×, by the least %.1f×", a/b, least(0)/least(1))
	}
	fmt.Printf("| AUC of 100,000 scores; ours with its interval | %s | %s | %s |\n", their, our, ratio)
	boot, _ := cell(2)
	fmt.Printf("| 2,000 resamples of 5,000 patients, 10,000 images, 14 labels, BCa | | %s | |\n", boot)
}
