package embedcache

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/medprobe/medprobe/internal/sqlitedb"
	"github.com/medprobe/medprobe/internal/sqlitefile"
)

// repair drops what was found to be bad.
func repair(ctx context.Context, path string, found *Checkup) error {
	damaged := func(b Bad) bool { return b.Kind == BadFile || b.Kind == BadLog || b.Kind == BadStructure }
	if slices.ContainsFunc(found.Bad, damaged) && !IsRemote(path) {
		return salvage(ctx, path, found)
	}
	c, err := Open(ctx, path)
	if err != nil {
		return err
	}
	defer c.Close()
	for _, b := range found.Bad {
		if b.Kind == BadSidecar {
			if err := os.Remove(b.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("embedcache: repair: %w", err)
			}
			continue
		}
		found.Dropped++
	}
	found.Kept = found.Rows - found.Dropped
	if found.Dropped == 0 {
		return nil
	}
	return c.changeAll(ctx, func(tx *sql.Tx) error {
		drop, err := tx.PrepareContext(ctx, `DELETE FROM vector WHERE id = $1`)
		if err != nil {
			return c.explain(err)
		}
		defer drop.Close()
		for _, b := range found.Bad {
			if b.Kind == BadSidecar {
				continue
			}
			if _, err := drop.ExecContext(ctx, b.id); err != nil {
				return c.explain(err)
			}
		}
		return nil
	})
}

// asideSuffix ends the name of a damaged database that was replaced.
const asideSuffix = ".damaged"

// salvage gathers the good vectors of a damaged database, its log included, into a
// new one that takes its place. A vector is good where its checksum says so,
// wherever it was found; of several for one key the newest is taken. Where there
// is none at all, the file is no cache of ours, and stays as it is.
func salvage(ctx context.Context, path string, found *Checkup) error {
	if err := sqlitedb.InUse(path); err != nil {
		return fmt.Errorf("embedcache: repair: %w", err)
	}
	fresh := path + ".repaired"
	for _, leftover := range databaseFiles(fresh) {
		if err := os.Remove(leftover); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("embedcache: repair: %w", err)
		}
	}
	kept, err := gather(ctx, path, fresh)
	if err == nil && kept == 0 {
		err = fmt.Errorf("embedcache: repair %s: there is no vector in it that matches its checksum; if it was a cache, remove it and embed again", path)
	}
	if err == nil && slices.ContainsFunc(found.Bad, func(b Bad) bool { return b.newer }) {
		err = onlyNumberIsNewer(ctx, path, fresh)
	}
	if err != nil {
		for _, leftover := range databaseFiles(fresh) {
			_ = os.Remove(leftover) // what counts is why it is not needed
		}
		return err
	}
	found.Kept, found.Dropped, found.Aside = kept, max(0, found.Rows-kept), path+asideSuffix
	return replace(path, fresh)
}

// onlyNumberIsNewer returns an error unless a database that says it is of a newer
// medprobe has the tables of this one, so that it is the number that is damaged. What
// a newer medprobe stored is not ours to leave out.
func onlyNumberIsNewer(ctx context.Context, path, fresh string) error {
	theirs, err := sqlitedb.Definitions(ctx, path)
	if err != nil {
		return fmt.Errorf("embedcache: repair: %w", err)
	}
	ours, err := sqlitedb.Definitions(ctx, fresh)
	if err == nil && theirs != ours {
		err = fmt.Errorf("%s: a newer medprobe made it: upgrade medprobe and repair it with that", path)
	}
	if err != nil {
		return fmt.Errorf("embedcache: repair: %w", err)
	}
	return nil
}

func databaseFiles(path string) []string { return []string{path, path + "-wal", path + "-shm"} }

// replace puts the fresh database into the place of the damaged one, which keeps
// the suffix. At every moment there is one of the two at path.
func replace(path, fresh string) error {
	aside := path + asideSuffix
	if err := os.Remove(aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("embedcache: repair: %w", err)
	}
	if err := os.Link(path, aside); err != nil {
		return fmt.Errorf("embedcache: repair: %w", err)
	}
	for _, part := range databaseFiles(path)[1:] {
		if err := os.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("embedcache: repair: %w", err)
		}
	}
	// Space numbers, and so the names of sidecars, are others in the new file.
	if err := errors.Join(os.RemoveAll(path+sidecarSuffix), os.Rename(fresh, path)); err != nil {
		return fmt.Errorf("embedcache: repair: %w", err)
	}
	return nil
}

// gather writes the good vectors of the damaged database to a fresh one and
// returns their number.
func gather(ctx context.Context, path, fresh string) (kept int, err error) {
	c, err := Open(ctx, fresh)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	g := gatherer{cache: c, path: path, newest: map[placed]int64{}, shelves: map[Space]*pile{}}
	if err := g.scan(ctx, g.takeSpace); err != nil {
		return 0, err
	}
	if err := g.scan(ctx, func(r sqlitefile.Record) error { return g.takeVector(ctx, r) }); err != nil {
		return 0, err
	}
	for _, p := range g.shelves {
		if err := c.write(ctx, p.shelf, p.batch, nil); err != nil {
			return 0, err
		}
	}
	return len(g.newest), nil
}

