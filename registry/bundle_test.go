package registry_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/medprobe/medprobe/registry"
	"github.com/medprobe/medprobe/trainer"
)

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
