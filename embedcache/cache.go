package embedcache

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"github.com/medprobe/medprobe/internal/sqlitedb"
	"github.com/medprobe/medprobe/internal/vec"
	"gonum.org/v1/gonum/blas/blas32"
)

//go:embed migration/*.sql
var migrations embed.FS

// applicationID marks our cache files: "mpec" in ASCII.
const applicationID = 0x6d706563

var (
	// ErrNotStored says that a vector was asked for that is not in the cache.
	ErrNotStored = errors.New("vector is not in the cache")
	// ErrDamaged says that a stored vector does not match its checksum.
	ErrDamaged = errors.New("stored vector does not match its checksum; embed again to replace it")
)

// Cache is a file of vectors. Its methods are safe for concurrent use, and any
// number of processes may have the same file open.
type Cache struct {
	db   *sql.DB
	path string
}

// Space is the set of vectors that can be compared with one another.
type Space struct {
	Encoder    string `json:"encoder"`
	Preprocess string `json:"preprocess"`
	Dim        int    `json:"dim"`
}

// Key names one image, or a region or frame of one, by its content.
type Key struct {
	Content [sha256.Size]byte
	Region  image.Rectangle
	Frame   int
}

func (k Key) region() string {
	if k.Region == (image.Rectangle{}) {
		return ""
	}
	r := k.Region
	return fmt.Sprintf("%d,%d,%d,%d", r.Min.X, r.Min.Y, r.Max.X, r.Max.Y)
}

// DefaultPath returns the cache file used when none is named: $MEDPROBE_CACHE,
// or medprobe/cache.db in the user's cache folder.
func DefaultPath() (string, error) {
	if path := os.Getenv("MEDPROBE_CACHE"); path != "" {
		return path, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("embedcache: no cache folder: %w; name a file with --cache or MEDPROBE_CACHE", err)
	}
	return filepath.Join(dir, "medprobe", "cache.db"), nil
}

// Open opens the cache file, or creates it, readable by its owner only.
func Open(ctx context.Context, path string) (*Cache, error) {
	files, err := fs.Sub(migrations, "migration")
	if err != nil {
		return nil, err
	}
	db, err := sqlitedb.Open(ctx, path, sqlitedb.Schema{ApplicationID: applicationID, Migrations: files})
	if err != nil {
		return nil, fmt.Errorf("embedcache: %w", err)
	}
	return &Cache{db: db, path: path}, nil
}

// Close closes the file.
func (c *Cache) Close() error { return c.db.Close() }

// spaceID returns the row of the space, making it if need be.
func (c *Cache) spaceID(ctx context.Context, s Space) (int64, error) {
	if _, err := c.db.ExecContext(ctx, `INSERT INTO space (encoder, preprocess, dim) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`, s.Encoder, s.Preprocess, s.Dim); err != nil {
		return 0, c.explain(err)
	}
	var id int64
	var dim int
	if err := c.db.QueryRowContext(ctx, `SELECT id, dim FROM space WHERE encoder = ? AND preprocess = ?`, s.Encoder, s.Preprocess).Scan(&id, &dim); err != nil {
		return 0, c.explain(err)
	}
	if dim != s.Dim {
		return 0, fmt.Errorf("embedcache: %s holds vectors of %d dimensions for encoder %.12s, the encoder gives %d", c.path, dim, s.Encoder, s.Dim)
	}
	return id, nil
}

const selectVector = `SELECT data, sum FROM vector WHERE space = ? AND content = ? AND region = ? AND frame = ?`

// read returns the stored vector of k. It fails with ErrNotStored or
// ErrDamaged.
func (c *Cache) read(ctx context.Context, query *sql.Stmt, id int64, s Space, k Key) ([]float32, error) {
	var data, sum sql.RawBytes
	rows, err := query.QueryContext(ctx, id, k.Content[:], k.region(), k.Frame)
	if err != nil {
		return nil, c.explain(err)
	}
	defer rows.Close()
	if !rows.Next() {
		return nil, cmp.Or(c.explain(rows.Err()), ErrNotStored)
	}
	if err := rows.Scan(&data, &sum); err != nil {
		return nil, c.explain(err)
	}
	want := checksum(s, k, data)
	if len(data) != 4*s.Dim || string(sum) != string(want[:]) {
		return nil, ErrDamaged
	}
	v := make([]float32, s.Dim)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return v, nil
}

// stored is one vector on its way into the file.
type stored struct {
	key    Key
	vector []float32
}

// store writes the vectors in one transaction.
func (c *Cache) store(ctx context.Context, id int64, s Space, batch []stored) error {
	tx, err := c.db.BeginTx(ctx, nil)
	if err != nil {
		return c.explain(err)
	}
	defer tx.Rollback()
	insert, err := tx.PrepareContext(ctx, `INSERT INTO vector (space, content, region, frame, data, sum) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (space, content, region, frame) DO UPDATE SET data = excluded.data, sum = excluded.sum`)
	if err != nil {
		return c.explain(err)
	}
	defer insert.Close()
	for _, row := range batch {
		data := make([]byte, 0, 4*len(row.vector))
		for _, v := range row.vector {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
		}
		sum := checksum(s, row.key, data)
		if _, err := insert.ExecContext(ctx, id, row.key.Content[:], row.key.region(), row.key.Frame, data, sum[:]); err != nil {
			return c.explain(err)
		}
	}
	return c.explain(tx.Commit())
}

// checksum binds a vector's bytes to the key they belong to.
func checksum(s Space, k Key, data []byte) [16]byte {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n%x\n%s\n%d\n", s.Encoder, s.Preprocess, k.Content, k.region(), k.Frame)
	h.Write(data)
	return [16]byte(h.Sum(nil)[:16])
}

// Matrix returns the vectors of the keys, one per row and in their order, each
// scaled to Euclidean length one. A key that is not stored is an error that
// wraps [ErrNotStored], a row that fails its checksum one that wraps
// [ErrDamaged], and a vector of length zero or with a value that is not finite
// an error; each names the row.
func (c *Cache) Matrix(ctx context.Context, s Space, keys []Key) (blas32.General, error) {
	m, err := c.Raw(ctx, s, keys)
	for i := range keys {
		if err != nil {
			return m, err
		}
		row := m.Data[i*m.Stride : i*m.Stride+m.Cols]
		if unit := vec.Unit(row, row); unit != nil {
			err = c.rowError(i, keys[i], unit)
		}
	}
	return m, err
}

// Raw is [Cache.Matrix] without the scaling: the vectors as the tower gave them.
func (c *Cache) Raw(ctx context.Context, s Space, keys []Key) (blas32.General, error) {
	m := blas32.General{Rows: len(keys), Cols: s.Dim, Stride: s.Dim, Data: make([]float32, len(keys)*s.Dim)}
	id, err := c.spaceID(ctx, s)
	if err != nil {
		return m, err
	}
	query, err := c.db.PrepareContext(ctx, selectVector)
	if err != nil {
		return m, c.explain(err)
	}
	defer query.Close()
	for i, key := range keys {
		v, err := c.read(ctx, query, id, s, key)
		if err != nil {
			return m, c.rowError(i, key, err)
		}
		copy(m.Data[i*s.Dim:(i+1)*s.Dim], v)
	}
	return m, nil
}

func (c *Cache) rowError(row int, key Key, err error) error {
	return fmt.Errorf("embedcache: %s: row %d, content %x: %w", c.path, row, key.Content[:6], err)
}

// explain gives an error of the database the file's name and a remedy.
func (c *Cache) explain(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("embedcache: %w", sqlitedb.Explain(c.path, err))
}
