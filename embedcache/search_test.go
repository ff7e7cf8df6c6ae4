package embedcache

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// searched are the kinds of spaces that are searched.
var searched = []struct {
	Space
	store Store
}{
	{Space{Encoder: "f32", Dim: 71}, Float32},
	{Space{Encoder: "f16", Dim: 71}, Float16},
	{Space{Encoder: "tokens", Dim: 13, Tokens: 5}, Float32},
	{Space{Encoder: "tokens in f16", Dim: 13, Tokens: 5}, Float16},
}

// ranking is what Search must give, straightforwardly.
func ranking(t testing.TB, c *Cache, s Space, to []float32, keys []Key) []Hit {
	t.Helper()
	m, err := c.Raw(t.Context(), s, keys)
	if err != nil {
		t.Fatal(err)
	}
	var hits []Hit
	for i, key := range keys {
		hit := Hit{Key: key, Index: i, Cosine: math.Inf(-1)}
		for token := range slices.Chunk(m.Data[i*m.Stride:(i+1)*m.Stride], s.Dim) {
			var dot, xx, qq float64
			for j, x := range token {
				dot += float64(x) * float64(to[j])
				xx += float64(x) * float64(x)
				qq += float64(to[j]) * float64(to[j])
			}
			hit.Cosine = max(hit.Cosine, dot/math.Sqrt(xx)/math.Sqrt(qq))
		}
		hits = append(hits, hit)
	}
	slices.SortStableFunc(hits, func(a, b Hit) int {
		switch {
		case a.Cosine-b.Cosine > 1e-14:
			return -1
		case b.Cosine-a.Cosine > 1e-14:
			return 1
		}
		return strings.Compare(string(a.Key.Content[:]), string(b.Key.Content[:]))
	})
	return hits
}

// sameHits compares keys and cosines.
func sameHits(t testing.TB, what string, got, want []Hit) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d hits, want %d", what, len(got), len(want))
	}
	for i := range got {
		if got[i].Key != want[i].Key || math.Abs(got[i].Cosine-want[i].Cosine) > 1e-12 {
			t.Fatalf("%s: hit %d is %x with %v, want %x with %v", what, i, got[i].Key.Content[:4], got[i].Cosine, want[i].Key.Content[:4], want[i].Cosine)
		}
	}
}

func randomQuery(dim int, seed uint64) []float32 {
	random := rand.New(rand.NewPCG(seed, 1))
	to := make([]float32, dim)
	for i := range to {
		to[i] = float32(3 * random.NormFloat64())
	}
	return to
}

func search(t testing.TB, c *Cache, s Space, q Query) []Hit {
	t.Helper()
	hits, err := c.Search(t.Context(), s, q)
	if err != nil {
		t.Fatal(err)
	}
	return hits
}

func TestSearchIsExact(t *testing.T) {
	t.Parallel()
	for _, s := range searched {
		c := newCache(t)
		keys := randomVectors(t, c, s.Space, s.store, 1000)
		for seed := range uint64(3) {
			to := randomQuery(s.Dim, seed)
			want := ranking(t, c, s.Space, to, keys)
			for _, k := range []int{1, 10, 777, 1000, 1001, math.MaxInt} {
				got := search(t, c, s.Space, Query{Vector: to, K: k})
				sameHits(t, fmt.Sprintf("%s, K %d", s.Encoder, k), got, want[:min(k, 1000)])
			}
			some := keys[:200]
			want = ranking(t, c, s.Space, to, some)
			got := search(t, c, s.Space, Query{Vector: to, K: 20, Keys: some})
			sameHits(t, s.Encoder+", some keys", got, want[:20])
			for i, hit := range got {
				if some[hit.Index] != hit.Key {
					t.Errorf("%s: hit %d says it is key %d", s.Encoder, i, hit.Index)
				}
			}
		}
	}
}

// Vectors that are nearly alike, or quite, and lengths near the ends of float32,
// are where float32 alone would go wrong.
func TestSearchIsExactWhereFloat32IsNot(t *testing.T) {
	t.Parallel()
	c, s := newCache(t), Space{Encoder: "e", Dim: 600}
	shelf, err := c.open(t.Context(), s, Float32)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(3, 3))
	to := randomQuery(s.Dim, 9)
	rows := make([]stored, 900)
	keys := make([]Key, len(rows))
	for i := range rows {
		binary.BigEndian.PutUint64(rows[i].key.Content[:], random.Uint64())
		keys[i] = rows[i].key
		rows[i].values = slices.Clone(to)
		size := []float32{1, 1.0 / (1 << 62) / (1 << 58), 1 << 57, 1.0 / (1 << 62) / (1 << 62) / (1 << 16)}[random.IntN(4)] // exact
		for j := range 3 * (i % 4) {                                                                                        // a quarter are alike
			rows[i].values[random.IntN(s.Dim)] *= 1 + 1e-3*float32(j)*random.Float32()
		}
		for j := range rows[i].values {
			rows[i].values[j] *= size
		}
	}
	if err := c.write(t.Context(), shelf, rows, nil); err != nil {
		t.Fatal(err)
	}
	// A length of 2⁻¹⁴⁰ has no inverse in float32: it has no place in a sidecar.
	keys = slices.DeleteFunc(keys, func(k Key) bool {
		i := slices.IndexFunc(rows, func(r stored) bool { return r.key == k })
		_, scale := lengthOf(rows[i].values)
		return scale == 0
	})
	if len(keys) == len(rows) {
		t.Fatal("no vector is without a place")
	}
	for _, k := range []int{1, 50, 300} {
		got := search(t, c, s, Query{Vector: to, K: k})
		sameHits(t, "nearly alike", got, ranking(t, c, s, to, keys)[:k])
	}
	if _, err := os.Stat(c.sidecarPath(shelf)); err != nil {
		t.Errorf("the sidecar was taken for damaged: %v", err)
	}
}

