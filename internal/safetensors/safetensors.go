// Package safetensors reads and writes Hugging Face's safetensors files: an
// eight-byte length, a JSON header, the tensors one behind the other.
//
// [Open] accepts and refuses what the reference implementation does
// (huggingface/safetensors, src/tensor.rs): the header is bounded, names are
// unique, and the tensors cover the rest of the file without gap or overlap.
// Nothing is read before all of it has been checked.
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
	"unicode/utf8"
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
	"BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
	"I32": 32, "U32": 32, "F32": 32, "F64": 64, "I64": 64, "U64": 64, "C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}

// File is an open file. Reading from it is safe for concurrent use.
type File struct {
	path     string
	f        *os.File
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
	file := &File{path: path, f: f}
	if err := file.readHeader(); err != nil {
		f.Close()
		return nil, fmt.Errorf("safetensors: open %s: %w", path, err)
	}
	return file, nil
}

func (f *File) readHeader() error {
	info, err := f.f.Stat()
	if err != nil {
		return err
	}
	var prefix [8]byte
	if _, err := f.f.ReadAt(prefix[:], 0); err != nil {
		return errors.New("the file is shorter than the 8 bytes that give the header's length")
	}
	if err := notPickle(prefix); err != nil {
		return err
	}
	length := binary.LittleEndian.Uint64(prefix[:])
	switch {
	case length > maxHeader:
		return fmt.Errorf("header of %d bytes: want at most %d", length, maxHeader)
	case int64(length) > info.Size()-8:
		return fmt.Errorf("header of %d bytes in a file of %d", length, info.Size())
	case length < 2:
		return fmt.Errorf("header of %d bytes: want a JSON object", length)
	}
	text := make([]byte, length)
	if _, err := f.f.ReadAt(text, 8); err != nil {
		return err
	}
	if f.tensors, f.metadata, err = parse(text); err != nil {
		return err
	}
	slices.SortFunc(f.tensors, func(a, b Tensor) int { return cmp.Or(cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Size, b.Size)) })
	if err := cover(f.tensors, info.Size()-8-int64(length)); err != nil {
		return err
	}
	f.byName = make(map[string]int, len(f.tensors))
	for i := range f.tensors {
		f.tensors[i].Offset += 8 + int64(length)
		f.byName[f.tensors[i].Name] = i
	}
	return nil
}

// notPickle names the two kinds of file that are often renamed.
func notPickle(prefix [8]byte) error {
	switch {
	case bytes.HasPrefix(prefix[:], []byte("PK\x03\x04")):
		return errors.New("a zip archive, as torch.save writes; pickle is not read, export safetensors")
	case prefix[0] == 0x80 && prefix[1] >= 2 && prefix[1] <= 5:
		return errors.New("a pickle; pickle is not read, export safetensors")
	}
	return nil
}

