// Package atomicfile writes files that are either absent or complete.
//
// A reader of the target sees the old bytes or all of the new ones, never a
// part: the bytes go to a temporary file in the same folder, are synced, and
// take the target's name by rename. A process that is killed leaves the target
// as it was and at most one file named .NAME.tmp-* beside it.
package atomicfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// Write calls fill with a buffered writer and puts what it wrote at path, with
// permissions 0o644 less the umask. When fill or the disk fails, path is left
// untouched and the error names it.
func Write(path string, fill func(io.Writer) error) (err error) {
	dir, name := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	f, err := createTemporary(dir, name)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, cause(err))
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
			err = fmt.Errorf("write %s: %w", path, cause(err))
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	if err := fill(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	syncDir(dir)
	return nil
}

// cause takes the name of the temporary file off an error about it.
func cause(err error) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path) && IsTemporary(filepath.Base(path.Path)):
		return path.Err
	case errors.As(err, &link) && IsTemporary(filepath.Base(link.Old)):
		return link.Err
	}
	return err
}

// createTemporary creates a file of its own. os.CreateTemp would too, but for
// the owner alone, and changing that later would go past the umask.
func createTemporary(dir, name string) (*os.File, error) {
	for {
		path := filepath.Join(dir, fmt.Sprintf(".%s%s%08x", name, infix, rand.Uint32()))
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
}

const infix = ".tmp-"

// IsTemporary reports whether the name of a file is that of one left behind by
// a write that was killed.
func IsTemporary(name string) bool {
	return strings.HasPrefix(name, ".") && strings.Contains(name, infix)
}

// WriteBytes puts data at path; see [Write].
func WriteBytes(path string, data []byte) error {
	return Write(path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// syncDir makes a rename durable. Some file systems cannot sync a folder;
// there the rename is as durable as they make it.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		d.Close()
	}
}
