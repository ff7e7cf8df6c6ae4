package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/embedcache"
	"github.com/medprobe/medprobe/encoder"
	"github.com/medprobe/medprobe/internal/needs"
)

// state is what a process holds: its own memory, without files that are mapped, which
// grow with the cache; goroutines; open files.
type state struct{ kB, goroutines, files int }

// most is each of the two, whichever is more.
func (s state) most(o state) state {
	return state{max(s.kB, o.kB), max(s.goroutines, o.goroutines), max(s.files, o.files)}
}

func stateNow(t testing.TB) (s state) {
	t.Helper()
	debug.FreeOSMemory()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte("RssAnon:")); ok {
			if _, err := fmt.Sscanf(string(rest), "%d kB", &s.kB); err != nil {
				t.Fatal(err)
			}
		}
	}
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	s.goroutines, s.files = runtime.NumGoroutine(), len(open)
	return s
}

// One process embeds and searches for long, as a notebook does: in the end it holds no
// more than it did at some time of the first half. Not parallel, since it counts what
// is the process's.
func TestSoak(t *testing.T) {
	needs.Time(t)
	rounds, each, searches := 10, 60, 100
	if *faults {
		rounds, each, searches = 20, 500, 1000
	}
	m := newMachine(t)
	m.hasDemo()
	e, err := encoder.Open(filepath.Join(m.home, "cache", "medprobe", "encoders"), "demo", encoder.Options{Library: m.ort})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	cache, err := embedcache.Open(t.Context(), filepath.Join(m.home, "soak.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	embedded := 0
	embed := func(round int) {
		t.Helper()
		spec, err := datasets.ParseSpec(images(t, each, round*each))
		if err != nil {
			t.Fatal(err)
		}
		d, err := datasets.Open(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		filled, err := cache.Fill(t.Context(), d, e, embedcache.FillOptions{})
		if err != nil {
			t.Fatal(err)
		}
		embedded += filled.Embedded
	}
	search := func(i int) {
		t.Helper()
		vectors, err := e.EncodeTexts(t.Context(), []string{fmt.Sprint("finding ", i)})
		if err != nil {
			t.Fatal(err)
		}
		hits, err := cache.Search(t.Context(), embedcache.SpaceOf(e), embedcache.Query{Vector: vectors[0], K: 10})
		if err != nil || len(hits) != 10 {
			t.Fatalf("search %d: %d hits, %v", i, len(hits), err)
		}
	}
	half := func(n int, do func(int)) (before, then state) {
		for i := range n / 2 {
			if do(i); i%(n/10) == n/10-1 { // now and then: looking takes long
				before = before.most(stateNow(t))
			}
		}
		for i := n / 2; i < n; i++ {
			do(i)
		}
		return before, stateNow(t)
	}
	before, middle := half(rounds, embed)
	if embedded != rounds*each {
		t.Errorf("%d embedded: want %d", embedded, rounds*each)
	}
	first, last := half(searches, search)
	noise := 4096.0 // kB
	if *faults {
		noise = 0
	}
	for _, c := range []struct {
		of           string
		before, then state
	}{{"embedding", before, middle}, {"searching", first, last}} {
		if float64(c.then.kB) > 1.05*float64(c.before.kB)+noise || c.then.goroutines > c.before.goroutines || c.then.files > c.before.files {
			t.Errorf("%s: %+v became %+v", c.of, c.before, c.then)
		}
	}
	t.Logf("measured: %d embeds, after the second half: %s; %d searches: %s", embedded, change(before, middle), searches, change(first, last))
}

func change(a, b state) string {
	return fmt.Sprintf("memory %+.1f %% of the %d MB of the first half, goroutines %+d, open files %+d", 100*float64(b.kB-a.kB)/float64(a.kB), a.kB>>10, b.goroutines-a.goroutines, b.files-a.files)
}
