package main

import (
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/medprobe/medprobe/internal/atomicfile"
	"github.com/medprobe/medprobe/internal/needs"
	"github.com/medprobe/medprobe/registry"
)

// killing is a command that is killed again and again, at any moment.
type killing struct {
	*machine
	t *testing.T
	// whole is about what the command takes. It follows what kills find, for the
	// machine may be busy at one time and idle at another.
	whole  time.Duration
	random *rand.Rand
	// enough is how many are to be killed at work, a hundred by make test-faults.
	enough int
	// struck is how many were killed at work, ended how many were through before.
	struck, ended int
}

func killingOf(t *testing.T, m *machine, seed uint64, enough int) *killing {
	own := *m
	own.TB = t
	if *faults {
		enough = 100
	}
	return &killing{machine: &own, t: t, random: rand.New(rand.NewPCG(3, seed)), enough: enough}
}

// more says whether to kill once more, until enough were killed at work.
func (k *killing) more() bool {
	return k.struck < k.enough && k.ended < 20+4*k.enough
}

// measure runs the command undisturbed.
func (k *killing) measure(args ...string) {
	k.t.Helper()
	start := time.Now()
	k.must(args...)
	k.whole = time.Since(start)
}

// strike starts the command and kills it.
func (k *killing) strike(args ...string) {
	k.t.Helper()
	after := time.Duration(float64(k.whole) * (0.1 + k.random.Float64()))
	if k.kill(after, os.Kill, args...) == -1 {
		k.struck++
		k.whole = k.whole * 21 / 20
	} else {
		k.ended++
		k.whole = k.whole * 17 / 20
	}
}

// done says what came of it; kills that come too late show nothing.
func (k *killing) done() {
	k.t.Helper()
	k.t.Logf("measured: %s: %d killed at work, %d were through; nothing half", path.Base(k.t.Name()), k.struck, k.ended)
	if k.struck < 3 {
		k.t.Error("the kills came too late")
	}
}

// open opens a registry that a kill may have touched, which must be whole, and
// removes what no version has.
func (k *killing) open(dir string) *registry.Registry {
	k.t.Helper()
	r, err := registry.Open(k.t.Context(), dir)
	if err != nil {
		k.t.Fatal(err)
	}
	check := func() *registry.Verification {
		v, err := r.Verify(k.t.Context(), registry.Reference{})
		if err != nil || !v.OK {
			k.t.Fatalf("%+v, %v", v, err)
		}
		return v
	}
	check()
	if _, err := r.Sweep(k.t.Context()); err != nil {
		k.t.Fatal(err)
	}
	if v := check(); len(v.Hints) > 0 {
		k.t.Errorf("after a sweep: %q", v.Hints)
	}
	return r
}

// remove removes a version that a kill let in, if it did, and closes the registry.
func (k *killing) remove(r *registry.Registry, model string, number int) (was bool) {
	k.t.Helper()
	defer r.Close()
	versions, err := r.List(k.t.Context(), "")
	if err != nil {
		k.t.Fatal(err)
	}
	for _, v := range versions {
		if v.Model == model && v.Number >= number {
			was = true
			if _, err := r.Remove(k.t.Context(), v.Reference()); err != nil {
				k.t.Fatal(err)
			}
		}
	}
	if _, err := r.Sweep(k.t.Context()); err != nil {
		k.t.Fatal(err)
	}
	return was
}

// files reads a file or a folder, which may not be there.
func (k *killing) files(path string) map[string]string {
	k.t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		b, err := os.ReadFile(name)
		rel, _ := filepath.Rel(path, name)
		found[filepath.ToSlash(rel)] = string(b)
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		k.t.Fatal(err)
	}
	return found
}

