package main

import (
	"encoding/binary"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// guest lets a command run as a user who may not write what root and this user wrote;
// root may write anywhere.
func guest(t *testing.T, m *machine, args ...string) *exec.Cmd {
	t.Helper()
	cmd := m.command(args...)
	if os.Geteuid() != 0 {
		return cmd
	}
	// What Go makes for tests is for root only.
	dir, err := os.MkdirTemp("", "medprobe-guest-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	library := filepath.Join(dir, "libonnxruntime.so")
	for from, to := range map[string]string{m.program: filepath.Join(dir, "medprobe"), m.ort: library} {
		copyExecutable(t, from, to)
	}
	cmd.Path, cmd.Dir, cmd.Env = filepath.Join(dir, "medprobe"), dir, append(cmd.Env, "HOME=/nonexistent", "MEDPROBE_ORT_LIB="+library)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	return cmd
}

func copyExecutable(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// A registry in a folder that may not be written, and an export into one: an error
// that names the file, and nothing is changed or left.
func TestReadOnlyRegistry(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	dir := registryOfOne(t, m)
	shut := func(root string) {
		t.Helper()
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Chmod(path, map[bool]os.FileMode{true: 0o555, false: 0o444}[entry.IsDir()])
		})
		if err != nil {
			t.Fatal(err)
		}
		// The folders above are the tests' own.
		for up := filepath.Dir(root); up != filepath.Clean(os.TempDir()) && up != "/"; up = filepath.Dir(up) {
			if err := os.Chmod(up, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	shut(dir)
	t.Cleanup(func() { exec.Command("chmod", "-R", "u+w", dir).Run() })
	for _, args := range [][]string{{"list"}, {"alias", "cxr", "champion", "1"}, {"gc"}} {
		out, code := m.run(guest(t, m, append([]string{"registry", "--registry", dir}, args...)...))
		if code != 1 || !strings.Contains(out, "registry.db") || !strings.Contains(out, "permission denied") {
			t.Errorf("%s in a read-only folder: exit %d, %s", args, code, out)
		}
	}
	out, code := m.run(guest(t, m, "registry", "--registry", filepath.Join(dir, "new"), "list"))
	if code != 1 || !strings.Contains(out, "permission denied") {
		t.Errorf("a new registry in a read-only folder: exit %d, %s", code, out)
	}
	if _, err := os.Stat(filepath.Join(dir, "new")); err == nil {
		t.Error("a folder is left in the read-only one")
	}
}

// registryOfOne returns the folder of a registry with one version, cxr@1.
func registryOfOne(t *testing.T, m *machine) string {
	t.Helper()
	yaml := filepath.Join(m.home, "experiment.yaml")
	text := "data: {format: csv, path: " + filepath.Join(phantoms(t), "labels.csv") + ", labels: [effusion]}\nencoder: demo\nheads: [logistic]\ncurve: {shots: [1], draws: 1}\n"
	if err := os.WriteFile(yaml, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	dir, run := filepath.Join(m.home, "registry"), filepath.Join(m.home, "run")
	m.must("run", yaml, "--out", run)
	m.must("registry", "--registry", dir, "add", "cxr", "--run", run, "--head", "logistic")
	return dir
}

// A registry of a medprobe to come is refused and left as it is; objects that are
// damaged or gone are named by whatever needs them.
func TestDamagedAndNewerRegistry(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	dir := registryOfOne(t, m)
	in := func(args ...string) (string, int) {
		return m.run(m.command(append([]string{"registry", "--registry", dir}, args...)...))
	}
	var objects []string
	err := filepath.WalkDir(filepath.Join(dir, "objects"), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			objects = append(objects, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range objects {
		whole, err := os.ReadFile(object)
		if err != nil {
			t.Fatal(err)
		}
		for want, damage := range map[string]func() error{
			"was changed or damaged": func() error {
				changed := append([]byte{whole[0] ^ 1}, whole[1:]...)
				return os.WriteFile(object, changed, 0o600)
			},
			"is missing":  func() error { return os.Remove(object) },
			"bytes, want": func() error { return os.WriteFile(object, whole[:len(whole)/2], 0o600) },
		} {
			if err := damage(); err != nil {
				t.Fatal(err)
			}
			if out, code := in("verify"); code != 1 {
				t.Errorf("verify of an object that %s: exit %d, %s", want, code, out)
			}
			out := filepath.Join(m.home, "out.tar")
			if text, code := in("export", "cxr", "--format", "bundle", "--out", out); code != 1 || !strings.Contains(text, want) {
				t.Errorf("bundle with an object that %s: exit %d, %s", want, code, text)
			}
			if _, err := os.Stat(out); err == nil {
				t.Errorf("a bundle with an object that %s is written", want)
			}
		}
		if err := os.WriteFile(object, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, code := in("verify"); code != 0 {
		t.Errorf("healed: exit %d, %s", code, out)
	}
	// The schema's number is in the header of an SQLite file.
	db := filepath.Join(dir, "registry.db")
	before, err := os.ReadFile(db)
	if err != nil {
		t.Fatal(err)
	}
	binary.BigEndian.PutUint32(before[60:], 99)
	if err := os.WriteFile(db, before, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"list"}, {"gc"}, {"alias", "cxr", "champion", "1"}, {"rm", "cxr@1"}} {
		if out, code := in(args...); code != 1 || !strings.Contains(out, "schema 99") || !strings.Contains(out, "upgrade medprobe") {
			t.Errorf("%s in a newer registry: exit %d, %s", args, code, out)
		}
	}
	if after, err := os.ReadFile(db); err != nil || string(after) != string(before) {
		t.Errorf("the newer registry was changed (%v)", err)
	}
}
