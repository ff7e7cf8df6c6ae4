// Package npy reads and writes NumPy's .npy arrays and .npz archives of them.
//
// What a header claims is checked against bounds before memory is asked for,
// and arrays of Python objects, which are pickles, are refused.
package npy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/medprobe/medprobe/internal/atomicfile"
	"github.com/medprobe/medprobe/internal/float16"
	"gonum.org/v1/gonum/blas/blas32"
)

const (
	magic = "\x93NUMPY"
	// maxHeader bounds the text before the data; NumPy's own limit is 10,000.
	maxHeader = 1 << 16
	// maxText bounds one text of an array of texts.
	maxText = 1 << 16
	// MaxBytes bounds one array where no other limit is named.
	MaxBytes = 16 << 30
)

// Array is an array as it stands in a file: C order, any byte order.
type Array struct {
	// Shape is empty for a scalar.
	Shape []int
	// DType is NumPy's name for the type, such as "<f4".
	DType string
	data  []byte
}

// Len returns the number of values.
func (a *Array) Len() int {
	n := 1
	for _, d := range a.Shape {
		n *= d
	}
	return n
}

// Read reads one array of at most limit bytes of data (0: [MaxBytes]).
func Read(r io.Reader, limit int64) (*Array, error) {
	if limit == 0 {
		limit = MaxBytes
	}
	h, err := readHeader(r)
	if err != nil {
		return nil, err
	}
	size, err := itemSize(h.dtype)
	if err != nil {
		return nil, err
	}
	bytes := int64(size)
	for _, d := range h.shape {
		if d > 0 && bytes > limit/int64(d) {
			return nil, fmt.Errorf("npy: shape %v of %s: more than %d bytes", h.shape, h.dtype, limit)
		}
		bytes *= int64(d)
	}
	data, err := readExactly(r, bytes)
	if err != nil {
		return nil, fmt.Errorf("npy: shape %v of %s: %w", h.shape, h.dtype, err)
	}
	a := &Array{Shape: h.shape, DType: h.dtype, data: data}
	if h.fortran {
		a.data = toCOrder(data, h.shape, size)
	}
	return a, nil
}

// readExactly grows with what is really there, so that a lying header costs no
// memory.
func readExactly(r io.Reader, n int64) ([]byte, error) {
	var buf bytes.Buffer
	if n <= 1<<20 {
		buf.Grow(int(n))
	}
	got, err := io.CopyN(&buf, r, n)
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("the data ends after %d of %d bytes", got, n)
	}
	return buf.Bytes(), err
}

type header struct {
	dtype   string
	fortran bool
	shape   []int
}

var headerPattern = regexp.MustCompile(`^\s*\{(?:\s*'(?:descr'\s*:\s*'(?P<descr>[^']*)'|fortran_order'\s*:\s*(?P<fortran>True|False)|shape'\s*:\s*\((?P<shape>[\d\s,L]*)\))\s*,?){3}\s*\}\s*$`)

func readHeader(r io.Reader) (header, error) {
	var h header
	prefix := make([]byte, 10)
	if _, err := io.ReadFull(r, prefix); err != nil || string(prefix[:6]) != magic {
		return h, errors.New("npy: not a NumPy array, .npy")
	}
	length := int64(binary.LittleEndian.Uint16(prefix[8:]))
	switch prefix[6] {
	case 1:
	case 2, 3:
		more := make([]byte, 2)
		if _, err := io.ReadFull(r, more); err != nil {
			return h, errors.New("npy: the header is cut off")
		}
		length |= int64(binary.LittleEndian.Uint16(more)) << 16
	default:
		return h, fmt.Errorf("npy: format version %d: want 1, 2 or 3", prefix[6])
	}
	if length > maxHeader {
		return h, fmt.Errorf("npy: header of %d bytes: want at most %d", length, maxHeader)
	}
	text := make([]byte, length)
	if _, err := io.ReadFull(r, text); err != nil {
		return h, errors.New("npy: the header is cut off")
	}
	return parseHeader(string(text))
}

func parseHeader(text string) (header, error) {
	var h header
	m := headerPattern.FindStringSubmatch(text)
	// The pattern takes the keys in any order, and would take one three times.
	if m == nil || strings.Count(text, "'descr'") != 1 || strings.Count(text, "'fortran_order'") != 1 || strings.Count(text, "'shape'") != 1 {
		if strings.Contains(text, "'descr': [") {
			return h, errors.New("npy: a structured array; save its fields as arrays of their own")
		}
		return h, fmt.Errorf("npy: header %.80q: want descr, fortran_order and shape", text)
	}
	h.dtype = m[headerPattern.SubexpIndex("descr")]
	h.fortran = m[headerPattern.SubexpIndex("fortran")] == "True"
	for _, field := range strings.Split(m[headerPattern.SubexpIndex("shape")], ",") {
		field = strings.TrimSuffix(strings.TrimSpace(field), "L")
		if field == "" {
			continue
		}
		d, err := strconv.ParseInt(field, 10, 64)
		if err != nil || d < 0 || d > math.MaxInt32*64 || len(h.shape) == 32 {
			return h, fmt.Errorf("npy: header %.80q: shape out of range", text)
		}
		h.shape = append(h.shape, int(d))
	}
	return h, nil
}