func TestSearchOrdersTiesByKeyOnAnyNumberOfProcessors(t *testing.T) {
	c, s := newCache(t), Space{Encoder: "e", Dim: 4}
	shelf, err := c.open(t.Context(), s, Float32)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(6, 6))
	rows := make([]stored, 5000)
	for i := range rows {
		binary.BigEndian.PutUint64(rows[i].key.Content[:], random.Uint64()%700)
		rows[i].key.Frame = i
		rows[i].values = []float32{float32(i % 2), 1, 0, 2}
	}
	if err := c.write(t.Context(), shelf, rows, nil); err != nil {
		t.Fatal(err)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	q := Query{Vector: []float32{1, 1, 1, 1}, K: 40}
	var first []Hit
	for _, processors := range []int{1, 2, 3, 7} {
		runtime.GOMAXPROCS(processors)
		got := search(t, c, s, q)
		if first == nil {
			first = got
		}
		if !slices.Equal(got, first) {
			t.Errorf("%d processors find something else", processors)
		}
	}
	if !slices.IsSortedFunc(first, Hit.Compare) || first[0].Cosine != first[39].Cosine {
		t.Errorf("%v: want ties in the order of keys", first[:3])
	}
}

// Whatever is wrong with a sidecar, no cosine is; and the search goes on without.
func TestSearchOverABrokenSidecar(t *testing.T) {
	t.Parallel()
	for _, s := range searched {
		c := newCache(t)
		keys := randomVectors(t, c, s.Space, s.store, 60)
		to := randomQuery(s.Dim, 2)
		want := ranking(t, c, s.Space, to, keys)
		cosine := map[Key]float64{}
		for _, hit := range want {
			cosine[hit.Key] = hit.Cosine
		}
		path := sidecarOf(t, c, s.Space)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		random := rand.New(rand.NewPCG(8, 9))
		for range 60 {
			broken := slices.Clone(whole)
			broken[random.IntN(len(broken))] ^= 1 << random.IntN(8)
			if err := os.WriteFile(path, broken, 0o600); err != nil {
				t.Fatal(err)
			}
			for _, hit := range search(t, c, s.Space, Query{Vector: to, K: 5}) {
				if got, there := cosine[hit.Key]; !there || math.Abs(got-hit.Cosine) > 1e-12 {
					t.Fatalf("%s: a wrong cosine: %v, want %v", s.Encoder, hit.Cosine, got)
				}
			}
		}
		// Rows whose keys or vectors are others' show the damage.
		size := shelf{Space: s.Space, store: s.store}.size()
		otherKeys, otherRows := slices.Clone(whole), slices.Clone(whole)
		for i := range 60 {
			otherKeys[60*size+i*keySize] ^= 1
		}
		copy(otherRows, whole[size:60*size])
		copy(otherRows[59*size:60*size], whole[:size])
		for name, broken := range map[string][]byte{"keys": otherKeys, "rows": otherRows} {
			if err := os.WriteFile(path, broken, 0o600); err != nil {
				t.Fatal(err)
			}
			sameHits(t, s.Encoder+", other "+name, search(t, c, s.Space, Query{Vector: to, K: 5}), want[:5])
			if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s, other %s: the damaged sidecar stays: %v", s.Encoder, name, err)
			}
		}
	}
}

// What no score can be told of is compared in the database.
func TestSearchOverScoresThatAreNoNumbers(t *testing.T) {
	t.Parallel()
	c, s := newCache(t), Space{Encoder: "e", Dim: 8}
	keys := randomVectors(t, c, s, Float32, 200)
	path := sidecarOf(t, c, s)
	broken, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		binary.LittleEndian.PutUint32(broken[200*8*4+i*keySize+keyScale:], math.Float32bits(float32(math.NaN())))
	}
	if err := os.WriteFile(path, broken, 0o600); err != nil {
		t.Fatal(err)
	}
	to := randomQuery(s.Dim, 5)
	sameHits(t, "no numbers", search(t, c, s, Query{Vector: to, K: 7}), ranking(t, c, s, to, keys)[:7])
}

