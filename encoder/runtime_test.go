package encoder

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/medprobe/medprobe/internal/needs"
)

// A process loads one library, so each search runs in a process of its own:
// this test binary, started again.

type search struct {
	Found Runtime
	Tried []Tried
	Err   string
}

func TestMain(m *testing.M) {
	if explicit, ok := os.LookupEnv("TEST_FIND_RUNTIME"); ok {
		var s search
		var err error
		if s.Found, s.Tried, err = FindRuntime(explicit); err != nil {
			s.Err = err.Error()
		}
		if err := json.NewEncoder(os.Stdout).Encode(s); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m) // no test leaves a goroutine behind
}

// find searches in a process with the environment env, in an empty folder.
func find(t *testing.T, explicit string, env ...string) search {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// The empty variables hide what this machine has set.
	cmd := exec.Command(exe)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "MEDPROBE_ORT_LIB=", "ONNXRUNTIME_SHARED_LIBRARY_PATH=", "ORT_DYLIB_PATH=", "VIRTUAL_ENV=", "HOMEBREW_PREFIX=",
		"HOME="+cmd.Dir, "XDG_CACHE_HOME="+filepath.Join(cmd.Dir, "cache"), "TEST_FIND_RUNTIME="+explicit)
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("child: %v: %s", err, out)
	}
	var s search
	if err := json.Unmarshal(out, &s); err != nil {
		t.Fatalf("child: %v: %s", err, out)
	}
	return s
}

// oldLibrary builds a library that answers like ONNX Runtime 1.23.2: it has no
// API of the version that the bindings ask for.
func oldLibrary(t *testing.T, path string) {
	t.Helper()
	source := filepath.Join(t.TempDir(), "old.c")
	const text = `
static const void *get_api(unsigned int version) { return 0; }
static const char *get_version(void) { return "1.23.2"; }
static const struct { const void *(*api)(unsigned int); const char *(*version)(void); } base = {get_api, get_version};
const void *OrtGetApiBase(void) { return &base; }
`
	if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cc", "-shared", "-fPIC", "-o", path, source).CombinedOutput(); err != nil {
		t.Fatalf("cc: %v: %s", err, out)
	}
}

