package embedcache

import (
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/internal/needs"
)

func mustCheck(t testing.TB, path string, o CheckOptions) *Checkup {
	t.Helper()
	found, err := Check(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// closed returns the path of a cache of two spaces that nobody has open, and the
// keys and values of its vectors.
func closed(t testing.TB, n int) (path string, spaces []Space, keys [][]Key, values [][]float32) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "cache.db")
	c, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	spaces = []Space{{Encoder: "encoder of many", Preprocess: "p", Dim: 64}, {Encoder: "encoder of few", Preprocess: "p", Dim: 32, Tokens: 2}}
	for i, s := range spaces {
		k := randomVectors(t, c, s, []Store{Float32, Float16}[i], n/(1+3*i))
		keys, values = append(keys, k), append(values, raw(t, c, s, k))
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	return path, spaces, keys, values
}

// readable counts the vectors that can be had; a wrong one is the worst.
func readable(t testing.TB, path string, spaces []Space, keys [][]Key, values [][]float32) int {
	t.Helper()
	c, err := Open(t.Context(), path)
	if err != nil {
		return 0
	}
	defer c.Close()
	n := 0
	for i, s := range spaces {
		for k, key := range keys[i] {
			m, err := c.Raw(t.Context(), s, []Key{key})
			if err != nil {
				continue
			}
			if !slices.Equal(m.Data, values[i][k*s.values():(k+1)*s.values()]) {
				t.Fatalf("a wrong vector was served for row %d of %s", k, s.Encoder)
			}
			n++
		}
	}
	return n
}

func TestCheckOfAWholeCache(t *testing.T) {
	t.Parallel()
	path, _, _, _ := closed(t, 100)
	if found := mustCheck(t, path, CheckOptions{}); !found.OK || found.Rows != 125 || len(found.Bad) != 0 {
		t.Errorf("%+v", found)
	}
	if _, err := Check(t.Context(), filepath.Join(t.TempDir(), "none.db"), CheckOptions{}); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a file that is not there: %v", err)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(path), "none.db")); err == nil {
		t.Error("the check made a file")
	}
}

func TestCheckNamesEachKindAndRepairDropsIt(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ kind, do string }{
		{BadChecksum, `UPDATE vector SET data = zeroblob(length(data)) WHERE id = 7`},
		{BadChecksum, `UPDATE vector SET region = '1,2' WHERE id = 7`},
		{BadChecksum, `UPDATE vector SET frame = 99 WHERE id = 7`},
		{BadSize, `UPDATE vector SET data = substr(data, 2) WHERE id = 7`},
		{BadOrphan, `PRAGMA foreign_keys = OFF; UPDATE vector SET space = 77 WHERE id = 7; PRAGMA foreign_keys = ON`},
	} {
		path, spaces, keys, values := closed(t, 40)
		if err := execSQL(path, tt.do); err != nil {
			t.Fatal(err)
		}
		found := mustCheck(t, path, CheckOptions{})
		if found.OK || len(found.Bad) != 1 || found.Bad[0].Kind != tt.kind {
			t.Errorf("%s: %+v", tt.do, found)
		}
		found = mustCheck(t, path, CheckOptions{Repair: true})
		if !found.OK || !found.Repaired || found.Dropped != 1 || found.Kept != 49 || found.Aside != "" {
			t.Errorf("%s: repaired %+v", tt.do, found)
		}
		if n := readable(t, path, spaces, keys, values); n != 49 {
			t.Errorf("%s: %d vectors are left: want 49", tt.do, n)
		}
	}
}

