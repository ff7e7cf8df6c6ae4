package embedcache

import (
	"context"
	"errors"
	"image"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/medprobe/medprobe/internal/needs"
	"github.com/medprobe/medprobe/internal/vec"
)

// eachBackend runs a test over a new cache of every kind. Each call of open opens
// it by a handle of its own.
func eachBackend(t *testing.T, test func(t *testing.T, open func() *Cache)) {
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "cache.db")
		test(t, func() *Cache { return openCache(t, path) })
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		address, sidecars := needs.PostgreSQL(t), t.TempDir()
		test(t, func() *Cache {
			c := openCache(t, address)
			c.sidecars = sidecars
			return c
		})
	})
}

// tamper runs a statement behind the cache's back.
func tamper(t testing.TB, c *Cache, statement string, args ...any) {
	t.Helper()
	if _, err := c.db.ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatal(err)
	}
}

func TestSecondFillEncodesNothing(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(t *testing.T, open func() *Cache) {
		c, d, enc := open(), dataset(t, 50, nil), &brightness{name: "e"}
		first := mustFill(t, c, d, enc, FillOptions{})
		second := mustFill(t, open(), d, enc, FillOptions{})
		if first.Embedded != 50 || second.Cached != 50 || enc.images.Load() != 50 {
			t.Errorf("first %d embedded, second %d cached, %d encoder calls: want 50 each", first.Embedded, second.Cached, enc.images.Load())
		}
	})
}

func TestHitEqualsRecomputationWhateverTheWorkers(t *testing.T) {
	t.Parallel()
	d := dataset(t, 40, nil)
	var want []float32
	for _, workers := range []int{1, 2, 7} {
		c, enc := newCache(t), &brightness{name: "e"}
		mustFill(t, c, d, enc, FillOptions{Workers: workers, Batch: 3})
		f := mustFill(t, c, d, enc, FillOptions{Workers: workers})
		m, err := c.Matrix(t.Context(), SpaceOf(enc), f.Keys)
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = m.Data
		}
		if !slices.Equal(m.Data, want) {
			t.Errorf("%d workers give other vectors", workers)
		}
	}
	for i := 0; i < len(want); i += 3 {
		if n := want[i]*want[i] + want[i+1]*want[i+1] + want[i+2]*want[i+2]; n < 0.99999 || n > 1.00001 {
			t.Errorf("row %d has squared length %v, want 1", i/3, n)
		}
	}
	eachBackend(t, func(t *testing.T, open func() *Cache) {
		c, enc := open(), &brightness{name: "e"}
		f := mustFill(t, c, d, enc, FillOptions{Workers: 7, Batch: 3})
		if m, err := c.Matrix(t.Context(), SpaceOf(enc), f.Keys); err != nil || !slices.Equal(m.Data, want) {
			t.Errorf("other vectors, %v", err)
		}
	})
}

func TestAnotherEncoderPixelOrRegionIsNoHit(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(t *testing.T, open func() *Cache) {
		c, enc := open(), &brightness{name: "e"}
		mustFill(t, c, dataset(t, 1, nil), enc, FillOptions{})
		if f := mustFill(t, c, dataset(t, 1, nil), &brightness{name: "other"}, FillOptions{}); f.Embedded != 1 {
			t.Error("vectors of one encoder served for another")
		}
		d := dataset(t, 1, nil)
		d.Samples[0].Source.Region = image.Rect(0, 0, 4, 4)
		if f := mustFill(t, c, d, enc, FillOptions{}); f.Embedded != 1 {
			t.Error("vector of the whole image served for a region")
		}
		if f := mustFill(t, c, dataset(t, 1, nil), enc, FillOptions{}); f.Cached != 1 {
			t.Error("the same bytes under another path are not a hit")
		}
	})
}

func TestTwinsAreEncodedOnce(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(t *testing.T, open func() *Cache) {
		grey := greyPNG(t, 77, 3, 3)
		c, enc := open(), &brightness{name: "e"}
		f := mustFill(t, c, dataset(t, 0, map[string][]byte{"a.png": grey, "b.png": grey, "c.png": grey}), enc, FillOptions{Batch: 2})
		if f.Embedded != 1 || f.Cached != 2 {
			t.Errorf("%d embedded, %d cached: want 1 and 2", f.Embedded, f.Cached)
		}
		dark := greyPNG(t, 0, 3, 3)
		f = mustFill(t, c, dataset(t, 0, map[string][]byte{"a.png": dark, "b.png": dark}), enc, FillOptions{MaxFailures: -1})
		if len(f.Failed) != 2 {
			t.Errorf("failed %v: want both twins", f.Failed)
		}
	})
}

func TestInterruptedFillGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(t *testing.T, open func() *Cache) {
		c, d := open(), dataset(t, 64, nil)
		ctx, cancel := context.WithCancel(t.Context())
		batches := 0
		enc := &brightness{name: "e"}
		enc.onBatch = func() {
			if batches++; batches == 3 {
				cancel()
			}
		}
		if _, err := c.Fill(ctx, d, enc, FillOptions{Batch: 8}); !errors.Is(err, context.Canceled) {
			t.Fatalf("Fill = %v, want the cancellation", err)
		}
		enc.onBatch = nil
		f := mustFill(t, c, d, enc, FillOptions{Batch: 8})
		if f.Cached != 16 || f.Embedded != 48 {
			t.Errorf("%d cached, %d embedded: want the 16 of two full batches, and 48", f.Cached, f.Embedded)
		}
	})
}

func TestDamagedVectorIsFoundAndReplaced(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(t *testing.T, open func() *Cache) {
		c, d, enc := open(), dataset(t, 10, nil), &brightness{name: "e"}
		f := mustFill(t, c, d, enc, FillOptions{})
		tamper(t, c, `UPDATE vector SET data = $1 WHERE id = 4`, make([]byte, 12))
		if _, err := c.Matrix(t.Context(), SpaceOf(enc), f.Keys); !errors.Is(err, ErrDamaged) {
			t.Errorf("Matrix over a damaged row: %v, want ErrDamaged", err)
		}
		if again := mustFill(t, c, d, enc, FillOptions{}); again.Embedded != 1 || again.Cached != 9 {
			t.Errorf("%d embedded, %d cached: want the damaged one replaced", again.Embedded, again.Cached)
		}
		if _, err := c.Matrix(t.Context(), SpaceOf(enc), f.Keys); err != nil {
			t.Errorf("Matrix after the repair: %v", err)
		}
		tamper(t, c, `UPDATE vector SET data = (SELECT data FROM vector WHERE id = 2), sum = (SELECT sum FROM vector WHERE id = 2) WHERE id = 3`)
		if _, err := c.Matrix(t.Context(), SpaceOf(enc), f.Keys); !errors.Is(err, ErrDamaged) {
			t.Errorf("Matrix over a row with another row's vector and checksum: %v, want ErrDamaged", err)
		}
	})
}

func TestMatrixNamesTheMissingRow(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(t *testing.T, open func() *Cache) {
		c := open()
		_, err := c.Matrix(t.Context(), Space{Encoder: "e", Preprocess: "p", Dim: 3}, []Key{{Content: [32]byte{0xab}}})
		if !errors.Is(err, ErrNotStored) || !strings.Contains(err.Error(), "row 0, content ab") || !strings.Contains(err.Error(), c.path) {
			t.Errorf("Matrix = %v", err)
		}
	})
}

func TestRawVectorsAreThoseOfTheTower(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(t *testing.T, open func() *Cache) {
		c, enc := open(), &brightness{name: "a"}
		d := dataset(t, 3, nil)
		filled := mustFill(t, c, d, enc, FillOptions{})
		raw, err := c.Raw(t.Context(), SpaceOf(enc), filled.Keys)
		if err != nil {
			t.Fatal(err)
		}
		unit, err := c.Matrix(t.Context(), SpaceOf(enc), filled.Keys)
		if err != nil {
			t.Fatal(err)
		}
		longer := 0
		for i := range raw.Rows {
			row := slices.Clone(raw.Data[i*raw.Stride : i*raw.Stride+raw.Cols])
			if vec.Unit(row, row) != nil || !slices.Equal(row, unit.Data[i*unit.Stride:i*unit.Stride+unit.Cols]) {
				t.Errorf("row %d: %v scaled is not %v", i, raw.Data[i*raw.Stride:], unit.Data[i*unit.Stride:])
			}
			if !slices.Equal(row, raw.Data[i*raw.Stride:i*raw.Stride+raw.Cols]) {
				longer++
			}
		}
		if longer == 0 {
			t.Error("every raw vector has length one: the test tests nothing")
		}
	})
}

