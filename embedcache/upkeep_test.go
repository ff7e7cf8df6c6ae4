package embedcache

import (
	"bytes"
	"errors"
	"image"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func rect(x0, y0, x1, y1 int) image.Rectangle { return image.Rect(x0, y0, x1, y1) }

func errorsOf(errs ...error) error { return errors.Join(errs...) }

// file writes a file.
func file(t testing.TB, dir, name string, fill func(io.Writer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := fill(&b); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestGCRemovesWhatFitsAndNothingElse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		o    GCOptions
		want int
	}{
		{"encoder", GCOptions{Encoder: "abcdef123456"}, 30},
		{"the beginning of a fingerprint", GCOptions{Encoder: "abcdef"}, 30},
		{"age", GCOptions{Before: time.Now().Add(-24 * time.Hour)}, 10},
		{"encoder and age", GCOptions{Encoder: "other", Before: time.Now().Add(-24 * time.Hour)}, 0},
		{"size, the oldest first", GCOptions{MaxBytes: 20 * 8}, 30},
		{"a size that it has", GCOptions{MaxBytes: 1 << 20}, 0},
	} {
		eachBackend(t, func(t *testing.T, open func() *Cache) {
			c := open()
			old, other := Space{Encoder: "abcdef123456", Dim: 2}, Space{Encoder: "other", Dim: 2}
			keys := randomVectors(t, c, old, Float32, 30)
			randomVectors(t, c, other, Float32, 20)
			sidecarOf(t, c, old)
			tamper(t, c, `UPDATE vector SET stored = 1000 WHERE id <= 10`)
			counted, err := c.GC(t.Context(), tt.o)
			if err != nil || counted.Removed || counted.Vectors != tt.want {
				t.Errorf("%s: counted %+v, %v: want %d", tt.name, counted, err, tt.want)
			}
			if st, _ := c.Stat(t.Context()); st.Vectors != 50 {
				t.Fatalf("%s: counting removed something", tt.name)
			}
			remove := tt.o
			remove.Remove = true
			if g, err := c.GC(t.Context(), remove); err != nil || g.Vectors != tt.want {
				t.Errorf("%s: removed %+v, %v", tt.name, g, err)
			}
			if st, _ := c.Stat(t.Context()); st.Vectors != 50-tt.want {
				t.Errorf("%s: %d vectors are left", tt.name, st.Vectors)
			}
			if !IsRemote(c.path) {
				if found := mustCheck(t, c.path, CheckOptions{}); !found.OK {
					t.Errorf("%s: %+v", tt.name, found)
				}
			}
			if tt.want == 30 && tt.name != "size, the oldest first" {
				if _, err := c.Raw(t.Context(), old, keys[:1]); !errors.Is(err, ErrNotStored) {
					t.Errorf("%s: %v: want what was removed to be gone", tt.name, err)
				}
			}
		})
	}
	if _, err := newCache(t).GC(t.Context(), GCOptions{Remove: true}); err == nil {
		t.Error("nothing was asked for, and something was done")
	}
}

// What is removed is not on the disk any more.
func TestGCGivesTheSpaceBack(t *testing.T) {
	t.Parallel()
	c := newCache(t)
	s := Space{Encoder: "abcdef", Dim: 1000}
	keys := randomVectors(t, c, s, Float32, 300)
	secret := raw(t, c, s, keys[:1])
	before := c.fileBytes()
	g, err := c.GC(t.Context(), GCOptions{Encoder: "abcdef", Remove: true})
	if err != nil {
		t.Fatal(err)
	}
	if after := c.fileBytes(); after > 400_000 || g.Freed != before-after {
		t.Errorf("%d bytes before, %d after, said to be %d less", before, after, g.Freed)
	}
	want, _ := Float32.encode(secret[:16])
	for _, part := range databaseFiles(c.path) {
		if data, err := os.ReadFile(part); err == nil && bytes.Contains(data, want) {
			t.Errorf("the removed vector still stands in %s", filepath.Base(part))
		}
	}
}

func TestMergeIsDoneOnce(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(t *testing.T, open func() *Cache) {
		a, b := open(), newCache(t)
		s, more := Space{Encoder: "e", Dim: 3}, Space{Encoder: "f", Dim: 4, Tokens: 2}
		shared := randomVectors(t, a, s, Float32, 10) // both have these
		randomVectors(t, b, s, Float32, 10)
		keys := randomVectors(t, b, more, Float16, 25)
		want := raw(t, b, more, keys)
		shelf, err := a.find(t.Context(), a.db, s)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.write(t.Context(), shelf, []stored{{key: shared[0], values: []float32{1, 2, 3}}}, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := b.db.Exec(`UPDATE vector SET data = zeroblob(length(data)) WHERE id = 35`); err != nil {
			t.Fatal(err)
		}
		for round, want := range []Merged{{Added: 24, Same: 9, Differing: 1, Damaged: 1}, {Same: 33, Differing: 1, Damaged: 1}} {
			if m, err := a.Merge(t.Context(), b); err != nil || m != want {
				t.Errorf("round %d: %+v, %v: want %+v", round, m, err, want)
			}
		}
		if got := raw(t, a, s, shared[:1]); !slices.Equal(got, []float32{1, 2, 3}) {
			t.Errorf("a vector of its own was replaced by %v", got)
		}
		n := 0
		for i, k := range keys {
			if m, err := a.Raw(t.Context(), more, []Key{k}); err == nil {
				n++
				if !slices.Equal(m.Data, want[i*8:(i+1)*8]) {
					t.Errorf("vector %d differs", i)
				}
			}
		}
		if n != 24 {
			t.Errorf("%d vectors came over: want 24", n)
		}
		other := newCache(t)
		randomVectors(t, other, Space{Encoder: "e", Dim: 5}, Float32, 1)
		if _, err := a.Merge(t.Context(), other); err == nil || !strings.Contains(err.Error(), "dimensions") {
			t.Errorf("vectors of other dimensions: %v", err)
		}
	})
}