// itemSize returns the bytes of one value of the type.
func itemSize(dtype string) (int, error) {
	if strings.HasSuffix(dtype, "O") {
		return 0, errors.New(`npy: an array of Python objects is a pickle, which is not read; write it as plain arrays:
  a = numpy.load("in.npy", allow_pickle=True)
  numpy.savez("out.npz", **{str(i): numpy.asarray(v, numpy.float32) for i, v in enumerate(a.ravel())})`)
	}
	switch strings.TrimLeft(dtype, "<>|=") {
	case "u1", "i1", "b1":
		return 1, nil
	case "u2", "i2", "f2":
		return 2, nil
	case "u4", "i4", "f4":
		return 4, nil
	case "u8", "i8", "f8":
		return 8, nil
	}
	if kind := strings.TrimLeft(dtype, "<>|="); len(kind) > 1 && (kind[0] == 'S' || kind[0] == 'U') {
		if n, err := strconv.Atoi(kind[1:]); err == nil && n >= 1 && n <= maxText {
			return n * map[byte]int{'S': 1, 'U': 4}[kind[0]], nil
		}
	}
	return 0, fmt.Errorf("npy: type %q: want integers, booleans or real numbers of up to 64 bits", dtype)
}

// toCOrder permutes column-major data to row-major.
func toCOrder(data []byte, shape []int, size int) []byte {
	out := make([]byte, len(data))
	index := make([]int, len(shape))
	for at := 0; at < len(data); at += size {
		// index is that of the value at `at` of the column-major data.
		c := 0
		for k, d := range shape {
			c = c*d + index[k]
		}
		copy(out[c*size:(c+1)*size], data[at:at+size])
		for k := range index {
			if index[k]++; index[k] < shape[k] {
				break
			}
			index[k] = 0
		}
	}
	return out
}

// order returns the byte order and the type without it.
func (a *Array) order() (binary.ByteOrder, string) {
	kind := strings.TrimLeft(a.DType, "<>|=")
	if strings.HasPrefix(a.DType, ">") {
		return binary.BigEndian, kind
	}
	return binary.LittleEndian, kind
}

// Float32 returns the values as float32, rounded where they are finer.
func (a *Array) Float32() ([]float32, error) {
	values, err := a.Float64()
	if err != nil {
		return nil, err
	}
	out := make([]float32, len(values))
	for i, v := range values {
		out[i] = float32(v)
	}
	return out, nil
}

// Float64 returns the values as float64.
func (a *Array) Float64() ([]float64, error) {
	order, kind := a.order()
	out := make([]float64, a.Len())
	switch kind {
	case "f8":
		for i := range out {
			out[i] = math.Float64frombits(order.Uint64(a.data[8*i:]))
		}
	case "f4":
		for i := range out {
			out[i] = float64(math.Float32frombits(order.Uint32(a.data[4*i:])))
		}
	case "f2":
		for i := range out {
			out[i] = float64(float16.To(order.Uint16(a.data[2*i:])))
		}
	default:
		ints, err := a.Int64()
		if err != nil {
			return nil, err
		}
		for i, v := range ints {
			out[i] = float64(v)
		}
	}
	return out, nil
}

// Int64 returns the values of an integer or boolean array. A uint64 beyond
// int64 is an error.
func (a *Array) Int64() ([]int64, error) {
	order, kind := a.order()
	out := make([]int64, a.Len())
	for i := range out {
		switch kind {
		case "u1", "b1":
			out[i] = int64(a.data[i])
		case "i1":
			out[i] = int64(int8(a.data[i]))
		case "u2":
			out[i] = int64(order.Uint16(a.data[2*i:]))
		case "i2":
			out[i] = int64(int16(order.Uint16(a.data[2*i:])))
		case "u4":
			out[i] = int64(order.Uint32(a.data[4*i:]))
		case "i4":
			out[i] = int64(int32(order.Uint32(a.data[4*i:])))
		case "i8":
			out[i] = int64(order.Uint64(a.data[8*i:]))
		case "u8":
			v := order.Uint64(a.data[8*i:])
			if v > math.MaxInt64 {
				return nil, fmt.Errorf("npy: value %d does not fit 64 signed bits", v)
			}
			out[i] = int64(v)
		default:
			return nil, fmt.Errorf("npy: type %q: want integers", a.DType)
		}
	}
	return out, nil
}

// Uint8 returns the values of an array of bytes, without copying them.
func (a *Array) Uint8() ([]uint8, error) {
	if _, kind := a.order(); kind != "u1" {
		return nil, fmt.Errorf("npy: type %q: want uint8", a.DType)
	}
	return a.data, nil
}

