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
