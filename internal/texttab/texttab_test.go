package texttab

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/csv"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
)

// A table that is packed may be a decompression bomb.
func TestPackedTables(t *testing.T) {
	t.Parallel()
	pack := func(text []byte) string {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		w.Write(text)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "x.csv.gz")
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if got := read(t, pack([]byte("a,b\n1,2\n"))); len(got) != 2 || got[1][1] != "2" {
		t.Errorf("%q", got)
	}
	f, err := Open(pack(make([]byte, freeBytes+1<<20)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if n, err := io.Copy(io.Discard, f); err == nil || !strings.Contains(err.Error(), "bomb") || n > freeBytes {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func TestJSONLines(t *testing.T) {
	t.Parallel()
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "x.jsonl")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	got := read(t, write("{\"a\": 1.50, \"b\": [\"x\", \"y\"]}\n{\"c\": true, \"a\": null}\n"))
	if want := [][]string{{"a", "b", "c"}, {"1.50", "x|y", ""}, {"", "", "1"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for text, want := range map[string]string{
		"[1]\n": "want a JSON object", "{\"a\": 1": "does not end", "{\"a\": 1, \"a\": 2}": "stands twice", "{} {}": "more than one object",
		"{\"a\": {\"b\": 1}}": "want a flat one", "{\"a\": [[1]]}": "list within", "{}\n{\"a\": [\"x|y\"]}": "line 2",
	} {
		if _, err := Open(write(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func read(t *testing.T, path string) [][]string {
	t.Helper()
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestBothFormsSayTheSame(t *testing.T) {
	t.Parallel()
	columns := []Column{
		{Name: "a,b", Numbers: []float64{0.1, math.Pi, 1e-300, math.Inf(1)}},
		{Name: "id", Texts: []string{"x", "=1+1", "two\nlines", "Größe \"9\""}},
	}
	want := [][]string{{"a,b", "id"}, {"0.1", "x"}, {"3.141592653589793", "=1+1"}, {"1e-300", "two\nlines"}, {"+Inf", "Größe \"9\""}}
	for _, name := range []string{"t.csv", "t.parquet", "t.PARQUET"} {
		path := filepath.Join(t.TempDir(), name)
		if err := Write(path, columns); err != nil {
			t.Fatal(err)
		}
		if got := read(t, path); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestParquetOfOthersIsRead(t *testing.T) {
	t.Parallel()
	type row struct {
		Path  string   `parquet:"path"`
		Y     *int32   `parquet:"y"`
		Found bool     `parquet:"found"`
		Small float32  `parquet:"small"`
		N     int64    `parquet:"n"`
		Score *float64 `parquet:"score"`
	}
	one, half := int32(1), 0.5
	path := filepath.Join(t.TempDir(), "t.parquet")
	if err := parquet.WriteFile(path, []row{{"a.png", &one, true, 0.1, -7, &half}, {"b.png", nil, false, 2, 1 << 40, nil}}); err != nil {
		t.Fatal(err)
	}
	want := [][]string{{"path", "y", "found", "small", "n", "score"}, {"a.png", "1", "1", "0.1", "-7", "0.5"}, {"b.png", "", "0", "2", "1099511627776", ""}}
	if got := read(t, path); !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestWhatIsNoFlatTableIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	nested := filepath.Join(dir, "nested.parquet")
	if err := parquet.WriteFile(nested, []struct{ Boxes []int64 }{{[]int64{1, 2}}}); err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(dir, "text.parquet")
	if err := os.WriteFile(text, []byte("path,y\na,1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{nested: `"Boxes" is nested`, text: "not a Parquet file", filepath.Join(dir, "nowhere.csv"): "no such file"} {
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", path, err, want)
		}
	}
	if err := Write(filepath.Join(dir, "twice.parquet"), []Column{{Name: "a"}, {Name: "a"}}); err == nil {
		t.Error("a column was written twice")
	}
}

// A damaged file is read or refused, soon and without much memory: the test
// would not end otherwise.
func TestDamagedFilesComeToAnEnd(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "t.parquet")
	if err := Write(path, []Column{{Name: "id", Texts: []string{"a", "b"}}, {Name: "y", Numbers: []float64{1, 0}}}); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 1))
	refused := 0
	for range 4000 {
		data := slices.Clone(whole)
		for range 1 + random.IntN(4) {
			data[random.IntN(len(data))] = byte(random.IntN(256))
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		r, err := Open(path)
		if err == nil {
			_, err = io.Copy(io.Discard, r)
			r.Close()
		}
		if err != nil {
			refused++
		}
	}
	if refused == 0 {
		t.Error("no damage was found")
	}
}

func TestFooterThatPromisesMoreThanItHolds(t *testing.T) {
	t.Parallel()
	file := func(metadata ...byte) string {
		data := append([]byte("PAR1"), metadata...)
		data = append(binary.LittleEndian.AppendUint32(data, uint32(len(metadata))), "PAR1"...)
		path := filepath.Join(t.TempDir(), "t.parquet")
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	deep := bytes.Repeat([]byte{0x19}, 1<<20) // a list of one list of one list …
	for path, want := range map[string]string{
		file(0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07): "values promised",
		file(0x18, 0xff, 0xff, 0x03, 'x'):              "values promised",
		file(append(deep, 0)...):                       "deeper than",
		file(0x15):                                     "bad number",
		file(0x1e, 0):                                  "unknown type",
	} {
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v: want %q", err, want)
		}
	}
}

func FuzzOpenParquet(f *testing.F) {
	dir := f.TempDir()
	path := filepath.Join(dir, "seed.parquet")
	if err := Write(path, []Column{{Name: "id", Texts: []string{"a", "b"}}, {Name: "y", Numbers: []float64{1, 0}}}); err != nil {
		f.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:len(data)/2])
	f.Add([]byte("PAR1PAR1"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "t.parquet")
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		if r, err := Open(path); err == nil {
			_, _ = io.Copy(io.Discard, r)
			r.Close()
		}
	})
}
