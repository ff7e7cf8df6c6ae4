package safetensors

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// file is a header and size bytes of data behind it.
func file(header string, size int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, size)...)
}

func length(n uint64, rest string) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, n), rest...)
}

// crafted are files with the verdict of huggingface/safetensors 0.8,
// src/tensor.rs. reason is a part of our message; empty: accepted.
var crafted = []struct {
	name, reason string
	data         []byte
}{
	// What is fine.
	{"no tensor", "", file(`{}`, 0)},
	{"one tensor", "", file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8)},
	{"blanks around the header's end", "", file("{} \n\t\r", 0)},
	{"scalar", "", file(`{"a":{"dtype":"F64","shape":[],"data_offsets":[0,8]}}`, 8)},
	{"tensor without elements", "", file(`{"a":{"dtype":"F32","shape":[3,0],"data_offsets":[0,0]}}`, 0)},
	{"tensor without elements and a large dimension", "", file(`{"a":{"dtype":"F32","shape":[4611686018427387904,0],"data_offsets":[0,0]}}`, 0)},
	{"tensors against the order of names", "", file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]},"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 2)},
	{"members in any order", "", file(`{"a":{"data_offsets":[0,1],"shape":[1],"dtype":"U8"}}`, 1)},
	{"unknown member of an entry", "", file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":{"y":[1]}}}`, 1)},
	{"metadata", "", file(`{"__metadata__":{"a":"b"}}`, 0)},
	{"metadata null", "", file(`{"__metadata__":null}`, 0)},
	{"two values in one byte", "", file(`{"a":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}}`, 1)},
	{"rare type", "", file(`{"a":{"dtype":"F8_E4M3FNUZ","shape":[1],"data_offsets":[0,1]}}`, 1)},
	{"tensor without a name", "", file(`{"":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1)},
	{"header of 640 bytes, which begins like a pickle", "", file(`{}`+strings.Repeat(" ", 638), 0)},

	// HeaderTooSmall, HeaderTooLarge, InvalidHeaderLength.
	{"empty file", "8 bytes", nil},
	{"seven bytes", "8 bytes", []byte("1234567")},
	{"header over the bound", "at most 100000000", length(100_000_001, "{}")},
	{"header of 2^64-1", "at most", length(1<<64-1, "{}")},
	{"header of 2^63", "at most", length(1<<63, "{}")},
	{"header longer than the file", "in a file of", length(3, "{}")},
	{"header of no bytes", "want a JSON object", length(0, "")},
	// InvalidHeader, InvalidHeaderDeserialization.
	{"not UTF-8", "UTF-8", file("{\"\xff\":1}", 0)},
	{"not JSON", "header", file("{nonsense", 0)},
	{"header cut short", "header", file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}`, 1)},
	{"a second object", "behind the JSON object", file("{}{}", 0)},
	{"zero bytes as padding", "behind the JSON object", file("{}\x00\x00", 0)},
	{"entry is a number", "want an object", file(`{"a":1}`, 0)},
	{"entry without type", "want dtype", file(`{"a":{"shape":[1],"data_offsets":[0,1]}}`, 1)},
	{"entry without shape", "want dtype", file(`{"a":{"dtype":"U8","data_offsets":[0,1]}}`, 1)},
	{"entry without offsets", "want dtype", file(`{"a":{"dtype":"U8","shape":[1]}}`, 1)},
	{"shape null", "want dtype", file(`{"a":{"dtype":"U8","shape":null,"data_offsets":[0,1]}}`, 1)},
	{"dimension null", "whole number", file(`{"a":{"dtype":"U8","shape":[null],"data_offsets":[0,0]}}`, 0)},
	{"three offsets", "two data_offsets", file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}}`, 1)},
	{"offsets with a point", "whole number", file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0.0,1.0]}}`, 1)},
	{"offset with an exponent", "whole number", file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1e0]}}`, 1)},
	{"negative offset", "whole number", file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[-1,0]}}`, 1)},
	{"negative dimension", "whole number", file(`{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}}`, 1)},
	{"offset over 2^64", "whole number", file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,18446744073709551617]}}`, 1)},
	{"unknown type", `"F31" is unknown`, file(`{"a":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}}`, 4)},
	{"type in small letters", `"f32" is unknown`, file(`{"a":{"dtype":"f32","shape":[1],"data_offsets":[0,4]}}`, 4)},
	{"members in capitals", "want dtype", file(`{"a":{"DTYPE":"U8","SHAPE":[1],"DATA_OFFSETS":[0,1]}}`, 1)},
	{"member twice", "shape stands twice", file(`{"a":{"dtype":"U8","shape":[1],"shape":[1],"data_offsets":[0,1]}}`, 1)},
	{"metadata with a number", "__metadata__", file(`{"__metadata__":{"a":1}}`, 0)},
	{"metadata with null", "__metadata__", file(`{"__metadata__":{"a":null}}`, 0)},
	{"metadata twice", "stands twice", file(`{"__metadata__":{},"__metadata__":{}}`, 0)},
	// InvalidOffset.
	{"hole at the beginning", `"a" begins at 1`, file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, 2)},
	{"hole between", `"b" begins at 2`, file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}`, 3)},
	{"overlap", `"b" begins at 1`, file(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, 3)},
	{"two tensors on the same bytes", "begins at 0", file(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}`, 2)},
	{"offsets descending", "ascending", file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}}`, 1)},
	// ValidationOverflow, MisalignedSlice, TensorInvalidInfo.
	{"dimension of 2^63", "out of range", file(`{"a":{"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,1]}}`, 1)},
	{"product over 2^64", "out of range", file(`{"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`, 0)},
	{"product over 2^64, then 0", "out of range", file(`{"a":{"dtype":"U8","shape":[4294967296,4294967296,0],"data_offsets":[0,0]}}`, 0)},
	{"bits over 2^64", "out of range", file(`{"a":{"dtype":"F64","shape":[1152921504606846976],"data_offsets":[0,0]}}`, 0)},
	{"half a byte", "takes 4 bits", file(`{"a":{"dtype":"F4","shape":[1],"data_offsets":[0,1]}}`, 1)},
	{"fewer bytes than the shape", "takes 64 bits", file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, 4)},
	{"more bytes than the shape", "takes 32 bits", file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}}`, 8)},
	// MetadataIncompleteBuffer.
	{"bytes behind the last tensor", "the file holds 2", file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 2)},
	{"data cut short", "the file holds 3", file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 3)},
	{"tensor of a terabyte in an empty file", "the file holds 0", file(`{"a":{"dtype":"U8","shape":[1099511627776],"data_offsets":[0,1099511627776]}}`, 0)},
	// Stricter than tensor.rs, by the format's description.
	{"blank before the header", "want {", file(" {}", 0)},
	{"header is an array", "want {", file("[]", 0)},
	{"name twice", `"a" stands twice`, file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1)},
	{"name twice, once escaped", `"a" stands twice`, file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"\u0061":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1)},
	{"entry is an array", "want an object", file(`{"a":["U8",[1],[0,1]]}`, 1)},
	// Python's.
	{"pickle of protocol 4", "a pickle", []byte("\x80\x04\x95\x1e\x00\x00\x00\x00\x00\x00\x00\x8c\x08builtins\x8c\x04eval\x93.")},
	{"pickle of protocol 2", "a pickle", []byte("\x80\x02}q\x00X\x01\x00\x00\x00aq\x01K\x01s.")},
	{"an array of numpy.save", "a NumPy array, and no safetensors", []byte("\x93NUMPY\x01\x00v\x00{'descr': '<f4'")},
	{"torch.save's archive", "pickle is not read, export safetensors", []byte("PK\x03\x04\x00\x00\x08\x08\x00\x00\x00\x00archive/data.pkl")},
}

func TestCraftedFilesAreJudgedAsTheReferenceDoes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i, c := range crafted {
		path := filepath.Join(dir, fmt.Sprintf("%02d.safetensors", i))
		if err := os.WriteFile(path, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := Open(path)
		if err == nil {
			f.Close()
		}
		switch {
		case c.reason == "" && err != nil:
			t.Errorf("%s: refused: %v", c.name, err)
		case c.reason != "" && err == nil:
			t.Errorf("%s: accepted", c.name)
		case c.reason != "" && (!strings.Contains(err.Error(), c.reason) || !strings.Contains(err.Error(), path)):
			t.Errorf("%s: %v: want the path and %q", c.name, err, c.reason)
		}
	}
	t.Logf("measured: %d crafted files, each judged as the reference does or more strictly", len(crafted))
}

// A header that claims much must not make the reader allocate much.
func TestRefusalComesBeforeAnyTensorIsAllocated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	for _, c := range crafted {
		if c.reason == "" {
			continue
		}
		if err := os.WriteFile(path, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := Open(path); err == nil {
			t.Fatalf("%s: accepted", c.name)
		}
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
			t.Errorf("%s: %d bytes allocated", c.name, grown)
		}
	}
}

func TestAMillionTensors(t *testing.T) {
	t.Parallel()
	n := 1_000_000
	if testing.Short() {
		n = 10_000
	}
	var header strings.Builder
	for i := range n {
		header.WriteByte(",{"[min(1, max(0, 1-i))])
		fmt.Fprintf(&header, `"t%d":{"dtype":"U8","shape":[1],"data_offsets":[%d,%d]}`, i, i, i+1)
	}
	header.WriteByte('}')
	path := filepath.Join(t.TempDir(), "x.safetensors")
	if err := os.WriteFile(path, file(header.String(), n), 0o600); err != nil {
		t.Fatal(err)
	}
	f := open(t, path)
	if last := fmt.Sprintf("t%d", n-1); len(f.Tensors()) != n || f.Tensors()[n-1].Name != last {
		t.Errorf("%d tensors: want %d, the last %s", len(f.Tensors()), n, last)
	}
}

// FuzzOpen: whatever is accepted covers the file and can be read whole; in memory it is
// judged alike.
func FuzzOpen(f *testing.F) {
	for _, c := range crafted {
		f.Add(c.data)
	}
	for _, name := range []string{"testdata/types.safetensors", "testdata/written.safetensors"} {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "x.safetensors")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := Open(path)
		if _, inMemory := Read("x", data); (inMemory == nil) != (err == nil) {
			t.Fatalf("opened: %v, read: %v", err, inMemory)
		}
		if err != nil {
			return
		}
		defer file.Close()
		end := int64(8 + binary.LittleEndian.Uint64(data))
		for _, x := range file.Tensors() {
			if x.Offset != end {
				t.Fatalf("tensor %q begins at %d: want %d", x.Name, x.Offset, end)
			}
			if b, err := file.Bytes(x.Name); err != nil || int64(len(b)) != x.Size {
				t.Fatalf("tensor %q: %d bytes, %v: want %d", x.Name, len(b), err, x.Size)
			}
			_, _ = file.Float32(x.Name)
			end += x.Size
		}
		if end != int64(len(data)) {
			t.Fatalf("%d bytes covered of %d", end, len(data))
		}
	})
}
