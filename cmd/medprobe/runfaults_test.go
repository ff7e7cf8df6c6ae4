package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/medprobe/medprobe/internal/npy"
)

// A run, a head and a page whose writers are killed at any moment are absent or whole,
// and the same command writes them afterwards.
func TestKilledRunIsWholeOrAbsent(t *testing.T) {
	if testing.Short() {
		t.Skip("kills dozens of processes")
	}
	t.Parallel()
	kills := 24
	if *faults {
		kills = 100
	}
	m := newMachine(t)
	yaml, run := filepath.Join(m.home, "experiment.yaml"), filepath.Join(m.home, "run")
	text := "data: {format: csv, path: " + filepath.Join(phantoms(t), "labels.csv") + ", labels: [effusion]}\nencoder: demo\nheads: [logistic]\ncurve: {shots: [2], draws: 2}\n"
	if err := os.WriteFile(yaml, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	writeProblem(t, m.home)
	steps := []struct {
		out   string
		args  []string
		whole func(path string) error
	}{
		{run, []string{"run", yaml, "--out", run}, wholeRun},
		{filepath.Join(m.home, "head.safetensors"), []string{"fit", "--features", "X.npy", "--labels", "Y.csv", "--head", "logistic", "--out", "head.safetensors"}, func(path string) error {
			if text, code := m.run(m.command("predict", "--head", path, "--features", "X.npy", "--out", "S.csv")); code != exitOK {
				return fmt.Errorf("predict: exit %d: %s", code, text)
			}
			return nil
		}},
		{filepath.Join(m.home, "page.html"), []string{"report", run, "--html", "page.html"}, func(path string) error {
			page, err := os.ReadFile(path)
			if err == nil && !bytes.HasSuffix(bytes.TrimSpace(page), []byte("</html>")) {
				err = fmt.Errorf("%s ends with %.40q", path, page[max(0, len(page)-40):])
			}
			return err
		}},
	}
	// A kill may come at any time of what a command takes here and now.
	most := make([]int, len(steps))
	for i, step := range steps {
		start := time.Now()
		m.must(step.args...)
		most[i] = int(time.Since(start).Milliseconds()) * 5 / 4
	}
	random := rand.New(rand.NewPCG(5, 6))
	whole, absent := 0, 0
	for k := range kills {
		i := k % len(steps)
		step := steps[i]
		if i == 2 { // a page is of a run
			m.must(steps[0].args...)
		} else if err := os.RemoveAll(step.out); err != nil {
			t.Fatal(err)
		}
		m.kill(time.Duration(10+random.IntN(most[i]))*time.Millisecond, os.Kill, step.args...)
		if _, err := os.Stat(step.out); err != nil {
			absent++
		} else if err := step.whole(step.out); err != nil {
			t.Errorf("kill %d, of %s: %v", k, step.args[0], err)
		} else {
			whole++
		}
	}
	for _, step := range steps {
		m.must(step.args...)
		if err := step.whole(step.out); err != nil {
			t.Errorf("%s in the end: %v", step.args[0], err)
		}
	}
	t.Logf("measured: %d kills of run, fit and report: %d times the target was absent or without a manifest, or else whole (%d); 0 torn", kills, absent, whole)
}

// wholeRun returns an error if a run's folder has a manifest and its files are not
// those that this names.
func wholeRun(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		return nil // it is not a run yet, and nobody takes it for one
	}
	var manifest struct{ Files map[string]string }
	if err := json.Unmarshal(text, &manifest); err != nil || len(manifest.Files) < 3 {
		return fmt.Errorf("manifest.json: %d files, %w", len(manifest.Files), err)
	}
	for name, want := range manifest.Files {
		content, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		if got := fmt.Sprintf("%x", sha256.Sum256(content)); got != want {
			return fmt.Errorf("%s has digest %.12s, the manifest says %.12s", name, got, want)
		}
	}
	return nil
}

// writeProblem writes X.npy and Y.csv, which a head can be fitted to.
func writeProblem(t testing.TB, dir string) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 1))
	const n, d = 600, 64
	x, y := make([]float32, n*d), strings.Builder{}
	y.WriteString("effusion\n")
	for i := range n {
		for j := range d {
			x[i*d+j] = float32(random.NormFloat64())
		}
		x[i*d] += float32(i % 2)
		fmt.Fprintln(&y, i%2)
	}
	var b bytes.Buffer
	if err := npy.Write(&b, []int{n, d}, x); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"X.npy": b.Bytes(), "Y.csv": []byte(y.String())} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
