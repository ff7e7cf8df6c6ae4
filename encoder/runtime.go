package encoder

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	ort "github.com/yalue/onnxruntime_go"
)

// minRuntime is the oldest ONNX Runtime whose API the bindings ask for, 1.24.
const minRuntime = 24

// Runtime is a loaded ONNX Runtime library.
type Runtime struct {
	Path    string `json:"path"`
	Version string `json:"version"`
}

// Tried is a place where the library was looked for and why it was not taken.
type Tried struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
}

// RuntimeError says that no library could be loaded.
type RuntimeError struct{ Tried []Tried }

func (e *RuntimeError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "encoder: no ONNX Runtime 1.%d or newer; run 'make setup' in medprobe's folder, or name the library with --ort-lib; tried:", minRuntime)
	for _, t := range e.Tried {
		fmt.Fprintf(&b, "\n  %s: %s", t.Path, t.Reason)
	}
	return b.String()
}

// loaded is the library of this process: the runtime allows only one.
var loaded struct {
	sync.Mutex
	runtime Runtime
	tried   []Tried
}

// FindRuntime loads the first acceptable ONNX Runtime library and returns it
// with the places that were tried before it. An explicit path, or else the one
// in MEDPROBE_ORT_LIB, is the only one tried: what was named for medprobe has no
// stand-in. Otherwise the order is: ONNXRUNTIME_SHARED_LIBRARY_PATH and
// ORT_DYLIB_PATH, which other programs use too; the folder of the program, .ort beside it and in the project;
// the user's cache folder; the active virtual environment; node_modules;
// Homebrew and /usr/local; the system's library folders. A process loads one
// library; later calls return it.
func FindRuntime(explicit string) (Runtime, []Tried, error) {
	loaded.Lock()
	defer loaded.Unlock()
	if loaded.runtime.Path != "" {
		if explicit != "" && !sameFile(explicit, loaded.runtime.Path) {
			return Runtime{}, nil, fmt.Errorf("encoder: ONNX Runtime %s is loaded already, %s cannot be too", loaded.runtime.Path, explicit)
		}
		return loaded.runtime, loaded.tried, nil
	}
	var tried []Tried
	for _, path := range candidates(explicit) {
		version, reason := load(path)
		if reason == "" {
			loaded.runtime, loaded.tried = Runtime{Path: path, Version: version}, tried
			return loaded.runtime, tried, nil
		}
		tried = append(tried, Tried{Path: path, Reason: reason})
	}
	return Runtime{}, tried, &RuntimeError{Tried: tried}
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// load loads the library, or says why not.
func load(path string) (version, reason string) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "", "absent"
	case err != nil:
		return "", err.Error()
	case info.IsDir():
		return "", "a folder; want the library in it"
	}
	abs, err := filepath.Abs(path) // a bare name would be looked up elsewhere
	if err != nil {
		return "", err.Error()
	}
	ort.SetSharedLibraryPath(abs)
	// Version 1.30 numbers the machine and makes a database of events, to be
	// sent to its makers, in the user's cache folder. That it is not to must
	// stand in the environment before it starts; told later, as below, it
	// collects nothing, but has made its files already.
	if err := os.Setenv("ORT_DISABLE_TELEMETRY", "1"); err != nil {
		return "", err.Error()
	}
	// What goes wrong comes back as an error; stderr is the command's.
	if err := ort.InitializeEnvironment(ort.WithLogLevelFatal()); err != nil {
		// The bindings ask for an API version; an older library has none.
		if strings.Contains(err.Error(), "API base") {
			return "", fmt.Sprintf("too old: want ONNX Runtime 1.%d or newer", minRuntime)
		}
		// The system's own words stand behind the last mention of the path.
		reason = strings.TrimSpace(err.Error())
		if i := strings.LastIndex(reason, abs+": "); i >= 0 {
			reason = reason[i+len(abs)+2:]
		}
		return "", "cannot be loaded: " + reason
	}
	version = ort.GetVersion()
	if minor := minorOf(version); minor < minRuntime {
		ort.DestroyEnvironment()
		return "", fmt.Sprintf("ONNX Runtime %s is too old: want 1.%d or newer", version, minRuntime)
	}
	// Older ones report usage on some platforms unless told not to.
	_ = ort.DisableTelemetry()
	return version, ""
}