func realLibrary(t *testing.T) string {
	t.Helper()
	needRuntime(t)
	r, _, err := FindRuntime("")
	if err != nil {
		t.Fatal(err)
	}
	path, err := filepath.Abs(r.Path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestEachUnfitLibraryIsRefusedWithItsReason(t *testing.T) {
	t.Parallel()
	needs.System(t, "linux", "darwin") // it makes a shared library with cc
	dir := t.TempDir()
	text, old := filepath.Join(dir, "text.so"), filepath.Join(dir, "old.so")
	if err := os.WriteFile(text, []byte("not a library"), 0o600); err != nil {
		t.Fatal(err)
	}
	oldLibrary(t, old)
	for path, reason := range map[string]string{
		filepath.Join(dir, "absent.so"): "absent",
		dir:                             "a folder",
		text:                            "cannot be loaded: ",
		old:                             "too old: want ONNX Runtime 1.24",
	} {
		s := find(t, path)
		if len(s.Tried) != 1 || s.Tried[0].Path != path || !strings.Contains(s.Tried[0].Reason, reason) {
			t.Errorf("%s: tried %v: want it alone, with %q", path, s.Tried, reason)
		}
		if !strings.Contains(s.Err, reason) || !strings.Contains(s.Err, "make setup") {
			t.Errorf("%s: error %q: want the reason and the remedy", path, s.Err)
		}
	}
}

// After a missing, a broken and an old library the next one is still taken.
func TestSearchGoesOnAfterUnfitLibraries(t *testing.T) {
	t.Parallel()
	needs.System(t, "linux") // the names of the libraries are Linux's
	good := realLibrary(t)
	dir := t.TempDir()
	text := filepath.Join(dir, "text.so")
	if err := os.WriteFile(text, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	venv := filepath.Join(dir, "venv")
	capi := filepath.Join(venv, "lib", "python3.11", "site-packages", "onnxruntime", "capi")
	oldLibrary(t, filepath.Join(capi, "libonnxruntime.so.1.23.2"))
	s := find(t, "", "ONNXRUNTIME_SHARED_LIBRARY_PATH="+text, "ORT_DYLIB_PATH="+filepath.Join(dir, "gone.so"), "VIRTUAL_ENV="+venv)
	var order []string
	for _, tried := range s.Tried {
		switch tried.Path {
		case text, filepath.Join(dir, "gone.so"), filepath.Join(capi, "libonnxruntime.so.1.23.2"):
			order = append(order, filepath.Base(tried.Path))
		}
	}
	if !slices.Equal(order, []string{"text.so", "gone.so", "libonnxruntime.so.1.23.2"}) {
		t.Errorf("tried %v", s.Tried)
	}
	if err := os.Symlink(good, filepath.Join(capi, "libonnxruntime.so.1.30.0")); err != nil {
		t.Fatal(err)
	}
	if s := find(t, "", "VIRTUAL_ENV="+venv); s.Found.Path != filepath.Join(capi, "libonnxruntime.so.1.30.0") || minorOf(s.Found.Version) < minRuntime {
		t.Errorf("found %+v (tried %v): want the newer of the virtual environment", s.Found, s.Tried)
	}
}

// A library that was named for medprobe is the one to use, or none.
func TestNamedLibraryHasNoStandIn(t *testing.T) {
	t.Parallel()
	good := realLibrary(t)
	absent := filepath.Join(t.TempDir(), "absent.so")
	if s := find(t, absent, "ORT_DYLIB_PATH="+good); s.Found.Path != "" {
		t.Errorf("asked for %s, found %+v", absent, s.Found)
	}
	if s := find(t, "", "MEDPROBE_ORT_LIB="+absent, "ORT_DYLIB_PATH="+good); s.Found.Path != "" || !strings.Contains(s.Err, "absent") {
		t.Errorf("MEDPROBE_ORT_LIB=%s: found %+v", absent, s.Found)
	}
	if s := find(t, good, "MEDPROBE_ORT_LIB="+absent); s.Found.Path != good {
		t.Errorf("--ort-lib before MEDPROBE_ORT_LIB: %+v", s)
	}
}

func TestSecondLibraryInOneProcessIsRefused(t *testing.T) {
	t.Parallel()
	realLibrary(t)
	if _, _, err := FindRuntime("/elsewhere/libonnxruntime.so"); err == nil || !strings.Contains(err.Error(), "loaded already") {
		t.Errorf("%v", err)
	}
}

// The order of FACTS: variables, beside the program, cache, virtual
// environment, node_modules, Homebrew, /usr/local, the system.
func TestPlacesAreSearchedInOrder(t *testing.T) {
	needs.System(t, "linux") // the names of the folders are Linux's
	t.Setenv("MEDPROBE_ORT_LIB", "")
	t.Setenv("ONNXRUNTIME_SHARED_LIBRARY_PATH", "/a")
	t.Setenv("ORT_DYLIB_PATH", "/b")
	t.Setenv("XDG_CACHE_HOME", "/cache")
	t.Setenv("VIRTUAL_ENV", "/venv")
	t.Setenv("HOMEBREW_PREFIX", "/brew")
	paths := candidates("")
	at := 0
	for _, part := range []string{"/a", "/b", filepath.Dir(os.Args[0]), ".ort/", "/cache/medprobe/onnxruntime/", "/venv/lib/", "node_modules/onnxruntime-node/bin/napi-v6/linux/", "/brew/lib/", "/usr/local/lib/", "/usr/lib/"} {
		i := slices.IndexFunc(paths[at:], func(p string) bool { return strings.Contains(p, part) })
		if i < 0 {
			t.Fatalf("%q does not follow in its place in %q", part, paths)
		}
		at += i
	}
}

func TestVersionsAreComparedAsNumbers(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]bool{"1.24.0": true, "1.30.0": true, "1.9.0": false, "1.23.2": false, "2.0.1": true, "1.100": true, "": false, "x.y": false} {
		if got := minorOf(version) >= minRuntime; got != want {
			t.Errorf("%q: %v", version, got)
		}
	}
}
