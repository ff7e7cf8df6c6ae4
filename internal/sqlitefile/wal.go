package sqlitefile

import (
	"encoding/binary"
	"errors"
	"io"
)

const (
	walHeader   = 32
	frameHeader = 24
)

// Log is what a write-ahead log holds.
type Log struct {
	PageSize int
	// Frames are all the frames of the log's own generation that are there in
	// full, and Valid how many of them, from the first, match their checksums.
	Frames, Valid int
	// Lost reports whether a transaction was completed behind the first frame that
	// does not match: bytes of the log are not what was written. A log that ends
	// within a frame, or a transaction, is what a kill leaves, and nothing is lost.
	Lost bool
}

var errNoLog = errors.New("not a write-ahead log")

// ReadLog looks through size bytes of a write-ahead log.
func ReadLog(r io.ReaderAt, size int64) (Log, error) {
	var l Log
	head := make([]byte, walHeader)
	if _, err := r.ReadAt(head, 0); err != nil {
		return l, errNoLog
	}
	magic := binary.BigEndian.Uint32(head)
	if magic&^1 != 0x377f0682 {
		return l, errNoLog
	}
	var order binary.ByteOrder = binary.LittleEndian
	if magic&1 == 1 {
		order = binary.BigEndian
	}
	l.PageSize = int(binary.BigEndian.Uint32(head[8:]))
	if l.PageSize < minPage || l.PageSize > maxPage || l.PageSize&(l.PageSize-1) != 0 {
		return l, errNoLog
	}
	sum := walSum(order, [2]uint32{}, head[:24])
	good := sum == [2]uint32{binary.BigEndian.Uint32(head[24:]), binary.BigEndian.Uint32(head[28:])}
	frame := make([]byte, frameHeader+l.PageSize)
	for at := int64(walHeader); at+int64(len(frame)) <= size; at += int64(len(frame)) {
		if _, err := r.ReadAt(frame, at); err != nil {
			return l, err
		}
		same := string(frame[8:16]) == string(head[16:24]) // the salts
		commit := binary.BigEndian.Uint32(frame[4:]) != 0
		if good && same {
			sum = walSum(order, walSum(order, sum, frame[:8]), frame[frameHeader:])
			good = sum == [2]uint32{binary.BigEndian.Uint32(frame[16:]), binary.BigEndian.Uint32(frame[20:])}
		} else {
			good = false
		}
		switch {
		case good:
			l.Frames++
			l.Valid++
		case same:
			l.Frames++
			l.Lost = l.Lost || commit
		}
	}
	return l, nil
}

// ScanLog is [Scan] for the pages in a log, whether or not they match their
// checksums. Records larger than a page are passed over.
func ScanLog(r io.ReaderAt, size int64, pageSize int, take func(Record) error) error {
	s := scanner{size: pageSize, take: take, read: func(int64, []byte) error { return errBroken }}
	frame := make([]byte, frameHeader+pageSize)
	for at := int64(walHeader); at+int64(len(frame)) <= size; at += int64(len(frame)) {
		if _, err := r.ReadAt(frame, at); err != nil {
			return err
		}
		if err := s.cells(frame[frameHeader:], binary.BigEndian.Uint32(frame) == 1); err != nil {
			return err
		}
	}
	return nil
}

// walSum goes on with the checksum of a log over b.
func walSum(order binary.ByteOrder, sum [2]uint32, b []byte) [2]uint32 {
	for ; len(b) >= 8; b = b[8:] {
		sum[0] += order.Uint32(b) + sum[1]
		sum[1] += order.Uint32(b[4:]) + sum[0]
	}
	return sum
}