func TestCheckOfValues(t *testing.T) {
	t.Parallel()
	c := newCache(t)
	s, err := c.open(t.Context(), Space{Encoder: "e", Dim: 2}, "")
	if err != nil {
		t.Fatal(err)
	}
	nan := float32(0)
	nan /= nan
	for i, v := range [][]float32{{1, 2}, {0, 0}, {1, nan}} {
		if err := c.write(t.Context(), s, []stored{{key: Key{Frame: i}, values: v}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	found := mustCheck(t, c.path, CheckOptions{})
	if len(found.Bad) != 2 || found.Bad[0].Kind != BadValue || found.Bad[1].Frame != 2 {
		t.Errorf("%+v", found)
	}
	none := 0.0
	if found := mustCheck(t, c.path, CheckOptions{Share: &none}); !found.OK {
		t.Errorf("a check of no bytes read them: %+v", found)
	}
}

// faults asks for the full number of faults; make test-faults does.
var faults = flag.Bool("faults", false, "as many faults as make test-faults asks for")

// One bit of the file is another one, anywhere: no wrong vector is served, the
// check tells whenever one cannot be had, and a repair keeps all others.
func TestFlippedBits(t *testing.T) {
	t.Parallel()
	flips, headers := 40, 10
	if *faults {
		flips, headers = 300, 100
	}
	path, spaces, keys, values := closed(t, 200)
	all := readable(t, path, spaces, keys, values)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(4, 2))
	places := make([]int, flips)
	for i := range places {
		places[i] = random.IntN(len(whole))
	}
	for range headers { // the header of the file, and of the pages of each kind
		page := random.IntN(len(whole) / pageSize)
		places = append(places, random.IntN(100), page*pageSize+random.IntN(12))
	}
	hurt, silent, aside, lost := 0, 0, 0, 0
	for _, at := range places {
		for _, old := range databaseFiles(path) {
			os.Remove(old)
		}
		broken := slices.Clone(whole)
		broken[at] ^= 1 << random.IntN(8)
		if err := os.WriteFile(path, broken, 0o600); err != nil {
			t.Fatal(err)
		}
		before := mustCheck(t, path, CheckOptions{})
		n := readable(t, path, spaces, keys, values)
		if n < all {
			hurt++
			if before.OK {
				t.Fatalf("byte %d: %d of %d vectors can be had, and the check says it is well", at, n, all)
			}
		}
		if before.OK {
			silent++
			continue
		}
		found, err := Check(t.Context(), path, CheckOptions{Repair: true})
		if err != nil || !found.OK {
			t.Fatalf("byte %d: repair: %+v, %v; before: %+v", at, found, err, before)
		}
		if found.Aside != "" {
			aside++
		}
		left := readable(t, path, spaces, keys, values)
		if left < all-1 {
			t.Errorf("byte %d: %d of %d vectors are left after the repair; before: %+v", at, left, all, before.Bad)
		}
		lost += all - left
	}
	t.Logf("measured: %d flips: %d changed nothing that is used, %d cost a vector or more, %d asked for a new file; %d vectors lost in all, at most one a flip", len(places), silent, hurt, aside, lost)
}

// A byte of the log: what stands behind it is found all the same.
func TestFlippedBitOfTheLog(t *testing.T) {
	t.Parallel()
	needs.Time(t)
	path := filepath.Join(t.TempDir(), "cache.db")
	c, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	s := Space{Encoder: "e", Dim: 64}
	keys := randomVectors(t, c, s, Float32, 1500) // two transactions, all in the log
	values := raw(t, c, s, keys)
	parts := map[string][]byte{}
	for _, part := range databaseFiles(path) {
		if parts[part], err = os.ReadFile(part); err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
	log := parts[path+"-wal"]
	if len(log) < 250_000 {
		t.Fatalf("a log of %d bytes: want all of the vectors in it", len(log))
	}
	random := rand.New(rand.NewPCG(6, 1))
	rounds := 2
	if *faults {
		rounds = 12
	}
	for range rounds {
		for part, data := range parts {
			if part == path+"-wal" {
				data = slices.Clone(data)
				data[random.IntN(len(data)/2)] ^= 8
			}
			if err := os.WriteFile(part, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if found := mustCheck(t, path, CheckOptions{}); found.OK {
			t.Fatal("a damaged log is said to be well")
		}
		if found := mustCheck(t, path, CheckOptions{Repair: true}); !found.OK {
			t.Fatalf("%+v", found)
		}
		if n := readable(t, path, []Space{s}, [][]Key{keys}, [][]float32{values}); n < len(keys)-1 {
			t.Errorf("%d of %d vectors are left", n, len(keys))
		}
	}
	t.Logf("measured: %d damaged logs of %d vectors: each found and repaired, at most one vector lost", rounds, len(keys))
}

// A number that was damaged is repaired; a newer medprobe's cache is not touched.
func TestRepairOfANewerNumber(t *testing.T) {
	t.Parallel()
	path, spaces, keys, values := closed(t, 40)
	if err := execSQL(path, "PRAGMA user_version = 34"); err != nil { // 2 with one bit more
		t.Fatal(err)
	}
	if found := mustCheck(t, path, CheckOptions{Repair: true}); !found.OK || found.Kept != 50 {
		t.Errorf("%+v", found)
	}
	if n := readable(t, path, spaces, keys, values); n != 50 {
		t.Errorf("%d of 50 vectors are left", n)
	}
	if err := execSQL(path, "CREATE TABLE lesson (of TEXT); PRAGMA user_version = 3"); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)
	if _, err := Check(t.Context(), path, CheckOptions{Repair: true}); err == nil || !strings.Contains(err.Error(), "upgrade medprobe") {
		t.Errorf("repair of a newer cache: %v", err)
	}
	if after, err := os.ReadFile(path); err != nil || !slices.Equal(before, after) {
		t.Error("a newer medprobe's cache was changed")
	}
	if left, err := filepath.Glob(path + ".repaired*"); err != nil || len(left) > 0 {
		t.Errorf("%v was left", left)
	}
}

func TestLogThatIsGoneOrCutOff(t *testing.T) {
	t.Parallel()
	path, spaces, keys, values := closed(t, 50)
	for _, do := range []func() error{
		func() error { return os.WriteFile(path+"-wal", []byte("not a log"), 0o600) },
		func() error { return os.WriteFile(path+"-shm", []byte(strings.Repeat("x", 32768)), 0o600) },
		func() error { return os.WriteFile(path+"-wal", nil, 0o600) },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
		if n := readable(t, path, spaces, keys, values); n != 62 {
			t.Errorf("%d vectors of 62", n)
		}
		if found := mustCheck(t, path, CheckOptions{}); !found.OK {
			t.Errorf("%+v", found)
		}
	}
}

func TestRepairLeavesForeignFilesAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "notes.db")
	if err := execSQL(path, "CREATE TABLE patients (name); INSERT INTO patients VALUES ('x')"); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)
	if _, err := Check(t.Context(), path, CheckOptions{Repair: true}); err == nil {
		t.Error("another program's database was repaired")
	}
	if after, err := os.ReadFile(path); err != nil || !slices.Equal(before, after) {
		t.Error("another program's database was changed")
	}
	if left, err := filepath.Glob(path + "?*"); err != nil || len(left) > 0 {
		t.Errorf("%v was left beside it", left)
	}
	if _, err := Check(t.Context(), filepath.Dir(path), CheckOptions{Repair: true}); err == nil {
		t.Error("a folder was repaired")
	}
}
