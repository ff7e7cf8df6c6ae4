package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"github.com/medprobe/medprobe/internal/needs"
)

// Real images of every kind with bytes changed, and the hostile ones where there are
// any, through the command: it ends well within 4 GB of address space, and every file
// is embedded or failed.
func TestMutatedImagesThroughEmbed(t *testing.T) {
	needs.Time(t)
	t.Parallel()
	n := 300
	if *faults {
		n = 10_000
	}
	seeds, err := filepath.Glob(filepath.Join(needs.Root(t), "encoder", "testdata", "preprocess", "files", "*"))
	if err != nil || len(seeds) < 30 {
		t.Fatalf("%d files, %v", len(seeds), err)
	}
	hostile, err := filepath.Glob(filepath.Join(needs.Root(t), "..", "shared", "data", "hostile-images", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	dir, m := t.TempDir(), newMachine(t)
	random := rand.New(rand.NewPCG(11, 8))
	names := make([]string, n)
	for i := range names {
		seed := append(seeds, hostile...)[i%(len(seeds)+len(hostile))]
		data, err := os.ReadFile(seed)
		if err != nil {
			t.Fatal(err)
		}
		names[i] = fmt.Sprintf("%05d%s", i, filepath.Ext(seed))
		if err := os.WriteFile(filepath.Join(dir, names[i]), mutated(random, data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m.hasDemo()
	args := []string{"embed", table(t, dir, names), "--encoder", "demo", "--max-failures", "inf", "--json"}
	cmd := m.command(args...)
	cmd.Path, cmd.Args = "/bin/sh", append([]string{"sh", "-c", `ulimit -v 4194304 2>/dev/null; exec "$0" "$@"`, m.program}, args...)
	text, code := m.run(cmd)
	var e embedded
	if err := json.Unmarshal([]byte(text), &e); err != nil || code != exitOK {
		t.Fatalf("exit %d, %v: %.300s", code, err, text)
	}
	if e.Samples != n || e.Embedded+e.Cached+e.Failed != n || e.Embedded == 0 || e.Failed == 0 {
		t.Errorf("%+v of %d files", e, n)
	}
	t.Logf("measured: %d mutated images of %d seeds, %d of them hostile, in one process under 4 GB: %d embedded, %d cached, %d failed, 0 panics%s", n, len(seeds)+len(hostile), len(hostile), e.Embedded, e.Cached, e.Failed, peakOf(cmd))
}

func mutated(random *rand.Rand, data []byte) []byte {
	out := slices.Clone(data)
	for range 1 + random.IntN(6) {
		if len(out) == 0 {
			return out
		}
		at := random.IntN(len(out))
		if random.IntN(2) == 0 {
			at = min(at, random.IntN(100)) // headers are where it hurts
		}
		out[at] ^= byte(1 + random.IntN(255))
		if random.IntN(8) == 0 {
			out = out[:at]
		}
	}
	return out
}

// peakOf says how much memory a process that has ended held at most.
func peakOf(cmd *exec.Cmd) string {
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok || runtime.GOOS != "linux" {
		return ""
	}
	return fmt.Sprintf(", %d MB at most", usage.Maxrss>>10)
}
