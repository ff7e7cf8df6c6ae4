package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"image"
	"image/png"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/medprobe/medprobe/internal/needs"
)

// faults asks for the full number of faults; make test-faults does.
var faults = flag.Bool("faults", false, "as many faults as make test-faults asks for")

// images writes n small images of different content, of which so many were there
// before, and returns their SPEC.
func images(t testing.TB, n int, before ...int) string {
	t.Helper()
	dir := t.TempDir()
	names := make([]string, n)
	for i := range names {
		number := i
		for _, more := range before {
			number += more
		}
		img := image.NewGray(image.Rect(0, 0, 64, 64))
		for k := range img.Pix {
			img.Pix[k] = uint8(k*(number%13+1) + number)
		}
		img.Pix[0], img.Pix[1] = uint8(number), uint8(number>>8)
		var b bytes.Buffer
		if err := png.Encode(&b, img); err != nil {
			t.Fatal(err)
		}
		names[i] = fmt.Sprintf("%04d.png", i)
		if err := os.WriteFile(filepath.Join(dir, names[i]), b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return table(t, dir, names)
}

// sound fails the test unless the cache is as it should be, and returns how many
// vectors it holds.
func (m *machine) sound(more ...string) int {
	m.Helper()
	var found struct {
		OK   bool
		Rows int
	}
	if err := json.Unmarshal([]byte(m.must(append(more, "cache", "check", "--read-data", "--json")...)), &found); err != nil || !found.OK {
		m.Fatalf("%+v, %v", found, err)
	}
	return found.Rows
}

func TestKilledAtAnyMoment(t *testing.T) {
	needs.Time(t)
	t.Parallel()
	kills, n := 12, 100
	if *faults {
		kills, n = 200, 500
	}
	spec := images(t, n)
	whole := newMachine(t)
	whole.hasDemo()
	start := time.Now()
	whole.embed(spec)
	// A kill may come at any time of what it takes here and now.
	most := max(800, int(time.Since(start).Milliseconds()))
	want := whole.vectors(spec)
	random := rand.New(rand.NewPCG(7, 7))
	partial, cut := 0, newMachine(t)
	cut.hasDemo()
	for k := range kills {
		if k%20 == 0 { // from the beginning again
			for _, part := range []string{"", "-wal", "-shm"} {
				os.Remove(filepath.Join(cut.home, "cache", "medprobe", "cache.db"+part))
			}
		}
		cut.kill(time.Duration(20+random.IntN(most-20))*time.Millisecond, os.Kill, "embed", spec, "--encoder", "demo", "--workers", "3")
		if _, err := os.Stat(filepath.Join(cut.home, "cache", "medprobe", "cache.db")); err != nil {
			continue // before there was one
		}
		if stored := cut.sound(); stored > 0 && stored < n {
			partial++
		}
	}
	if e := cut.embed(spec); e.Failed != 0 {
		t.Errorf("%+v", e)
	}
	if got := cut.vectors(spec); !slices.Equal(got, want) {
		t.Error("vectors differ from those of an uninterrupted run")
	}
	t.Logf("measured: %d kills of embed over %d images, %d of them in the middle: every check clean, every vector as uninterrupted", kills, n, partial)
}

// No image is encoded much more often than once, however often the work is killed.
func TestKillsCostWhatWasInFlight(t *testing.T) {
	needs.Time(t)
	t.Parallel()
	n := 100
	if *faults {
		n = 500
	}
	spec, m := images(t, n), newMachine(t)
	m.hasDemo()
	kills, encoded := 0, 0
	for through := false; !through; kills++ {
		var some int
		_, some, through = m.killAfter(3, spec)
		encoded += some
	}
	if most := n + (kills-1)*2*fillBatch; encoded < n || encoded > most {
		t.Errorf("%d images were encoded for %d, over %d kills: want at most %d", encoded, n, kills-1, most)
	}
	t.Logf("measured: %d images, %d kills: %d encoded", n, kills-1, encoded)
}

func TestFullDiskIsSaidAndGotOver(t *testing.T) {
	needs.Time(t)
	t.Parallel()
	spec := images(t, 300)
	full := func(t *testing.T, m *machine, script, cache string) {
		t.Helper()
		cmd := m.command()
		cmd.Path, cmd.Args = "/bin/sh", []string{"sh", "-c", script, m.program, spec, cache}
		text, code := m.run(cmd)
		if code != exitError || !strings.Contains(text, "no space") || !strings.Contains(text, filepath.Base(cache)) {
			t.Fatalf("exit %d, %s: want an error that names the file and says that there is no space", code, text)
		}
	}
	const embed = `"$0" embed "$1" --encoder demo --cache "$2"`
	t.Run("limit on files", func(t *testing.T) {
		m := newMachine(t)
		m.hasDemo()
		cache := filepath.Join(m.home, "small.db")
		full(t, m, "ulimit -f 2000; exec "+embed, cache) // blocks of 512 bytes, or of 1024
		stored := m.sound("--cache", cache)
		if stored == 0 || stored == 300 {
			t.Errorf("%d of 300 were stored: want it to be full in the middle", stored)
		}
		if e := m.embed(spec, "--cache", cache); e.Cached != stored || e.Failed != 0 {
			t.Errorf("%d vectors were stored, then %+v", stored, e)
		}
		t.Logf("measured: limit on the size of files: said; %d of 300 vectors were stored, and the rest after it", stored)
	})
	t.Run("small disk", func(t *testing.T) {
		m := newMachine(t)
		m.hasDemo()
		disk := filepath.Join(m.home, "disk")
		if err := os.Mkdir(disk, 0o700); err != nil {
			t.Fatal(err)
		}
		needs.Granted(t, "mount", exec.Command("mount", "-t", "tmpfs", "-o", "size=1200k", "tmpfs", disk).Run())
		defer func() {
			if out, err := exec.Command("umount", disk).CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		}()
		cache := filepath.Join(disk, "small.db")
		full(t, m, embed, cache)
		if out, err := exec.Command("mount", "-o", "remount,size=64m", disk).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		stored := m.sound("--cache", cache)
		if e := m.embed(spec, "--cache", cache); e.Cached != stored || e.Failed != 0 {
			t.Errorf("%d vectors were stored, then %+v", stored, e)
		}
		t.Logf("measured: disk of 1.2 MB: said; %d of 300 vectors were stored, and the rest when there was space", stored)
	})
}

// Many processes at once on one cache, and one that looks.
func TestCrowdOnOneCache(t *testing.T) {
	needs.Time(t)
	t.Parallel()
	processes, n := 4, 80
	if *faults {
		processes, n = 8, 400
	}
	spec, m := images(t, n), newMachine(t)
	m.hasDemo()
	m.must("embed", images(t, 1), "--encoder", "demo") // there is a cache to look at
	var crowd, looker sync.WaitGroup
	texts, codes := make([]string, processes), make([]int, processes)
	for i := range processes {
		crowd.Go(func() { texts[i], codes[i] = m.run(m.command("embed", spec, "--encoder", "demo")) })
	}
	done := make(chan struct{})
	looks := 0
	looker.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if text, code := m.run(m.command("cache", "stat", "--json")); code != exitOK {
				t.Errorf("stat beside the others: exit %d, %s", code, text)
			}
			looks++
		}
	})
	crowd.Wait()
	close(done)
	looker.Wait()
	for i, code := range codes {
		if code != exitOK || strings.Contains(texts[i], "locked") {
			t.Errorf("process %d: exit %d, %s", i, code, texts[i])
		}
	}
	if stored := m.sound(); stored != n {
		t.Errorf("%d vectors: want %d", stored, n)
	}
	t.Logf("measured: %d processes on %d images, %d looks meanwhile", processes, n, looks)
}
