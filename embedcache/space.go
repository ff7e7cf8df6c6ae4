package embedcache

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/medprobe/medprobe/internal/float16"
)

// Space is the set of vectors that can be compared with one another.
type Space struct {
	Encoder    string `json:"encoder"`
	Preprocess string `json:"preprocess"`
	// Dim is the number of values of a vector.
	Dim int `json:"dim"`
	// Tokens is how many vectors an image has; 0 means one.
	Tokens int `json:"tokens,omitempty"`
}

// tokens is at least one.
func (s Space) tokens() int { return max(1, s.Tokens) }

// values is how many numbers are kept for an image.
func (s Space) values() int { return s.Dim * s.tokens() }

// Store is how the numbers of a space are written.
type Store string

// The ways to write a number. A float16 has a relative error of at most 2⁻¹¹
// and half the size.
const (
	Float32 Store = "f32"
	Float16 Store = "f16"
)

// width is the size of a number in bytes.
func (s Store) width() int {
	if s == Float16 {
		return 2
	}
	return 4
}

// encode returns the bytes of the values, little-endian.
func (s Store) encode(values []float32) ([]byte, error) {
	data := make([]byte, 0, s.width()*len(values))
	if s != Float16 {
		for _, v := range values {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
		}
		return data, nil
	}
	if err := float16.Check(values); err != nil {
		return nil, fmt.Errorf("%w; keep the vectors as f32", err)
	}
	for _, v := range values {
		data = binary.LittleEndian.AppendUint16(data, float16.From(v))
	}
	return data, nil
}

// decode writes the values of data to dst, which has their number.
func (s Store) decode(dst []float32, data []byte) {
	if s == Float16 {
		for i := range dst {
			dst[i] = float16.To(binary.LittleEndian.Uint16(data[2*i:]))
		}
		return
	}
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
}

// shelf is a space as the file has it.
type shelf struct {
	Space
	id    int64
	store Store
	// mark is a new one after every change.
	mark []byte
}

// size is how many bytes a row holds.
func (s shelf) size() int { return s.store.width() * s.values() }

// querier is a database, a transaction or a connection.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// find returns the shelf of a space; one that is not there yet has id 0.
func (c *Cache) find(ctx context.Context, q querier, s Space) (shelf, error) {
	found := shelf{Space: s}
	var dim, tokens int
	err := q.QueryRowContext(ctx, `SELECT id, dim, tokens, store, mark FROM space WHERE encoder = $1 AND preprocess = $2`, s.Encoder, s.Preprocess).
		Scan(&found.id, &dim, &tokens, &found.store, &found.mark)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return found, nil
	case err != nil:
		return found, c.explain(err)
	case dim != s.Dim:
		return found, fmt.Errorf("embedcache: %s holds vectors of %d dimensions for encoder %.12s, the encoder gives %d", c.path, dim, s.Encoder, s.Dim)
	case tokens != s.tokens():
		return found, fmt.Errorf("embedcache: %s holds %d vectors per image for encoder %.12s, asked for are %d", c.path, tokens, s.Encoder, s.tokens())
	}
	return found, nil
}

// open returns the shelf of a space and makes it if need be, to be written in
// the way of store. An empty store takes what is there, or makes float32.
func (c *Cache) open(ctx context.Context, s Space, store Store) (shelf, error) {
	made := store
	switch store {
	case "":
		made = Float32
	case Float32, Float16:
	default:
		return shelf{}, fmt.Errorf("embedcache: store %q: want %s or %s", store, Float32, Float16)
	}
	if _, err := c.db.ExecContext(ctx, `INSERT INTO space (encoder, preprocess, dim, tokens, store, mark) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`,
		s.Encoder, s.Preprocess, s.Dim, s.tokens(), string(made), newMark()); err != nil {
		return shelf{}, c.explain(err)
	}
	found, err := c.find(ctx, c.db, s)
	if err == nil && store != "" && found.store != store {
		return found, fmt.Errorf("embedcache: %s keeps the vectors of encoder %.12s as %s, not %s; leave out --store, or remove them first with 'medprobe cache gc --encoder'", c.path, s.Encoder, found.store, store)
	}
	return found, err
}

func newMark() []byte {
	mark := make([]byte, 16)
	rand.Read(mark) // never fails
	return mark
}
