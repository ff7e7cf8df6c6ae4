package embedcache

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"io"
	"math"
	"os"
	"slices"

	"github.com/medprobe/medprobe/internal/atomicfile"
	"github.com/medprobe/medprobe/internal/vec"
)

// buildSidecar writes the sidecar of a shelf and returns the shelf as it then was.
// Rows that are damaged, or have no direction, are left out: who asks for them is
// told by the database.
func (c *Cache) buildSidecar(ctx context.Context, s shelf, path string) (shelf, error) {
	if err := os.MkdirAll(c.sidecars, 0o700); err != nil {
		return s, err
	}
	err := atomicfile.Write(path, func(w io.Writer) error {
		return c.snapshot(ctx, func(conn *sql.Conn) error {
			var err error
			if s, err = c.find(ctx, conn, s.Space); err != nil {
				return err
			}
			return c.copyRows(ctx, conn, s, w)
		})
	})
	return s, err
}

// copyRows writes all of a sidecar.
func (c *Cache) copyRows(ctx context.Context, conn *sql.Conn, s shelf, w io.Writer) error {
	var keys []byte
	mean := make([]float32, s.Dim)
	err := c.eachRow(ctx, conn, s, func(r row) error {
		var key [keySize]byte
		if !r.readable || !s.intact(r.key, r.data, r.sum) || !putKey(key[:], r.key) {
			return nil
		}
		values := make([]float32, s.values())
		s.store.decode(values, r.data)
		pool(mean, values)
		length, scale := lengthOf(mean)
		if scale == 0 {
			return nil
		}
		binary.LittleEndian.PutUint32(key[keyScale:], math.Float32bits(scale))
		binary.LittleEndian.PutUint64(key[keyLength:], math.Float64bits(length))
		binary.LittleEndian.PutUint32(key[keySum:], rowSum(r.data, key[:]))
		keys = append(keys, key[:]...)
		_, err := w.Write(r.data)
		return err
	})
	if err != nil {
		return err
	}
	rows := len(keys) / keySize
	order := make([]uint32, rows)
	for i := range order {
		order[i] = uint32(i)
	}
	at := func(i uint32) []byte { return keys[int(i)*keySize:][:keyScale] }
	slices.SortFunc(order, func(a, b uint32) int { return bytes.Compare(at(a), at(b)) })
	if _, err := w.Write(keys); err != nil {
		return err
	}
	var entry []byte
	for _, row := range order {
		entry = binary.LittleEndian.AppendUint32(append(entry[:0], at(row)[:8]...), row)
		if _, err := w.Write(entry); err != nil {
			return err
		}
	}
	_, err = w.Write(s.footer(rows))
	return err
}

// lengthOf returns ‖v‖ and 1/‖v‖, which is 0 where it is no positive float32.
func lengthOf(v []float32) (length float64, scale float32) {
	length, err := vec.Length(v)
	if scale = float32(1 / length); err != nil || math.IsInf(float64(scale), 0) {
		return length, 0
	}
	return length, scale
}