func TestStoreIsKept(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(t *testing.T, open func() *Cache) {
		c, d := open(), dataset(t, 5, nil)
		mustFill(t, c, d, &brightness{name: "whole"}, FillOptions{})
		mustFill(t, c, d, &brightness{name: "half"}, FillOptions{Store: Float16})
		st, err := c.Stat(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(st.Spaces) != 2 || st.Spaces[0].Store != Float16 || st.Spaces[0].Bytes != 5*3*2 || st.Spaces[1].Store != Float32 || st.Spaces[1].Bytes != 5*3*4 {
			t.Errorf("%+v: want 30 bytes of f16 and 60 of f32", st.Spaces)
		}
		if _, err := open().Fill(t.Context(), d, &brightness{name: "half"}, FillOptions{Store: Float32}); err == nil || !strings.Contains(err.Error(), "as f16, not f32") {
			t.Errorf("f32 asked of a space of f16: %v", err)
		}
	})
}

func TestAnotherDimensionIsRefused(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(t *testing.T, open func() *Cache) {
		c := open()
		randomVectors(t, c, Space{Encoder: "e", Dim: 3}, "", 1)
		if _, err := c.open(t.Context(), Space{Encoder: "e", Dim: 4}, ""); err == nil || !strings.Contains(err.Error(), "3 dimensions") {
			t.Errorf("4 dimensions where there are 3: %v", err)
		}
		if _, err := c.open(t.Context(), Space{Encoder: "e", Dim: 3, Tokens: 2}, ""); err == nil || !strings.Contains(err.Error(), "1 vectors per image") {
			t.Errorf("2 vectors per image where there is 1: %v", err)
		}
	})
}

// words is an encoder of texts: their number of tokens, and that of its calls.
type words struct{ calls atomic.Int64 }

func (w *words) Fingerprint() string { return "words" }
func (w *words) Dim() int            { return 2 }

func (w *words) Tokenize(text string) (ids []int64) {
	for word := range strings.FieldsSeq(strings.ToLower(text)) {
		ids = append(ids, int64(len(word)))
	}
	return ids
}

func (w *words) EncodeTexts(_ context.Context, texts []string) (vectors [][]float32, err error) {
	for _, text := range texts {
		vectors = append(vectors, []float32{float32(len(w.Tokenize(text))), float32(w.calls.Add(1))})
	}
	return vectors, nil
}

func TestTextsAreEncodedOnce(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(t *testing.T, open func() *Cache) {
		enc := &words{}
		for range 2 {
			got, err := open().Texts(t.Context(), enc, []string{"Pleural effusion", "pleural  EFFUSION", "no effusion here"})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got[0], []float32{2, 1}) || !slices.Equal(got[1], got[0]) || !slices.Equal(got[2], []float32{3, 2}) {
				t.Errorf("%v: want the vectors of the first call", got)
			}
		}
		if n := enc.calls.Load(); n != 2 {
			t.Errorf("%d texts encoded: want 2", n)
		}
	})
}

// forge notes another content for every file, so that one that is not read is
// told from one that is.
func forge(t *testing.T, c *Cache) {
	t.Helper()
	tamper(t, c, `UPDATE file SET content = (SELECT content FROM vector WHERE id = 1)`)
}

func TestUnchangedFilesAreNotRead(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(t *testing.T, open func() *Cache) {
		d, dir := old(t, 5)
		c, enc := open(), &brightness{name: "e"}
		first := mustFill(t, c, d, enc, FillOptions{})
		forge(t, c)
		again := mustFill(t, c, d, enc, FillOptions{})
		for i := range again.Keys {
			if again.Keys[i] != again.Keys[0] {
				t.Errorf("sample %d was read, though it had not changed", i)
			}
		}
		if again := mustFill(t, c, d, enc, FillOptions{Rehash: true}); again.Keys[4] != first.Keys[4] || again.Embedded != 0 {
			t.Error("with Rehash, the noted content was believed")
		}

		// Other bytes of the same length, with the old time put back.
		forge(t, c)
		name := filepath.Join(dir, "004.png")
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		other, err := os.ReadFile(filepath.Join(dir, "003.png"))
		if err != nil {
			t.Fatal(err)
		}
		if int64(len(other)) != info.Size() {
			t.Fatalf("%d and %d bytes: want images of the same size", len(other), info.Size())
		}
		if err := os.WriteFile(name, other, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, info.ModTime(), info.ModTime()); err != nil {
			t.Fatal(err)
		}
		if again := mustFill(t, c, d, enc, FillOptions{}); again.Keys[4] != first.Keys[3] {
			t.Error("an edited file of the same size and time was taken for the old one")
		}
	})
}

