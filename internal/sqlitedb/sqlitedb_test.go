package sqlitedb

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
)

var books = Schema{
	ApplicationID: 0x626f6f6b,
	Migrations:    fstest.MapFS{"0001.sql": {Data: []byte("CREATE TABLE book (title TEXT NOT NULL) STRICT;")}},
}

// abandoned leaves a database in the middle of its first transaction, as a kill
// does: with pages of it in the file and a journal to roll it back.
func abandoned(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	original, path := filepath.Join(dir, "original.db"), filepath.Join(dir, "books.db")
	db, err := sql.Open("sqlite3", dsn(original, "rwc"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, statement := range []string{
		"PRAGMA cache_size = 1", "BEGIN IMMEDIATE", "CREATE TABLE half (x BLOB)",
		"INSERT INTO half WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 200) SELECT randomblob(4000) FROM n",
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(statement, err)
		}
	}
	for _, suffix := range []string{"", "-journal"} {
		data, err := os.ReadFile(original + suffix)
		if err != nil || len(data) == 0 {
			t.Fatalf("%s: %d bytes, %v", suffix, len(data), err)
		}
		if err := os.WriteFile(path+suffix, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func TestWhatAKillLeftIsRolledBack(t *testing.T) {
	t.Parallel()
	path := abandoned(t)
	if _, _, _, err := identity(t.Context(), path, "ro"); !unfinished(err) {
		t.Fatalf("the file can be read as it is, %v: the test tests nothing", err)
	}
	db, err := Open(t.Context(), path, books)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "INSERT INTO book VALUES ('a')"); err != nil {
		t.Error(err)
	}
	var half int
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM sqlite_master WHERE name = 'half'").Scan(&half); err != nil || half != 0 {
		t.Errorf("%d tables of the transaction are left, %v", half, err)
	}
}
