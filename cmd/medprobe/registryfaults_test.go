package main

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/medprobe/medprobe/internal/atomicfile"
	"github.com/medprobe/medprobe/registry"
)

// A registry whose writers are killed at any moment holds whole versions only, an
// alias that points at one of them, and exports that are whole or not there.
func TestKilledRegistryIsOldOrNew(t *testing.T) {
	if testing.Short() {
		t.Skip("kills dozens of processes")
	}
	t.Parallel()
	m := newMachine(t)
	yaml := filepath.Join(m.home, "experiment.yaml")
	text := "data: {format: csv, path: " + filepath.Join(phantoms(t), "labels.csv") + ", labels: [effusion]}\nencoder: demo\nheads: [logistic]\nseed: "
	kills := 24
	if *faults {
		kills = 100
	}
	const runs = 6
	for seed := range runs {
		if err := os.WriteFile(yaml, []byte(text+string(rune('0'+seed))+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		m.must("run", yaml, "--out", filepath.Join(m.home, "run"+string(rune('0'+seed))))
	}
	dir := filepath.Join(m.home, "registry")
	list := func() []registry.Version {
		t.Helper()
		var versions []registry.Version
		if err := json.Unmarshal([]byte(m.must("registry", "--registry", dir, "list", "--json")), &versions); err != nil {
			t.Fatal(err)
		}
		return versions
	}
	// A kill may come at any time of what an add takes here and now.
	start := time.Now()
	m.must("registry", "--registry", filepath.Join(m.home, "whole"), "add", "cxr", "--run", filepath.Join(m.home, "run0"), "--head", "logistic")
	most := int(time.Since(start).Milliseconds()) * 3 / 2
	random := rand.New(rand.NewPCG(3, 4))
	added, left := 0, 0
	for i := range kills {
		after := time.Duration(10+random.IntN(most)) * time.Millisecond
		run := filepath.Join(m.home, "run"+string(rune('0'+i%runs)))
		switch i % 3 {
		case 0, 1:
			m.kill(after, os.Kill, "registry", "--registry", dir, "add", "cxr", "--run", run, "--head", "logistic")
		default:
			if added > 0 {
				out := filepath.Join(m.home, "out", "cxr")
				m.kill(after, os.Kill, "registry", "--registry", dir, "export", "cxr", "--format", "hf", "--out", out)
				if _, err := os.Stat(out); err == nil {
					for _, name := range []string{"README.md", "config.json", "head.safetensors", "model.onnx"} {
						if _, err := os.Stat(filepath.Join(out, name)); err != nil {
							t.Errorf("export after %v: %v", after, err)
						}
					}
				}
				if err := os.RemoveAll(out); err != nil {
					t.Fatal(err)
				}
				m.kill(after, os.Kill, "registry", "--registry", dir, "alias", "cxr", "champion", "1")
			}
		}
		versions := list()
		if len(versions) < added {
			t.Fatalf("%d versions after a kill, %d before", len(versions), added)
		}
		added = len(versions)
		// What a kill leaves is named, and no damage.
		var v registry.Verification
		if out := m.must("registry", "--registry", dir, "verify", "--json"); json.Unmarshal([]byte(out), &v) != nil || !v.OK {
			t.Fatalf("after %v: %s", after, out)
		}
		left += len(v.Hints)
		m.must("registry", "--registry", dir, "gc")
		m.must("registry", "--registry", dir, "verify")
	}
	if added == 0 {
		t.Error("no kill came late enough to let a version in")
	}
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && atomicfile.IsTemporary(entry.Name()) {
			t.Errorf("%s is left behind", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("measured: %d kills of add, export and alias: %d whole versions, %d files left over, all of them named and swept", kills, added, left)
}