func TestStatLooksBack(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(t *testing.T, open func() *Cache) {
		c, d := open(), dataset(t, 4, nil)
		mustFill(t, c, d, &brightness{name: "e"}, FillOptions{})
		mustFill(t, c, d, &brightness{name: "e"}, FillOptions{})
		st, err := c.Stat(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(st.Runs) != 2 || st.Runs[0].Cached != 4 || st.Runs[1].Embedded != 4 || st.HitRate == nil || *st.HitRate != 0.5 {
			t.Errorf("%+v, hit rate %v", st.Runs, st.HitRate)
		}
	})
}

func TestSidecarHoldsWhatTheDatabaseHolds(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(t *testing.T, open func() *Cache) {
		for _, s := range []struct {
			Space
			store Store
		}{{Space{Encoder: "e", Dim: 7}, Float32}, {Space{Encoder: "h", Dim: 7}, Float16}, {Space{Encoder: "t", Dim: 7, Tokens: 3}, Float32}} {
			c := open()
			keys := randomVectors(t, c, s.Space, s.store, 500)
			want := raw(t, c, s.Space, keys)
			path := sidecarOf(t, c, s.Space)
			tamper(t, c, `UPDATE vector SET data = $1`, []byte{0}) // the database is not asked
			if got := raw(t, c, s.Space, keys); !slices.Equal(got, want) {
				t.Errorf("%s: the sidecar gives other values", s.Encoder)
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Raw(t.Context(), s.Space, keys); !errors.Is(err, ErrDamaged) {
				t.Errorf("%s: %v: want ErrDamaged of the database", s.Encoder, err)
			}
		}
	})
}

func TestSidecarIsOutOfDateAfterEveryChange(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(t *testing.T, open func() *Cache) {
		c, other, s := open(), open(), Space{Encoder: "e", Dim: 2}
		keys := randomVectors(t, c, s, Float32, 100)
		sidecarOf(t, c, s)
		shelf, err := other.open(t.Context(), s, "")
		if err != nil {
			t.Fatal(err)
		}
		if err := other.write(t.Context(), shelf, []stored{{key: keys[5], values: []float32{3, 4}}}, nil); err != nil {
			t.Fatal(err)
		}
		if got := raw(t, c, s, keys[5:6]); !slices.Equal(got, []float32{3, 4}) {
			t.Errorf("%v: want what was written last", got)
		}
	})
}

// Eight openers of a cache that is not there yet fill it at once.
func TestManyOpenersOfAFreshCache(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(t *testing.T, open func() *Cache) {
		d := dataset(t, 30, nil)
		var wait sync.WaitGroup
		for range 8 {
			wait.Go(func() {
				c := open()
				if _, err := c.Fill(t.Context(), d, &brightness{name: "e"}, FillOptions{Batch: 4}); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		st, err := open().Stat(t.Context())
		if err != nil || st.Vectors != 30 || len(st.Spaces) != 1 || len(st.Runs) != 8 {
			t.Errorf("Stat = %+v, %v: want 30 vectors in one space, of 8 runs", st, err)
		}
	})
}

// Writers of the same rows in opposite orders, again and again, all come through.
func TestWritersOfTheSameRowsDoNotFail(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(t *testing.T, open func() *Cache) {
		s := Space{Encoder: "e", Dim: 4}
		keys := randomVectors(t, open(), s, Float32, 40)
		var wait sync.WaitGroup
		for n := range 4 {
			c := open()
			shelf, err := c.open(t.Context(), s, "")
			if err != nil {
				t.Fatal(err)
			}
			batch := make([]stored, len(keys))
			for i, key := range keys {
				batch[i] = stored{key: key, values: []float32{1, 2, 3, float32(n)}}
			}
			if n%2 == 1 {
				slices.Reverse(batch)
			}
			wait.Go(func() {
				for range 10 {
					if err := c.write(t.Context(), shelf, batch, nil); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wait.Wait()
		got := raw(t, open(), s, keys)
		for i := range keys {
			if got[4*i+3] != got[3] {
				t.Fatalf("row %d is of another transaction than row 0", i)
			}
		}
	})
}
