package npy

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/internal/needs"
	"gonum.org/v1/gonum/blas/blas32"
)

// What NumPy wrote is read as NumPy means it (testdata/README.md).
func TestArraysAreReadAsNumPyMeansThem(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/read.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden []struct {
		Name, DType     string
		Shape           []int
		Values, Float32 []string
	}
	if err := json.Unmarshal(data, &golden); err != nil {
		t.Fatal(err)
	}
	archive, err := OpenArchive("testdata/read.npz")
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	if len(archive.Names()) != len(golden) {
		t.Fatalf("%d names, want %d", len(archive.Names()), len(golden))
	}
	for i, want := range golden {
		if archive.Names()[i] != want.Name {
			t.Errorf("name %d is %q, want %q", i, archive.Names()[i], want.Name)
		}
		a, err := archive.Read(want.Name)
		if err != nil {
			t.Error(err)
			continue
		}
		if a.DType != want.DType || !slices.Equal(a.Shape, want.Shape) || a.Len() != len(want.Values) {
			t.Errorf("%s: %s %v, want %s %v", want.Name, a.DType, a.Shape, want.DType, want.Shape)
			continue
		}
		singles, err := a.Float32()
		if err != nil {
			t.Errorf("%s: %v", want.Name, err)
			continue
		}
		doubles, err := a.Float64()
		if err != nil {
			t.Errorf("%s: %v", want.Name, err)
			continue
		}
		ints, intErr := a.Int64()
		for i := range want.Values {
			single, _ := strconv.ParseFloat(want.Float32[i], 64)
			if !same(float64(singles[i]), single) {
				t.Errorf("%s: Float32()[%d] = %v, want %v", want.Name, i, singles[i], single)
			}
			switch value := want.Values[i]; {
			case value == "True" || value == "False":
				if (ints[i] == 1) != (value == "True") {
					t.Errorf("%s: Int64()[%d] = %d, want %s", want.Name, i, ints[i], value)
				}
			case strings.ContainsAny(want.DType, "ui"):
				if got := strconv.FormatInt(ints[i], 10); intErr != nil || got != value {
					t.Errorf("%s: Int64()[%d] = %s, want %s", want.Name, i, got, value)
				}
			default:
				double, _ := strconv.ParseFloat(value, 64)
				if intErr == nil || !same(doubles[i], double) {
					t.Errorf("%s: Float64()[%d] = %v, want %v; or Int64 gave no error", want.Name, i, doubles[i], double)
				}
			}
		}
		if bytes, err := a.Uint8(); (err == nil) != (want.DType == "|u1") || err == nil && len(bytes) != a.Len() {
			t.Errorf("%s: Uint8 of %s: %v", want.Name, want.DType, err)
		}
	}
}

func same(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }

func TestArraysAreWrittenAsNumPyWritesThem(t *testing.T) {
	t.Parallel()
	matrix := blas32.General{Rows: 2, Cols: 3, Stride: 5, Data: []float32{0, 1. / 7, 2. / 7, -1, -1, 3. / 7, 4. / 7, 5. / 7}}
	path := filepath.Join(t.TempDir(), "m.npy")
	if err := WriteMatrix(path, matrix); err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	bytesOf := func(write func(*bytes.Buffer) error) []byte {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	for name, got := range map[string][]byte{
		"matrix": written,
		"vector": bytesOf(func(b *bytes.Buffer) error { return Write(b, []int{3}, []float64{0, 1. / 3, 2. / 3}) }),
		"cube":   bytesOf(func(b *bytes.Buffer) error { return Write(b, []int{2, 2, 2}, []uint8{0, 1, 2, 3, 4, 5, 6, 7}) }),
		"scalar": bytesOf(func(b *bytes.Buffer) error { return Write(b, nil, []int32{-7}) }),
		"empty":  bytesOf(func(b *bytes.Buffer) error { return Write(b, []int{0, 4}, []int64{}) }),
	} {
		want, err := os.ReadFile("testdata/written-" + name + ".npy")
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: not the bytes of numpy.save:\n%q\n%q", name, got, want)
		}
	}
	back, err := ReadMatrix(path)
	if err != nil || back.Rows != 2 || back.Cols != 3 || !slices.Equal(back.Data, []float32{0, 1. / 7, 2. / 7, 3. / 7, 4. / 7, 5. / 7}) {
		t.Errorf("ReadMatrix = %v, %v", back, err)
	}
	if err := Write(&bytes.Buffer{}, []int{2, 2}, []float32{1}); err == nil {
		t.Error("a shape of 4 for 1 value is no error")
	}
}

