package datasets

import (
	"fmt"
	"io/fs"
	"syscall"
)

// inode names the file and returns when its inode last changed, in nanoseconds.
func inode(info fs.FileInfo) (file string, changed int64, ok bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", 0, false
	}
	return fmt.Sprintf("%x:%x", stat.Dev, stat.Ino), stat.Ctim.Nano(), true
}
