package embedcache

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/medprobe/medprobe/datasets"
)

// seen is a file whose content is known.
type seen struct {
	stamp   datasets.Stamp
	content [sha256.Size]byte
}

// settling is how long after a change a file's times are not believed: it may
// change again within the same tick of the clock. Times in the future, as a
// clock that was set back leaves them, are not believed either.
const settling = 2 * time.Second

// settled reports whether the stamp will tell the next change.
func settled(s datasets.Stamp, now time.Time) bool {
	return max(s.Modified, s.Changed) < now.Add(-settling).UnixNano()
}

// recall returns the content of a file that has not changed since it was seen.
func (c *Cache) recall(ctx context.Context, query *sql.Stmt, s datasets.Stamp) (content [sha256.Size]byte, ok bool, err error) {
	var known datasets.Stamp
	var digest []byte
	err = query.QueryRowContext(ctx, c.fileName(s.File)).Scan(&known.Size, &known.Modified, &known.Changed, &digest)
	if errors.Is(err, sql.ErrNoRows) {
		return content, false, nil
	}
	known.File = s.File
	if err != nil || known != s || len(digest) != len(content) {
		return content, false, c.explain(err)
	}
	return [sha256.Size]byte(digest), true, nil
}

const selectFile = `SELECT size, modified, changed, content FROM file WHERE name = $1`

// byFile is the order in which rows of files are written, the same for all
// writers: those who write the same ones wait for each other in turn.
func byFile(a, b seen) int { return cmp.Compare(a.stamp.File, b.stamp.File) }

// remember notes the content of files.
func (c *Cache) remember(ctx context.Context, tx *sql.Tx, files []seen) error {
	if len(files) == 0 {
		return nil
	}
	statement, err := tx.PrepareContext(ctx, `INSERT INTO file (name, size, modified, changed, content) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (name) DO UPDATE SET size = excluded.size, modified = excluded.modified, changed = excluded.changed, content = excluded.content`)
	if err != nil {
		return c.explain(err)
	}
	defer statement.Close()
	for _, f := range slices.SortedFunc(slices.Values(files), byFile) {
		if _, err := statement.ExecContext(ctx, c.fileName(f.stamp.File), f.stamp.Size, f.stamp.Modified, f.stamp.Changed, f.content[:]); err != nil {
			return c.explain(err)
		}
	}
	return nil
}
