package embedcache

import (
	"flag"
	"runtime"
	"testing"
)

// stream is how many images TestMemoryStaysFlat embeds; 100000 takes minutes.
var stream = flag.Int("stream", 6000, "images of the test of memory over a long run")

// After the first quarter of a run, what is held grows by less than 64 bytes an
// image: pixels, vectors and contents pass through, and the keys of the result
// were made at the beginning.
func TestMemoryStaysFlat(t *testing.T) {
	n := *stream
	if testing.Short() {
		n = min(n, 1000)
	}
	c, d := newCache(t), dataset(t, n, nil)
	var early, late, peak uint64
	held := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	next := n / 4
	f := mustFill(t, c, d, &brightness{name: "e"}, FillOptions{Progress: func(done, total int) {
		if done < next {
			return
		}
		if late = held(); early == 0 {
			early = late
		}
		peak = max(peak, late)
		next += n / 8
	}})
	if f.Embedded != n {
		t.Fatalf("%d embedded: want all %d", f.Embedded, n)
	}
	grown := (float64(late) - float64(early)) / float64(n-n/4)
	t.Logf("%d images: %.1f MB held after a quarter, %.1f MB at the end, %.1f MB at most: %.1f bytes an image", n, float64(early)/1e6, float64(late)/1e6, float64(peak)/1e6, grown)
	if grown > 64 && late > early+1<<20 {
		t.Errorf("%.1f bytes more are held for each image: want less than 64", grown)
	}
}
