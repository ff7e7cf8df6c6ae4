package postgresdb

import (
	"context"
	"database/sql"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/medprobe/medprobe/internal/needs"
)

const (
	first  = "CREATE TABLE book (title TEXT NOT NULL); INSERT INTO book VALUES ('a');"
	second = "ALTER TABLE book ADD COLUMN year BIGINT NOT NULL DEFAULT 1900;"
)

// books is a schema with these migrations.
func books(steps ...string) Schema {
	files := fstest.MapFS{}
	for i, step := range steps {
		files[string(rune('1'+i))+".sql"] = &fstest.MapFile{Data: []byte(step)}
	}
	return Schema{Name: "library", ApplicationID: 0x626f6f6b, Migrations: files}
}

func mustOpen(t *testing.T, address string, schema Schema) *sql.DB {
	t.Helper()
	db, err := Open(t.Context(), address, schema)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func count(t *testing.T, q querier, query string) (n int) {
	t.Helper()
	if err := q.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestOldSchemasAreMigratedWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	address := needs.PostgreSQL(t)
	db := mustOpen(t, address, books(first))
	if _, err := Open(t.Context(), address, books(first, second+"; SELECT * FROM nowhere;")); err == nil || !strings.Contains(err.Error(), "migration 2.sql") {
		t.Errorf("Open with a migration that fails = %v", err)
	}
	if n := count(t, db, `SELECT number FROM version`); n != 1 {
		t.Errorf("version %d after a migration that failed: want 1", n)
	}
	if n := count(t, db, `SELECT count(*) FROM information_schema.columns WHERE table_schema = 'library' AND table_name = 'book'`); n != 1 {
		t.Errorf("%d columns after a migration that failed: want 1", n)
	}
	mustOpen(t, address, books(first, second))
	if n := count(t, db, `SELECT year FROM book`); n != 1900 {
		t.Errorf("year %d of a book that was there before", n)
	}
	if _, err := Open(t.Context(), address, books(first)); err == nil || !strings.Contains(err.Error(), "it has schema 2, this medprobe knows up to 1") {
		t.Errorf("Open of a newer schema = %v", err)
	}
}

func TestEightOpenersMigrateOnce(t *testing.T) {
	t.Parallel()
	address := needs.PostgreSQL(t)
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			db, err := Open(t.Context(), address, books(first, second))
			if err != nil {
				t.Error(err)
				return
			}
			db.Close()
		})
	}
	wait.Wait()
	db := mustOpen(t, address, books(first, second))
	if n, v := count(t, db, `SELECT count(*) FROM book`), count(t, db, `SELECT count(*) FROM version`); n != 1 || v != 1 {
		t.Errorf("%d books and %d versions: want 1 of each", n, v)
	}
}

func TestInspectChangesNothing(t *testing.T) {
	t.Parallel()
	address := needs.PostgreSQL(t)
	if err := Inspect(t.Context(), address, books(first)); err != nil {
		t.Error(err)
	}
	mustOpen(t, address, books())
	needs.PostgreSQLExec(t, address, `DO $$ BEGIN ASSERT (SELECT count(*) FROM pg_namespace WHERE nspname = 'library') = 0; END $$`)
}

func TestSnapshotIsOneState(t *testing.T) {
	t.Parallel()
	db := mustOpen(t, needs.PostgreSQL(t), books(first))
	err := Snapshot(t.Context(), db, func(conn *sql.Conn) error {
		before := count(t, conn, `SELECT count(*) FROM book`)
		if _, err := db.ExecContext(t.Context(), `INSERT INTO book VALUES ('b')`); err != nil {
			return err
		}
		if after := count(t, conn, `SELECT count(*) FROM book`); after != before {
			t.Errorf("%d books, then %d", before, after)
		}
		if _, err := conn.ExecContext(t.Context(), `DELETE FROM book`); err == nil {
			t.Error("a snapshot was written to")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	// What was cancelled leaves no transaction behind.
	ctx, cancel := context.WithCancel(t.Context())
	err = Snapshot(ctx, db, func(conn *sql.Conn) error {
		cancel()
		_, err := conn.ExecContext(ctx, `SELECT 1`)
		return err
	})
	if err == nil {
		t.Error("a cancelled snapshot gave no error")
	}
	open := func() int {
		return count(t, db, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'`)
	}
	// The server ends it when it sees that the connection is gone, which takes a moment.
	for range 100 {
		if open() == 0 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("%d transactions are left open", open())
}
