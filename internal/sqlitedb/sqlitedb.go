// Package sqlitedb opens medprobe's databases in the one way that is safe for
// several processes and for kills at any instant, and refuses every file that
// is not ours or not of our time.
package sqlitedb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/mattn/go-sqlite3"
	"github.com/medprobe/medprobe/internal/sqldb"
)

// Schema is what a database of one kind must be.
type Schema struct {
	// ApplicationID marks the kind in the file's header.
	ApplicationID int32
	// Migrations holds the numbered .sql files in the order of their names.
	// They are only ever added to: a file at version n has run the first n.
	Migrations fs.FS
	// PageSize is that of a file made anew, in bytes; 0 means SQLite's own. Rows
	// larger than a page are read in pieces.
	PageSize int
}

const (
	// patience is how long a process waits for another one's transaction.
	patience = 60 * time.Second
	magic    = "SQLite format 3\x00"
	// maxLog is about how large the write-ahead log of a database of large pages
	// gets before it is worked into the file.
	maxLog = 256 << 20
)

// Open opens or creates the database at path, brings it to the newest version
// of the schema and sets write-ahead logging, in which a transaction that was
// committed outlives a loss of power. What is deleted is overwritten. The file is readable by its owner
// only, and a folder made for it too. A file that is no database, belongs to
// another program or has a newer schema is refused and left as it is.
func Open(ctx context.Context, path string, schema Schema) (*sql.DB, error) {
	steps, err := sqldb.Steps(schema.Migrations)
	if err != nil {
		return nil, err
	}
	if err := prepareFile(path); err != nil {
		return nil, err
	}
	if err := inspect(ctx, path, schema, len(steps)); err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector{dsn(path, "rwc") + "&_foreign_keys=1&_txlock=immediate", schema.PageSize})
	if err := retryBusy(ctx, func() error { return migrate(ctx, db, schema, steps) }); err != nil {
		db.Close()
		return nil, Explain(path, err)
	}
	return db, nil
}

// connector opens connections with write-ahead logging. The size of a page can be
// said before the first page is written, and so before the log is switched on.
type connector struct {
	dsn      string
	pageSize int
}

// Driver is for database/sql.
func (c connector) Driver() driver.Driver {
	return &sqlite3.SQLiteDriver{ConnectHook: func(conn *sqlite3.SQLiteConn) error {
		statements := "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON;"
		if c.pageSize > 0 {
			statements = fmt.Sprintf("PRAGMA page_size = %d; %s PRAGMA wal_autocheckpoint = %d;", c.pageSize, statements, maxLog/c.pageSize)
		}
		_, err := conn.Exec(statements, nil)
		return err
	}}
}

// Connect is for database/sql.
func (c connector) Connect(context.Context) (driver.Conn, error) { return c.Driver().Open(c.dsn) }

// Snapshot lets do read in one transaction, from one state of the file. It holds
// up no writer, as BeginTx would, which takes the lock of one.
func Snapshot(ctx context.Context, db *sql.DB, do func(*sql.Conn) error) error {
	return sqldb.Snapshot(ctx, db, "BEGIN DEFERRED", do)
}

// prepareFile makes the folder and an empty private file, and refuses a file
// that is not a database.
func prepareFile(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		var pathErr *fs.PathError
		if errors.As(err, &pathErr) {
			err = pathErr.Err
		}
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer f.Close()
	head := make([]byte, len(magic))
	n, err := io.ReadFull(f, head)
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case string(head) == strings.Repeat("\x00", len(magic)) && hasJournal(path):
		return nil // killed while it was made: SQLite rolls that back
	case n > 0 && string(head[:n]) != magic[:n], errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("open %s: not an SQLite database; choose another file", path)
	case err != nil:
		return fmt.Errorf("open %s: %w", path, err)
	}
	return nil
}

func hasJournal(path string) bool {
	info, err := os.Stat(path + "-journal")
	return err == nil && info.Size() > 0
}

// NewerError says that a file is of a program newer than this one.
type NewerError struct {
	Path           string
	Version, Known int
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("open %s: it has schema %d, this medprobe knows up to %d: upgrade medprobe or use another file", e.Path, e.Version, e.Known)
}

