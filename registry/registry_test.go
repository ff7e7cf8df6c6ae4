package registry_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/medprobe/medprobe/registry"
	"github.com/medprobe/medprobe/trainer"
)

func TestVersionsAreNumberedAndNotKeptTwice(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir())
	first := run(t, fit(t, 1, trainer.Options{Head: trainer.Logistic, C: 1}))
	for want, dir := range map[int]string{1: first} {
		v, added, err := r.Add(t.Context(), "cxr", registry.Origin{Run: dir})
		if err != nil || v.Number != want || !added {
			t.Fatalf("version %v, added %v, %v: want a new version %d", v, added, err, want)
		}
	}
	if v := add(t, r, "cxr", fit(t, 2, trainer.Options{Head: trainer.Logistic, C: 1})); v.Number != 2 {
		t.Errorf("version %d: want 2", v.Number)
	}
	v, added, err := r.Add(t.Context(), "cxr", registry.Origin{Run: first})
	if err != nil || v.Number != 1 || added {
		t.Errorf("version %d, added %v, %v: want version 1, which is there", v.Number, added, err)
	}
	// A number is not given twice.
	if _, err := r.Remove(t.Context(), registry.Reference{Model: "cxr", Number: 2}); err != nil {
		t.Fatal(err)
	}
	if v := add(t, r, "cxr", fit(t, 3, trainer.Options{Head: trainer.Logistic, C: 1})); v.Number != 3 {
		t.Errorf("version %d after version 2 was removed: want 3", v.Number)
	}
	if n, err := r.Sweep(t.Context()); err != nil || n == 0 {
		t.Errorf("swept %d files, %v: want those of version 2", n, err)
	}
	verified(t, r, true)
}

// What is kept is shared: pictures of patients stay with the run.
func TestVersionsShowNoImages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	v := add(t, open(t, dir), "cxr", fit(t, 1, trainer.Options{Head: trainer.Logistic, C: 1}))
	picture := base64.StdEncoding.EncodeToString([]byte("pixels of Doe"))
	reports := 0
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(`"shown_false_positives"`)) {
			reports++
		}
		if bytes.Contains(b, []byte(picture)) {
			t.Errorf("%s of version %d holds a picture", path, v.Number)
		}
		return err
	})
	if err != nil || reports != 1 {
		t.Errorf("%d reports kept, %v: want one", reports, err)
	}
}

func TestPairedDifferences(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir())
	a := add(t, r, "cxr", fit(t, 1, trainer.Options{Head: trainer.Logistic, C: 1}))
	b := add(t, r, "cxr", fit(t, 2, trainer.Options{Head: trainer.Logistic, C: 100}))
	d, err := r.Diff(t.Context(), a.Reference(), b.Reference())
	if err != nil || len(d.Metrics) != 1 || d.Metrics[0].Comparison == nil {
		t.Fatalf("%+v, %v: want one comparison", d, err)
	}
	c := d.Metrics[0].Comparison
	if got, want := c.A.Point, b.Document.Metrics[0].AUC.Point; got != want {
		t.Errorf("AUC of the second is %v from the predictions, %v in its report", got, want)
	}
	if got, want := c.Difference.Point, c.A.Point-c.B.Point; math.Abs(got-want) > 1e-12 || c.Difference.Units != 20 {
		t.Errorf("difference %v over %d: want second − first, %v, over 20 patients", got, c.Difference.Units, want)
	}
}

// Several writers at once: every version is there, numbered without gap or
// repetition.
func TestConcurrentWriters(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const writers = 8
	runs := make([]string, writers)
	for i := range runs {
		runs[i] = run(t, fit(t, uint64(i), trainer.Options{Head: trainer.Logistic, C: 1}))
	}
	var group sync.WaitGroup
	for _, from := range runs {
		group.Go(func() {
			r, err := registry.Open(context.Background(), dir)
			if err != nil {
				t.Error(err)
				return
			}
			defer r.Close()
			v, _, err := r.Add(context.Background(), "cxr", registry.Origin{Run: from})
			if err != nil {
				t.Error(err)
				return
			}
			if err := r.SetAlias(context.Background(), "cxr", "champion", v.Number, "", ""); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	r := open(t, dir)
	versions, err := r.List(t.Context(), "cxr")
	if err != nil || len(versions) != writers || versions[writers-1].Number != writers {
		t.Fatalf("%d versions, %v: want %d in a row", len(versions), err, writers)
	}
	verified(t, r, true)
}

func TestDamagedAndForeignRuns(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir())
	h := fit(t, 1, trainer.Options{Head: trainer.Logistic, C: 1})
	dir := run(t, h)
	path := filepath.Join(dir, "heads", "logistic.safetensors")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-1] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	h.Space.Encoder = "another"
	foreign := runOf(t, h, 40, space)
	for what, want := range map[string]struct{ dir, message string }{
		"changed head":    {dir, "logistic.safetensors has digest"},
		"another encoder": {foreign, "another"},
		"no run":          {t.TempDir(), "no manifest.json"},
	} {
		if _, _, err := r.Add(t.Context(), "cxr", registry.Origin{Run: want.dir}); err == nil || !strings.Contains(err.Error(), want.message) {
			t.Errorf("%s: %v: want an error with %q", what, err, want.message)
		}
	}
}

func TestNewerAndReadOnlyRegistries(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "registry.db"), []byte("thesis"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := registry.Open(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "not an SQLite database") {
		t.Errorf("a file of somebody else's: %v", err)
	}
	if os.Getuid() == 0 {
		return // root writes anywhere
	}
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	if _, err := registry.Open(t.Context(), filepath.Join(dir, "new")); err == nil {
		t.Error("a registry in a read-only folder opens")
	}
}