// nothingTemporary fails where a kill's leavings are in a folder.
func nothingTemporary(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && atomicfile.IsTemporary(entry.Name()) {
			t.Errorf("%s is left behind", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Whatever is killed while it writes a run, a head, a page, a registry or an export
// leaves the old or the new, whole: a hundred kills of each command by make test-faults.
func TestKilledRunAndRegistryAreOldOrNew(t *testing.T) {
	needs.Time(t)
	t.Parallel()
	m := newMachine(t)
	yaml := filepath.Join(m.home, "experiment.yaml")
	text := "data: {format: csv, path: " + filepath.Join(phantoms(t), "labels.csv") + ", labels: [effusion]}\nencoder: demo\nheads: [logistic]\ncurve: {shots: [1], draws: 1}\n"
	if err := os.WriteFile(yaml, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	in := func(parts ...string) string { return filepath.Join(append([]string{m.home}, parts...)...) }
	for seed := range 3 {
		m.must("run", yaml, "--seed", strconv.Itoa(seed), "--out", in("run"+strconv.Itoa(seed)))
	}
	for _, run := range []string{"run0", "run1"} {
		m.must("registry", "--registry", in("registry"), "add", "cxr", "--run", in(run))
	}
	m.must("registry", "--registry", in("registry"), "export", "cxr", "--format", "bundle", "--out", in("cxr.tar"))
	// own gives a command a copy of the registry, which nobody has open.
	own := func(t *testing.T, name string) string {
		t.Helper()
		dir := in(name)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(dir, os.DirFS(in("registry"))); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	writeProblem(t, m.home)
	t.Run("run", func(t *testing.T) { t.Parallel(); killRuns(killingOf(t, m, 1, 8), yaml, in("killed-run")) })
	t.Run("fit", func(t *testing.T) { t.Parallel(); killFits(killingOf(t, m, 7, 8), in("head.safetensors")) })
	t.Run("report", func(t *testing.T) { t.Parallel(); killReports(killingOf(t, m, 8, 8), in("run0"), in("page.html")) })
	t.Run("add", func(t *testing.T) { t.Parallel(); killAdds(killingOf(t, m, 2, 3), own(t, "adding"), in("run2")) })
	t.Run("alias", func(t *testing.T) { t.Parallel(); killAliases(killingOf(t, m, 3, 3), own(t, "naming")) })
	t.Run("import", func(t *testing.T) {
		t.Parallel()
		killImports(killingOf(t, m, 4, 3), own(t, "importing"), in("cxr.tar"))
	})
	t.Run("rm", func(t *testing.T) {
		t.Parallel()
		killRemovals(killingOf(t, m, 5, 3), func() string { return own(t, "removing") })
	})
	t.Run("export", func(t *testing.T) {
		t.Parallel()
		killExports(killingOf(t, m, 6, 3), own(t, "exporting"), in("exports"))
	})
}

func killAdds(k *killing, dir, run string) {
	args := []string{"registry", "--registry", dir, "add", "cxr", "--run", run}
	k.measure(args...)
	k.remove(k.open(dir), "cxr", 3)
	let := 0
	for k.more() {
		k.strike(args...)
		if k.remove(k.open(dir), "cxr", 3) {
			let++
		}
	}
	k.t.Logf("%d versions let in", let)
	nothingTemporary(k.t, dir)
	k.done()
}

func killAliases(k *killing, dir string) {
	k.measure("registry", "--registry", dir, "alias", "cxr", "champion", "1")
	was := 1
	for i := 0; k.more(); i++ {
		to := 1 + (i+1)%2
		k.strike("registry", "--registry", dir, "alias", "cxr", "champion", strconv.Itoa(to))
		r := k.open(dir)
		v, err := r.Find(k.t.Context(), registry.Reference{Model: "cxr", Alias: "champion"})
		if err != nil || v.Number != was && v.Number != to {
			k.t.Errorf("champion is %+v, %v: want version %d or %d", v, err, was, to)
		} else {
			was = v.Number
		}
		r.Close()
	}
	k.done()
}

func killImports(k *killing, dir, bundle string) {
	args := []string{"registry", "--registry", dir, "import", "lungs", bundle}
	// What is imported shares its files with cxr@2: without that, all are written.
	r := k.open(dir)
	k.remove(r, "cxr", 2)
	k.measure(args...)
	k.remove(k.open(dir), "lungs", 1)
	for k.more() {
		k.strike(args...)
		k.remove(k.open(dir), "lungs", 1)
	}
	nothingTemporary(k.t, dir)
	k.done()
}

func killRemovals(k *killing, fresh func() string) {
	dir := fresh()
	args := []string{"registry", "--registry", dir, "rm", "cxr@2"}
	k.measure(args...)
	for k.more() {
		fresh()
		k.strike(args...)
		r := k.open(dir)
		if _, err := r.Find(k.t.Context(), registry.Reference{Model: "cxr", Number: 1}); err != nil {
			k.t.Error(err)
		}
		r.Close()
	}
	k.done()
}

// killExports: a folder is absent or whole, a file the old one or the new.
func killExports(k *killing, dir, exports string) {
	formats := append(registry.Formats(), registry.EndToEnd)
	at := func(version, format, place string) []string {
		return []string{"registry", "--registry", dir, "export", "cxr@" + version, "--format", format, "--out", filepath.Join(exports, place, format)}
	}
	for _, place := range []string{"old", "whole"} {
		if err := os.MkdirAll(filepath.Join(exports, place), 0o700); err != nil {
			k.t.Fatal(err)
		}
	}
	old, whole := map[string]map[string]string{}, map[string]map[string]string{}
	for _, format := range formats {
		k.must(at("1", format, "old")...)
		k.measure(at("2", format, "whole")...)
		old[format], whole[format] = k.files(filepath.Join(exports, "old", format)), k.files(filepath.Join(exports, "whole", format))
	}
	for i := 0; k.more(); i++ {
		format := formats[i%len(formats)]
		out := filepath.Join(exports, "killed", format)
		_, file := whole[format]["."]
		if err := os.MkdirAll(filepath.Dir(out), 0o700); err != nil {
			k.t.Fatal(err)
		}
		if file { // over an older one
			k.must(at("1", format, "killed")...)
		}
		k.strike(at("2", format, "killed")...)
		there := k.files(out)
		if absent := len(there) == 0 && !file; !absent && !maps.Equal(there, whole[format]) && !(file && maps.Equal(there, old[format])) {
			k.t.Errorf("%s: %d files that are neither absent nor whole", format, len(there))
		}
		if err := os.RemoveAll(filepath.Join(exports, "killed")); err != nil {
			k.t.Fatal(err)
		}
	}
	k.done()
}
