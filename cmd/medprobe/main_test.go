package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/datasets/phantom"
	"github.com/medprobe/medprobe/encoder"
	"github.com/medprobe/medprobe/internal/needs"
	"github.com/medprobe/medprobe/internal/npy"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"medprobe": main, "medprobe-fill": fillAloud, "medprobe-profiled": profiled})
}

// library returns the ONNX Runtime library that the commands are to use.
func library(t testing.TB) string {
	t.Helper()
	rt, _, err := encoder.FindRuntime("")
	if err != nil {
		needs.Skip(t, err.Error())
	}
	return rt.Path
}

// phantoms returns a folder of the test's own with radiographs of 48 patients, half to
// train and half to test.
func phantoms(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	files, err := drawn()
	if err == nil {
		err = os.CopyFS(dir, files)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// drawn are the files of phantoms, which are drawn once for all tests.
var drawn = sync.OnceValues(func() (fs.FS, error) {
	return once(func(dir string) error {
		return phantom.WriteDataset(context.Background(), dir, phantom.Options{Seed: 11, Train: 24, Test: 24})
	})
})

// once lets fill make a folder and returns what is in it.
func once(fill func(dir string) error) (fs.FS, error) {
	dir, err := os.MkdirTemp("", "medprobe-test-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := fill(dir); err != nil {
		return nil, err
	}
	files := fstest.MapFS{}
	err = filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[filepath.ToSlash(name)] = &fstest.MapFile{Data: b, Mode: 0o644}
		return err
	})
	return files, err
}

// The scripts in testdata/script say what each command prints, where, and with
// which exit code. Each has a home, a cache and encoders of its own.
func TestCommands(t *testing.T) {
	t.Parallel()
	ort, images := library(t), phantoms(t)
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			home := filepath.Join(env.WorkDir, "home")
			env.Setenv("HOME", home)
			env.Setenv("XDG_CACHE_HOME", filepath.Join(home, "cache"))
			env.Setenv("XDG_CONFIG_HOME", filepath.Join(home, "config"))
			env.Setenv("MEDPROBE_ORT_LIB", ort)
			env.Setenv("ORT", ort)
			env.Setenv("PHANTOMS", images)
			env.Setenv("FORMATS", strings.Join(datasets.Formats(), ", "))
			env.Setenv("ROOT", needs.Root(t))
			return os.MkdirAll(home, 0o700)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "shape": shape, "json": jsonValue, "keys": keys, "npy": writeNpy, "same": same, "expand": expand, "copydir": copyDir, "accounted": accounted,
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// exits CODE COMMAND...: the command ends with the code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ARG...")
	}
	code := "0"
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		code = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if code != args[0] {
		ts.Fatalf("exit %s: want %s", code, args[0])
	}
}

// shape FILE N...: the array in an .npy file has this shape, and its values are
// finite.
func shape(ts *testscript.TestScript, neg bool, args []string) {
	a, err := npy.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := strings.Trim(fmt.Sprint(a.Shape), "[]"); (got == strings.Join(args[1:], " ")) == neg {
		ts.Fatalf("shape %s", got)
	}
	values, err := a.Float32()
	ts.Check(err)
	if i := slices.IndexFunc(values, func(v float32) bool { return v != v }); i >= 0 {
		ts.Fatalf("value %d is %v", i, values[i])
	}
}

// json FILE|stdout PATH VALUE: the value at the dotted path. VALUE may be a
// number's range, LOW..HIGH, or len=N for a list.
func jsonValue(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: json FILE PATH VALUE")
	}
	v := lookup(ts, args[0], args[1])
	if !matches(v, args[2]) {
		ts.Fatalf("%s is %v: want %s", args[1], v, args[2])
	}
}

// keys FILE|stdout PATH NAME...: the object at the dotted path, or the document
// itself for ".", has these keys and no others: what scripts rely on.
func keys(ts *testscript.TestScript, neg bool, args []string) {
	object, ok := lookup(ts, args[0], args[1]).(map[string]any)
	if neg || !ok {
		ts.Fatalf("%s is no object", args[1])
	}
	got, want := slices.Sorted(maps.Keys(object)), slices.Sorted(slices.Values(args[2:]))
	if !slices.Equal(got, want) {
		ts.Fatalf("%s has %q: want %q", args[1], got, want)
	}
}

