// Package postgresdb opens medprobe's databases on a PostgreSQL server, for
// several people at once, and refuses every one that is not ours or not of our
// time. It is to a server what sqlitedb is to a file.
package postgresdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/medprobe/medprobe/internal/sqldb"
)

// Schema is what a database of one kind must be.
type Schema struct {
	// Name is that of the PostgreSQL schema with our tables. Whatever else the
	// database holds is left alone.
	Name string
	// ApplicationID marks the kind, in the schema's table "version".
	ApplicationID int32
	// Migrations holds the numbered .sql files in the order of their names.
	// They are only ever added to: a schema of version n has run the first n.
	Migrations fs.FS
}

// table returns the full name of a table.
func (s Schema) table(name string) string { return pgx.Identifier{s.Name, name}.Sanitize() }

const (
	// connections is how many one process has at most: a server has about a
	// hundred for all of a team.
	connections = 8
	// restTime is how long one may lie idle: firewalls forget them.
	restTime = 5 * time.Minute
)

// Open connects to the server at address, a URL as libpq reads it, and brings our
// schema to its newest version. Any number of processes may do so at once. A
// schema of another program or of a newer version is refused and left as it is.
func Open(ctx context.Context, address string, schema Schema) (*sql.DB, error) {
	return open(ctx, address, schema, migrate)
}

// Inspect returns the error that Open would give, and changes nothing.
func Inspect(ctx context.Context, address string, schema Schema) error {
	db, err := open(ctx, address, schema, func(context.Context, *sql.DB, Schema, []string) error { return nil })
	if err != nil {
		return err
	}
	return db.Close()
}

// open connects, looks at the schema, and lets prepare have it if it is old.
func open(ctx context.Context, address string, schema Schema, prepare func(context.Context, *sql.DB, Schema, []string) error) (*sql.DB, error) {
	steps, err := sqldb.Steps(schema.Migrations)
	if err != nil {
		return nil, err
	}
	config, err := parse(address)
	if err != nil {
		return nil, err
	}
	config.RuntimeParams["search_path"] = schema.Name
	db := stdlib.OpenDB(*config)
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	db.SetConnMaxIdleTime(restTime)
	version, err := inspect(ctx, db, schema, len(steps))
	if err == nil && version < len(steps) {
		err = prepare(ctx, db, schema, steps)
	}
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("open %w", Explain(name(config), err))
	}
	return db, nil
}

// querier is a database or a transaction.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// inspect returns the version of our schema, 0 where there is none yet.
func inspect(ctx context.Context, q querier, schema Schema, known int) (version int, err error) {
	var tables, versions int
	if err := q.QueryRowContext(ctx, `SELECT count(*), count(*) FILTER (WHERE relname = 'version')
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')`, schema.Name).Scan(&tables, &versions); err != nil {
		return 0, err
	}
	if tables == 0 {
		return 0, nil
	}
	foreign := refusal(fmt.Sprintf("its schema %q belongs to another program; choose another database", schema.Name))
	if versions == 0 {
		return 0, foreign
	}
	var id int32
	err = q.QueryRowContext(ctx, `SELECT application, number FROM `+schema.table("version")).Scan(&id, &version)
	const undefinedColumn = "42703"
	switch {
	case code(err) == undefinedColumn, errors.Is(err, sql.ErrNoRows):
		return 0, foreign
	case err != nil:
		return 0, err
	case id != schema.ApplicationID:
		return 0, foreign
	case version > known:
		return 0, refusal(fmt.Sprintf("it has schema %d, this medprobe knows up to %d: upgrade medprobe or use another database", version, known))
	}
	return version, nil
}

// migrate runs what the schema lacks, in one transaction. A lock of the database
// lets one process do so at a time.
func migrate(ctx context.Context, db *sql.DB, schema Schema, steps []string) error {
	// Each statement sees what was there when it began: the lock is waited for first.
	tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, schema.ApplicationID); err != nil {
		return err
	}
	version, err := inspect(ctx, tx, schema, len(steps))
	if err != nil || version >= len(steps) {
		return err
	}
	if version == 0 {
		if err := create(ctx, tx, schema); err != nil {
			return err
		}
	}
	if err := sqldb.Migrate(ctx, tx, schema.Migrations, steps[version:]); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `UPDATE `+schema.table("version")+` SET number = $1`, len(steps)); err != nil {
		return err
	}
	return tx.Commit()
}

// create makes the schema, unless an administrator has made it for us, and its
// table of the version.
func create(ctx context.Context, tx *sql.Tx, schema Schema) error {
	var there bool
	if err := tx.QueryRowContext(ctx, `SELECT count(*) > 0 FROM pg_catalog.pg_namespace WHERE nspname = $1`, schema.Name).Scan(&there); err != nil {
		return err
	}
	if !there {
		if _, err := tx.ExecContext(ctx, `CREATE SCHEMA `+pgx.Identifier{schema.Name}.Sanitize()); err != nil {
			return err
		}
	}
	version := schema.table("version")
	if _, err := tx.ExecContext(ctx, `CREATE TABLE `+version+` (application INTEGER NOT NULL, number INTEGER NOT NULL)`); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO `+version+` VALUES ($1, 0)`, schema.ApplicationID)
	return err
}

// Snapshot lets do read in one transaction, from one state of the database. It
// holds up no writer.
func Snapshot(ctx context.Context, db *sql.DB, do func(*sql.Conn) error) error {
	return sqldb.Snapshot(ctx, db, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", do)
}

// Transient reports whether a transaction that ended with the error is to be run
// again: it and another one stood in each other's way.
func Transient(err error) bool {
	const serializationFailure, deadlockDetected = "40001", "40P01"
	c := code(err)
	return c == serializationFailure || c == deadlockDetected
}

// code is what the server calls the error, and empty for one that is not its.
func code(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}
