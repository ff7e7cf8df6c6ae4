package embedcache

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"sort"
)

// sidecar is a file beside the database with the vectors of one shelf as they are
// used: rows at their place, to be mapped into memory. It is made from rows whose
// checksums were verified and made anew when the shelf has changed. It holds,
// little-endian,
//
//	the rows, in the order they came into the database
//	a key of keySize bytes for each row
//	for each row in the order of their keys, orderSize bytes: the first 8 of the
//	key, big-endian as they stand there, and the row's number
//	a footer of footerSize bytes: what it is, and the mark of the shelf
//
// Its methods take a nil sidecar for an empty one, and are safe for concurrent use.
type sidecar struct {
	shelf
	rows    int
	mapped  []byte
	unmap   func() error
	vectors []byte
	keys    []byte
	order   []byte
}

const (
	// keySize: 32 bytes of content, the region's 4 int32, the frame, a float32 that
	// scales the row to length one, its length as a float64, a CRC-32C of the row
	// and all this, and nothing.
	keySize    = 72
	keyScale   = 52
	keyLength  = 56
	keySum     = 64
	orderSize  = 12
	footerSize = 128
)

const sidecarMagic = "medprobe vectors 1"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sidecar opens the sidecar of a shelf, mapped into memory. Where there is none
// that is up to date, it is made if build says so, and is nil otherwise.
func (c *Cache) sidecar(ctx context.Context, s shelf, build bool) (*sidecar, error) {
	if s.id == 0 {
		return nil, nil
	}
	path := c.sidecarPath(s)
	sc, err := openSidecar(path, s)
	if err == nil || !build {
		return sc, nil
	}
	if s, err = c.buildSidecar(ctx, s, path); err != nil {
		return nil, err
	}
	return openSidecar(path, s)
}

func (c *Cache) sidecarPath(s shelf) string {
	return filepath.Join(c.sidecars, fmt.Sprintf("space-%d.vectors", s.id))
}

// openSidecar maps a sidecar that belongs to the shelf as it is.
func openSidecar(path string, s shelf) (*sidecar, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	footer := make([]byte, footerSize)
	if _, err := f.ReadAt(footer, info.Size()-footerSize); err != nil {
		return nil, err
	}
	rows := int(binary.LittleEndian.Uint64(footer[32:]))
	if want := s.footer(rows); string(footer) != string(want) {
		return nil, errors.New("it is another shelf's, or of another time")
	}
	if info.Size() != int64(rows)*int64(s.size()+keySize+orderSize)+footerSize {
		return nil, errors.New("it is cut off")
	}
	sc := &sidecar{shelf: s, rows: rows}
	if sc.mapped, sc.unmap, err = mapFile(f, info.Size()); err != nil {
		return nil, err
	}
	sc.vectors = sc.mapped[:rows*s.size()]
	sc.keys = sc.mapped[len(sc.vectors):][:rows*keySize]
	sc.order = sc.mapped[len(sc.vectors)+len(sc.keys):][:rows*orderSize]
	return sc, nil
}

// footer says what the sidecar holds.
func (s shelf) footer(rows int) []byte {
	b := make([]byte, footerSize)
	copy(b, sidecarMagic)
	binary.LittleEndian.PutUint32(b[28:], uint32(s.store.width()))
	binary.LittleEndian.PutUint64(b[32:], uint64(rows))
	binary.LittleEndian.PutUint32(b[40:], uint32(s.Dim))
	binary.LittleEndian.PutUint32(b[44:], uint32(s.tokens()))
	copy(b[48:64], s.mark)
	binary.LittleEndian.PutUint32(b[footerSize-4:], crc32.Checksum(b[:footerSize-4], castagnoli))
	return b
}

func (sc *sidecar) close() error {
	if sc == nil {
		return nil
	}
	return sc.unmap()
}

// use lets take have the row of a key, and the length of the mean of its vectors,
// and reports whether there is one that is intact. Where somebody cuts the file off
// meanwhile, what take did is not to be used.
func (sc *sidecar) use(k Key, take func(data []byte, length float64)) (ok bool) {
	if sc == nil {
		return false
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if faulted(recover()) {
			ok = false
		}
	}()
	var want [keySize]byte
	if !putKey(want[:], k) {
		return false
	}
	at, found := sort.Find(sc.rows, func(i int) int {
		// Mostly the beginnings differ, which lie side by side.
		if c := bytes.Compare(want[:8], sc.order[orderSize*i:][:8]); c != 0 {
			return c
		}
		return bytes.Compare(want[:keyScale], sc.key(sc.ordered(i))[:keyScale])
	})
	if !found {
		return false
	}
	row := sc.ordered(at)
	if !sc.intact(row) {
		return false
	}
	take(sc.row(row), math.Float64frombits(binary.LittleEndian.Uint64(sc.key(row)[keyLength:])))
	return true
}

// faulted reports whether a panic came of a mapped file that somebody cut off,
// and lets every other one go on.
func faulted(panicked any) bool {
	if _, fault := panicked.(interface{ Addr() uintptr }); fault || panicked == nil {
		return fault
	}
	panic(panicked)
}

func (sc *sidecar) intact(row int) bool {
	key := sc.key(row)
	return rowSum(sc.row(row), key) == binary.LittleEndian.Uint32(key[keySum:])
}

// ordered is the i-th row by key. A byte that is wrong leads to a wrong row, which
// its sum tells.
func (sc *sidecar) ordered(i int) int {
	return min(int(binary.LittleEndian.Uint32(sc.order[orderSize*i+8:])), sc.rows-1)
}

func (sc *sidecar) key(row int) []byte { return sc.keys[row*keySize : (row+1)*keySize] }
func (sc *sidecar) row(row int) []byte { return sc.vectors[row*sc.size() : (row+1)*sc.size()] }

// scale is what brings the row, the mean of its vectors, to length one.
func (sc *sidecar) scale(row int) float32 {
	return math.Float32frombits(binary.LittleEndian.Uint32(sc.key(row)[keyScale:]))
}

// broken returns the first row that is not intact, or −1.
func (sc *sidecar) broken() (row int) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		faulted(recover())
	}()
	for row = range sc.rows {
		if !sc.intact(row) || !bytes.Equal(sc.order[orderSize*row:][:8], sc.key(sc.ordered(row))[:8]) {
			return row
		}
	}
	return -1
}

func rowSum(data, key []byte) uint32 {
	return crc32.Update(crc32.Checksum(data, castagnoli), castagnoli, key[:keySum])
}

// putKey writes a key as it stands in a sidecar. It reports false for a key that
// does not fit, which no image has.
func putKey(b []byte, k Key) bool {
	copy(b, k.Content[:])
	for i, v := range []int{k.Region.Min.X, k.Region.Min.Y, k.Region.Max.X, k.Region.Max.Y, k.Frame} {
		if v < 0 || v > math.MaxInt32 {
			return false
		}
		binary.LittleEndian.PutUint32(b[32+4*i:], uint32(v))
	}
	return true
}

// keyOf is the opposite of putKey.
func (sc *sidecar) keyOf(row int) Key {
	b := sc.key(row)
	number := func(i int) int { return int(binary.LittleEndian.Uint32(b[32+4*i:])) }
	return Key{Content: [32]byte(b[:32]), Region: image.Rect(number(0), number(1), number(2), number(3)), Frame: number(4)}
}
