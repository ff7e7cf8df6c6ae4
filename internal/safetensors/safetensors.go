// Package safetensors reads and writes Hugging Face's safetensors files: an
// eight-byte length, a JSON header, the tensors one behind the other.
//
// [Open] accepts and refuses what the reference implementation does
// (huggingface/safetensors, src/tensor.rs): the header is bounded, and the
// tensors cover the rest of the file without gap or overlap. Nothing is read
// before all of it has been checked. Where the format's description is stricter
// than that implementation, Open follows the description: the header begins
// with {, names are unique, and an entry is an object.
package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/medprobe/medprobe/internal/float16"
)

// maxHeader is the reference implementation's bound.
const maxHeader = 100_000_000

// Tensor is one entry of the header.
type Tensor struct {
	Name  string
	DType string
	Shape []int
	// Offset is that of the first byte in the file, Size the number of bytes.
	Offset, Size int64
}

// bits holds the width of each type.
var bits = map[string]int64{
	"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
	"BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
	"I16": 16, "U16": 16, "F16": 16, "BF16": 16,
	"I32": 32, "U32": 32, "F32": 32,
	"F64": 64, "I64": 64, "U64": 64, "C64": 64,
}

// File is an open file. Reading from it is safe for concurrent use.
type File struct {
	path     string
	data     io.ReaderAt
	close    func() error
	tensors  []Tensor
	byName   map[string]int
	metadata map[string]string
}

// Open opens the file and checks its header.
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		var pathErr *fs.PathError
		if errors.As(err, &pathErr) {
			err = pathErr.Err
		}
		return nil, fmt.Errorf("safetensors: open %s: %w", path, err)
	}
	file := &File{path: path, data: f, close: f.Close}
	info, err := f.Stat()
	if err == nil {
		err = file.readHeader(info.Size())
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("safetensors: open %s: %w", path, err)
	}
	return file, nil
}

// Read reads a file that is in memory, and is called by a name in errors. It need
// not be closed.
func Read(name string, data []byte) (*File, error) {
	file := &File{path: name, data: bytes.NewReader(data), close: func() error { return nil }}
	if err := file.readHeader(int64(len(data))); err != nil {
		return nil, fmt.Errorf("safetensors: read %s: %w", name, err)
	}
	return file, nil
}

func (f *File) readHeader(size int64) (err error) {
	var prefix [8]byte
	if _, err := f.data.ReadAt(prefix[:], 0); err != nil {
		return errors.New("the file is shorter than the 8 bytes that give the header's length")
	}
	length := binary.LittleEndian.Uint64(prefix[:])
	f.tensors, f.metadata, err = readTensors(f.data, length, size)
	if err != nil {
		return cmp.Or(otherFormat(prefix), err)
	}
	f.byName = make(map[string]int, len(f.tensors))
	for i := range f.tensors {
		f.tensors[i].Offset += 8 + int64(length)
		f.byName[f.tensors[i].Name] = i
	}
	return nil
}

// readTensors reads the header of length bytes in a file of size bytes. Its
// tensors are in the order of their offsets, which count from the header's end.
func readTensors(r io.ReaderAt, length uint64, size int64) ([]Tensor, map[string]string, error) {
	switch {
	case length > maxHeader:
		return nil, nil, fmt.Errorf("header of %d bytes: want at most %d", length, maxHeader)
	case int64(length) > size-8:
		return nil, nil, fmt.Errorf("header of %d bytes in a file of %d", length, size)
	case length < 2:
		return nil, nil, fmt.Errorf("header of %d bytes: want a JSON object", length)
	}
	text := make([]byte, length)
	if _, err := r.ReadAt(text, 8); err != nil {
		return nil, nil, err
	}
	tensors, metadata, err := parse(text)
	if err != nil {
		return nil, nil, err
	}
	slices.SortFunc(tensors, func(a, b Tensor) int { return cmp.Or(cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Size, b.Size)) })
	return tensors, metadata, cover(tensors, size-8-int64(length))
}

// otherFormat explains a refusal by what torch.save, pickle.dump and numpy.save put
// at a file's beginning. It says nothing about a file that is accepted: a header of 640
// bytes begins like a pickle.
func otherFormat(prefix [8]byte) error {
	switch {
	case bytes.HasPrefix(prefix[:], []byte("PK\x03\x04")):
		return errors.New("a zip archive, as torch.save writes; pickle is not read, export safetensors")
	case bytes.HasPrefix(prefix[:], []byte("\x93NUMPY")):
		return errors.New("a NumPy array, and no safetensors; a head is what 'medprobe fit' and 'medprobe run' write")
	case prefix[0] == 0x80 && prefix[1] >= 2 && prefix[1] <= 5:
		return errors.New("a pickle; pickle is not read, export safetensors")
	}
	return nil
}

