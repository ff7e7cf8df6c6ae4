package embedcache

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"slices"
)

// Merged counts what became of the vectors of another cache.
type Merged struct {
	Added int `json:"added"`
	// Same were there already, bit for bit; Differing were there with other values
	// under the same key, and stay as they are.
	Same      int `json:"same"`
	Differing int `json:"differing"`
	// Damaged do not match their checksums and were passed over.
	Damaged int `json:"damaged"`
}

// Merge adds the vectors of another cache that this one does not have. Done twice
// it adds nothing. A space of the same encoder and preprocessing with other
// dimensions is an error, and so is a space that is kept in another way.
func (c *Cache) Merge(ctx context.Context, from *Cache) (Merged, error) {
	var m Merged
	shelves, err := from.shelves(ctx, from.db)
	if err != nil {
		return m, err
	}
	for _, theirs := range shelves {
		ours, err := c.open(ctx, theirs.Space, "")
		if err == nil && ours.store != theirs.store {
			var empty bool
			if err := c.db.QueryRowContext(ctx, `SELECT NOT EXISTS (SELECT 1 FROM vector WHERE space = $1)`, ours.id).Scan(&empty); err != nil {
				return m, c.explain(err)
			}
			err = fmt.Errorf("embedcache: merge: %s keeps the vectors of encoder %.12s as %s, %s as %s: they would differ", from.path, theirs.Encoder, theirs.store, c.path, ours.store)
			if empty {
				ours, err = c.restore(ctx, ours, theirs.store)
			}
		}
		if err != nil {
			return m, err
		}
		if err := c.mergeShelf(ctx, ours, from, theirs, &m); err != nil {
			return m, err
		}
	}
	return m, nil
}

// restore makes an empty shelf write in another way.
func (c *Cache) restore(ctx context.Context, s shelf, store Store) (shelf, error) {
	_, err := c.db.ExecContext(ctx, `UPDATE space SET store = $1 WHERE id = $2`, string(store), s.id)
	s.store = store
	return s, c.explain(err)
}

func (c *Cache) mergeShelf(ctx context.Context, ours shelf, from *Cache, theirs shelf, m *Merged) error {
	var batch []row
	err := from.eachRow(ctx, from.db, theirs, func(r row) error {
		if kind, _ := theirs.verify(r); kind != "" {
			m.Damaged++
			return nil
		}
		if batch = append(batch, r); len(batch) < writeBatch {
			return nil
		}
		defer func() { batch = nil }()
		return c.mergeRows(ctx, ours, batch, m)
	})
	if err != nil || len(batch) == 0 {
		return err
	}
	return c.mergeRows(ctx, ours, batch, m)
}

func (c *Cache) mergeRows(ctx context.Context, s shelf, rows []row, m *Merged) error {
	before := *m
	err := c.change(ctx, s, func(tx *sql.Tx) error {
		*m = before
		look, err := tx.PrepareContext(ctx, selectVector)
		if err != nil {
			return c.explain(err)
		}
		defer look.Close()
		var added []stored
		for _, r := range rows {
			var data, sum []byte
			switch err := look.QueryRowContext(ctx, s.id, r.key.Content[:], r.key.region(), r.key.Frame).Scan(&data, &sum); {
			case err == nil && bytes.Equal(data, r.data):
				m.Same++
			case err == nil && s.intact(r.key, data, sum):
				m.Differing++
			case err == nil, err == sql.ErrNoRows:
				added = append(added, stored{key: r.key, data: slices.Clone(r.data), at: r.at})
			default:
				return c.explain(err)
			}
		}
		m.Added += len(added)
		return c.put(ctx, tx, s, added)
	})
	if err != nil {
		*m = before
	}
	return err
}
