package embedcache

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
)

// randomVectors stores n rows of random vectors, and returns their keys in
// another order.
func randomVectors(t testing.TB, c *Cache, s Space, store Store, n int) []Key {
	t.Helper()
	shelf, err := c.open(t.Context(), s, store)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(uint64(n), 5))
	var keys []Key
	for part := range slices.Chunk(make([]stored, n), 1000) {
		for i := range part {
			for j := range 4 {
				binary.LittleEndian.PutUint64(part[i].key.Content[8*j:], random.Uint64())
			}
			part[i].key.Frame = i % 3
			part[i].values = make([]float32, s.values())
			for j := range part[i].values {
				part[i].values[j] = float32(random.NormFloat64())
			}
			keys = append(keys, part[i].key)
		}
		if err := c.write(t.Context(), shelf, part, nil); err != nil {
			t.Fatal(err)
		}
	}
	random.Shuffle(n, func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	return keys
}

// sidecarOf makes the sidecar of a space and returns its path.
func sidecarOf(t testing.TB, c *Cache, s Space) string {
	t.Helper()
	shelf, err := c.find(t.Context(), c.db, s)
	if err != nil {
		t.Fatal(err)
	}
	sc, err := c.sidecar(t.Context(), shelf, true)
	if err != nil {
		t.Fatal(err)
	}
	sc.close()
	return c.sidecarPath(shelf)
}

func raw(t testing.TB, c *Cache, s Space, keys []Key) []float32 {
	t.Helper()
	m, err := c.Raw(t.Context(), s, keys)
	if err != nil {
		t.Fatal(err)
	}
	return m.Data
}

// Whatever byte of a sidecar is another one, or missing: no wrong vector.
func TestBrokenSidecarIsNotBelieved(t *testing.T) {
	t.Parallel()
	c, s := newCache(t), Space{Encoder: "e", Dim: 5}
	keys := randomVectors(t, c, s, Float32, 60)
	want := raw(t, c, s, keys)
	path := sidecarOf(t, c, s)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(8, 9))
	for range 300 {
		broken := slices.Clone(whole)
		broken[random.IntN(len(broken))] ^= 1 << random.IntN(8)
		if random.IntN(10) == 0 {
			broken = broken[:random.IntN(len(broken))]
		}
		if err := os.WriteFile(path, broken, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := raw(t, c, s, keys); !slices.Equal(got, want) {
			t.Fatal("a broken sidecar gave other values")
		}
	}
	t.Log("measured: 300 of 300 broken mapped files gave no wrong vector")
}

func TestSidecarThatIsCutOffWhileMapped(t *testing.T) {
	t.Parallel()
	c, s := newCache(t), Space{Encoder: "e", Dim: 1000}
	keys := randomVectors(t, c, s, Float32, 100)
	path := sidecarOf(t, c, s)
	shelf, err := c.find(t.Context(), c.db, s)
	if err != nil {
		t.Fatal(err)
	}
	sc, err := openSidecar(path, shelf)
	if err != nil {
		t.Fatal(err)
	}
	defer sc.close()
	if err := os.Truncate(path, 4096); err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		if sc.use(key, func([]byte, float64) {}) {
			t.Fatal("a row was read from beyond the end of the file")
		}
	}
	if _, _, err := sc.nearest(t.Context(), make([]float32, 1000), 5); !errors.Is(err, errBroken) {
		t.Errorf("a scan beyond the end of the file: %v", err)
	}
}

// What is mapped into memory, with a footer that fits whatever the rest is.
func FuzzSidecar(f *testing.F) {
	c, s := newCache(f), Space{Encoder: "e", Dim: 3}
	keys := randomVectors(f, c, s, Float32, 4)
	path := sidecarOf(f, c, s)
	shelf, err := c.find(f.Context(), c.db, s)
	if err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole, uint64(4))
	f.Add(whole[len(whole)-footerSize:], uint64(1)<<63)
	f.Fuzz(func(t *testing.T, data []byte, rows uint64) {
		if len(data) < footerSize {
			return
		}
		data = append(slices.Clone(data[:len(data)-footerSize]), shelf.footer(int(rows))...)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		sc, err := openSidecar(path, shelf)
		if err != nil {
			return
		}
		defer sc.close()
		for _, key := range keys {
			sc.use(key, func([]byte, float64) {})
		}
		_, _, _ = sc.nearest(t.Context(), make([]float32, 3), 5)
	})
}