// parse reads the header member by member, since a Go map would hide a name
// that stands twice.
func parse(text []byte) ([]Tensor, map[string]string, error) {
	if text[0] != '{' {
		return nil, nil, fmt.Errorf("header begins with %q: want {", text[0])
	}
	if !utf8.Valid(text) {
		return nil, nil, errors.New("header is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	if _, err := dec.Token(); err != nil {
		return nil, nil, fmt.Errorf("header: %w", err)
	}
	var tensors []Tensor
	var metadata map[string]string
	seen := map[string]bool{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, nil, fmt.Errorf("header: %w", err)
		}
		name, _ := key.(string)
		if seen[name] {
			return nil, nil, fmt.Errorf("tensor %q stands twice", name)
		}
		seen[name] = true
		if name == "__metadata__" {
			if metadata, err = parseMetadata(dec); err != nil {
				return nil, nil, fmt.Errorf("__metadata__: %w", err)
			}
			continue
		}
		t, err := parseTensor(dec, name)
		if err != nil {
			return nil, nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		tensors = append(tensors, t)
	}
	if _, err := dec.Token(); err != nil {
		return nil, nil, fmt.Errorf("header: %w", err)
	}
	if rest := bytes.TrimRight(text[dec.InputOffset():], " \t\r\n"); len(rest) > 0 {
		return nil, nil, fmt.Errorf("header: %.20q behind the JSON object", rest)
	}
	return tensors, metadata, nil
}

func parseMetadata(dec *json.Decoder) (map[string]string, error) {
	var members map[string]*string
	if err := dec.Decode(&members); err != nil {
		return nil, err
	}
	metadata := make(map[string]string, len(members))
	for key, value := range members {
		if value == nil {
			return nil, fmt.Errorf("%q is null: want a string", key)
		}
		metadata[key] = *value
	}
	return metadata, nil
}

// count is a number of the header. null is none, although encoding/json would
// take it for 0.
type count uint64

func (c *count) UnmarshalJSON(text []byte) error {
	v, err := strconv.ParseUint(string(text), 10, 64)
	if err != nil {
		return fmt.Errorf("%.40q: want a whole number, 0 or more", text)
	}
	*c = count(v)
	return nil
}

// parseTensor reads one entry. Unknown members are passed over, as the
// reference does; encoding/json alone would also take "DType" for "dtype" and
// a member that stands twice.
func parseTensor(dec *json.Decoder, name string) (Tensor, error) {
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return Tensor{}, cmp.Or(err, errors.New("want an object with dtype, shape and data_offsets"))
	}
	var dtype *string
	var shape, offsets []count
	var other json.RawMessage
	seen := map[string]bool{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return Tensor{}, err
		}
		key, _ := token.(string)
		into, known := map[string]any{"dtype": &dtype, "shape": &shape, "data_offsets": &offsets}[key]
		if !known {
			into = &other
		} else if seen[key] {
			return Tensor{}, fmt.Errorf("%s stands twice", key)
		}
		seen[key] = true
		if err := dec.Decode(into); err != nil {
			return Tensor{}, fmt.Errorf("%s: %w", key, err)
		}
	}
	if _, err := dec.Token(); err != nil {
		return Tensor{}, err
	}
	if dtype == nil || shape == nil || len(offsets) != 2 {
		return Tensor{}, errors.New("want dtype, shape and two data_offsets")
	}
	return newTensor(name, *dtype, shape, uint64(offsets[0]), uint64(offsets[1]))
}

// newTensor checks that the type and shape take the bytes from begin to end.
func newTensor(name, dtype string, shape []count, begin, end uint64) (Tensor, error) {
	width, ok := bits[dtype]
	if !ok {
		return Tensor{}, fmt.Errorf("type %q is unknown", dtype)
	}
	if begin > end || end > math.MaxInt64/16 {
		return Tensor{}, fmt.Errorf("data_offsets [%d, %d]: want them ascending", begin, end)
	}
	t := Tensor{Name: name, DType: dtype, Offset: int64(begin), Size: int64(end - begin)}
	elements := uint64(1)
	for _, d := range shape {
		if d > math.MaxInt || d > 0 && elements > math.MaxInt64/uint64(d) {
			return Tensor{}, fmt.Errorf("shape %v is out of range", shape)
		}
		elements *= uint64(d)
		t.Shape = append(t.Shape, int(d))
	}
	if elements > math.MaxInt64/uint64(width) {
		return Tensor{}, fmt.Errorf("shape %v is out of range", shape)
	}
	if total := elements * uint64(width); total%8 != 0 || total/8 != end-begin {
		return Tensor{}, fmt.Errorf("shape %v of %s takes %d bits, data_offsets give %d bytes", shape, dtype, total, end-begin)
	}
	return t, nil
}

