package onnxfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
)

// The wire types of protobuf's encoding.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// maxText bounds names and other strings.
const maxText = 1 << 16

var errCut = errors.New("the file ends within a field: it is cut short, or no ONNX model")

// wire reads a protobuf message from a stream, field by field, without holding
// it. Whoever meets a field reads its value or skips it.
type wire struct {
	r  *bufio.Reader
	at int64
	// from is where the field begins that is being visited.
	from int64
}

func newWire(r io.Reader) *wire { return &wire{r: bufio.NewReaderSize(r, 1<<16)} }

// each visits the fields of the message that ends at byte end.
func (w *wire) each(end int64, visit func(field uint64, kind int) error) error {
	for w.at < end {
		from := w.at
		tag, err := w.varint()
		if err != nil {
			return err
		}
		field, kind := tag>>3, int(tag&7)
		if field == 0 || field > 1<<29-1 {
			return fmt.Errorf("byte %d: field number %d; this is no ONNX model", w.at, field)
		}
		w.from = from
		if err := visit(field, kind); err != nil {
			return err
		}
	}
	if w.at > end {
		return fmt.Errorf("byte %d: a field is longer than what holds it", w.at)
	}
	return nil
}

func (w *wire) varint() (uint64, error) {
	var v uint64
	for shift := 0; shift < 64; shift += 7 {
		b, err := w.r.ReadByte()
		if err != nil {
			return 0, errCut
		}
		w.at++
		if v |= uint64(b&0x7f) << shift; b < 0x80 {
			return v, nil
		}
	}
	return 0, fmt.Errorf("byte %d: a number longer than 64 bits", w.at)
}

// length reads the length of a field within a message that ends at byte end and
// returns where the field ends.
func (w *wire) length(kind int, end int64) (int64, error) {
	if kind != wireBytes {
		return 0, fmt.Errorf("byte %d: wire type %d: want bytes; this is no ONNX model", w.at, kind)
	}
	n, err := w.varint()
	if err != nil {
		return 0, err
	}
	if n > math.MaxInt64 || int64(n) > end-w.at {
		return 0, fmt.Errorf("byte %d: a field of %d bytes: %d are left; the file is cut short, or no ONNX model", w.at, n, end-w.at)
	}
	return w.at + int64(n), nil
}

func (w *wire) text(kind int, end int64) (string, error) {
	stop, err := w.length(kind, end)
	if err != nil {
		return "", err
	}
	if stop-w.at > maxText {
		return "", fmt.Errorf("byte %d: a name of %d bytes: want at most %d", w.at, stop-w.at, maxText)
	}
	data := make([]byte, stop-w.at)
	if _, err := io.ReadFull(w.r, data); err != nil {
		return "", errCut
	}
	w.at = stop
	return string(data), nil
}

func (w *wire) number(kind int) (uint64, error) {
	if kind != wireVarint {
		return 0, fmt.Errorf("byte %d: wire type %d: want a number; this is no ONNX model", w.at, kind)
	}
	return w.varint()
}

// numbers reads repeated numbers, packed or one at a time, and appends them; more
// than most are an error.
func (w *wire) numbers(all []int64, most, kind int, end int64) ([]int64, error) {
	stop := w.at + 1
	if kind == wireBytes {
		var err error
		if stop, err = w.length(kind, end); err != nil {
			return nil, err
		}
	}
	for w.at < stop {
		v, err := w.varint()
		if err != nil {
			return nil, err
		}
		if all = append(all, int64(v)); len(all) > most {
			return nil, fmt.Errorf("byte %d: more than %d dimensions", w.at, most)
		}
	}
	return all, nil
}

// skip passes over a value.
func (w *wire) skip(kind int, end int64) error {
	switch kind {
	case wireVarint:
		_, err := w.varint()
		return err
	case wireFixed64:
		return w.pass(8)
	case wireFixed32:
		return w.pass(4)
	}
	stop, err := w.length(kind, end)
	if err != nil {
		return err
	}
	return w.pass(stop - w.at)
}

func (w *wire) pass(n int64) error {
	for n > 0 {
		part, err := w.r.Discard(int(min(n, 1<<20)))
		w.at += int64(part)
		n -= int64(part)
		if err != nil {
			return errCut
		}
	}
	return nil
}
