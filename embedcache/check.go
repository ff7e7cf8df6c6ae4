package embedcache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/medprobe/medprobe/internal/sqlitedb"
	"github.com/medprobe/medprobe/internal/sqlitefile"
	"github.com/medprobe/medprobe/internal/vec"
)

// The kinds of damage that a check finds.
const (
	BadFile      = "file"      // the database cannot be opened
	BadLog       = "log"       // its write-ahead log is not what was written
	BadStructure = "structure" // SQLite's own check fails
	BadOrphan    = "orphan"    // a row of a space that is not there
	BadChecksum  = "checksum"  // a vector is not what was stored
	BadSize      = "size"      // a vector has another dimension than its space
	BadValue     = "value"     // a vector is not finite, or has length zero
	BadSidecar   = "sidecar"   // a file that is mapped into memory is not what was written
)

// Bad is one thing that is wrong with a cache.
type Bad struct {
	Kind string `json:"kind"`
	// Encoder, Content, Region and Frame name the vector, where it is one.
	Encoder string `json:"encoder,omitempty"`
	Content string `json:"content,omitempty"`
	Region  string `json:"region,omitempty"`
	Frame   int    `json:"frame,omitempty"`
	What    string `json:"what"`

	id    int64  // of the row
	path  string // of the sidecar
	newer bool   // the database says that a newer medprobe made it
}

// CheckOptions says how to check. The zero value looks at everything and changes
// nothing.
type CheckOptions struct {
	// Share of the vectors whose bytes are read, from 0 to 1; nil means all.
	Share *float64
	// Repair drops what is bad, and nothing else.
	Repair bool
}

// Checkup is what a check found.
type Checkup struct {
	// OK says that nothing is bad, or that nothing is bad any more.
	OK bool `json:"ok"`
	// Rows is how many vectors there are.
	Rows int `json:"rows"`
	// Bad is what was found.
	Bad []Bad `json:"bad"`
	// Repaired says that what was bad was dropped; Kept and Dropped count vectors,
	// and Aside names the damaged file where a new one took its place.
	Repaired bool   `json:"repaired,omitempty"`
	Kept     int    `json:"kept,omitempty"`
	Dropped  int    `json:"dropped,omitempty"`
	Aside    string `json:"aside,omitempty"`
}

// Check verifies the cache at path: the database's structure, its log, the size,
// checksum and values of every vector, that each belongs to a space, and the files
// that are mapped into memory. With o.Repair it drops exactly what is bad, so that
// the next Fill computes it anew. Where the database itself is damaged, its good
// vectors are gathered page by page into a new file that takes its place, and the
// damaged one is kept beside it.
func Check(ctx context.Context, path string, o CheckOptions) (*Checkup, error) {
	if o.Share != nil && !(*o.Share >= 0 && *o.Share <= 1) {
		return nil, fmt.Errorf("embedcache: check: share %v: want a number from 0 to 1", *o.Share)
	}
	found, err := examine(ctx, path, o)
	if err != nil {
		return nil, err
	}
	if found.OK = len(found.Bad) == 0; found.OK || !o.Repair {
		return found, nil
	}
	if err := repair(ctx, path, found); err != nil {
		return found, err
	}
	after, err := examine(ctx, path, CheckOptions{})
	if err != nil {
		return found, err
	}
	found.OK, found.Repaired, found.Rows = len(after.Bad) == 0, true, after.Rows
	return found, nil
}

// examine looks for what is bad.
func examine(ctx context.Context, path string, o CheckOptions) (*Checkup, error) {
	found := &Checkup{Bad: []Bad{}}
	if !IsRemote(path) {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("embedcache: check %s: there is no such file", path)
		}
		if what := lostFrames(path); what != "" {
			// Opening it would throw away what stands behind the damage.
			found.add(Bad{Kind: BadLog, What: what})
			return found, nil
		}
	}
	c, err := Open(ctx, path)
	if err != nil {
		if ctx.Err() != nil || IsRemote(path) {
			return nil, err
		}
		_, newer := errors.AsType[*sqlitedb.NewerError](err)
		found.add(Bad{Kind: BadFile, What: err.Error(), newer: newer})
		return found, nil
	}
	defer c.Close()
	if err := c.checkStructure(ctx, found); err != nil {
		return nil, err
	}
	if err := c.checkRows(ctx, found, o); err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		found.add(Bad{Kind: BadStructure, What: err.Error()})
	}
	return found, c.checkSidecars(ctx, found)
}

