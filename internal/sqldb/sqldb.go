// Package sqldb is what medprobe's databases have in common, whether a file's
// (sqlitedb) or a server's (postgresdb): migrations and reads of one state.
package sqldb

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"slices"
)

// Steps returns the names of the numbered .sql files, in order. A schema of version n
// has run the first n.
func Steps(migrations fs.FS) ([]string, error) {
	steps, err := fs.Glob(migrations, "*.sql")
	slices.Sort(steps)
	return steps, err
}

// Migrate runs the steps.
func Migrate(ctx context.Context, tx *sql.Tx, migrations fs.FS, steps []string) error {
	for _, step := range steps {
		statements, err := fs.ReadFile(migrations, step)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, string(statements)); err != nil {
			return fmt.Errorf("migration %s: %w", step, err)
		}
	}
	return nil
}

// Snapshot lets do read in one transaction, which the statement begin opens and which
// changes nothing.
func Snapshot(ctx context.Context, db *sql.DB, begin string, do func(*sql.Conn) error) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, begin); err != nil {
		return err
	}
	err = do(conn)
	_, rollback := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
	return cmp.Or(err, rollback)
}
