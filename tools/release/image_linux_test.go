package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/medprobe/medprobe/internal/needs"
)

var imageRoot = flag.String("image-root", "", "folder with a bare Debian (debootstrap), in which TestImage takes the steps of the Dockerfile's last stage")

// step is an instruction of a Dockerfile and what follows it.
type step struct{ does, text string }

// lastStage returns the steps after the last FROM. The stage before makes the
// program by make setup build, which needs no check of its own.
func lastStage(dockerfile string) []step {
	var lines []string
	for line := range strings.Lines(dockerfile) {
		if !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	var steps []step
	for line := range strings.Lines(strings.ReplaceAll(strings.Join(lines, ""), "\\\n", " ")) {
		does, text, ok := strings.Cut(strings.TrimSpace(line), " ")
		if does == "FROM" {
			steps = nil
		}
		if ok {
			steps = append(steps, step{does, strings.TrimSpace(text)})
		}
	}
	return steps
}

// image is a container image in the making, below a folder.
type image struct {
	*testing.T
	root, user, workdir string
	env                 map[string]string
	entry, cmd          []string
}

// take takes one step.
func (m *image) take(s step) {
	m.Helper()
	m.Logf("%s %s", s.does, s.text)
	switch s.does {
	case "FROM":
		if s.text != "debian:bookworm-slim" {
			m.Fatalf("FROM %s: the folder holds bookworm", s.text)
		}
	case "RUN":
		if out, err := m.command("/bin/sh", "-c", s.text).CombinedOutput(); err != nil {
			m.Fatalf("%v\n%s", err, out)
		}
	case "COPY":
		m.copy(strings.Fields(s.text))
	case "ENV":
		for _, pair := range strings.Fields(s.text) {
			name, value, _ := strings.Cut(pair, "=")
			m.env[name] = os.Expand(value, func(name string) string { return m.env[name] })
		}
	case "USER":
		m.user = s.text
	case "WORKDIR":
		m.workdir = s.text
	case "ENTRYPOINT", "CMD":
		words := &m.entry
		if s.does == "CMD" {
			words = &m.cmd
		}
		if err := json.Unmarshal([]byte(s.text), words); err != nil {
			m.Fatal(err)
		}
	case "VOLUME":
	default:
		m.Fatalf("%s: the test knows no such step", s.does)
	}
}

// copy copies files that the first stage makes below /src, or that lie in the
// project, into the folder that comes last.
func (m *image) copy(words []string) {
	m.Helper()
	if words[0] == "--from=build" {
		words = words[1:]
	}
	to := filepath.Join(m.root, words[len(words)-1])
	if err := os.MkdirAll(to, 0o755); err != nil {
		m.Fatal(err)
	}
	for _, name := range words[:len(words)-1] {
		name = strings.TrimPrefix(name, "/src/")
		from, err := os.Open(filepath.Join("..", "..", name))
		if err != nil {
			m.Fatal(err, "; make setup build makes it")
		}
		defer from.Close()
		info, err := from.Stat()
		if err != nil {
			m.Fatal(err)
		}
		dst, err := os.OpenFile(filepath.Join(to, path.Base(name)), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, info.Mode().Perm())
		if err != nil {
			m.Fatal(err)
		}
		if _, err := io.Copy(dst, from); err != nil {
			m.Fatal(err)
		}
		if err := dst.Close(); err != nil {
			m.Fatal(err)
		}
	}
}

// command is a command line in the image, by the user of the steps so far.
func (m *image) command(words ...string) *exec.Cmd {
	m.Helper()
	cmd := exec.CommandContext(m.Context(), words[0], words[1:]...)
	cmd.Err = nil // looked for inside
	cmd.Dir = m.workdir
	for _, name := range slices.Sorted(maps.Keys(m.env)) {
		cmd.Env = append(cmd.Env, name+"="+m.env[name])
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: m.root}
	if user, group, ok := strings.Cut(m.user, ":"); ok {
		uid, err := strconv.ParseUint(user, 10, 32)
		gid, err2 := strconv.ParseUint(group, 10, 32)
		if err != nil || err2 != nil {
			m.Fatalf("USER %s: want numbers", m.user)
		}
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	return cmd
}

// The steps of the Dockerfile, taken in a bare Debian, leave a program that an
// account without rights runs, and that finds its library.
func TestImage(t *testing.T) {
	needs.Asked(t, *imageRoot != "", "a bare Debian, as root: debootstrap --variant=minbase bookworm ROOT; mount -t proc proc ROOT/proc (the program looks there for its own folder); go test ./tools/release -run Image -image-root ROOT")
	text, err := os.ReadFile(filepath.Join("..", "..", "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	m := &image{T: t, root: *imageRoot, workdir: "/", env: map[string]string{"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}}
	for _, s := range lastStage(string(text)) {
		m.take(s)
	}
	if m.user == "" || strings.HasPrefix(m.user, "0") || strings.HasPrefix(m.user, "root") {
		t.Errorf("USER %q: want one without rights", m.user)
	}
	program, _, _ := strings.Cut(m.env["PATH"], ":")
	medprobe := func(args ...string) string {
		out, err := m.command(append([]string{path.Join(program, m.entry[0])}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("medprobe %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	if out := medprobe(m.cmd...); !strings.Contains(out, "medprobe demo") {
		t.Errorf("the image by itself prints %q", out)
	}
	if out := medprobe("doctor"); !strings.Contains(out, program+"/libonnxruntime") {
		t.Errorf("the library beside the program is not found:\n%s", out)
	}
	t.Log(medprobe("demo", "--out", "/cache/demo"))
	for _, name := range []string{"cache/demo/run/report.html", "cache/medprobe/cache.db"} {
		info, err := os.Stat(filepath.Join(m.root, name))
		if err != nil {
			t.Error(err)
			continue
		}
		if owner := fmt.Sprint(info.Sys().(*syscall.Stat_t).Uid); !strings.HasPrefix(m.user, owner+":") {
			t.Errorf("%s belongs to %s, want %s", name, owner, m.user)
		}
	}
}

func TestLastStageOfADockerfile(t *testing.T) {
	t.Parallel()
	got := lastStage("FROM a AS build\nRUN first\n\n# a word\nFROM b\nRUN x \\\n\t&& y \\\n\t&& z\nUSER 1:1\n")
	want := []step{{"FROM", "b"}, {"RUN", "x  \t&& y  \t&& z"}, {"USER", "1:1"}}
	if !slices.Equal(got, want) {
		t.Errorf("steps %q, want %q", got, want)
	}
}
