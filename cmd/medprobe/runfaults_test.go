package main

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/internal/atomicfile"
	"github.com/medprobe/medprobe/internal/npy"
)

// killRuns: every file of a run is absent or whole, and a manifest is there only
// when all are.
func killRuns(k *killing, yaml, out string) {
	args := []string{"run", yaml, "--out", out}
	k.measure(args...)
	whole := k.files(out)
	for i := 0; k.more(); i++ {
		if i%2 == 0 { // else over what the last one left
			if err := os.RemoveAll(out); err != nil {
				k.t.Fatal(err)
			}
		}
		k.strike(args...)
		there := k.files(out)
		for name, b := range there {
			if !atomicfile.IsTemporary(filepath.Base(name)) && b != whole[name] {
				k.t.Errorf("%s of a killed run has %d bytes, which are not the %d of a whole one", name, len(b), len(whole[name]))
			}
		}
		if _, is := there["manifest.json"]; !is {
			continue
		}
		for name := range whole {
			if _, is := there[name]; !is {
				k.t.Errorf("there is a manifest, and no %s", name)
			}
		}
	}
	k.must(args...)
	nothingTemporary(k.t, out)
	k.done()
}

func killFits(k *killing, out string) {
	killFile(k, out, "fit", "--features", "X.npy", "--labels", "Y.csv", "--head", "logistic", "--out", out)
	k.must("predict", "--head", out, "--features", "X.npy", "--out", "S.csv")
}

func killReports(k *killing, run, out string) {
	killFile(k, out, "report", run, "--html", out)
	if page := k.files(out)["."]; !strings.HasSuffix(strings.TrimSpace(page), "</html>") {
		k.t.Errorf("%s ends with %.40q", out, page[max(0, len(page)-40):])
	}
}

// killFile: the one file that the command writes is absent or whole, and the command
// writes it afterwards.
func killFile(k *killing, out string, args ...string) {
	k.measure(args...)
	whole := k.files(out)
	for k.more() {
		if err := os.RemoveAll(out); err != nil {
			k.t.Fatal(err)
		}
		k.strike(args...)
		if there := k.files(out); len(there) > 0 && !maps.Equal(there, whole) {
			k.t.Errorf("%s of a killed %s has %d bytes, which are not the %d of a whole one", out, args[0], len(there["."]), len(whole["."]))
		}
	}
	k.must(args...)
	if !maps.Equal(k.files(out), whole) {
		k.t.Errorf("%s of the last %s is not that of the first", out, args[0])
	}
	k.done()
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