type entry struct {
	DType   *string   `json:"dtype"`
	Shape   *[]uint64 `json:"shape"`
	Offsets *[]uint64 `json:"data_offsets"`
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
			if err := dec.Decode(&metadata); err != nil {
				return nil, nil, fmt.Errorf("__metadata__: %w: want strings", err)
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

func parseTensor(dec *json.Decoder, name string) (Tensor, error) {
	var e entry
	var raw json.RawMessage
	if err := dec.Decode(&raw); err != nil {
		return Tensor{}, err
	}
	strict := json.NewDecoder(bytes.NewReader(raw))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&e); err != nil {
		return Tensor{}, err
	}
	if e.DType == nil || e.Shape == nil || e.Offsets == nil || len(*e.Offsets) != 2 {
		return Tensor{}, errors.New("want dtype, shape and two data_offsets")
	}
	width, ok := bits[*e.DType]
	if !ok {
		return Tensor{}, fmt.Errorf("type %q is unknown", *e.DType)
	}
	begin, end := (*e.Offsets)[0], (*e.Offsets)[1]
	if begin > end || end > math.MaxInt64/16 {
		return Tensor{}, fmt.Errorf("data_offsets [%d, %d]: want them ascending", begin, end)
	}
	t := Tensor{Name: name, DType: *e.DType, Offset: int64(begin), Size: int64(end - begin)}
	total := uint64(width)
	for _, d := range *e.Shape {
		if d > math.MaxInt32 || d > 0 && total > math.MaxInt64/d {
			return Tensor{}, fmt.Errorf("shape %v is out of range", *e.Shape)
		}
		total *= d
		t.Shape = append(t.Shape, int(d))
	}
	if total%8 != 0 || total/8 != end-begin {
		return Tensor{}, fmt.Errorf("shape %v of %s takes %d bits, data_offsets give %d bytes", *e.Shape, *e.DType, total, end-begin)
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

// Path returns the path the file was opened by.
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
	if _, err := f.f.ReadAt(data, t.Offset); err != nil {
		return nil, fmt.Errorf("safetensors: %s: tensor %q: %w", f.path, name, err)
	}
	return data, nil
}

// Float32 reads a tensor of type F32, F16, BF16 or F64 as float32. F16 and
// BF16 are exact, F64 is rounded.
func (f *File) Float32(name string) ([]float32, error) {
	data, err := f.Bytes(name)
	if err != nil {
		return nil, err
	}
	t, _ := f.Tensor(name)
	out := make([]float32, t.Size*8/bits[t.DType])
	switch t.DType {
	case "F32":
		for i := range out {
			out[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		}
	case "F16":
		for i := range out {
			out[i] = half(binary.LittleEndian.Uint16(data[2*i:]))
		}
	case "BF16":
		for i := range out {
			out[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(data[2*i:])) << 16)
		}
	case "F64":
		for i := range out {
			out[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(data[8*i:])))
		}
	default:
		return nil, fmt.Errorf("safetensors: %s: tensor %q has type %s: want F32, F16, BF16 or F64", f.path, name, t.DType)
	}
	return out, nil
}

// half returns the value of an IEEE 754 binary16; every one is a float32.
func half(h uint16) float32 {
	sign, exponent, fraction := uint32(h>>15)<<31, uint32(h>>10&0x1f), uint32(h&0x3ff)
	switch exponent {
	case 0:
		v := float32(fraction) / (1 << 24)
		return math.Float32frombits(sign | math.Float32bits(v))
	case 0x1f:
		return math.Float32frombits(sign | 0xff<<23 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+112)<<23 | fraction<<13)
}

// Close closes the file.
func (f *File) Close() error { return f.f.Close() }

// Array is a tensor to write.
type Array struct {
	Name  string
	Shape []int
	Data  []float32
}

// Write writes the arrays as F32 in the layout of the reference writer: sorted
// by name, the header padded with spaces to a multiple of eight bytes. The
// same input gives the same bytes.
func Write(w io.Writer, arrays []Array, metadata map[string]string) error {
	arrays = slices.SortedFunc(slices.Values(arrays), func(a, b Array) int { return cmp.Compare(a.Name, b.Name) })
	type entry struct {
		DType   string  `json:"dtype"`
		Shape   []int   `json:"shape"`
		Offsets []int64 `json:"data_offsets"`
	}
	header := map[string]any{} // encoding/json sorts the keys
	if len(metadata) > 0 {
		header["__metadata__"] = metadata
	}
	at := int64(0)
	for _, a := range arrays {
		n := 1
		for _, d := range a.Shape {
			n *= d
		}
		if _, twice := header[a.Name]; twice || n != len(a.Data) {
			return fmt.Errorf("safetensors: tensor %q: shape %v for %d values, or a name that stands twice", a.Name, a.Shape, len(a.Data))
		}
		header[a.Name] = entry{"F32", append([]int{}, a.Shape...), []int64{at, at + 4*int64(n)}}
		at += 4 * int64(n)
	}
	text, err := json.Marshal(header)
	if err != nil {
		return err
	}
	text = append(text, bytes.Repeat([]byte(" "), (8-len(text)%8)%8)...)
	if err := binary.Write(w, binary.LittleEndian, uint64(len(text))); err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	for _, a := range arrays {
		if err := binary.Write(w, binary.LittleEndian, a.Data); err != nil {
			return err
		}
	}
	return nil
}
