package registry

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/medprobe/medprobe/internal/sqlitedb"
)

//go:embed migration/*.sql
var migrations embed.FS

// Registry is an open registry. It is safe for several goroutines and processes.
type Registry struct {
	db      *sql.DB
	path    string
	objects objects
	key     []byte
	// Now tells the time; nil means time.Now.
	Now func() time.Time
}

// Open opens the registry in a folder and makes it if there is none. Folder and
// files are for their owner only. A registry of a newer schema is refused.
func Open(ctx context.Context, dir string) (*Registry, error) {
	steps, err := fs.Sub(migrations, "migration")
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "registry.db")
	db, err := sqlitedb.Open(ctx, path, sqlitedb.Schema{ApplicationID: 0x6d707267, Migrations: steps}) // "mprg"
	if err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	key, err := ownKey(filepath.Join(dir, "key"))
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("registry: %w", err)
	}
	return &Registry{db: db, path: path, objects: objects{filepath.Join(dir, "objects")}, key: key}, nil
}

// Close closes the registry.
func (r *Registry) Close() error { return r.db.Close() }

// ownKey reads the key that hides ids, or makes one. Of several processes that
// make one at once, the first wins.
func ownKey(path string) ([]byte, error) {
	const size = 32
	fresh := make([]byte, size)
	if _, err := rand.Read(fresh); err != nil {
		return nil, err
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		if err := placeKey(path, fresh); err != nil {
			return nil, err
		}
	}
	key, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if len(key) != size {
		return nil, fmt.Errorf("key %s of %d bytes: want %d; restore it from a copy, ids cannot be matched without it", path, len(key), size)
	}
	return key, nil
}

// placeKey writes a key under a name of its own and links it to path, which fails
// if another was faster.
func placeKey(path string, key []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".key.tmp-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(key)
	if err := cmp.Or(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// Pseudonym hides an id or patient under the registry's key: the first 16 bytes of
// its HMAC-SHA256, in hexadecimal. An empty one stays empty.
func (r *Registry) Pseudonym(id string) string {
	if id == "" {
		return ""
	}
	h := hmac.New(sha256.New, r.key)
	h.Write([]byte(id))
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// identifiers names the registry's key without giving it away.
func (r *Registry) identifiers() string {
	sum := sha256.Sum256(append([]byte("medprobe registry key "), r.key...))
	return "hmac-sha256:" + hex.EncodeToString(sum[:8])
}

func (r *Registry) now() string {
	now := time.Now
	if r.Now != nil {
		now = r.Now
	}
	return now().UTC().Format(time.RFC3339)
}

// write lets do change the registry: all of it, or nothing. One process writes at
// a time.
func (r *Registry) write(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := r.db.BeginTx(ctx, nil)
	if err != nil {
		return sqlitedb.Explain(r.path, err)
	}
	defer tx.Rollback()
	if err := do(tx); err != nil {
		return sqlitedb.Explain(r.path, err)
	}
	return sqlitedb.Explain(r.path, tx.Commit())
}