func TestWhatIsNoArrayOfNumbersIsRefused(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"objects": "pickle", "fields": "structured", "complex": "want integers", "time": "want integers",
	} {
		if _, err := ReadFile("testdata/refused-" + name + ".npy"); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "refused-"+name) {
			t.Errorf("%s: %v, want an error with %q and the file", name, err, want)
		}
	}
	if _, err := ReadMatrix("testdata/written-cube.npy"); err == nil || !strings.Contains(err.Error(), "want a matrix") {
		t.Errorf("a cube as a matrix: %v", err)
	}
	if _, err := ReadFile("testdata/absent.npy"); err == nil || !strings.Contains(err.Error(), "absent.npy") {
		t.Errorf("an absent file: %v", err)
	}
}

// raw is an array with any header.
func raw(version byte, text string, data ...byte) []byte {
	out := append([]byte(magic), version, 0)
	if version == 1 {
		out = binary.LittleEndian.AppendUint16(out, uint16(len(text)))
	} else {
		out = binary.LittleEndian.AppendUint32(out, uint32(len(text)))
	}
	return append(append(out, text...), data...)
}

func header1(shape string) string {
	return "{'descr': '<f4', 'fortran_order': False, 'shape': (" + shape + "), }\n"
}

func TestHeadersThatLieAreRefused(t *testing.T) {
	t.Parallel()
	lies := 0
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"nothing":               {nil, "not a NumPy array"},
		"text":                  {[]byte("some other file"), "not a NumPy array"},
		"version 9":             {raw(9, header1("1"), 0, 0, 0, 0), "format version 9"},
		"a header of 4 GB":      {append([]byte(magic), 2, 0, 0xff, 0xff, 0xff, 0xff), "want at most"},
		"a header cut off":      {raw(1, header1("1"))[:30], "cut off"},
		"no data":               {raw(1, header1("2"), 0, 0, 0, 0), "ends after 4 of 8 bytes"},
		"a terabyte":            {raw(1, header1("1000000, 1000000")), "more than"},
		"more than fits":        {raw(1, header1("4294967296, 4294967296, 4294967296")), "shape"},
		"a negative side":       {raw(1, header1("-1")), "want descr"},
		"a side beyond 64 bits": {raw(1, header1("99999999999999999999999")), "out of range"},
		"33 sides":              {raw(1, header1(strings.Repeat("1,", 33)), 0, 0, 0, 0), "out of range"},
		"no shape":              {raw(1, "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False}", 0, 0, 0, 0), "want descr"},
		"no order":              {raw(1, "{'descr': '<f4', 'descr': '<f4', 'shape': (1,)}", 0, 0, 0, 0), "want descr"},
		"no type":               {raw(1, "{'shape': (1,), 'fortran_order': False, 'shape': (1,)}", 0, 0, 0, 0), "want descr"},
		"code":                  {raw(1, "__import__('os').system('true')"), "want descr"},
		"a type of its own":     {raw(1, "{'descr': '<f16', 'fortran_order': False, 'shape': (1,)}"), "\"<f16\""},
	} {
		if _, err := Read(bytes.NewReader(c.data), 1<<30); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", name, err, c.want)
		}
		lies++
	}
	t.Logf("measured: %d of %d headers that lie refused", lies, lies)
	for _, fine := range []string{
		"{'shape': (1,), 'fortran_order': False, 'descr': '<f4'}", "{'descr':'<f4','fortran_order':True,'shape':(1L,)}   \n", "{'descr': '<f4', 'fortran_order': False, 'shape': (), }",
	} {
		a, err := Read(bytes.NewReader(raw(2, fine, 0, 0, 0x80, 0x3f)), 4)
		if err != nil {
			t.Errorf("%s: %v", fine, err)
			continue
		}
		if v, err := a.Float32(); err != nil || v[0] != 1 {
			t.Errorf("%s: %v, %v", fine, v, err)
		}
	}
	big := raw(1, "{'descr': '<u8', 'fortran_order': False, 'shape': (1,)}", 255, 255, 255, 255, 255, 255, 255, 255)
	a, err := Read(bytes.NewReader(big), 8)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Int64(); err == nil || !strings.Contains(err.Error(), "18446744073709551615") {
		t.Errorf("an integer beyond 63 bits: %v", err)
	}
}

