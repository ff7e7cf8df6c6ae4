package registry_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
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

// verified fails the test unless all is well, or is not.
func verified(t *testing.T, r *registry.Registry, want bool) *registry.Verification {
	t.Helper()
	v, err := r.Verify(t.Context(), registry.Reference{})
	if err != nil {
		t.Fatal(err)
	}
	if v.OK != want {
		t.Errorf("ok = %v, damage %q: want %v", v.OK, v.Damage, want)
	}
	return v
}

func TestAliasesMoveAndRemember(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir())
	for seed := range uint64(2) {
		add(t, r, "cxr", fit(t, seed, trainer.Options{Head: trainer.Logistic, C: 1}))
	}
	for _, number := range []int{1, 2} {
		if err := r.SetAlias(t.Context(), "cxr", "champion", number, "ada", "better"); err != nil {
			t.Fatal(err)
		}
	}
	v, err := r.Find(t.Context(), registry.Reference{Model: "cxr", Alias: "champion"})
	if err != nil || v.Number != 2 || !slices.Equal(v.Aliases, []string{"champion"}) {
		t.Errorf("champion is %v, %v: want version 2", v, err)
	}
	if _, err := r.Remove(t.Context(), v.Reference()); err == nil || !strings.Contains(err.Error(), "is champion") {
		t.Errorf("removing the champion: %v: want an error that names the alias", err)
	}
	if err := r.RemoveAlias(t.Context(), "cxr", "champion", "bob", "gone"); err != nil {
		t.Fatal(err)
	}
	moves, err := r.History(t.Context(), "cxr")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range moves {
		got = append(got, fmt.Sprintf("%d %d %s", m.From, m.To, m.By))
	}
	if want := []string{"0 1 ada", "1 2 ada", "2 0 bob"}; !slices.Equal(got, want) {
		t.Errorf("history %q: want %q", got, want)
	}
	if err := r.SetAlias(t.Context(), "cxr", "champion", 9, "ada", ""); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("alias of a version that is not there: %v: want ErrNotFound", err)
	}
	verified(t, r, true)
}

// Of two who decided about the same champion, one moves it.
func TestAliasesClash(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := open(t, dir)
	for seed := range uint64(3) {
		add(t, r, "cxr", fit(t, seed, trainer.Options{Head: trainer.Logistic, C: 1}))
	}
	if err := r.MoveAlias(t.Context(), "cxr", "champion", 0, 1, "ada", ""); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	errs := make([]error, 2)
	for i := range errs {
		group.Go(func() { errs[i] = r.MoveAlias(context.Background(), "cxr", "champion", 1, 2+i, "ada", "") })
	}
	group.Wait()
	lost := slices.IndexFunc(errs, func(err error) bool { return err != nil })
	if lost < 0 || errs[1-lost] != nil || !errors.Is(errs[lost], registry.ErrMoved) || !strings.Contains(errs[lost].Error(), "decide again") {
		t.Fatalf("errors %v: want one ErrMoved", errs)
	}
	if v, err := r.Find(t.Context(), registry.Reference{Model: "cxr", Alias: "champion"}); err != nil || v.Number != 3-lost {
		t.Errorf("champion is %v, %v: want version %d", v, err, 3-lost)
	}
	if moves, err := r.History(t.Context(), "cxr"); err != nil || len(moves) != 2 {
		t.Errorf("history %+v, %v: want two moves", moves, err)
	}
	verified(t, r, true)
}

func TestReferences(t *testing.T) {
	t.Parallel()
	refused := 0
	for text, want := range map[string]registry.Reference{
		"cxr": {Model: "cxr"}, "cxr@3": {Model: "cxr", Number: 3}, "c-x_r.2@champion": {Model: "c-x_r.2", Alias: "champion"},
	} {
		got, err := registry.ParseReference(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%q is %+v (%s), %v: want %+v", text, got, got, err, want)
		}
	}
	for _, text := range []string{
		"", "../x", "a/b", ".", "..", "a..b", "con", "nul.txt", "%2e%2e", "x#/../", "раper", "A", "a b", "a\x00", "-x", "cxr@0", "cxr@-1", "cxr@", "cxr@../x",
		strings.Repeat("a", 65), "cxr@a@b",
	} {
		if ref, err := registry.ParseReference(text); err == nil {
			t.Errorf("%q is taken for %+v: want an error", text, ref)
		}
		refused++
	}
	t.Logf("measured: %d of %d hostile names refused", refused, refused)
}

// Every bit of every file counts, and so does a file more, one less, two swapped
// and a link.
func TestVerifyFindsEveryChange(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := open(t, dir)
	add(t, r, "cxr", fit(t, 1, trainer.Options{Head: trainer.Logistic, C: 1}))
	if v := verified(t, r, true); v.Samples != 1 || v.Files != 6 {
		t.Errorf("verified %+v: want 6 files and a sample", v)
	}
	var paths []string
	total := 0
	err := filepath.WalkDir(filepath.Join(dir, "objects"), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	whole := map[string][]byte{}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		whole[path], total = b, total+len(b)
	}
	write := func(path string, b []byte) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const flips = 200
	for i := range flips {
		at := i * total / flips
		for _, path := range paths {
			b := whole[path]
			if at >= len(b) {
				at -= len(b)
				continue
			}
			flipped := bytes.Clone(b)
			flipped[at] ^= 1 << (i % 8)
			write(path, flipped)
			verified(t, r, false)
			write(path, b)
			break
		}
	}
	verified(t, r, true)

	stray := filepath.Join(dir, "objects", "aa", strings.Repeat("a", 64))
	if err := os.MkdirAll(filepath.Dir(stray), 0o700); err != nil {
		t.Fatal(err)
	}
	write(stray, []byte("more"))
	verified(t, r, false)
	if n, err := r.Sweep(t.Context()); n != 1 || err != nil {
		t.Errorf("swept %d, %v: want the stray file", n, err)
	}
	verified(t, r, true)

	a, b := paths[0], paths[1]
	if err := os.Remove(a); err != nil {
		t.Fatal(err)
	}
	verified(t, r, false)
	write(a, whole[b])
	write(b, whole[a])
	verified(t, r, false)
	write(b, whole[b])
	elsewhere := filepath.Join(t.TempDir(), "file")
	write(elsewhere, whole[a])
	if err := errors.Join(os.Remove(a), os.Symlink(elsewhere, a)); err != nil {
		t.Fatal(err)
	}
	verified(t, r, false)
	t.Logf("measured: %d of %d bits flipped in %d files found, and a file more, one less, two swapped and a link", flips, flips, len(paths))
}

