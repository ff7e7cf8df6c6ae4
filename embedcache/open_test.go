package embedcache

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestForeignFilesAreRefusedUntouched(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		make       func(path string) error
	}{
		{"text file", "not an SQLite database", func(path string) error { return os.WriteFile(path, []byte("study notes, do not lose\n"), 0o600) }},
		{"short file", "not an SQLite database", func(path string) error { return os.WriteFile(path, []byte("SQLite"), 0o600) }},
		{"database of another program", "another program", func(path string) error { return execSQL(path, "CREATE TABLE patients (name)") }},
		{"database with another id", "another program", func(path string) error { return execSQL(path, "PRAGMA application_id = 77") }},
		{"newer schema", "schema 99, this medprobe knows up to 2", func(path string) error {
			return execSQL(path, "PRAGMA application_id = 1836082531; PRAGMA user_version = 99; CREATE TABLE x (y)")
		}},
	} {
		path := filepath.Join(t.TempDir(), "cache.db")
		if err := tt.make(path); err != nil {
			t.Fatal(err)
		}
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		c, err := Open(t.Context(), path)
		if err == nil {
			c.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: Open = %v, want it to say %q and name the file", tt.name, err, tt.want)
		}
		if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
			t.Errorf("%s: the file was changed", tt.name)
		}
	}
}

func execSQL(path, statements string) error {
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.Exec(statements)
	return err
}

func TestCacheFileIsPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new folder", "käche?x=1%.db")
	openCache(t, path)
	for p, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		info, err := os.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %o, want %o", p, info.Mode().Perm(), want)
		}
	}
}

func TestReadOnlyFolderIsExplained(t *testing.T) {
	if os.Geteuid() == 0 {
		// Root writes anywhere; a path below a file shows the same message.
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), filepath.Join(file, "cache.db")); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("Open below a file = %v", err)
		}
		return
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), filepath.Join(dir, "cache.db")); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("Open in a read-only folder = %v", err)
	}
}