// Definitions returns how the file's tables and indexes are defined, whatever version
// it says that it has. Nothing is written.
func Definitions(ctx context.Context, path string) (string, error) {
	db, err := sql.Open("sqlite3", dsn(path, "ro"))
	if err != nil {
		return "", err
	}
	defer db.Close()
	var all string
	err = db.QueryRowContext(ctx, "SELECT coalesce(group_concat(sql, ';'), '') FROM (SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type, name)").Scan(&all)
	return all, Explain(path, err)
}

// inspect reads identity and version without writing to the file.
func inspect(ctx context.Context, path string, schema Schema, known int) error {
	id, version, tables, err := identity(ctx, path, "ro")
	if unfinished(err) {
		// Whoever was writing was killed, and nobody can read the file before
		// that transaction is rolled back.
		id, version, tables, err = identity(ctx, path, "rw")
	}
	switch {
	case err != nil:
		return Explain(path, err)
	case id != int(schema.ApplicationID) && (id != 0 || tables > 0):
		return fmt.Errorf("open %s: application id %#x belongs to another program; choose another file", path, id)
	case version > known:
		return &NewerError{path, version, known}
	}
	return nil
}

func identity(ctx context.Context, path, mode string) (id, version, tables int, err error) {
	db, err := sql.Open("sqlite3", dsn(path, mode))
	if err != nil {
		return 0, 0, 0, err
	}
	defer db.Close()
	err = retryBusy(ctx, func() error {
		// One transaction: another process may be migrating right now.
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		return errors.Join(
			tx.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master").Scan(&tables),
			tx.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id),
			tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version),
		)
	})
	return id, version, tables, err
}

// unfinished reports whether a file cannot be read without writing to it: a
// transaction, or a write-ahead log without its index, was left by a kill.
func unfinished(err error) bool {
	var e sqlite3.Error
	return errors.As(err, &e) && e.Code == sqlite3.ErrReadonly
}

func migrate(ctx context.Context, db *sql.DB, schema Schema, steps []string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	// Another process may have migrated between our look and our lock.
	var version int
	if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	if version >= len(steps) {
		return nil
	}
	if err := sqldb.Migrate(ctx, tx, schema.Migrations, steps[version:]); err != nil {
		return err
	}
	for _, pragma := range []string{
		fmt.Sprintf("PRAGMA application_id = %d", schema.ApplicationID),
		fmt.Sprintf("PRAGMA user_version = %d", len(steps)),
	} {
		if _, err := tx.ExecContext(ctx, pragma); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// retryBusy repeats what SQLite answers with "busy" without waiting, as
// switching a fresh file to write-ahead logging does.
func retryBusy(ctx context.Context, do func() error) error {
	deadline := time.Now().Add(patience)
	for {
		err := do()
		var e sqlite3.Error
		if !errors.As(err, &e) || e.Code != sqlite3.ErrBusy || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func dsn(path, mode string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		abs = path
	}
	escaped := (&url.URL{Path: filepath.ToSlash(abs)}).EscapedPath()
	return fmt.Sprintf("file:%s?mode=%s&_busy_timeout=%d", escaped, mode, patience.Milliseconds())
}

// Explain says in words what SQLite's code means for the file at path.
func Explain(path string, err error) error {
	var e sqlite3.Error
	if !errors.As(err, &e) {
		return err
	}
	what := ""
	switch {
	case e.Code == sqlite3.ErrFull, e.SystemErrno == syscall.ENOSPC, e.SystemErrno == syscall.EFBIG, e.SystemErrno == syscall.EDQUOT:
		what = "no space left for it; free some and run again, nothing stored is lost"
	case e.Code == sqlite3.ErrBusy, e.Code == sqlite3.ErrLocked:
		what = fmt.Sprintf("another process has held it for more than %v; wait for it or end it", patience)
	case e.Code == sqlite3.ErrReadonly, e.Code == sqlite3.ErrPerm:
		what = "it or its folder is read-only; choose another file or change its permissions"
	case e.Code == sqlite3.ErrNotADB:
		what = "not an SQLite database; choose another file"
	case e.Code == sqlite3.ErrCorrupt:
		what = "the file is damaged; move it away and run again, or restore a copy"
	case e.Code == sqlite3.ErrCantOpen:
		what = "it cannot be opened; its folder must exist and be writable"
	default:
		return fmt.Errorf("%s: %w", path, err)
	}
	return fmt.Errorf("%s: %s (%w)", path, strings.TrimSpace(what), err)
}
