package embedcache

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/medprobe/medprobe/internal/postgresdb"
	"github.com/medprobe/medprobe/internal/sqlitedb"
)

// database is what differs between a file and a server.
type database struct {
	readSnapshot func(context.Context, *sql.DB, func(*sql.Conn) error) error
	// explained says what an error means for the cache of that name.
	explained func(name string, err error) error
	// transient reports whether a transaction that failed may succeed when it is
	// done again.
	transient func(error) bool
	// fileName is how a stamp's File is written.
	fileName func(string) string
}

var (
	sqliteDatabase = database{
		readSnapshot: sqlitedb.Snapshot,
		explained:    sqlitedb.Explain,
		transient:    func(error) bool { return false }, // writers wait for each other
		fileName:     func(name string) string { return name },
	}
	postgresDatabase = database{
		readSnapshot: postgresdb.Snapshot,
		explained:    postgresdb.Explain,
		transient:    postgresdb.Transient,
		fileName:     hiddenName,
	}
)

// hiddenName is a digest of a file's name and this machine's: another machine has
// other files by the same device and inode, and the members of an archive may be
// called by a patient's name, which is nothing for others to see.
func hiddenName(name string) string {
	host, _ := os.Hostname() // without one, a file has to differ by its times
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s", host, name))
	return hex.EncodeToString(sum[:])
}

// serverSchema is where the tables are in the database of a server.
const serverSchema = "medprobe"

// Shown returns a cache's path as it may be shown to others: the address of a
// server without the password.
func Shown(path string) string {
	if !IsRemote(path) {
		return path
	}
	name, err := postgresdb.Name(path)
	if err != nil {
		return "postgres://…" // where the password is in it cannot be told
	}
	return name
}

// Reach returns the error that [Open] would give for a cache on a server, and
// changes nothing there.
func Reach(ctx context.Context, address string) error {
	schema, err := postgresSchema()
	if err != nil {
		return err
	}
	if err := postgresdb.Inspect(ctx, address, schema); err != nil {
		return fmt.Errorf("embedcache: %w", err)
	}
	return nil
}

func postgresSchema() (postgresdb.Schema, error) {
	files, err := fs.Sub(migrations, "migration/postgres")
	return postgresdb.Schema{Name: serverSchema, ApplicationID: applicationID, Migrations: files}, err
}

// openServer is Open for the address of a server. The sidecars, which are mapped
// into memory, are files of this machine's.
func openServer(ctx context.Context, address string) (*Cache, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("embedcache: no folder for what is mapped into memory: %w; name one by XDG_CACHE_HOME", err)
	}
	schema, err := postgresSchema()
	if err != nil {
		return nil, err
	}
	db, err := postgresdb.Open(ctx, address, schema)
	if err != nil {
		return nil, fmt.Errorf("embedcache: %w", err)
	}
	name := Shown(address)
	digest := sha256.Sum256([]byte(name))
	sidecars := filepath.Join(dir, "medprobe", hex.EncodeToString(digest[:8])+sidecarSuffix)
	return &Cache{db: db, database: postgresDatabase, path: name, sidecars: sidecars}, nil
}

// tries is how often a transaction is done, and pause how long to wait at most
// between the first two; the wait gets longer.
const (
	tries = 10
	pause = 20 * time.Millisecond
)

// again repeats do as long as other writers stand in its way.
func (c *Cache) again(ctx context.Context, do func() error) error {
	for n := 1; ; n++ {
		err := do()
		if err == nil || n == tries || !c.transient(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(rand.N(pause << n)):
		}
	}
}