func minorOf(version string) int {
	fields := strings.Split(version, ".")
	if len(fields) < 2 {
		return 0
	}
	major, err := strconv.Atoi(fields[0])
	if err != nil || major != 1 {
		return major * 1000
	}
	minor, _ := strconv.Atoi(fields[1])
	return minor
}

// candidates lists the paths to try in order. Patterns without a match stand
// for themselves, so that the list names every place looked at.
func candidates(explicit string) []string {
	if named := cmp.Or(explicit, os.Getenv("MEDPROBE_ORT_LIB")); named != "" {
		return []string{named}
	}
	var paths []string
	add := func(path string) {
		if path != "" && !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	for _, name := range []string{"ONNXRUNTIME_SHARED_LIBRARY_PATH", "ORT_DYLIB_PATH"} {
		add(os.Getenv(name))
	}
	for _, pattern := range patterns() {
		matches, err := filepath.Glob(pattern)
		if err != nil || len(matches) == 0 {
			add(pattern)
			continue
		}
		// The newest version last by name, so the highest is tried first.
		slices.Reverse(matches)
		for _, m := range matches {
			add(m)
		}
	}
	return paths
}

// platform is what the library and the folders are called here.
type platform struct{ library, npm, triplet string }

func thisPlatform() platform {
	arch := map[string]string{"amd64": "x64", "arm64": "arm64"}[runtime.GOARCH]
	switch runtime.GOOS {
	case "darwin":
		return platform{"libonnxruntime*.dylib", "darwin/" + arch, ""}
	case "windows":
		return platform{"onnxruntime.dll", "win32/" + arch, ""}
	}
	triplet := map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[runtime.GOARCH]
	return platform{"libonnxruntime.so*", "linux/" + arch, triplet}
}

func patterns() []string {
	p := thisPlatform()
	var found []string
	in := func(dirs ...string) {
		for _, dir := range dirs {
			found = append(found, filepath.Join(dir, p.library))
		}
	}
	if exe, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(exe); err == nil {
			exe = real
		}
		in(filepath.Dir(exe), filepath.Join(filepath.Dir(exe), "..", ".ort"))
	}
	if root := projectRoot(); root != "" {
		in(filepath.Join(root, ".ort"))
	}
	if cache, err := os.UserCacheDir(); err == nil {
		in(filepath.Join(cache, "medprobe", "onnxruntime"))
	}
	if venv := os.Getenv("VIRTUAL_ENV"); venv != "" {
		in(filepath.Join(venv, "lib", "python*", "site-packages", "onnxruntime", "capi"))
	}
	in(filepath.Join("node_modules", "onnxruntime-node", "bin", "napi-v6", filepath.FromSlash(p.npm)))
	if brew := os.Getenv("HOMEBREW_PREFIX"); brew != "" {
		in(filepath.Join(brew, "lib"))
	}
	if runtime.GOOS == "darwin" {
		in("/opt/homebrew/lib")
	}
	if runtime.GOOS != "windows" {
		in("/usr/local/lib")
	}
	if p.triplet != "" {
		in("/usr/lib/"+p.triplet, "/usr/lib64", "/usr/lib")
	}
	return found
}

// projectRoot returns the folder of medprobe's own source at or above the
// working directory, for tests and `go run`; empty anywhere else.
func projectRoot() string {
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for {
		if text, err := os.ReadFile(filepath.Join(dir, "go.mod")); err == nil {
			if first, _, _ := strings.Cut(string(text), "\n"); strings.TrimSpace(first) == "module github.com/medprobe/medprobe" {
				return dir
			}
			return ""
		}
		up := filepath.Dir(dir)
		if up == dir {
			return ""
		}
		dir = up
	}
}
