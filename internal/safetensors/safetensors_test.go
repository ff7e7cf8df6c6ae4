package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestFloat32AgreesWithNumPyAndPyTorch(t *testing.T) {
	t.Parallel()
	f := open(t, "testdata/types.safetensors")
	text, err := os.ReadFile("testdata/types.json")
	if err != nil {
		t.Fatal(err)
	}
	var want map[string][]uint32
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	for name, bits := range want {
		got, err := f.Float32(name)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(got, bits, func(v float32, b uint32) bool { return math.Float32bits(v) == b }) {
			t.Errorf("%s: %v: want bits %x", name, got, bits)
		}
	}
	if got := f.Metadata()["note"]; got != `a <b> & "c"` {
		t.Errorf("metadata note %q", got)
	}
	if len(want) != len(f.Tensors())-1 {
		t.Errorf("%d golden tensors for %d of the file", len(want), len(f.Tensors()))
	}
}

func TestTensorsAreInTheOrderOfTheFile(t *testing.T) {
	t.Parallel()
	f := open(t, "testdata/types.safetensors")
	var names []string
	for _, x := range f.Tensors() {
		names = append(names, x.Name)
	}
	want := []string{"counts", "double", "empty", "scalar", "single", "Ärzte \"<&>\" \\", "brain", "half"}
	if !slices.Equal(names, want) {
		t.Errorf("%q: want %q", names, want)
	}
	if x, ok := f.Tensor("half"); !ok || !slices.Equal(x.Shape, []int{3, 4}) || x.DType != "F16" || x.Size != 24 {
		t.Errorf("half: %+v, %v", x, ok)
	}
}

func TestWriteGivesTheReferenceWritersBytes(t *testing.T) {
	t.Parallel()
	want, err := os.ReadFile("testdata/written.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	arrays := []Array{
		{"Ärzte \"<&>\" \\", []int{1}, []float32{-2}},
		{"single", []int{2, 3}, []float32{0, float32(math.Copysign(0, -1)), 1.5, 1e-45, math.MaxFloat32, float32(math.Inf(-1))}},
		{"empty", []int{0, 7}, nil},
		{"scalar", nil, []float32{4.5}},
	}
	var got bytes.Buffer
	if err := Write(&got, arrays, map[string]string{"format": "pt", "classes": `["a","b"]`}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("got  %q\nwant %q", got.Bytes(), want)
	}
}

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.safetensors")
	for _, arrays := range [][]Array{nil, {{"weight", []int{2, 2}, []float32{1, 2, 3, 4}}, {"bias", []int{2}, []float32{5, 6}}}} {
		var b bytes.Buffer
		if err := Write(&b, arrays, nil); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		f := open(t, path)
		for _, a := range arrays {
			if got, err := f.Float32(a.Name); err != nil || !slices.Equal(got, a.Data) {
				t.Errorf("%s: %v, %v", a.Name, got, err)
			}
		}
	}
}

func TestWriteRefusesWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	for name, arrays := range map[string][]Array{
		"values":       {{"a", []int{3}, []float32{1, 2}}},
		"another name": {{"a", nil, []float32{1}}, {"a", nil, []float32{2}}},
		"metadata":     {{"__metadata__", nil, []float32{1}}},
	} {
		var b bytes.Buffer
		if err := Write(&b, arrays, nil); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A tensor of more than one part, in each type.
func TestCopyFloat32WritesWhatFloat32Reads(t *testing.T) {
	t.Parallel()
	const n = 1<<18 + 3
	for dtype, width := range map[string]int{"F16": 2, "BF16": 2, "F32": 4, "F64": 8} {
		path := filepath.Join(t.TempDir(), "x.safetensors")
		data := file(fmt.Sprintf(`{"a":{"dtype":%q,"shape":[%d],"data_offsets":[0,%d]}}`, dtype, n, n*width), n*width)
		for i := range n * width {
			data[len(data)-1-i] = byte(i * i >> 3)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		f := open(t, path)
		values, err := f.Float32("a")
		if err != nil {
			t.Fatal(err)
		}
		var want, got bytes.Buffer
		if err := binary.Write(&want, binary.LittleEndian, values); err != nil {
			t.Fatal(err)
		}
		if size, err := f.CopyFloat32(&got, "a"); err != nil || size != 4*n || !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Errorf("%s: %d bytes, %v: want the %d of Float32", dtype, size, err, want.Len())
		}
	}
}

func TestErrorsNameTheFileAndTheTensor(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "absent.safetensors")
	if _, err := Open(missing); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), missing) {
		t.Errorf("absent file: %v", err)
	}
	f := open(t, "testdata/types.safetensors")
	if _, err := f.Float32("nobody"); err == nil || !strings.Contains(err.Error(), `"nobody"`) {
		t.Errorf("absent tensor: %v", err)
	}
	if _, err := f.Float32("counts"); err == nil || !strings.Contains(err.Error(), "I64") {
		t.Errorf("integers as float32: %v", err)
	}
}

func open(t testing.TB, path string) *File {
	t.Helper()
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}
