package embedcache

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Every schema that was ever released is brought to that of today, and holds what
// it held.
func TestOldSchemasAreBroughtForward(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/schema/*.db")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v: want a cache of each schema", files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "cache.db")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, encoder := range []string{"first encoder", "second encoder"} {
			c := openCache(t, path)
			s := Space{Encoder: encoder, Preprocess: "grey", Dim: 3}
			shelf, err := c.find(t.Context(), c.db, s)
			if err != nil {
				t.Fatal(err)
			}
			var got [][]float32
			if err := c.eachRow(t.Context(), c.db, shelf, func(r row) error {
				values, err := c.Raw(t.Context(), s, []Key{r.key})
				got = append(got, values.Data)
				return err
			}); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			slices.SortFunc(got, func(a, b []float32) int { return int(a[0] - b[0]) })
			if len(got) != 12 {
				t.Fatalf("%s: %d vectors of %s: want 12", file, len(got), encoder)
			}
			for i, v := range got {
				if !slices.Equal(v, []float32{float32(10 * (i + 1)), float32(2 + i), 3}) {
					t.Errorf("%s: vector %d is %v", file, i, v)
				}
			}
		}
		if found := mustCheck(t, path, CheckOptions{}); !found.OK || found.Rows != 24 {
			t.Errorf("%s: %+v", file, found)
		}
		// A damaged one of the old page size is repaired too.
		if err := os.WriteFile(path, slices.Concat([]byte("SQLite fxrmat 3\x00"), data[16:]), 0o600); err != nil {
			t.Fatal(err)
		}
		if found := mustCheck(t, path, CheckOptions{Repair: true}); !found.OK || found.Kept != 24 {
			t.Errorf("%s: repaired %+v", file, found)
		}
	}
}
