package datasets

import (
	"io/fs"
	"os"
	"path/filepath"
)

// Stamp names the state of a file without its being read. A file that was
// written, replaced or moved in place has another one.
type Stamp struct {
	// File names the file by device and inode, and what of it is meant: the
	// member of an archive, and how it is shown.
	File string
	Size int64
	// Modified and Changed are the times of the content and of the inode, in
	// nanoseconds since 1970.
	Modified, Changed int64
}

// Stamp returns the stamp of what lies behind a source. It reports false where
// there is none: on the network, in arrays that are in memory anyway, or where
// the system has no inodes.
func (d *Dataset) Stamp(s Source) (Stamp, bool) {
	stamped, ok := d.files.(interface{ stamp(Source) (Stamp, bool) })
	if !ok {
		return Stamp{}, false
	}
	return stamped.stamp(s)
}

// stampOf returns the stamp of a regular file, and of what part of it is meant.
func stampOf(info fs.FileInfo, part string) (Stamp, bool) {
	file, changed, ok := inode(info)
	if !ok || !info.Mode().IsRegular() {
		return Stamp{}, false
	}
	return Stamp{File: file + part, Size: info.Size(), Modified: info.ModTime().UnixNano(), Changed: changed}, true
}

func (f *folder) stamp(s Source) (Stamp, bool) {
	if isRemote(s.Path) {
		return Stamp{}, false
	}
	var info fs.FileInfo
	var err error
	if f.outside {
		info, err = os.Stat(f.local(s.Path))
	} else {
		info, err = f.root.Stat(filepath.FromSlash(s.Path))
	}
	if err != nil {
		return Stamp{}, false
	}
	return stampOf(info, f.shown.name())
}

func (a *archives) stamp(s Source) (Stamp, bool) {
	archive, _, _, err := a.place(s)
	if err != nil {
		return Stamp{}, false
	}
	info, err := archive.Stat()
	if err != nil {
		return Stamp{}, false
	}
	return stampOf(info, "#"+s.Member+a.shown.name())
}