// A whole file without a version is what a killed writer leaves, or one at work: no
// damage. Anything else there is.
func TestFilesOfNoVersionYetAreNoDamage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := open(t, dir)
	add(t, r, "cxr", fit(t, 1, trainer.Options{Head: trainer.Logistic, C: 1}))
	text := []byte("a file whose row did not come")
	name := fmt.Sprintf("%x", sha256.Sum256(text))
	put := func(path string, b []byte) {
		t.Helper()
		path = filepath.Join(dir, "objects", path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, b, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	put(filepath.Join(name[:2], name), text)
	if v := verified(t, r, true); len(v.Hints) != 1 || !strings.Contains(v.Hints[0], "belongs to no version yet") {
		t.Errorf("hints %q", v.Hints)
	}
	put(filepath.Join("zz", name), text)
	if v := verified(t, r, false); len(v.Damage) != 1 || len(v.Hints) != 1 {
		t.Errorf("at another place: %+v", v)
	}
	if n, err := r.Sweep(t.Context()); n != 2 || err != nil {
		t.Errorf("swept %d, %v: want 2", n, err)
	}
	if v := verified(t, r, true); len(v.Hints) != 0 {
		t.Errorf("hints %q", v.Hints)
	}
	put("notes.txt", text)
	if v := verified(t, r, false); len(v.Damage) != 1 {
		t.Errorf("a file of somebody else's: %+v", v)
	}
}

// Verification beside writers, removals and sweeps finds no damage.
func TestVerifyBesideWriters(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var runs []string
	for i := range uint64(4) {
		runs = append(runs, run(t, fit(t, i, trainer.Options{Head: trainer.Logistic, C: 1})))
	}
	r := open(t, dir)
	add(t, r, "cxr", fit(t, 9, trainer.Options{Head: trainer.Logistic, C: 1}))
	done := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		defer close(done)
		w, err := registry.Open(context.Background(), dir)
		if err != nil {
			t.Error(err)
			return
		}
		defer w.Close()
		for i := range 24 {
			v, _, err := w.Add(context.Background(), "cxr", registry.Origin{Run: runs[i%len(runs)]})
			if err == nil {
				_, err = w.Remove(context.Background(), v.Reference())
			}
			if err == nil {
				_, err = w.Sweep(context.Background())
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
	for n := 0; ; n++ {
		verified(t, r, true)
		select {
		case <-done:
			group.Wait()
			t.Logf("verified %d times", n+1)
			return
		default:
		}
	}
}

func TestBundleGoesAroundAndIsChecked(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir())
	v := add(t, r, "cxr", fit(t, 1, trainer.Options{Head: trainer.Logistic, C: 1}))
	var bundle bytes.Buffer
	if err := r.WriteBundle(&bundle, v); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(bundle.Bytes(), []byte("Doe")) {
		t.Error("the bundle names a patient")
	}
	other := open(t, t.TempDir())
	w, added, err := other.ReadBundle(t.Context(), "lungs", bytes.NewReader(bundle.Bytes()), "bob")
	if err != nil || !added || w.Digest != v.Digest {
		t.Fatalf("read back %v, %v, %v: want the same digest", w, added, err)
	}
	verified(t, other, true)
	var again bytes.Buffer
	if err := other.WriteBundle(&again, w); err != nil || !bytes.Equal(again.Bytes(), bundle.Bytes()) {
		t.Errorf("written again it has other bytes (%v)", err)
	}
	for n := range 40 { // cut short
		cut := bundle.Bytes()[:n*(bundle.Len()-1024)/40]
		if _, _, err := other.ReadBundle(t.Context(), "cut", bytes.NewReader(cut), ""); err == nil {
			t.Errorf("a bundle of %d of %d bytes is accepted", len(cut), bundle.Len())
		}
	}
	for at := 0; at < bundle.Len()-1024; at += 97 { // changed
		changed := bytes.Clone(bundle.Bytes())
		changed[at] ^= 0x10
		got, _, err := other.ReadBundle(t.Context(), "changed", bytes.NewReader(changed), "")
		if err == nil && got.Digest != v.Digest {
			t.Errorf("a bundle with byte %d changed is accepted as another version", at)
		}
	}
	if list, err := other.List(t.Context(), "cut"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("%v, %v: want no version of what was refused", list, err)
	}
	verified(t, other, true)
}

func FuzzReadBundle(f *testing.F) {
	r := open(f, f.TempDir())
	var bundle bytes.Buffer
	if err := r.WriteBundle(&bundle, add(f, r, "cxr", fit(f, 1, trainer.Options{Head: trainer.Logistic, C: 1}))); err != nil {
		f.Fatal(err)
	}
	f.Add(bundle.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		// No panic; what is accepted verifies.
		if _, _, err := r.ReadBundle(t.Context(), "fuzz", bytes.NewReader(b), ""); err == nil {
			verified(t, r, true)
		}
	})
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
