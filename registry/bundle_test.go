package registry_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/medprobe/medprobe/registry"
	"github.com/medprobe/medprobe/trainer"
)

// bundled returns the bundle of a version.
func bundled(t testing.TB, r *registry.Registry, v *registry.Version) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bundle")
	if err := r.Export(t.Context(), v, "bundle", path); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// importBundle imports a bundle that is in memory.
func importBundle(t testing.TB, r *registry.Registry, model string, bundle []byte) (v *registry.Version, added bool, err error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bundle")
	if err := os.WriteFile(path, bundle, 0o600); err != nil {
		t.Fatal(err)
	}
	return r.Import(t.Context(), model, path, "bob")
}

func TestBundleGoesAroundAndIsChecked(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir())
	v := add(t, r, "cxr", fit(t, 1, trainer.Options{Head: trainer.Logistic, C: 1}))
	bundle := bundled(t, r, v)
	if bytes.Contains(bundle, []byte("Doe")) {
		t.Error("the bundle names a patient")
	}
	other := open(t, t.TempDir())
	w, added, err := importBundle(t, other, "lungs", bundle)
	if err != nil || !added || w.Digest != v.Digest {
		t.Fatalf("read back %v, %v, %v: want the same digest", w, added, err)
	}
	verified(t, other, true)
	if again := bundled(t, other, w); !bytes.Equal(again, bundle) {
		t.Error("written again it has other bytes")
	}
	const end = 1024 // two empty blocks, which say nothing
	for n := range 40 {
		cut := bundle[:n*(len(bundle)-end)/40]
		if _, _, err := importBundle(t, other, "cut", cut); err == nil {
			t.Errorf("a bundle of %d of %d bytes is accepted", len(cut), len(bundle))
		}
	}
	for at := 0; at < len(bundle)-end; at += 97 {
		changed := bytes.Clone(bundle)
		changed[at] ^= 0x10
		got, _, err := importBundle(t, other, "changed", changed)
		if err == nil && got.Digest != v.Digest {
			t.Errorf("a bundle with byte %d changed is accepted as another version", at)
		}
	}
	if list, err := other.List(t.Context(), "cut"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("%v, %v: want no version of what was refused", list, err)
	}
	verified(t, other, true)
}

// No panic; what is accepted verifies.
func FuzzReadBundle(f *testing.F) {
	r := open(f, f.TempDir())
	f.Add(bundled(f, r, add(f, r, "cxr", fit(f, 1, trainer.Options{Head: trainer.Logistic, C: 1}))))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, _, err := importBundle(t, r, "fuzz", b); err == nil {
			verified(t, r, true)
		}
	})
}
