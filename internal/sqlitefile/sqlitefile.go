// Package sqlitefile reads the records of SQLite files that SQLite itself gives
// up on, page by page and without following their trees. What it finds may be
// stale, doubled or damaged: callers must know a good record when they see one.
//
// The format is described in "Database File Format" and "WAL-mode File Format"
// of SQLite's documentation; section numbers are of the former.
package sqlitefile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// Record is a row of a table or an entry of an index.
type Record struct {
	// RowID is that of a row of a table; entries of an index have none.
	RowID int64
	Index bool
	// Values are nil, int64, float64, string or []byte. They are valid during
	// the call only.
	Values []any
}

const (
	// maxPayload bounds one record.
	maxPayload = 64 << 20
	// maxColumns bounds the values of one record, in bytes of their types.
	maxColumns = 64
	minPage    = 512
	maxPage    = 1 << 16
)

// Scan lets take have everything in size bytes of a database, with pages of pageSize
// bytes, that can be read as the record of a leaf. An error is one of reading or of
// take.
func Scan(r io.ReaderAt, size int64, pageSize int, take func(Record) error) error {
	if pageSize < minPage || pageSize > maxPage || pageSize&(pageSize-1) != 0 {
		return fmt.Errorf("pages of %d bytes: want a power of two from %d to %d", pageSize, minPage, maxPage)
	}
	s := scanner{size: pageSize, pages: size / int64(pageSize), take: take}
	s.read = func(number int64, page []byte) error {
		_, err := r.ReadAt(page, number*int64(pageSize))
		return err
	}
	page := make([]byte, pageSize)
	for n := range s.pages {
		if err := s.read(n, page); err != nil {
			return err
		}
		if err := s.cells(page, n == 0); err != nil {
			return err
		}
	}
	return nil
}

// PageSize returns the page size that the header of a database names, or 0.
func PageSize(header []byte) int {
	if len(header) < 18 {
		return 0
	}
	n := int(binary.BigEndian.Uint16(header[16:]))
	if n == 1 {
		n = maxPage
	}
	if n < minPage || n&(n-1) != 0 {
		return 0
	}
	return n
}

type scanner struct {
	size  int
	pages int64
	read  func(number int64, page []byte) error
	take  func(Record) error
}

// pageHeader is the least that stands before the cells of a leaf (1.6).
const pageHeader = 8

// cells takes every record that begins anywhere in a page. The page's own list of
// them, and its type, are not asked: they may be damaged where the records are not.
func (s *scanner) cells(page []byte, first bool) error {
	at := pageHeader
	if first {
		at += 100 // the header of the file
	}
	for ; at < len(page); at++ {
		for _, index := range []bool{false, true} {
			record, err := s.cell(page[at:], index)
			if err != nil {
				continue
			}
			if err := s.take(record); err != nil {
				return err
			}
		}
	}
	return nil
}

var errBroken = errors.New("no record")

// cell reads the record of a cell (1.6).
func (s *scanner) cell(b []byte, index bool) (Record, error) {
	r := Record{Index: index}
	length, n := varint(b)
	if n == 0 || length < 2 || length > maxPayload {
		return r, errBroken
	}
	b = b[n:]
	if !r.Index {
		id, n := varint(b)
		if n == 0 {
			return r, errBroken
		}
		r.RowID, b = int64(id), b[n:]
	}
	payload, err := s.payload(b, int(length), r.Index)
	if err != nil {
		return r, err
	}
	r.Values, err = values(payload)
	return r, err
}

// payload gathers a record that may go on in overflow pages (1.6).
func (s *scanner) payload(b []byte, length int, index bool) ([]byte, error) {
	usable := s.size
	if int64(length) > s.pages*int64(s.size) && length > usable {
		return nil, errBroken
	}
	most := usable - 35
	if index {
		most = (usable-12)*64/255 - 23
	}
	if length <= most {
		if length > len(b) {
			return nil, errBroken
		}
		return b[:length], nil
	}
	least := (usable-12)*32/255 - 23
	local := least + (length-least)%(usable-4)
	if local > most {
		local = least
	}
	if local+4 > len(b) {
		return nil, errBroken
	}
	payload := append(make([]byte, 0, length), b[:local]...)
	next := int64(binary.BigEndian.Uint32(b[local:]))
	page := make([]byte, s.size)
	for len(payload) < length {
		if next < 1 || next > s.pages || s.read(next-1, page) != nil {
			return nil, errBroken
		}
		payload = append(payload, page[4:min(4+length-len(payload), len(page))]...)
		next = int64(binary.BigEndian.Uint32(page))
	}
	return payload, nil
}

// values reads a record (2.1).
func values(payload []byte) ([]any, error) {
	head, n := varint(payload)
	if n == 0 || head > uint64(len(payload)) || head < uint64(n) {
		return nil, errBroken
	}
	types, body := payload[n:head], payload[head:]
	if len(types) == 0 || len(types) > maxColumns {
		return nil, errBroken
	}
	// Most of what is looked at is no record: tell that before making anything.
	columns, total := 0, uint64(0)
	for rest := types; len(rest) > 0; columns++ {
		kind, n := varint(rest)
		size, ok := sizeOf(kind)
		if total += size; n == 0 || !ok || total > uint64(len(body)) {
			return nil, errBroken
		}
		rest = rest[n:]
	}
	if total != uint64(len(body)) {
		return nil, errBroken
	}
	all := make([]any, columns)
	for i := range all {
		kind, n := varint(types)
		size, _ := sizeOf(kind)
		all[i] = value(kind, body[:size])
		types, body = types[n:], body[size:]
	}
	return all, nil
}

// sizeOf returns the bytes of a value of a serial type.
func sizeOf(kind uint64) (uint64, bool) {
	switch {
	case kind >= 12:
		return (kind - 12) / 2, true
	case kind == 10, kind == 11:
		return 0, false
	}
	return [...]uint64{0, 1, 2, 3, 4, 6, 8, 8, 0, 0}[kind], true
}

func value(kind uint64, b []byte) any {
	switch {
	case kind >= 12 && kind%2 == 1:
		return string(b)
	case kind >= 12:
		return b
	case kind == 0:
		return nil
	case kind == 7:
		return math.Float64frombits(binary.BigEndian.Uint64(b))
	case kind >= 8:
		return int64(kind - 8)
	}
	v := int64(int8(b[0]))
	for _, next := range b[1:] {
		v = v<<8 | int64(next)
	}
	return v
}

// varint reads a big-endian number of 7 bits a byte, the ninth with 8 (1.6); n is
// 0 where it is cut off.
func varint(b []byte) (v uint64, n int) {
	for n < len(b) && n < 9 {
		c := b[n]
		n++
		if n == 9 {
			return v<<8 | uint64(c), n
		}
		v = v<<7 | uint64(c&0x7f)
		if c < 0x80 {
			return v, n
		}
	}
	return 0, 0
}
