package trainer_test

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/medprobe/medprobe/internal/needs"
	"github.com/medprobe/medprobe/internal/turns"
	"github.com/medprobe/medprobe/trainer"
)

// peak returns the greatest number of bytes that a collection found in use while do
// runs. Collections come often. Dead objects that no collection has met yet are not
// counted: how many of them lie about is the user's choice (GOGC), and hangs on what
// else the machine does.
func peak(do func()) uint64 {
	defer debug.SetGCPercent(debug.SetGCPercent(5))
	runtime.GC()
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	most, stop, stopped := uint64(0), make(chan bool), make(chan bool)
	go func() {
		defer close(stopped)
		ticks := time.NewTicker(500 * time.Microsecond)
		defer ticks.Stop()
		for {
			metrics.Read(sample)
			most = max(most, sample[0].Value.Uint64())
			select {
			case <-stop:
				return
			case <-ticks.C:
			}
		}
	}()
	do()
	close(stop)
	<-stopped
	return most
}

// A fit takes no more than twice, and a sweep no more than three times the memory
// of the matrix, which is among it; in a benchmark that of many findings is measured
// too. Not parallel: other tests have memory too.
func TestMemoryOfFits(t *testing.T) {
	needs.Time(t)
	for _, work := range []struct {
		name     string
		findings int
		most     float64
		o        trainer.Options
	}{
		{"one fit", 1, 2, trainer.Options{Head: trainer.Logistic, C: 1}},
		{"sweep of one finding", 1, 3, trainer.Options{Head: trainer.Logistic, CGrid: decade()}},
		{"sweep of 14 findings", 14, 3, trainer.Options{Head: trainer.Logistic, CGrid: decade()}},
	} {
		if work.findings > 1 && !turns.Measured() {
			continue
		}
		x, y := matrixOf(10000, work.findings)
		matrix := float64(4 * len(x.Data))
		got := float64(peak(func() { timed(t, x, y, work.o) })) / matrix
		turns.Note(t, turns.Line{Work: fmt.Sprintf("memory of %s, n = 10,000, of which the matrix of %.0f MB is one", work.name, matrix/1e6),
			Unit: "matrices", Ours: []float64{got}, Goal: turns.Goal{Most: work.most}})
		if estimate := float64(trainer.Peak(x.Rows, x.Cols, work.findings, work.o)) / matrix; estimate < got || estimate > 2*got+1 {
			t.Errorf("%s: %.2f times the matrix, Peak says %.2f", work.name, got, estimate)
		}
		if got > work.most {
			t.Errorf("%s: %.2f times the matrix, want at most %v", work.name, got, work.most)
		}
	}
}