func TestSearchWithoutAPlaceForASidecar(t *testing.T) {
	t.Parallel()
	for _, s := range searched {
		c := newCache(t)
		keys := randomVectors(t, c, s.Space, s.store, 300)
		if err := os.WriteFile(c.sidecars, nil, 0o600); err != nil { // a file where the folder should be
			t.Fatal(err)
		}
		to := randomQuery(s.Dim, 4)
		sameHits(t, s.Encoder, search(t, c, s.Space, Query{Vector: to, K: 9}), ranking(t, c, s.Space, to, keys)[:9])
	}
}

// referenceMMR is the definition, written out.
func referenceMMR(unit [][]float64, relevance []float64, k int, lambda float64) []int {
	var chosen []int
	for len(chosen) < k {
		best, highest := -1, math.Inf(-1)
		for i := range unit {
			if slices.Contains(chosen, i) {
				continue
			}
			likest := 0.0
			for n, j := range chosen {
				dot := 0.0
				for d := range unit[i] {
					dot += unit[i][d] * unit[j][d]
				}
				if n == 0 || dot > likest {
					likest = dot
				}
			}
			if gain := lambda*relevance[i] - (1-lambda)*likest; gain > highest {
				best, highest = i, gain
			}
		}
		chosen = append(chosen, best)
	}
	return chosen
}

func TestMMRIsItsDefinition(t *testing.T) {
	t.Parallel()
	for _, s := range searched {
		c := newCache(t)
		keys := randomVectors(t, c, s.Space, s.store, 400)
		to := randomQuery(s.Dim, 7)
		pool := ranking(t, c, s.Space, to, keys)[:100]
		var unit [][]float64
		var relevance []float64
		for _, hit := range pool {
			m, err := c.Matrix(t.Context(), s.Space, []Key{hit.Key})
			if err != nil {
				t.Fatal(err)
			}
			row := make([]float64, s.Dim)
			for j := range row {
				row[j] = float64(m.Data[j])
			}
			unit, relevance = append(unit, row), append(relevance, hit.Cosine)
		}
		for _, lambda := range []float64{0.1, 0.5, 0.9, 1} {
			var want []Hit
			for _, i := range referenceMMR(unit, relevance, 10, lambda) {
				want = append(want, pool[i])
			}
			sameHits(t, fmt.Sprintf("%s, λ %v", s.Encoder, lambda), search(t, c, s.Space, Query{Vector: to, K: 10, MMR: lambda}), want)
			sameHits(t, fmt.Sprintf("%s, λ %v, keys", s.Encoder, lambda), search(t, c, s.Space, Query{Vector: to, K: 10, MMR: lambda, Keys: keys}), want)
		}
		sameHits(t, "λ 1 is no MMR", search(t, c, s.Space, Query{Vector: to, K: 10, MMR: 1}), pool[:10])
	}
}

func TestSearchRefuses(t *testing.T) {
	t.Parallel()
	c, s := newCache(t), Space{Encoder: "e", Dim: 3}
	if hits := search(t, c, s, Query{Vector: []float32{1, 2, 3}, K: 3, MMR: 0.5}); len(hits) != 0 {
		t.Errorf("%v of an empty cache", hits)
	}
	randomVectors(t, c, s, Float32, 10)
	nan := float32(math.NaN())
	for _, q := range []Query{
		{Vector: []float32{1, 2, 3}}, {Vector: []float32{1, 2}, K: 1}, {Vector: []float32{0, 0, 0}, K: 1}, {Vector: []float32{0, nan, 0}, K: 1},
		{Vector: []float32{1, 2, 3}, K: 1, MMR: 1.1}, {Vector: []float32{1, 2, 3}, K: 1, MMR: -0.1}, {Vector: []float32{1, 2, 3}, K: 1, MMR: math.NaN()},
		{Vector: []float32{1, 2, 3}, K: 1, Pool: -1},
	} {
		if hits, err := c.Search(t.Context(), s, q); err == nil {
			t.Errorf("%+v: %v", q, hits)
		}
	}
	if _, err := c.Search(t.Context(), s, Query{Vector: []float32{1, 2, 3}, K: 1, Keys: []Key{{Frame: 7}}}); !errors.Is(err, ErrNotStored) {
		t.Errorf("%v: want ErrNotStored", err)
	}
	if hits := search(t, c, s, Query{Vector: []float32{1, 2, 3}, K: 1, Keys: []Key{}}); len(hits) != 0 {
		t.Errorf("%v among no keys", hits)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Search(ctx, s, Query{Vector: []float32{1, 2, 3}, K: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v: want context.Canceled", err)
	}
	if left, _ := filepath.Glob(filepath.Join(c.sidecars, "*.tmp*")); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}