func (f *Checkup) add(b Bad) { f.Bad = append(f.Bad, b) }

// lostFrames says what is wrong with the write-ahead log of a database, if bytes of
// it are not what was written.
func lostFrames(path string) string {
	f, err := os.Open(path + "-wal")
	if err != nil {
		return ""
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return ""
	}
	log, err := sqlitefile.ReadLog(f, info.Size())
	if err != nil || !log.Lost {
		return ""
	}
	return fmt.Sprintf("%s-wal: page %d of %d is not what was written; transactions behind it would be lost", path, log.Valid+1, log.Frames)
}

// maxStructure is how many faults of its structure the database is asked for.
const maxStructure = 20

func (c *Cache) checkStructure(ctx context.Context, found *Checkup) error {
	if IsRemote(c.path) {
		return nil // the server looks after that
	}
	rows, err := c.db.QueryContext(ctx, fmt.Sprintf(`PRAGMA integrity_check(%d)`, maxStructure))
	if err != nil {
		found.add(Bad{Kind: BadStructure, What: c.explain(err).Error()})
		return ctx.Err()
	}
	defer rows.Close()
	for rows.Next() {
		var what string
		if err := rows.Scan(&what); err != nil {
			return c.explain(err)
		}
		if what != "ok" {
			found.add(Bad{Kind: BadStructure, What: what})
		}
	}
	if err := rows.Err(); err != nil {
		found.add(Bad{Kind: BadStructure, What: c.explain(err).Error()})
	}
	return ctx.Err()
}

func (c *Cache) checkRows(ctx context.Context, found *Checkup, o CheckOptions) error {
	all, err := c.shelves(ctx, c.db)
	if err != nil {
		return err
	}
	byID := map[int64]shelf{}
	for _, s := range all {
		byID[s.id] = s
	}
	if err := c.db.QueryRowContext(ctx, `SELECT count(*) FROM vector`).Scan(&found.Rows); err != nil {
		return c.explain(err)
	}
	share := 1.0
	if o.Share != nil {
		share = *o.Share
	}
	const parts = 1000
	return c.scan(ctx, c.db, `WHERE (id * 7919) % 1000 < $1 ORDER BY id`, func(r row) error {
		s, known := byID[r.space]
		if kind, what := s.verify(r); !known {
			found.add(r.bad(s, BadOrphan, fmt.Sprintf("its space %d is not there", r.space)))
		} else if kind != "" {
			found.add(r.bad(s, kind, what))
		}
		return ctx.Err()
	}, int64(math.Ceil(share*parts)))
}

func (r row) bad(s shelf, kind, what string) Bad {
	return Bad{Kind: kind, Encoder: s.Encoder, Content: fmt.Sprintf("%x", r.key.Content), Region: r.key.region(), Frame: r.key.Frame, What: what, id: r.id}
}

// verify says what is wrong with a row, or nothing.
func (s shelf) verify(r row) (kind, what string) {
	switch {
	case !r.readable:
		return BadChecksum, "its key cannot be read"
	case len(r.data) != s.size():
		return BadSize, fmt.Sprintf("%d bytes: want %d for %d × %d values of %s", len(r.data), s.size(), s.tokens(), s.Dim, s.store)
	case !s.intact(r.key, r.data, r.sum):
		return BadChecksum, "the vector does not match its checksum"
	}
	values := make([]float32, s.values())
	s.store.decode(values, r.data)
	for token := range slices.Chunk(values, s.Dim) {
		if err := vec.Unit(token, token); err != nil {
			return BadValue, err.Error()
		}
	}
	return "", ""
}

// checkSidecars verifies every row of the sidecars.
func (c *Cache) checkSidecars(ctx context.Context, found *Checkup) error {
	all, err := c.shelves(ctx, c.db)
	if err != nil {
		return nil // the structure is bad, as was said
	}
	for _, s := range all {
		path := c.sidecarPath(s)
		sc, err := openSidecar(path, s)
		if err != nil {
			continue // it is not there, or of another time: it is made anew
		}
		if row := sc.broken(); row >= 0 {
			found.add(Bad{Kind: BadSidecar, Encoder: s.Encoder, What: fmt.Sprintf("%s: row %d does not match its checksum", filepath.Base(path), row), path: path})
		}
		if err := sc.close(); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}
