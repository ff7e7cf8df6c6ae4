package texttab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// checkFooter walks the metadata at the end of a Parquet file, which is in
// Thrift's compact protocol, and refuses lists and texts that promise more than
// its bytes can hold: the Parquet library would allocate what they promise.
func checkFooter(f io.ReaderAt, size int64) error {
	if size < 12 {
		return errors.New("not a Parquet file: too short")
	}
	var tail [8]byte
	if _, err := f.ReadAt(tail[:], size-8); err != nil {
		return err
	}
	length := int64(binary.LittleEndian.Uint32(tail[:4]))
	if string(tail[4:]) != "PAR1" || length > size-12 {
		return errors.New("not a Parquet file: it does not end as one")
	}
	w := walker{data: make([]byte, length)}
	if _, err := f.ReadAt(w.data, size-8-length); err != nil {
		return err
	}
	w.structure(0)
	if w.err != nil {
		return fmt.Errorf("damaged Parquet file: metadata: %w", w.err)
	}
	return nil
}

// walker skips over values of Thrift's compact protocol.
type walker struct {
	data []byte
	at   int
	err  error
}

// The types of the compact protocol.
const (
	thriftStop, thriftTrue, thriftFalse, thriftByte, thriftI16, thriftI32, thriftI64 = 0, 1, 2, 3, 4, 5, 6
	thriftDouble, thriftBinary, thriftList, thriftSet, thriftMap, thriftStruct       = 7, 8, 9, 10, 11, 12
	maxDepth                                                                         = 32
)

func (w *walker) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
	}
}

func (w *walker) byte() byte {
	if w.err != nil || w.at >= len(w.data) {
		w.fail("ends early")
		return 0
	}
	w.at++
	return w.data[w.at-1]
}

func (w *walker) varint() uint64 {
	v, n := binary.Uvarint(w.data[min(w.at, len(w.data)):])
	if n <= 0 {
		w.fail("bad number at byte %d", w.at)
		return 0
	}
	w.at += n
	return v
}

// count reads the number of things of at least one byte each.
func (w *walker) count(n uint64) uint64 {
	if left := uint64(len(w.data) - min(w.at, len(w.data))); n > left {
		w.fail("%d values promised at byte %d, %d bytes left", n, w.at, left)
		return 0
	}
	return n
}

func (w *walker) structure(depth int) {
	w.fields(depth, func(int64, byte) bool { return false })
}

// fields goes through a structure and skips the fields that take does not read.
func (w *walker) fields(depth int, take func(id int64, kind byte) bool) {
	id := int64(0)
	for w.err == nil {
		head := w.byte()
		kind := head & 0x0f
		if kind == thriftStop {
			return
		}
		if id += int64(head >> 4); head>>4 == 0 {
			id = w.number()
		}
		if !take(id, kind) {
			w.value(kind, depth, false)
		}
	}
}

// number reads a number with a sign.
func (w *walker) number() int64 {
	v := w.varint()
	return int64(v>>1) ^ -int64(v&1)
}

func (w *walker) value(kind byte, depth int, inList bool) {
	if depth > maxDepth {
		w.fail("deeper than %d", maxDepth)
		return
	}
	switch kind {
	case thriftTrue, thriftFalse:
		if inList {
			w.byte()
		}
	case thriftByte:
		w.byte()
	case thriftI16, thriftI32, thriftI64:
		w.varint()
	case thriftDouble:
		w.at += int(w.count(8))
	case thriftBinary:
		w.at += int(w.count(w.varint()))
	case thriftList, thriftSet:
		head := w.byte()
		n := uint64(head >> 4)
		if n == 15 {
			n = w.varint()
		}
		for n = w.count(n); n > 0 && w.err == nil; n-- {
			w.value(head&0x0f, depth+1, true)
		}
	case thriftMap:
		n := w.count(w.varint())
		if n == 0 {
			return
		}
		kinds := w.byte()
		for ; n > 0 && w.err == nil; n-- {
			w.value(kinds>>4, depth+1, true)
			w.value(kinds&0x0f, depth+1, true)
		}
	case thriftStruct:
		w.structure(depth + 1)
	default:
		w.fail("unknown type %d at byte %d", kind, w.at)
	}
}
