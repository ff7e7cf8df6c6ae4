package embedcache

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"image"
	"sync"
	"time"
)

var (
	// ErrNotStored says that a vector was asked for that is not in the cache.
	ErrNotStored = errors.New("vector is not in the cache")
	// ErrDamaged says that a stored vector does not match its checksum.
	ErrDamaged = errors.New("stored vector does not match its checksum; embed again to replace it")
)

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

// parseRegion reads what region writes.
func parseRegion(text string) (image.Rectangle, error) {
	var r image.Rectangle
	if text == "" {
		return r, nil
	}
	_, err := fmt.Sscanf(text, "%d,%d,%d,%d", &r.Min.X, &r.Min.Y, &r.Max.X, &r.Max.Y)
	if (Key{Region: r}).region() != text {
		err = fmt.Errorf("region %q: want x0,y0,x1,y1", text)
	}
	return r, err
}

const selectVector = `SELECT data, sum FROM vector WHERE space = $1 AND content = $2 AND region = $3 AND frame = $4`

// read returns what is stored for k. It fails with ErrNotStored or ErrDamaged.
func (c *Cache) read(ctx context.Context, query *sql.Stmt, s shelf, k Key) ([]byte, error) {
	var data, sum sql.RawBytes
	rows, err := query.QueryContext(ctx, s.id, k.Content[:], k.region(), k.Frame)
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
	if !s.intact(k, data, sum) {
		return nil, ErrDamaged
	}
	return bytes.Clone(data), nil
}

// intact reports whether the bytes are what was stored for the key.
func (s shelf) intact(k Key, data, sum []byte) bool {
	want := checksum(s.Space, k, data)
	return len(data) == s.size() && string(sum) == string(want[:])
}

// checksum binds a vector's bytes to the key they belong to.
func checksum(s Space, k Key, data []byte) [16]byte {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n%x\n%s\n%d\n", s.Encoder, s.Preprocess, k.Content, k.region(), k.Frame)
	h.Write(data)
	return [16]byte(h.Sum(nil)[:16])
}

// stored is one vector on its way into the file.
type stored struct {
	key    Key
	values []float32
	// data, where it is set, is written instead: values in the shelf's own way.
	data []byte
	// at is when the vector was stored first, in Unix seconds; 0 means now.
	at int64
}

// insert is how a vector comes into the file: it replaces what is there.
const insert = `INSERT INTO vector (space, content, region, frame, data, sum, stored) VALUES ($1, $2, $3, $4, $5, $6, $7)
	ON CONFLICT (space, content, region, frame) DO UPDATE SET data = excluded.data, sum = excluded.sum, stored = excluded.stored`

// write stores the vectors, and what is known of files, in one transaction.
func (c *Cache) write(ctx context.Context, s shelf, batch []stored, files []seen) error {
	return c.change(ctx, s, func(tx *sql.Tx) error {
		if err := c.put(ctx, tx, s, batch); err != nil {
			return err
		}
		return c.remember(ctx, tx, files)
	})
}

// put stores the vectors.
func (c *Cache) put(ctx context.Context, tx *sql.Tx, s shelf, batch []stored) error {
	statement, err := tx.PrepareContext(ctx, insert)
	if err != nil {
		return c.explain(err)
	}
	defer statement.Close()
	now := time.Now().Unix()
	// The next rows are sealed while the database takes these.
	var ahead sync.WaitGroup
	defer ahead.Wait()
	ready := make(chan sealed, len(batch))
	ahead.Go(func() {
		for i := range batch {
			ready <- s.seal(&batch[i])
		}
	})
	for i := range batch {
		row, is := &batch[i], <-ready
		if is.err != nil {
			return is.err
		}
		if _, err := statement.ExecContext(ctx, s.id, row.key.Content[:], row.key.region(), row.key.Frame, is.data, is.sum[:], cmp.Or(row.at, now)); err != nil {
			return c.explain(err)
		}
	}
	return nil
}

// sealed is a vector as it is written.
type sealed struct {
	data []byte
	sum  [16]byte
	err  error
}

// seal encodes a vector, if it is not yet, and works out its checksum.
func (s shelf) seal(row *stored) sealed {
	data := row.data
	if data == nil {
		var err error
		if data, err = s.store.encode(row.values); err != nil {
			return sealed{err: fmt.Errorf("embedcache: content %x: %w", row.key.Content[:6], err)}
		}
	}
	return sealed{data: data, sum: checksum(s.Space, row.key, data)}
}

// writeBatch is how many vectors are written at once where many are at hand. Keys
// are random: each transaction writes most pages of their index once more.
const writeBatch = 8192

// change does something to the vectors of a shelf in one transaction, and gives
// the shelf a new mark. The mark comes first: who changes the same shelf waits
// there, and not in the middle for a vector that the other one has.
func (c *Cache) change(ctx context.Context, s shelf, do func(*sql.Tx) error) error {
	return c.transact(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE space SET mark = $1 WHERE id = $2`, newMark(), s.id); err != nil {
			return c.explain(err)
		}
		return do(tx)
	})
}

// changeAll is change for all shelves.
func (c *Cache) changeAll(ctx context.Context, do func(*sql.Tx) error) error {
	return c.transact(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE space SET mark = $1`, newMark()); err != nil {
			return c.explain(err)
		}
		return do(tx)
	})
}

// transact does something in one transaction. Where another writer stood in its
// way it is rolled back and done again, so do must not mind that.
func (c *Cache) transact(ctx context.Context, do func(*sql.Tx) error) error {
	return c.again(ctx, func() error {
		tx, err := c.db.BeginTx(ctx, nil)
		if err != nil {
			return c.explain(err)
		}
		defer tx.Rollback()
		if err := do(tx); err != nil {
			return err
		}
		return c.explain(tx.Commit())
	})
}
