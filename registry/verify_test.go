package registry_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/medprobe/medprobe/registry"
	"github.com/medprobe/medprobe/trainer"
)

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
