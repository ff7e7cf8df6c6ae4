//go:build unix

package evaluate

import (
	"bufio"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

var speed = flag.Int("speed", 0, "measure against scikit-learn this many times, in turns (make bench-evaluate)")

// TestSpeed prints how long the AUC of 100,000 scores takes, here with DeLong's
// interval and in scikit-learn without one, and how long 2,000 resamples by
// patient take for 14 labels of 10,000 images, by the clock and in processor
// time, which other work on the machine moves less. The AUCs must agree to 1e-12.
func TestSpeed(t *testing.T) {
	if *speed == 0 {
		t.Skip("measures only when asked: make bench-evaluate")
	}
	w := drawWorld(rand.New(rand.NewPCG(15, 0)), 100000, 1, false, 1, 0)
	peer := newAUCPeer(t, w.a, w.labels)
	var ours, theirs, oursProcessor, theirsProcessor []float64
	for range *speed {
		before, start := processorSeconds(t), time.Now()
		e, err := AUC(w.a, w.labels, nil)
		ours = append(ours, time.Since(start).Seconds())
		oursProcessor = append(oursProcessor, processorSeconds(t)-before)
		if err != nil {
			t.Fatal(err)
		}
		auc, seconds, processor := peer(t)
		theirs, theirsProcessor = append(theirs, seconds), append(theirsProcessor, processor)
		within(t, "AUC", e.Point, auc, 1e-12)
	}
	var resampled, processor []float64
	for range *speed {
		before := processorSeconds(t)
		resampled = append(resampled, fourteenLabels(t))
		processor = append(processor, processorSeconds(t)-before)
	}
	row := func(what string, seconds []float64, ratio string) {
		slices.Sort(seconds)
		fmt.Printf("| %s | %.1f | %.1f–%.1f | %s |\n", what, 1000*seconds[len(seconds)/2], 1000*seconds[0], 1000*seconds[len(seconds)-1], ratio)
	}
	fmt.Printf("\nmedian of %d, AUCs in turns\n\n| what | ms | spread | against medprobe |\n|---|---|---|---|\n", *speed)
	pair := func(time string, ours, theirs []float64) {
		row("AUC of 100,000 scores with DeLong's interval, medprobe, "+time, ours, "1.00×")
		slices.Sort(theirs)
		row("AUC of 100,000 scores, scikit-learn's roc_auc_score, "+time, theirs, fmt.Sprintf("%.2f×", theirs[len(theirs)/2]/ours[len(ours)/2]))
	}
	pair("clock", ours, theirs)
	pair("processor", oursProcessor, theirsProcessor)
	row("2,000 resamples by patient, 14 labels of 10,000 images, clock", resampled, "")
	row("the same, all processors together", processor, "")
}

// processorSeconds returns the processor time of this process so far.
func processorSeconds(t *testing.T) float64 {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

// fourteenLabels returns the seconds of 2,000 resamples of 14 labels.
func fourteenLabels(t *testing.T) float64 {
	t.Helper()
	w := drawWorld(rand.New(rand.NewPCG(16, 0)), 5000, 2, true, 1, 0.5)
	start := time.Now()
	for range 14 {
		if _, err := (Bootstrap{}).AUC(t.Context(), w.a, w.labels, w.groups); err != nil {
			t.Fatal(err)
		}
	}
	return time.Since(start).Seconds()
}

// newAUCPeer starts scikit-learn and returns what asks it for an AUC and the
// seconds it took.
func newAUCPeer(t *testing.T, scores []float64, labels []bool) func(*testing.T) (auc, seconds, processor float64) {
	t.Helper()
	var data []byte
	for _, s := range scores {
		data = binary.LittleEndian.AppendUint64(data, math.Float64bits(s))
	}
	for _, positive := range labels {
		label := 0.0
		if positive {
			label = 1
		}
		data = binary.LittleEndian.AppendUint64(data, math.Float64bits(label))
	}
	path := filepath.Join(t.TempDir(), "scores.f64")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/usr/bin/python3", filepath.Join("..", "tools", "reference", "auc_speed.py"))
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
		t.Skip("no python3: ", err)
	}
	t.Cleanup(func() {
		in.Close()
		io.Copy(io.Discard, out)
		cmd.Wait()
	})
	answers := bufio.NewScanner(out)
	return func(t *testing.T) (auc, seconds, processor float64) {
		t.Helper()
		fmt.Fprintln(in, path)
		if !answers.Scan() {
			t.Skip("python3 has no scikit-learn")
		}
		if _, err := fmt.Sscan(answers.Text(), &auc, &seconds, &processor); err != nil {
			t.Fatal(err)
		}
		return auc, seconds, processor
	}
}