// lookup returns what the only JSON document of a file holds at a dotted path.
func lookup(ts *testscript.TestScript, file, path string) any {
	decoder := json.NewDecoder(strings.NewReader(ts.ReadFile(file)))
	decoder.UseNumber()
	var v any
	ts.Check(decoder.Decode(&v))
	if decoder.More() {
		ts.Fatalf("more than one JSON document")
	}
	if path == "." {
		return v
	}
	for _, step := range strings.Split(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			var ok bool
			if v, ok = x[step]; !ok {
				ts.Fatalf("no key %q in %v", step, x)
			}
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(x) {
				ts.Fatalf("no element %q among %d", step, len(x))
			}
			v = x[i]
		default:
			ts.Fatalf("no %q in %v", step, v)
		}
	}
	return v
}

func matches(v any, want string) bool {
	if low, high, ok := strings.Cut(want, ".."); ok {
		number, isNumber := v.(json.Number)
		x, err1 := number.Float64()
		l, err2 := strconv.ParseFloat(low, 64)
		h, err3 := strconv.ParseFloat(high, 64)
		return isNumber && err1 == nil && err2 == nil && err3 == nil && l <= x && x <= h
	}
	if n, ok := strings.CutPrefix(want, "len="); ok {
		list, isList := v.([]any)
		return isList && strconv.Itoa(len(list)) == n
	}
	return fmt.Sprint(v) == want
}

// npy FILE D NUMBER...: writes a matrix with rows of D numbers.
func writeNpy(ts *testscript.TestScript, _ bool, args []string) {
	d, err := strconv.Atoi(args[1])
	ts.Check(err)
	var values []float32
	for _, arg := range args[2:] {
		x, err := strconv.ParseFloat(arg, 32)
		ts.Check(err)
		values = append(values, float32(x))
	}
	var b bytes.Buffer
	ts.Check(npy.Write(&b, []int{len(values) / d, d}, values))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b.Bytes(), 0o644))
}

// same DIR DIR: both hold the same files with the same bytes.
func same(ts *testscript.TestScript, neg bool, args []string) {
	a, b := tree(ts, args[0]), tree(ts, args[1])
	if maps.Equal(a, b) != neg && len(a) > 0 {
		return
	}
	for name := range a {
		if a[name] != b[name] {
			ts.Logf("%s differs", name)
		}
	}
	ts.Fatalf("%d and %d files", len(a), len(b))
}

func tree(ts *testscript.TestScript, dir string) map[string]string {
	files := map[string]string{}
	root := ts.MkAbs(dir)
	ts.Check(filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, root)] = string(data)
		return err
	}))
	return files
}

// expand FILE...: puts the values of environment variables into files.
func expand(ts *testscript.TestScript, _ bool, args []string) {
	for _, file := range args {
		ts.Check(os.WriteFile(ts.MkAbs(file), []byte(os.Expand(ts.ReadFile(file), ts.Getenv)), 0o644))
	}
}

// copydir FROM TO: copies a folder, to be changed.
func copyDir(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.CopyFS(ts.MkAbs(args[1]), os.DirFS(ts.MkAbs(args[0]))))
}

// accounted FILE|stdout FAILED: the samples of a report are its used, excluded
// and failed ones.
func accounted(ts *testscript.TestScript, _ bool, args []string) {
	number := func(v any) int {
		n, err := strconv.Atoi(fmt.Sprint(v))
		ts.Check(err)
		return n
	}
	sum := func(path string) (n int) {
		for _, part := range lookup(ts, args[0], path).([]any) {
			n += number(part.(map[string]any)["n"])
		}
		return n
	}
	samples, used := number(lookup(ts, args[0], "counts.samples")), number(lookup(ts, args[0], "counts.used"))
	excluded, failed := sum("counts.excluded"), sum("counts.failed")
	if used+excluded+failed != samples || fmt.Sprint(failed) != args[1] {
		ts.Fatalf("%d samples: %d used, %d excluded, %d failed", samples, used, excluded, failed)
	}
}
