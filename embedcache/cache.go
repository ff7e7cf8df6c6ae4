package embedcache

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/medprobe/medprobe/internal/postgresdb"
	"github.com/medprobe/medprobe/internal/sqlitedb"
)

//go:embed migration/sqlite/*.sql migration/postgres/*.sql
var migrations embed.FS

// applicationID marks our cache files: "mpec" in ASCII.
const applicationID = 0x6d706563

// pageSize holds several vectors of MedSigLIP, so that reading one is one step.
const pageSize = 1 << 15

// sidecarSuffix ends the name of the folder of a database's sidecars.
const sidecarSuffix = ".vectors"

// IsRemote reports whether a cache is on a server.
func IsRemote(path string) bool { return postgresdb.IsAddress(path) }

// Cache is a file of vectors, or a database on a server. Its methods are safe for
// concurrent use, and any number of processes may have the same one open.
type Cache struct {
	db *sql.DB
	database
	// path is what messages call it: of a server, without the password.
	path string
	// sidecars is the folder of the files that are mapped into memory.
	sidecars string
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

// Open opens the cache file, or creates it, readable by its owner only. A path that
// is an address such as postgres://anna@server/vectors is a database on a
// PostgreSQL server, whose tables are made if need be.
func Open(ctx context.Context, path string) (*Cache, error) {
	if IsRemote(path) {
		return openServer(ctx, path)
	}
	files, err := fs.Sub(migrations, "migration/sqlite")
	if err != nil {
		return nil, err
	}
	db, err := sqlitedb.Open(ctx, path, sqlitedb.Schema{ApplicationID: applicationID, Migrations: files, PageSize: pageSize})
	if err != nil {
		return nil, fmt.Errorf("embedcache: %w", err)
	}
	return &Cache{db: db, database: sqliteDatabase, path: path, sidecars: path + sidecarSuffix}, nil
}

// Close closes the file, or the connections.
func (c *Cache) Close() error { return c.db.Close() }

// snapshot lets do read from one state of the cache.
func (c *Cache) snapshot(ctx context.Context, do func(*sql.Conn) error) error {
	return c.readSnapshot(ctx, c.db, do)
}

// explain gives an error of the database the cache's name and a remedy.
func (c *Cache) explain(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("embedcache: %w", c.explained(c.path, err))
}
