package embedcache

import (
	"testing"
	"time"

	"github.com/medprobe/medprobe/datasets"
)

// old returns images whose times are believed, as a table of their names.
func old(t *testing.T, n int) (*datasets.Dataset, string) {
	t.Helper()
	dir := t.TempDir()
	d := datasetIn(t, dir, n, nil)
	time.Sleep(settling + 100*time.Millisecond)
	return d, dir
}

func TestFreshAndFutureTimesAreNotBelieved(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for age, want := range map[time.Duration]bool{time.Second: false, time.Minute: true, -time.Hour: false} {
		at := now.Add(-age).UnixNano()
		if got := settled(datasets.Stamp{Modified: at, Changed: at}, now); got != want {
			t.Errorf("changed %v ago: settled = %v", age, got)
		}
	}
	c, enc := newCache(t), &brightness{name: "e"}
	mustFill(t, c, dataset(t, 3, nil), enc, FillOptions{})
	if st, err := c.Stat(t.Context()); err != nil || st.Files != 0 {
		t.Errorf("%d files noted within %v of their making, %v", st.Files, settling, err)
	}
}

// What was stored by a clock that ran ahead is served, replaced and kept like all
// else.
func TestClockThatWasSetBack(t *testing.T) {
	t.Parallel()
	c, d, enc := newCache(t), dataset(t, 6, nil), &brightness{name: "e"}
	first := mustFill(t, c, d, enc, FillOptions{})
	ahead := time.Now().Add(1000 * 24 * time.Hour)
	for _, statement := range []string{`UPDATE vector SET stored = $1`, `UPDATE run SET started = $1`} {
		if _, err := c.db.Exec(statement, ahead.Unix()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.db.Exec(`UPDATE vector SET data = zeroblob(12) WHERE id = 4`); err != nil {
		t.Fatal(err)
	}
	again := mustFill(t, c, d, enc, FillOptions{})
	if again.Embedded != 1 || again.Cached != 5 || again.Keys[3] != first.Keys[3] {
		t.Errorf("%d embedded, %d cached: want the damaged one replaced, the others found", again.Embedded, again.Cached)
	}
	if g, err := c.GC(t.Context(), GCOptions{Before: time.Now().Add(-time.Hour), Remove: true}); err != nil || g.Vectors != 0 {
		t.Errorf("%+v, %v: want nothing to be old", g, err)
	}
	if found := mustCheck(t, c.path, CheckOptions{}); !found.OK || found.Rows != 6 {
		t.Errorf("%+v", found)
	}
}