// member is a member of an archive; what is not given is filled in truly.
type member struct {
	name       string
	data       []byte
	claimed    uint64 // uncompressed size, if it lies
	compressed uint64
	flags      uint16
	method     uint16
}

func archiveOf(t testing.TB, members ...member) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, m := range members {
		h := &zip.FileHeader{Name: m.name, Method: m.method, Flags: m.flags, CRC32: crc32.ChecksumIEEE(m.data), UncompressedSize64: uint64(len(m.data)), CompressedSize64: uint64(len(m.data))}
		if m.claimed != 0 {
			h.UncompressedSize64, h.CompressedSize64 = m.claimed, m.compressed
		}
		w, err := z.CreateRaw(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(m.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "a.npz")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestArchivesThatLieAreRefused(t *testing.T) {
	t.Parallel()
	lies := 0
	one := raw(1, header1("1"), 0, 0, 0x80, 0x3f)
	for name, c := range map[string]struct {
		members []member
		want    string
	}{
		"a name twice":           {[]member{{name: "a.npy", data: one}, {name: "a.npy", data: one}}, "stands twice"},
		"a name that leads out":  {[]member{{name: "../a.npy", data: one}}, "leads elsewhere"},
		"a name within":          {[]member{{name: "x/../../a.npy", data: one}}, "leads elsewhere"},
		"an absolute name":       {[]member{{name: "/a.npy", data: one}}, "leads elsewhere"},
		"a name of Windows":      {[]member{{name: `..\a.npy`, data: one}}, "leads elsewhere"},
		"encryption":             {[]member{{name: "a.npy", data: one, flags: 1}}, "encrypted"},
		"10 GB from 10 KB":       {[]member{{name: "a.npy", data: make([]byte, 10_000), claimed: 10 << 30, compressed: 10_000, method: zip.Deflate}}, "bomb"},
		"20 GB":                  {[]member{{name: "a.npy", data: make([]byte, 10_000), claimed: 20 << 30, compressed: 10_000}}, "more than"},
		"a claim beyond 63 bits": {[]member{{name: "a.npy", data: one, claimed: 1<<64 - 2, compressed: uint64(len(one))}}, "more than"},
	} {
		a, err := OpenArchive(archiveOf(t, c.members...))
		if err == nil {
			a.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", name, err, c.want)
		}
		lies++
	}
	t.Logf("measured: %d of %d archives that lie refused when opened, others when read", lies, lies)
	for name, c := range map[string]struct {
		member member
		want   string
	}{
		"bytes behind the array":     {member{name: "a.npy", data: append(slices.Clone(one), 0)}, "behind the array"},
		"a sum that is wrong":        {member{name: "a.npy", data: one, claimed: uint64(len(one)), compressed: uint64(len(one))}, ""},
		"more in the array than fit": {member{name: "a.npy", data: raw(1, header1("1000000000"))}, "more than"},
		"an unknown compression":     {member{name: "a.npy", data: one, method: 99}, "a.npz"},
	} {
		a, err := OpenArchive(archiveOf(t, c.member))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := a.Read("a"); (c.want != "") != (err != nil) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", name, err, c.want)
		}
		if _, err := a.Read("b"); err == nil || !strings.Contains(err.Error(), `no array "b"`) {
			t.Errorf("%s: an absent array: %v", name, err)
		}
		a.Close()
	}
	path := filepath.Join(t.TempDir(), "no.npz")
	if err := os.WriteFile(path, one, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenArchive(path); err == nil || !strings.Contains(err.Error(), "not an .npz archive") {
		t.Errorf("an array that is no archive: %v", err)
	}
}

// More members than a zip of the old kind can hold, and other files among them.
func TestArchivesOfManyMembers(t *testing.T) {
	t.Parallel()
	needs.Time(t)
	one := raw(1, header1("1"), 0, 0, 0x80, 0x3f)
	members := []member{{name: "README.txt", data: []byte("not an array")}, {name: "a..b.npy", data: one}}
	for i := range 65_537 {
		members = append(members, member{name: fmt.Sprintf("image%06d.npy", i), data: one})
	}
	a, err := OpenArchive(archiveOf(t, members...))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if len(a.Names()) != 65_538 {
		t.Errorf("%d names, want 65,538", len(a.Names()))
	}
	if array, err := a.Read("image065536"); err != nil || array.Len() != 1 {
		t.Errorf("the last member: %v", err)
	}
	t.Logf("measured: an archive of %d members read", len(members))
}

func FuzzRead(f *testing.F) {
	paths, err := filepath.Glob("testdata/*.npy")
	if err != nil || len(paths) < 10 {
		f.Fatalf("%d files: %v", len(paths), err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add(raw(1, "{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3)}", 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := Read(bytes.NewReader(data), 1<<20)
		if err != nil {
			return
		}
		values, err := a.Float64()
		if err != nil {
			return // an integer beyond 63 bits
		}
		var b bytes.Buffer
		if err := Write(&b, a.Shape, values); err != nil {
			t.Fatal(err)
		}
		back, err := Read(&b, 1<<24)
		if err != nil {
			t.Fatal(err)
		}
		again, err := back.Float64()
		if err != nil || !slices.EqualFunc(again, values, same) || !slices.Equal(back.Shape, a.Shape) {
			t.Fatalf("written and read again: %v %v, %v; want %v %v", back.Shape, again, err, a.Shape, values)
		}
	})
}

func Example() {
	var file bytes.Buffer
	if err := Write(&file, []int{2, 2}, []float32{1, 2, 3, 4}); err != nil {
		panic(err)
	}
	a, err := Read(&file, 0)
	if err != nil {
		panic(err)
	}
	values, err := a.Float32()
	fmt.Println(a.DType, a.Shape, values, err)
	// Output: <f4 [2 2] [1 2 3 4] <nil>
}

func FuzzArchive(f *testing.F) {
	one := raw(1, header1("1"), 0, 0, 0x80, 0x3f)
	for _, members := range [][]member{
		{{name: "a.npy", data: one}, {name: "b.npy", data: raw(2, header1("2, 1"), 0, 0, 0x80, 0x3f, 0, 0, 0, 0)}},
		{{name: "x/a.npy", data: one, claimed: 10 << 30, compressed: 10_000, method: zip.Deflate}},
	} {
		data, err := os.ReadFile(archiveOf(f, members...))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	var b bytes.Buffer
	if err := WriteArchive(&b, map[string]func(io.Writer) error{"ids": func(w io.Writer) error { return Write(w, []int{2}, []int64{1, 2}) }}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(dir, "a.npz")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		a, err := OpenArchive(path)
		if err != nil {
			return
		}
		defer a.Close()
		for _, name := range a.Names() {
			if array, err := a.Read(name); err == nil && array.Len() > 200*len(data) {
				t.Errorf("%q: %d values of %d bytes", name, array.Len(), len(data))
			}
		}
	})
}
