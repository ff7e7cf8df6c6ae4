//go:build unix

package sqlitedb

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// InUse returns an error if another process has the database open: SQLite keeps a
// lock on the bytes behind the first gigabyte as long as it does.
func InUse(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	const first, count = 0x40000002, 510 // "shared" in SQLite's os.h
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: 0, Start: first, Len: count}
	if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &lock); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if lock.Type != unix.F_UNLCK {
		return fmt.Errorf("%s: process %d has it open; wait for it or end it", path, lock.Pid)
	}
	return nil
}