// gatherer picks vectors out of the pages of a damaged database.
type gatherer struct {
	cache *Cache
	path  string
	// named are the descriptions of spaces that were found, by their old number;
	// one that is damaged fits no vector.
	named   []shelf
	newest  map[placed]int64 // when each vector that was taken was stored
	shelves map[Space]*pile
}

// placed is a key in a space.
type placed struct {
	encoder, preprocess string
	key                 Key
}

// pile is what is still to be written to a shelf.
type pile struct {
	shelf shelf
	batch []stored
}

// scan lets take have every record of the database and then of its log.
func (g *gatherer) scan(ctx context.Context, take func(sqlitefile.Record) error) error {
	for _, part := range []string{g.path, g.path + "-wal"} {
		err := g.scanFile(part, func(r sqlitefile.Record) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return take(r)
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("embedcache: repair %s: %w", part, err)
		}
	}
	return nil
}

func (g *gatherer) scanFile(path string, take func(sqlitefile.Record) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if path != g.path {
		if log, err := sqlitefile.ReadLog(f, info.Size()); err == nil {
			return sqlitefile.ScanLog(f, info.Size(), log.PageSize, take)
		}
	}
	header := make([]byte, 100)
	_, _ = f.ReadAt(header, 0) // without it, the sizes are tried
	sizes := []int{pageSize, oldPageSize}
	if size := sqlitefile.PageSize(header); slices.Contains(sizes, size) {
		sizes = []int{size}
	}
	for _, size := range sizes {
		if path == g.path {
			err = sqlitefile.Scan(f, info.Size(), size, take)
		} else {
			err = sqlitefile.ScanLog(f, info.Size(), size, take)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// oldPageSize is that of files made before there was a pageSize.
const oldPageSize = 4096

// takeSpace notes what a record says of a space: a row of the table, or an entry of
// one of its indexes, which hold the same once more.
func (g *gatherer) takeSpace(r sqlitefile.Record) error {
	v := r.Values
	var s shelf
	var ok [6]bool
	switch {
	case !r.Index && len(v) >= 4 && len(v) <= 7 && v[0] == nil:
		s.id, v = r.RowID, v[1:]
	case r.Index && len(v) == 6:
		s.id, ok[0] = v[5].(int64)
		if !ok[0] {
			return nil
		}
	default:
		return nil
	}
	s.Encoder, ok[1] = v[0].(string)
	s.Preprocess, ok[2] = v[1].(string)
	dim, isDim := v[2].(int64)
	tokens, store := int64(1), string(Float32)
	if len(v) >= 5 {
		tokens, ok[3] = v[3].(int64)
		store, ok[4] = v[4].(string)
		if !ok[3] || !ok[4] {
			return nil
		}
	}
	const most = 1 << 24
	if !ok[1] || !ok[2] || !isDim || dim < 1 || dim > most || tokens < 1 || tokens > most || Store(store) != Float32 && Store(store) != Float16 {
		return nil
	}
	s.Dim, s.Tokens, s.store = int(dim), int(tokens), Store(store)
	if !slices.ContainsFunc(g.named, func(o shelf) bool { return o.id == s.id && o.Space == s.Space && o.store == s.store }) {
		g.named = append(g.named, s)
	}
	return nil
}

// takeVector keeps a record if it is a vector that matches its checksum.
func (g *gatherer) takeVector(ctx context.Context, r sqlitefile.Record) error {
	v := r.Values
	if r.Index || len(v) < 7 || len(v) > 8 {
		return nil
	}
	old, isOld := v[1].(int64)
	content, isContent := v[2].([]byte)
	region, isRegion := v[3].(string)
	frame, isFrame := v[4].(int64)
	data, isData := v[5].([]byte)
	sum, isSum := v[6].([]byte)
	if !isOld || !isContent || !isRegion || !isFrame || !isData || !isSum || len(content) != 32 {
		return nil
	}
	at := int64(1)
	if len(v) == 8 {
		at, _ = v[7].(int64)
	}
	key := Key{Content: [32]byte(content), Frame: int(frame)}
	var err error
	if key.Region, err = parseRegion(region); err != nil {
		return nil
	}
	s, ok := g.owner(old, key, data, sum)
	if !ok {
		return nil
	}
	place := placed{s.Encoder, s.Preprocess, key}
	if before, seen := g.newest[place]; seen && before > at {
		return nil
	}
	g.newest[place] = at
	return g.keep(ctx, s, stored{key: key, data: slices.Clone(data), at: at})
}

// owner returns the space that a vector belongs to, the one of its number first.
func (g *gatherer) owner(id int64, key Key, data, sum []byte) (shelf, bool) {
	for _, own := range []bool{true, false} {
		for _, s := range g.named {
			if (s.id == id) == own && s.intact(key, data, sum) {
				return s, true
			}
		}
	}
	return shelf{}, false
}

// keep writes a vector to the fresh database, in batches.
func (g *gatherer) keep(ctx context.Context, s shelf, v stored) error {
	p := g.shelves[s.Space]
	if p == nil {
		made, err := g.cache.open(ctx, s.Space, s.store)
		if err != nil {
			return err
		}
		p = &pile{shelf: made}
		g.shelves[s.Space] = p
	}
	if p.batch = append(p.batch, v); len(p.batch) < writeBatch {
		return nil
	}
	err := g.cache.write(ctx, p.shelf, p.batch, nil)
	p.batch = nil
	return err
}
