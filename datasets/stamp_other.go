//go:build !linux && !darwin

package datasets

import "io/fs"

func inode(fs.FileInfo) (file string, changed int64, ok bool) { return "", 0, false }
