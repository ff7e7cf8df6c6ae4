package embedcache

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/internal/npy"
	"github.com/medprobe/medprobe/internal/safetensors"
	"github.com/parquet-go/parquet-go"
)

// What goes out in any format comes in again, bit for bit, with its keys.
func TestExportsComeBack(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(t *testing.T, open func() *Cache) {
		for _, s := range []Space{{Encoder: "e", Preprocess: "p", Dim: 6}, {Encoder: "t", Preprocess: "p", Dim: 6, Tokens: 4}} {
			c := open()
			keys := randomVectors(t, c, s, Float32, 50)
			want := raw(t, c, s, keys)
			some := ExportOptions{Keys: keys[:7], Raw: true}
			for _, ending := range exportEndings {
				for _, o := range []ExportOptions{{Raw: true}, some} {
					path := filepath.Join(t.TempDir(), "out"+ending)
					n, err := c.Export(t.Context(), s, path, o)
					if err != nil || n != max(7, 50-len(o.Keys)*50/7) {
						t.Fatalf("%s: %d rows, %v", ending, n, err)
					}
					other := newCache(t)
					if _, err := other.Import(t.Context(), path, ImportOptions{Name: "e", Space: &s}); err != nil {
						t.Fatalf("%s: %v", ending, err)
					}
					if got := raw(t, other, s, keys[:7]); !slices.Equal(got, want[:7*s.values()]) {
						t.Errorf("%s with %d tokens: other values came back", ending, s.tokens())
					}
				}
			}
			// Of length one unless asked for raw.
			path := filepath.Join(t.TempDir(), "unit.npy")
			if _, err := c.Export(t.Context(), s, path, ExportOptions{}); err != nil {
				t.Fatal(err)
			}
			a, err := npy.ReadFile(path)
			if err != nil || len(a.Shape) != 2+min(1, s.Tokens) {
				t.Fatalf("%v, %v", a.Shape, err)
			}
			values, _ := a.Float32()
			for v := range slices.Chunk(values, s.Dim) {
				sum := 0.0
				for _, x := range v {
					sum += float64(x) * float64(x)
				}
				if math.Abs(sum-1) > 1e-6 {
					t.Fatalf("a vector of squared length %v", sum)
				}
			}
		}
	})
}

func TestExportOfADamagedVectorIsAnError(t *testing.T) {
	t.Parallel()
	c, s := newCache(t), Space{Encoder: "e", Dim: 2}
	randomVectors(t, c, s, Float32, 5)
	if _, err := c.db.Exec(`UPDATE vector SET data = zeroblob(8) WHERE id = 3`); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "out.npz")
	if _, err := c.Export(t.Context(), s, path, ExportOptions{}); err == nil || !strings.Contains(err.Error(), ErrDamaged.Error()) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("half a file was left")
	}
}