// Strings returns the values as texts: of texts, as they are; of numbers, in
// decimal.
func (a *Array) Strings() ([]string, error) {
	order, kind := a.order()
	out := make([]string, a.Len())
	width, err := itemSize(a.DType)
	if err != nil {
		return nil, err
	}
	switch kind[0] {
	case 'S':
		for i := range out {
			out[i] = strings.TrimRight(string(a.data[i*width:(i+1)*width]), "\x00")
		}
	case 'U':
		for i := range out {
			var text []rune
			for at := i * width; at < (i+1)*width; at += 4 {
				text = append(text, rune(order.Uint32(a.data[at:])))
			}
			out[i] = strings.TrimRight(string(text), "\x00")
		}
	case 'f':
		values, err := a.Float64()
		if err != nil {
			return nil, err
		}
		for i, v := range values {
			out[i] = strconv.FormatFloat(v, 'g', -1, 64)
		}
	default:
		values, err := a.Int64()
		if err != nil {
			return nil, err
		}
		for i, v := range values {
			out[i] = strconv.FormatInt(v, 10)
		}
	}
	return out, nil
}

// ReadFile reads the array of a .npy file.
func ReadFile(path string) (*Array, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("npy: read %s: %w", path, cause(err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("npy: read %s: %w", path, cause(err))
	}
	a, err := Read(f, info.Size())
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return a, nil
}

// ReadMatrix reads a two-dimensional array of real numbers as float32.
func ReadMatrix(path string) (blas32.General, error) {
	a, err := ReadFile(path)
	if err != nil {
		return blas32.General{}, err
	}
	if len(a.Shape) != 2 {
		return blas32.General{}, fmt.Errorf("read %s: npy: shape %v: want a matrix [n, D]", path, a.Shape)
	}
	values, err := a.Float32()
	if err != nil {
		return blas32.General{}, fmt.Errorf("read %s: %w", path, err)
	}
	return blas32.General{Rows: a.Shape[0], Cols: a.Shape[1], Stride: max(1, a.Shape[1]), Data: values}, nil
}

// Value is a type that [Write] can write.
type Value interface {
	~float32 | ~float64 | ~uint8 | ~int32 | ~int64
}

// Write writes the values in C order as NumPy's format version 1 does: little
// endian, the header padded so that the data begins at a multiple of 64 bytes.
func Write[T Value](w io.Writer, shape []int, values []T) error {
	n := 1
	for _, d := range shape {
		n *= d
	}
	if n != len(values) {
		return fmt.Errorf("npy: shape %v for %d values", shape, len(values))
	}
	if err := WriteHeader(w, dtypeOf[T](), shape); err != nil {
		return err
	}
	return binary.Write(w, binary.LittleEndian, values)
}

// WriteHeader writes what stands before the values, which are to follow in C
// order.
func WriteHeader(w io.Writer, dtype string, shape []int) error {
	dims := make([]string, len(shape))
	for i, d := range shape {
		dims[i] = strconv.Itoa(d)
	}
	text := strings.Join(dims, ", ")
	if len(dims) == 1 {
		text += ","
	}
	head := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", dtype, text)
	head += strings.Repeat(" ", 63-(len(head)+10)%64) + "\n"
	out := append([]byte(magic+"\x01\x00"), byte(len(head)), byte(len(head)>>8))
	_, err := w.Write(append(out, head...))
	return err
}

// WriteTexts writes an array of texts of up to width characters, which each puts
// one after the other.
func WriteTexts(w io.Writer, shape []int, width int, each func(put func(string) error) error) error {
	width = max(1, width)
	if err := WriteHeader(w, fmt.Sprintf("<U%d", width), shape); err != nil {
		return err
	}
	cell := make([]byte, 4*width)
	return each(func(text string) error {
		clear(cell)
		n := 0
		for _, r := range text {
			if n == width {
				return fmt.Errorf("npy: text %.60q: want at most %d characters", text, width)
			}
			binary.LittleEndian.PutUint32(cell[4*n:], uint32(r))
			n++
		}
		_, err := w.Write(cell)
		return err
	})
}

func dtypeOf[T Value]() string {
	var zero T
	switch any(zero).(type) {
	case float32:
		return "<f4"
	case float64:
		return "<f8"
	case uint8:
		return "|u1"
	case int32:
		return "<i4"
	}
	return "<i8"
}

// WriteMatrix writes m as a .npy file of float32.
func WriteMatrix(path string, m blas32.General) error {
	values := make([]float32, 0, m.Rows*m.Cols)
	for i := range m.Rows {
		values = append(values, m.Data[i*m.Stride:i*m.Stride+m.Cols]...)
	}
	return atomicfile.Write(path, func(w io.Writer) error { return Write(w, []int{m.Rows, m.Cols}, values) })
}

// cause strips operation and path, which our own message names.
func cause(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}
