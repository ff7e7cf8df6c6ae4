package sqlitefile

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	_ "github.com/mattn/go-sqlite3"
)

// made returns a database of 300 rows, as SQLite writes it with and without a log.
func made(t testing.TB, pageSize int, wal bool) (database, log []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.db")
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	defer db.Close()
	exec := func(text string, args ...any) {
		t.Helper()
		if _, err := db.Exec(text, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec(fmt.Sprintf("PRAGMA page_size = %d", pageSize))
	if wal {
		exec("PRAGMA journal_mode = WAL")
		exec("PRAGMA wal_autocheckpoint = 0")
	}
	exec("CREATE TABLE t (id INTEGER PRIMARY KEY, a BLOB, b TEXT, c INTEGER, d REAL, e INTEGER)")
	exec("CREATE INDEX i ON t (b, c)")
	for i := range 300 {
		exec("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", i+1, blob(i), fmt.Sprint("text ", i), number(i), float64(i)+0.5, nil)
	}
	if log, err = os.ReadFile(path + "-wal"); err != nil && wal {
		t.Fatal(err)
	}
	if database, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	return database, log
}

func blob(i int) []byte { return bytes.Repeat([]byte{byte(i)}, i*17) }

// number takes all widths, and both signs.
func number(i int) int64 { return int64(1-i%2*2) * (int64(1)<<(i%63) + int64(i)) }

func check(t *testing.T, found map[int]bool, indexed int) {
	t.Helper()
	if len(found) != 300 || indexed < 200 { // some entries of an index stand in its inner pages
		t.Fatalf("%d rows and %d index entries: want 300 and nearly as many", len(found), indexed)
	}
}

// rows notes the rows that are found whole, among what only looks like them, and
// counts what looks like an entry of the index.
func rows(into map[int]bool, indexed *int) func(Record) error {
	return func(r Record) error {
		if r.Index && len(r.Values) == 3 {
			if text, ok := r.Values[0].(string); ok && strings.HasPrefix(text, "text ") {
				*indexed++
			}
		}
		i := int(r.RowID) - 1
		if r.Index || len(r.Values) != 6 || i < 0 || i >= 300 {
			return nil
		}
		a, _ := r.Values[1].([]byte)
		want := []any{nil, blob(i), fmt.Sprint("text ", i), number(i), float64(i) + 0.5, nil}
		if r.Values[1] = want[1]; reflect.DeepEqual(r.Values, want) && bytes.Equal(a, blob(i)) {
			into[i] = true
		}
		return nil
	}
}

func TestScanFindsWhatSQLiteWrote(t *testing.T) {
	t.Parallel()
	for _, size := range []int{512, 4096, 65536} {
		database, _ := made(t, size, false)
		if got := PageSize(database); got != size {
			t.Fatalf("PageSize = %d, want %d", got, size)
		}
		found, indexed := map[int]bool{}, 0
		if err := Scan(bytes.NewReader(database), int64(len(database)), size, rows(found, &indexed)); err != nil {
			t.Fatal(err)
		}
		check(t, found, indexed)
	}
}

func TestScanLogFindsWhatSQLiteWrote(t *testing.T) {
	t.Parallel()
	_, log := made(t, 8192, true)
	found, indexed := map[int]bool{}, 0
	if err := ScanLog(bytes.NewReader(log), int64(len(log)), 8192, rows(found, &indexed)); err != nil {
		t.Fatal(err)
	}
	check(t, found, indexed)
}

func TestLogTellsDamageFromAKill(t *testing.T) {
	t.Parallel()
	_, log := made(t, 4096, true)
	whole, err := ReadLog(bytes.NewReader(log), int64(len(log)))
	if err != nil || whole.Valid != whole.Frames || whole.Lost || whole.Frames < 300 || whole.PageSize != 4096 {
		t.Fatalf("%+v, %v", whole, err)
	}
	// A kill ends the log anywhere.
	for cut := walHeader; cut < len(log); cut += 9999 {
		if l, err := ReadLog(bytes.NewReader(log), int64(cut)); err != nil || l.Lost || l.Valid != l.Frames {
			t.Fatalf("cut after %d bytes: %+v, %v", cut, l, err)
		}
	}
	// Damage leaves whole transactions behind it.
	for at := walHeader; at < len(log)/2; at += 10_007 {
		broken := bytes.Clone(log)
		broken[at] ^= 4
		if l, err := ReadLog(bytes.NewReader(broken), int64(len(log))); err != nil || !l.Lost || l.Valid >= whole.Valid {
			t.Fatalf("byte %d flipped: %+v, %v", at, l, err)
		}
	}
	if _, err := ReadLog(strings.NewReader("no log at all, but longer than a header"), 40); err == nil {
		t.Error("a text is taken for a log")
	}
}

func FuzzScan(f *testing.F) {
	for _, size := range []int{512, 4096} {
		database, log := made(f, size, true)
		f.Add(database[:min(len(database), 1<<16)], size)
		f.Add(log[:1<<16], size)
	}
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		take := func(r Record) error {
			for _, v := range r.Values {
				if b, ok := v.([]byte); ok && len(b) > len(data) {
					t.Errorf("a value of %d bytes from %d", len(b), len(data))
				}
			}
			return nil
		}
		_ = Scan(bytes.NewReader(data), int64(len(data)), size, take)
		if l, err := ReadLog(bytes.NewReader(data), int64(len(data))); err == nil {
			_ = ScanLog(bytes.NewReader(data), int64(len(data)), l.PageSize, take)
		}
	})
}