// The layouts that vectors come in, each of three images.
func TestImportOfEveryLayout(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	vectors := [][]float32{{1, 2}, {3, 4}, {5, 6}}
	ids := []string{"a.png", "b", "käse"}
	npz := func(name string, members map[string]func(io.Writer) error) string {
		return file(t, dir, name, func(w io.Writer) error { return npy.WriteArchive(w, members) })
	}
	array := func(shape []int, values ...float32) func(io.Writer) error {
		return func(w io.Writer) error { return npy.Write(w, shape, values) }
	}
	texts := func(w io.Writer) error {
		return npy.WriteTexts(w, []int{3}, 8, func(put func(string) error) error {
			for _, id := range ids {
				if err := put(id); err != nil {
					return err
				}
			}
			return nil
		})
	}
	type listed struct {
		Name   string    `parquet:"image_id"`
		Vector []float64 `parquet:"vec,list"`
	}
	type packed struct {
		ID     string  `parquet:"id"`
		Vector [8]byte `parquet:"emb"`
	}
	var lists []listed
	var packs []packed
	for i, v := range vectors {
		lists = append(lists, listed{ids[i], []float64{float64(v[0]), float64(v[1])}})
		var p packed
		p.ID = ids[i]
		_, _ = binary.Encode(p.Vector[:], binary.LittleEndian, v)
		packs = append(packs, p)
	}
	if err := os.WriteFile(filepath.Join(dir, "ids.csv"), []byte("row,id\n0,a.png\n1,b\n2,käse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		path string
		o    ImportOptions
	}{
		{npz("each.npz", map[string]func(io.Writer) error{"a.png": array([]int{2}, 1, 2), "b": array([]int{2}, 3, 4), "käse": array([]int{2}, 5, 6)}), ImportOptions{}},
		{npz("two.npz", map[string]func(io.Writer) error{"ids": texts, "emb": array([]int{3, 2}, 1, 2, 3, 4, 5, 6)}), ImportOptions{}},
		{npz("named.npz", map[string]func(io.Writer) error{"who": texts, "what": array([]int{3, 2}, 1, 2, 3, 4, 5, 6)}), ImportOptions{IDs: "who", Embeddings: "what"}},
		{npz("beside.npz", map[string]func(io.Writer) error{"emb": array([]int{3, 2}, 1, 2, 3, 4, 5, 6)}), ImportOptions{IDs: filepath.Join(dir, "ids.csv")}},
		{file(t, dir, "m.npy", array([]int{3, 2}, 1, 2, 3, 4, 5, 6)), ImportOptions{IDs: filepath.Join(dir, "ids.csv")}},
		{file(t, dir, "list.parquet", func(w io.Writer) error { return parquet.Write(w, lists) }), ImportOptions{Embeddings: "vec"}},
		{file(t, dir, "pack.parquet", func(w io.Writer) error { return parquet.Write(w, packs) }), ImportOptions{}},
		{file(t, dir, "each.safetensors", func(w io.Writer) error {
			return safetensors.Write(w, []safetensors.Array{{Name: "a.png", Shape: []int{2}, Data: vectors[0]}, {Name: "b", Shape: []int{2}, Data: vectors[1]}, {Name: "käse", Shape: []int{2}, Data: vectors[2]}}, nil)
		}), ImportOptions{}},
	} {
		c := newCache(t)
		tt.o.Name = "elixr"
		done, err := c.Import(t.Context(), tt.path, tt.o)
		if err != nil || done.Rows != 3 || done.Dim != 2 || done.Tokens != 1 {
			t.Errorf("%s: %+v, %v", filepath.Base(tt.path), done, err)
			continue
		}
		v, err := c.Vectors(t.Context(), "elixr")
		if err != nil {
			t.Fatal(err)
		}
		if got := raw(t, c, SpaceOf(v), []Key{idKey("käse"), idKey("a.png")}); !slices.Equal(got, []float32{5, 6, 1, 2}) {
			t.Errorf("%s: %v", filepath.Base(tt.path), got)
		}
	}
}

func TestTokensAreKeptAndPooled(t *testing.T) {
	t.Parallel()
	path := file(t, t.TempDir(), "tokens.npz", func(w io.Writer) error {
		return npy.WriteArchive(w, map[string]func(io.Writer) error{"x1": func(w io.Writer) error { return npy.Write(w, []int{2, 2}, []float32{3, 0, 0, 4}) }})
	})
	c := newCache(t)
	if _, err := c.Import(t.Context(), path, ImportOptions{Name: "n"}); err != nil {
		t.Fatal(err)
	}
	v, err := c.Vectors(t.Context(), "n")
	if err != nil || v.Tokens() != 2 {
		t.Fatalf("%+v, %v", v, err)
	}
	if got := raw(t, c, SpaceOf(v), []Key{idKey("x1")}); !slices.Equal(got, []float32{3, 0, 0, 4}) {
		t.Errorf("raw %v", got)
	}
	m, err := c.Matrix(t.Context(), SpaceOf(v), []Key{idKey("x1")})
	if err != nil || !slices.Equal(m.Data, []float32{0.6, 0.8}) {
		t.Errorf("the mean of length one is %v, %v: want 0.6, 0.8", m.Data, err)
	}
}

func TestImportRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	nan := float32(math.NaN())
	pair := func(n int, values ...float32) map[string]func(io.Writer) error {
		return map[string]func(io.Writer) error{
			"emb": func(w io.Writer) error { return npy.Write(w, []int{n, len(values) / n}, values) },
			"ids": func(w io.Writer) error {
				return npy.WriteTexts(w, []int{2}, 2, func(put func(string) error) error {
					return errorsOf(put("a"), put("b"))
				})
			},
		}
	}
	object := "\x93NUMPY\x01\x00\x76\x00{'descr': '|O', 'fortran_order': False, 'shape': (2, 2), }" + strings.Repeat(" ", 59) + "\n"
	for i, tt := range []struct {
		name, want string
		members    map[string]func(io.Writer) error
	}{
		{"not a number", `row 1, id "b": the vector has length NaN`, pair(2, 1, 2, 3, nan)},
		{"no direction", `row 0, id "a": the vector has length 0`, pair(2, 0, 0, 3, 4)},
		{"infinite", `row 0`, pair(2, float32(math.Inf(1)), 0, 3, 4)},
		{"too few ids", "2 ids for 3 vectors", pair(3, 1, 2, 3, 4, 5, 6)},
		{"a pickle", "pickle", map[string]func(io.Writer) error{"emb": func(w io.Writer) error { _, err := io.WriteString(w, object); return err }, "ids": pair(2, 1, 2)["ids"]}},
		{"shapes differ", "want one for all", map[string]func(io.Writer) error{
			"one": func(w io.Writer) error { return npy.Write(w, []int{2}, []float32{1, 2}) },
			"two": func(w io.Writer) error { return npy.Write(w, []int{3}, []float32{1, 2, 3}) },
		}},
	} {
		c := newCache(t)
		path := file(t, dir, fmt.Sprintf("%d.npz", i), func(w io.Writer) error { return npy.WriteArchive(w, tt.members) })
		if _, err := c.Import(t.Context(), path, ImportOptions{Name: "n"}); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v: want %q and the file", tt.name, err, tt.want)
		}
		if st, err := c.Stat(t.Context()); err != nil || st.Vectors != 0 {
			t.Errorf("%s: %d vectors were stored, %v", tt.name, st.Vectors, err)
		}
	}
	c := newCache(t)
	twice := file(t, dir, "twice.csv", func(w io.Writer) error { _, err := io.WriteString(w, "id\nx\nx\n"); return err })
	matrix := file(t, dir, "m.npy", func(w io.Writer) error { return npy.Write(w, []int{2, 2}, []float32{1, 2, 3, 4}) })
	if _, err := c.Import(t.Context(), matrix, ImportOptions{Name: "n", IDs: twice}); err == nil || !strings.Contains(err.Error(), `id "x" stands twice`) {
		t.Error(err)
	}
	if _, err := c.Import(t.Context(), matrix, ImportOptions{Name: "n"}); err == nil || !strings.Contains(err.Error(), "--ids") {
		t.Error(err)
	}
}

