package raster

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// worked is how long the thread has been at work.
func worked(t testing.TB) time.Duration {
	t.Helper()
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