// cover checks that the tensors, in the order of their offsets, fill size
// bytes.
func cover(tensors []Tensor, size int64) error {
	at := int64(0)
	for _, t := range tensors {
		if t.Offset != at {
			return fmt.Errorf("tensor %q begins at %d: want %d, with neither gap nor overlap", t.Name, t.Offset, at)
		}
		at += t.Size
	}
	if at != size {
		return fmt.Errorf("the tensors take %d bytes, the file holds %d", at, size)
	}
	return nil
}

// Tensors lists the tensors in the order of the file.
func (f *File) Tensors() []Tensor { return f.tensors }

// Metadata returns the free text of the header.
func (f *File) Metadata() map[string]string { return f.metadata }

// Path returns the path the file was opened by, or the name it was read by.
func (f *File) Path() string { return f.path }

// Tensor returns the entry of a name.
func (f *File) Tensor(name string) (Tensor, bool) {
	i, ok := f.byName[name]
	if !ok {
		return Tensor{}, false
	}
	return f.tensors[i], true
}

// Bytes reads the bytes of a tensor.
func (f *File) Bytes(name string) ([]byte, error) {
	t, ok := f.Tensor(name)
	if !ok {
		return nil, fmt.Errorf("safetensors: %s holds no tensor %q", f.path, name)
	}
	data := make([]byte, t.Size)
	if _, err := f.data.ReadAt(data, t.Offset); err != nil {
		return nil, fmt.Errorf("safetensors: %s: tensor %q: %w", f.path, name, err)
	}
	return data, nil
}

// Float32 reads a tensor of type F32, F16, BF16 or F64 as float32. F16 and
// BF16 are exact, F64 is rounded.
func (f *File) Float32(name string) ([]float32, error) {
	t, convert, err := f.floats(name)
	if err != nil {
		return nil, err
	}
	data, err := f.Bytes(name)
	if err != nil {
		return nil, err
	}
	out := make([]float32, t.Size*8/bits[t.DType])
	convert(out, data)
	return out, nil
}

// CopyFloat32 writes the values of [File.Float32] to w, little-endian, and
// returns the number of bytes. It holds a part of the tensor at a time.
func (f *File) CopyFloat32(w io.Writer, name string) (int64, error) {
	t, convert, err := f.floats(name)
	if err != nil {
		return 0, err
	}
	const part = 1 << 18 // values
	width := bits[t.DType] / 8
	in, values, out := make([]byte, part*width), make([]float32, part), make([]byte, 4*part)
	written := int64(0)
	for at := int64(0); at < t.Size; at += part * width {
		n := min(part, (t.Size-at)/width)
		if _, err := f.data.ReadAt(in[:n*width], t.Offset+at); err != nil {
			return written, fmt.Errorf("safetensors: %s: tensor %q: %w", f.path, name, err)
		}
		convert(values[:n], in)
		for i, v := range values[:n] {
			binary.LittleEndian.PutUint32(out[4*i:], math.Float32bits(v))
		}
		m, err := w.Write(out[:4*n])
		written += int64(m)
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// floats returns a tensor and how its bytes become float32.
func (f *File) floats(name string) (Tensor, func([]float32, []byte), error) {
	t, ok := f.Tensor(name)
	if !ok {
		return t, nil, fmt.Errorf("safetensors: %s holds no tensor %q", f.path, name)
	}
	convert, ok := toFloat32[t.DType]
	if !ok {
		return t, nil, fmt.Errorf("safetensors: %s: tensor %q has type %s: want F32, F16, BF16 or F64", f.path, name, t.DType)
	}
	return t, convert, nil
}

// toFloat32 fills out from the bytes of as many values.
var toFloat32 = map[string]func(out []float32, data []byte){
	"F32": func(out []float32, data []byte) {
		for i := range out {
			out[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		}
	},
	"F16": func(out []float32, data []byte) {
		for i := range out {
			out[i] = float16.To(binary.LittleEndian.Uint16(data[2*i:]))
		}
	},
	"BF16": func(out []float32, data []byte) {
		for i := range out {
			out[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(data[2*i:])) << 16)
		}
	},
	"F64": func(out []float32, data []byte) {
		for i := range out {
			out[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(data[8*i:])))
		}
	},
}

// Close closes the file.
func (f *File) Close() error { return f.close() }
