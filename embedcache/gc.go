package embedcache

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"
)

// GCOptions picks vectors to remove: those that fit all that is said. At least one
// thing must be said.
type GCOptions struct {
	// Encoder is a fingerprint, or how one begins, in six digits at least.
	Encoder string
	// Before is when vectors were stored at the latest.
	Before time.Time
	// Contents are those of a dataset's images; nil does not ask.
	Contents map[[sha256.Size]byte]bool
	// MaxBytes is what the vectors may take in all when the oldest of those that
	// fit are gone; 0 removes all that fit.
	MaxBytes int64
	// Remove does it; otherwise it is only counted.
	Remove bool
}

// Garbage counts what was, or would be, removed.
type Garbage struct {
	Removed bool        `json:"removed"`
	Vectors int         `json:"vectors"`
	Bytes   int64       `json:"bytes"`
	Spaces  []SpaceStat `json:"spaces"`
	// Freed is by how much the file shrank.
	Freed int64 `json:"freed"`
}

// GC counts the vectors that the options pick, and with o.Remove takes them out of
// the cache and gives their space back to the disk.
func (c *Cache) GC(ctx context.Context, o GCOptions) (Garbage, error) {
	g := Garbage{Spaces: []SpaceStat{}}
	if o.Encoder == "" && o.Before.IsZero() && o.Contents == nil && o.MaxBytes == 0 {
		return g, errors.New("embedcache: gc: nothing is said of what to remove")
	}
	all, err := c.shelves(ctx, c.db)
	if err != nil {
		return g, err
	}
	ids, err := c.pick(ctx, all, o, &g)
	if err != nil || !o.Remove || len(ids) == 0 {
		return g, err
	}
	before := c.fileBytes()
	if err := c.changeAll(ctx, func(tx *sql.Tx) error { return c.remove(ctx, tx, ids, all) }); err != nil {
		return g, err
	}
	g.Removed = true
	for _, s := range all { // they are out of date
		if err := os.Remove(c.sidecarPath(s)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return g, fmt.Errorf("embedcache: gc: %w", err)
		}
	}
	if err := c.shrink(ctx); err != nil {
		return g, fmt.Errorf("embedcache: gc: the vectors are removed, but their space is not given back: %w", err)
	}
	g.Freed = before - c.fileBytes()
	return g, nil
}

func isHex(text string) bool { return strings.Trim(text, "0123456789abcdef") == "" }

// pick returns the rows that the options pick, the oldest first, and counts them.
func (c *Cache) pick(ctx context.Context, all []shelf, o GCOptions, g *Garbage) ([]int64, error) {
	spaces := map[int64]*SpaceStat{}
	for _, s := range all {
		if o.Encoder == "" || s.Encoder == o.Encoder || len(o.Encoder) >= 6 && isHex(o.Encoder) && strings.HasPrefix(s.Encoder, o.Encoder) {
			spaces[s.id] = &SpaceStat{Space: s.Space, Store: s.store}
		}
	}
	if len(spaces) == 0 {
		return nil, fmt.Errorf("embedcache: gc: no encoder %q in the cache; 'medprobe cache stat' shows those that are", strings.TrimPrefix(o.Encoder, importPrefix))
	}
	excess := int64(1) // every one, if no size is asked for
	if o.MaxBytes > 0 {
		var total int64
		if err := c.db.QueryRowContext(ctx, `SELECT coalesce(sum(length(data)), 0) FROM vector`).Scan(&total); err != nil {
			return nil, c.explain(err)
		}
		excess = total - o.MaxBytes
	}
	rows, err := c.db.QueryContext(ctx, `SELECT id, space, content, stored, length(data) FROM vector ORDER BY stored, id`)
	if err != nil {
		return nil, c.explain(err)
	}
	defer rows.Close()
	var ids []int64
	for rows.Next() && excess > 0 {
		var id, space, at, size int64
		var content []byte
		if err := rows.Scan(&id, &space, &content, &at, &size); err != nil {
			return nil, c.explain(err)
		}
		s := spaces[space]
		if s == nil || !o.Before.IsZero() && at >= o.Before.Unix() || o.Contents != nil && (len(content) != sha256.Size || !o.Contents[[sha256.Size]byte(content)]) {
			continue
		}
		ids = append(ids, id)
		g.Vectors, g.Bytes = g.Vectors+1, g.Bytes+size
		s.Vectors, s.Bytes = s.Vectors+1, s.Bytes+size
		if o.MaxBytes > 0 {
			excess -= size
		}
	}
	if err := rows.Err(); err != nil {
		return nil, c.explain(err)
	}
	for _, shelf := range all {
		if s := spaces[shelf.id]; s != nil && s.Vectors > 0 {
			g.Spaces = append(g.Spaces, *s)
		}
	}
	return ids, nil
}

// remove deletes the rows, the spaces that are empty then, and what is known of
// files that nothing is stored of.
func (c *Cache) remove(ctx context.Context, tx *sql.Tx, ids []int64, all []shelf) error {
	drop, err := tx.PrepareContext(ctx, `DELETE FROM vector WHERE id = $1`)
	if err != nil {
		return c.explain(err)
	}
	defer drop.Close()
	for _, id := range ids {
		if _, err := drop.ExecContext(ctx, id); err != nil {
			return c.explain(err)
		}
	}
	for _, s := range all {
		if _, err := tx.ExecContext(ctx, `DELETE FROM space WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM vector WHERE space = $1)`, s.id); err != nil {
			return c.explain(err)
		}
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM file WHERE content IN (SELECT content FROM file EXCEPT SELECT content FROM vector)`)
	return c.explain(err)
}

// shrink gives unused pages back to the disk.
func (c *Cache) shrink(ctx context.Context) error {
	statements := []string{`VACUUM`, `PRAGMA wal_checkpoint(TRUNCATE)`}
	if IsRemote(c.path) {
		statements = []string{`VACUUM vector`}
	}
	for _, statement := range statements {
		if _, err := c.db.ExecContext(ctx, statement); err != nil {
			return c.explain(err)
		}
	}
	return nil
}

// fileBytes is what the cache takes on the disk; 0 where it is elsewhere.
func (c *Cache) fileBytes() int64 {
	var sum int64
	for _, part := range databaseFiles(c.path) {
		if info, err := os.Stat(part); err == nil {
			sum += info.Size()
		}
	}
	return sum
}