func TestKeysAreWrittenAndRead(t *testing.T) {
	t.Parallel()
	for _, k := range []Key{{}, {Frame: 3}, {Region: rect(1, 2, 30, 40)}, {Frame: 7, Region: rect(0, 0, 5, 5), Content: [32]byte{0xab}}} {
		if got, err := parseKey(k.String()); err != nil || got != k {
			t.Errorf("%v: %v, %v", k, got, err)
		}
	}
	whole := Key{}.String()
	for _, text := range []string{"", "ab", whole + "@", whole + "@0", whole + "@x", whole + "+1,2", whole + "@1@2", strings.ToUpper(strings.Repeat("ab", 32)), whole[1:] + "g"} {
		if k, err := parseKey(text); err == nil {
			t.Errorf("%q was read as %v", text, k)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add(Key{Frame: 7, Region: rect(0, 0, 5, 5)}.String())
	f.Fuzz(func(t *testing.T, text string) {
		if k, err := parseKey(text); err == nil && k.String() != text {
			t.Errorf("%q was read as %q", text, k)
		}
	})
}

func FuzzImport(f *testing.F) {
	var b bytes.Buffer
	if err := npy.WriteArchive(&b, map[string]func(io.Writer) error{"x": func(w io.Writer) error { return npy.Write(w, []int{2}, []float32{1, 2}) }}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes(), 0)
	b.Reset()
	if err := parquet.Write(&b, []exportedRow{{"a", []float32{1, 2}}}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes(), 2)
	b.Reset()
	if err := safetensors.Write(&b, []safetensors.Array{{Name: "a", Shape: []int{2}, Data: []float32{1, 2}}}, nil); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes(), 3)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte, kind int) {
		path := filepath.Join(dir, "x"+exportEndings[uint(kind)%uint(len(exportEndings))])
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		table, err := readVectors(t.Context(), path, ImportOptions{})
		if err != nil {
			return
		}
		if rows, err := table.rows(ImportOptions{}); err == nil && len(rows) != len(table.ids) {
			t.Errorf("%d rows of %d", len(rows), len(table.ids))
		}
	})
}
