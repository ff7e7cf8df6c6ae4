package datasets

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/internal/turns"
)

// writeCheXpert writes a table as large as CheXpert's train.csv: 223,414 images
// and 14 findings.
func writeCheXpert(t *testing.T) Spec {
	t.Helper()
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "train.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	fmt.Fprintln(w, "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,Edema,Consolidation,Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices")
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 223_414 {
		fmt.Fprintf(w, "CheXpert-v1.0-small/train/patient%05d/study%d/view1_frontal.jpg,Male,%d,Frontal,AP", i*64_540/223_414, i%4+1, 18+random.IntN(72))
		for range 14 {
			w.WriteString([]string{",", ",", ",", ",0.0", ",1.0", ",-1.0"}[random.IntN(6)])
		}
		w.WriteByte('\n')
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return Spec{Format: "chexpert", Path: dir}
}

// TestSpeed notes how long a table as large as CheXpert's takes, and the digests
// of many files beside coreutils' program.
func TestSpeed(t *testing.T) {
	rounds := turns.Rounds(t)
	spec := writeCheXpert(t)
	const table = "a table of 223,414 images and 14 findings: "
	inspect := turns.Take(rounds, turns.Seconds(t, func() error {
		d, err := Open(t.Context(), spec)
		if err != nil {
			return err
		}
		Inspect(d)
		d.LookForFiles()
		return d.Close()
	}))
	turns.Note(t, turns.Line{Work: table + "inspect", Unit: "s", Ours: inspect[0], Goal: turns.Goal{Most: 2}})
	if most, ok := peakMemory(t); ok {
		turns.Note(t, turns.Line{Work: table + "most memory of the process meanwhile", Unit: "MB", Ours: []float64{most}, Goal: turns.Goal{Most: 300}})
	}
	d, err := Open(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	split := turns.Take(rounds, turns.Seconds(t, func() error {
		_, err := Split(d, []Part{{"train", .7}, {"validation", .1}, {"test", .2}}, 0)
		return err
	}))
	turns.Note(t, turns.Line{Work: table + "split by patient", Unit: "s", Ours: split[0], Goal: turns.Goal{Most: 3}})
}

// peakMemory returns the most memory this process has held, in MB.
func peakMemory(t *testing.T) (megabytes float64, ok bool) {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(status)) {
		if figure, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			if _, err := fmt.Sscan(figure, &megabytes); err != nil {
				t.Fatal(err)
			}
			return megabytes / 1000, true
		}
	}
	return 0, false
}

// TestDigestSpeed notes how long the digests of a folder's files take, in turns
// with sha256sum in as many processes as there are processors.
func TestDigestSpeed(t *testing.T) {
	rounds := turns.Rounds(t)
	const files, size = 20_000, 40_000
	dir := t.TempDir()
	random := rand.NewChaCha8([32]byte{7})
	data := make([]byte, size)
	var names, table strings.Builder
	table.WriteString("path,y\n")
	for i := range files {
		name := fmt.Sprintf("%05d.png", i)
		_, _ = random.Read(data) // it has no error to tell
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&table, "%s,%d\n", name, i%2)
		fmt.Fprintln(&names, name)
	}
	if err := os.WriteFile(filepath.Join(dir, "labels.csv"), []byte(table.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := Open(t.Context(), Spec{Format: "csv", Path: filepath.Join(dir, "labels.csv"), Labels: []string{"y"}})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var peer func() float64
	if _, err := exec.LookPath("sha256sum"); err == nil {
		peer = turns.Seconds(t, func() error {
			cmd := exec.CommandContext(t.Context(), "xargs", "-P", fmt.Sprint(runtime.GOMAXPROCS(0)), "-n", "500", "sha256sum")
			cmd.Dir, cmd.Stdin = dir, strings.NewReader(names.String())
			return cmd.Run()
		})
	}
	took := turns.Take(rounds, turns.Seconds(t, func() error {
		_, problems, err := ReadContents(t.Context(), d, ContentOptions{})
		if err == nil && len(problems) > 0 {
			err = fmt.Errorf("%v", problems[0])
		}
		return err
	}), peer)
	turns.Note(t, turns.Line{Work: fmt.Sprintf("digests of %d files of %d kB", files, size/1000), Unit: "s", Ours: took[0], Peer: "sha256sum, one process a processor", Theirs: took[1]})
}
