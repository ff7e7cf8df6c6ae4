package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/embedcache"
	"github.com/medprobe/medprobe/encoder"
)

// machine runs medprobe as a process of its own, with a home of its own.
type machine struct {
	testing.TB
	home, program, ort string
}

func newMachine(t testing.TB) *machine {
	t.Helper()
	m := &machine{TB: t, home: t.TempDir(), ort: library(t)}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	m.program = filepath.Join(t.TempDir(), "medprobe") // TestMain goes by the name
	for _, name := range []string{m.program, m.program + "-fill"} {
		if err := os.Symlink(self, name); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// hasDemo gives the machine the encoder that comes with medprobe, imported once for all
// tests.
func (m *machine) hasDemo() {
	m.Helper()
	files, err := importedDemo()
	if err == nil {
		err = os.CopyFS(filepath.Join(m.home, "cache", "medprobe", "encoders"), files)
	}
	if err != nil {
		m.Fatal(err)
	}
}

var importedDemo = sync.OnceValues(func() (fs.FS, error) {
	return once(func(dir string) error { return importDemo(context.Background(), dir) })
})

func (m *machine) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(m.Context(), m.program, args...)
	cmd.Dir = m.home
	cmd.Env = append(os.Environ(), "HOME="+m.home, "XDG_CACHE_HOME="+filepath.Join(m.home, "cache"), "MEDPROBE_ORT_LIB="+m.ort, "MEDPROBE_CACHE=", "MEDPROBE_ENCODERS=", "XDG_CONFIG_HOME=", "MEDPROBE_REGISTRY=")
	return cmd
}

// must runs a command that must succeed and returns what it prints.
func (m *machine) must(args ...string) string {
	m.Helper()
	out, code := m.run(m.command(args...))
	if code != 0 {
		m.Fatalf("medprobe %s: exit %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// run returns standard output, or standard error where that is all there is,
// and the exit code; −1 for a process that died of a signal. A panic is never
// well.
func (m *machine) run(cmd *exec.Cmd) (string, int) {
	m.Helper()
	var stdout, stderr bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &stdout
	}
	cmd.Stderr = &stderr
	err := cmd.Run()
	if s := stderr.String(); strings.Contains(s, "panic:") || strings.Contains(s, "goroutine ") {
		m.Fatalf("medprobe %s:\n%s", strings.Join(cmd.Args[1:], " "), s)
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok && err != nil {
		m.Fatal(err)
	} else if ok {
		return stderr.String(), exit.ExitCode()
	}
	return stdout.String(), 0
}

type embedded struct{ Samples, Embedded, Cached, Failed int }

func (m *machine) embed(spec string, more ...string) embedded {
	m.Helper()
	var e embedded
	out := m.must(append([]string{"embed", spec, "--encoder", "demo", "--json"}, more...)...)
	if err := json.Unmarshal([]byte(out), &e); err != nil {
		m.Fatal(err)
	}
	if e.Samples != e.Embedded+e.Cached+e.Failed {
		m.Fatalf("%+v does not add up", e)
	}
	return e
}

func (m *machine) stored() int {
	m.Helper()
	var st struct{ Vectors int }
	if err := json.Unmarshal([]byte(m.must("cache", "stat", "--json")), &st); err != nil {
		m.Fatal(err)
	}
	return st.Vectors
}

// vectors reads the vectors of a dataset back from the machine's cache, where
// every one must be.
func (m *machine) vectors(spec string) []float32 {
	m.Helper()
	s, err := datasets.ParseSpec(spec)
	if err != nil {
		m.Fatal(err)
	}
	d, err := datasets.Open(m.Context(), s)
	if err != nil {
		m.Fatal(err)
	}
	defer d.Close()
	e, err := encoder.Open(filepath.Join(m.home, "cache", "medprobe", "encoders"), "demo", encoder.Options{Library: m.ort})
	if err != nil {
		m.Fatal(err)
	}
	defer e.Close()
	cache, err := embedcache.Open(m.Context(), filepath.Join(m.home, "cache", "medprobe", "cache.db"))
	if err != nil {
		m.Fatal(err)
	}
	defer cache.Close()
	filled, err := cache.Fill(m.Context(), d, e, embedcache.FillOptions{})
	if err != nil {
		m.Fatal(err)
	}
	if filled.Embedded > 0 {
		m.Fatalf("%d vectors are not in the cache", filled.Embedded)
	}
	x, err := cache.Matrix(m.Context(), embedcache.SpaceOf(e), filled.Keys)
	if err != nil {
		m.Fatal(err)
	}
	return x.Data
}

// kill starts a command and ends it by the signal after a while, and returns
// its exit code.
func (m *machine) kill(after time.Duration, signal os.Signal, args ...string) int {
	m.Helper()
	cmd := m.command(args...)
	if err := cmd.Start(); err != nil {
		m.Fatal(err)
	}
	time.Sleep(after)
	_ = cmd.Process.Signal(signal) // it may have ended
	_ = cmd.Wait()
	return cmd.ProcessState.ExitCode()
}

// fillAloud is embed, but it writes a line to standard output as soon as it
// takes samples for stored, where embed draws on a terminal now and then.
func fillAloud() {
	s := &settings{ui: &ui{out: os.Stdout, err: os.Stderr}}
	d, err := s.openDataset(context.Background(), os.Args[1])
	if err == nil {
		err = s.usingCache(context.Background(), "demo", "hf", func(e *encoder.Encoder, cache *embedcache.Cache) error {
			_, err := cache.Fill(context.Background(), d, loud{e}, embedcache.FillOptions{
				Batch: fillBatch, Progress: func(done, _ int) { fmt.Println(done) },
			})
			return err
		})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitError)
	}
}

// fillBatch is how many images fillAloud encodes at once.
const fillBatch = 4

// loud says how many images it is about to encode.
type loud struct{ *encoder.Encoder }

func (l loud) EncodePixels(ctx context.Context, pixels [][]float32) ([][]float32, error) {
	fmt.Println("encode", len(pixels))
	return l.Encoder.EncodePixels(ctx, pixels)
}

// killAfter kills a fillAloud when it has reported so many times, and returns the
// number in the last report it got out, how many images it was about to encode in
// all, and whether it was through by then.
func (m *machine) killAfter(reports int, spec string) (reported, encoded int, through bool) {
	m.Helper()
	cmd := m.command(spec)
	cmd.Path, cmd.Args[0] = m.program+"-fill", m.program+"-fill"
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		m.Fatal(err)
	}
	said := bufio.NewScanner(stdout)
	for n := 1; said.Scan(); { // to the end: what was in the pipe was said
		if count, ok := strings.CutPrefix(said.Text(), "encode "); ok {
			some, err := strconv.Atoi(count)
			if err != nil {
				m.Fatal(err)
			}
			encoded += some
			continue
		}
		if reported, err = strconv.Atoi(said.Text()); err != nil {
			m.Fatal(err)
		}
		if n == reports {
			_ = cmd.Process.Kill()
		}
		n++
	}
	_ = cmd.Wait()
	return reported, encoded, cmd.ProcessState.Success()
}
