package registry

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/medprobe/medprobe/internal/atomicfile"
)

// objects is a folder of files named by their SHA-256.
type objects struct{ dir string }

func (o objects) path(digest string) string { return filepath.Join(o.dir, digest[:2], digest) }

// put stores bytes, unless they are there and whole.
func (o objects) put(b []byte) (File, error) {
	f := File{SHA256: hexDigest(b), Size: int64(len(b))}
	if o.check(f) == nil {
		return f, nil
	}
	path := o.path(f.SHA256)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return f, fmt.Errorf("registry: store: %w", err)
	}
	if err := atomicfile.WriteBytes(path, b); err != nil {
		return f, fmt.Errorf("registry: store: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return f, fmt.Errorf("registry: store: %w", err)
	}
	return f, nil
}

// read returns the bytes of an object after checking them.
func (o objects) read(f File) ([]byte, error) {
	file, err := o.open(f)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var b bytes.Buffer
	digest := sha256.New()
	if _, err := io.Copy(io.MultiWriter(&b, digest), io.LimitReader(file, f.Size+1)); err != nil {
		return nil, err
	}
	if got := hex.EncodeToString(digest.Sum(nil)); got != f.SHA256 {
		return nil, fmt.Errorf("%s: its bytes have digest %.12s…, want %.12s…: it was changed or damaged", f.Path, got, f.SHA256)
	}
	return b.Bytes(), nil
}

// open opens an object that is a plain file of the right size.
func (o objects) open(f File) (*os.File, error) {
	path := o.path(f.SHA256)
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: object %.12s… is missing", f.Path, f.SHA256)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", f.Path, err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: object %.12s… is a %s, want a plain file", f.Path, f.SHA256, kindOf(info.Mode()))
	case info.Size() != f.Size:
		return nil, fmt.Errorf("%s: object %.12s… has %d bytes, want %d", f.Path, f.SHA256, info.Size(), f.Size)
	}
	return os.Open(path)
}

func (o objects) check(f File) error {
	_, err := o.read(f)
	return err
}

func kindOf(m fs.FileMode) string {
	switch {
	case m&fs.ModeSymlink != 0:
		return "symbolic link"
	case m.IsDir():
		return "folder"
	}
	return "device or pipe"
}

// strays lists what lies in the folder and is not among the digests, by its path
// in the folder.
func (o objects) strays(used map[string]bool) (paths []string, err error) {
	err = filepath.WalkDir(o.dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || entry.IsDir() {
			return err
		}
		if name := entry.Name(); !used[name] || path != o.path(name) {
			rel, err := filepath.Rel(o.dir, path)
			if err != nil {
				return err
			}
			paths = append(paths, rel)
		}
		return nil
	})
	return paths, err
}

// whole reports whether the file at a path in the folder is an object at its place
// with the bytes that it is named by.
func (o objects) whole(path string) (bool, error) {
	name := filepath.Base(path)
	if len(name) != 64 || filepath.Join(o.dir, path) != o.path(name) {
		return false, nil
	}
	info, err := os.Lstat(filepath.Join(o.dir, path))
	if err != nil || !info.Mode().IsRegular() {
		return false, err
	}
	f, err := os.Open(o.path(name))
	if err != nil {
		return false, err
	}
	defer f.Close()
	digest := sha256.New()
	if _, err := io.Copy(digest, f); err != nil {
		return false, err
	}
	return hex.EncodeToString(digest.Sum(nil)) == name, nil
}
