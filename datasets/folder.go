package datasets

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/medprobe/medprobe/internal/dicom"
)

// folder is a directory tree that cannot be left: neither by "..", nor by an
// absolute path, nor through a symbolic link, unless the user allows it.
type folder struct {
	root    *os.Root
	dir     string
	outside bool
	remote  *remote // nil where the network is not allowed
	shown   ImageOptions
	// ending is what the last name without one was completed by.
	ending string

	// last is the DICOM file that was read last: its frames are asked for one
	// after the other.
	mu   sync.Mutex
	last struct {
		path    string
		content Content
	}
}

// openFiles opens the folder that the image paths of the spec are relative to.
func openFiles(s Spec, dir string) (*folder, error) {
	root, err := os.OpenRoot(dir)
	if info, statErr := os.Stat(dir); err != nil && statErr == nil && !info.IsDir() {
		hint := fmt.Sprintf("the one that holds the images is %q", filepath.Dir(dir))
		if format, sure := guessFormat(dir); sure {
			hint = "for a table say " + format + ":" + dir
		}
		return nil, fmt.Errorf("datasets: open folder %q: a file, and a folder is wanted; %s", dir, hint)
	}
	if err != nil {
		return nil, fmt.Errorf("datasets: open folder %q: %w", dir, cause(err))
	}
	f := &folder{root: root, dir: dir, outside: s.AllowOutside, shown: s.shown()}
	if s.AllowRemote {
		f.remote = newRemote()
	}
	return f, nil
}

func (f *folder) Close() error { return f.root.Close() }

func (f *folder) read(s Source) (Content, error) {
	if isRemote(s.Path) {
		data, err := f.remote.bytes(s.Path)
		return Content{data: data, shown: f.shown.frame(s.Frame)}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last.path != s.Path {
		f.mu.Unlock()
		data, err := f.bytes(s.Path)
		f.mu.Lock()
		c := Content{data: data, shown: f.shown.frame(s.Frame)}
		if err != nil || !dicom.Is(data) {
			return c, err
		}
		c.digest = sync.OnceValue(func() [sha256.Size]byte { return sha256.Sum256(data) })
		f.last.path, f.last.content = s.Path, c
	}
	c := f.last.content
	c.shown.Frame = s.Frame
	return c, nil
}

func (f *folder) open(name string) (*os.File, error) {
	// A pipe that nobody writes to would be waited for.
	const flags = os.O_RDONLY | syscall.O_NONBLOCK
	if !f.outside {
		return f.root.OpenFile(filepath.FromSlash(name), flags, 0)
	}
	return os.OpenFile(f.local(name), flags, 0)
}

// local returns the path of a file for the operating system, which nothing keeps in
// the folder.
func (f *folder) local(name string) string {
	local := filepath.FromSlash(name)
	if filepath.IsAbs(local) {
		return local
	}
	return filepath.Join(f.dir, local)
}

func (f *folder) bytes(name string) ([]byte, error) {
	file, err := f.open(name)
	if err != nil {
		if strings.Contains(err.Error(), "escapes") {
			err = errors.New("a symbolic link leads out of the folder; name a root: that holds its target, or allow it with --allow-outside")
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read %q: %w; %s", name, cause(err), whereImagesLie(name))
		}
		return nil, fmt.Errorf("read %q: %w", name, cause(err))
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("read %q: %w", name, cause(err))
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("read %q: not a regular file", name)
	case info.Size() == 0:
		return nil, fmt.Errorf("read %q: the file is empty", name)
	case info.Size() > maxFileBytes:
		return nil, fmt.Errorf("read %q: %d bytes, more than the %d an image file may have", name, info.Size(), maxFileBytes)
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(file, data); err != nil {
		return nil, fmt.Errorf("read %q: %w", name, cause(err))
	}
	return data, nil
}

// whereImagesLie says where the image of a path that leads nowhere is looked for.
func whereImagesLie(name string) string {
	if strings.Contains(name, `\`) && filepath.Separator == '/' {
		return `the path is written as on Windows: put / for each \`
	}
	return "image paths are relative to the folder of the data, or to the one that root names"
}

// find returns name as a slash path relative to the folder, or an error saying
// that it leads out of it. A name without an ending is completed by that of the
// file that is there.
func (f *folder) find(name string) (string, error) {
	if isRemote(name) {
		if f.remote == nil {
			return "", fmt.Errorf("%q is on the network, from which images are read only with --allow-remote", name)
		}
		return name, nil
	}
	rel, err := inFolder(f.dir, name)
	if err != nil && f.outside && !strings.ContainsRune(name, 0) && !strings.Contains(name, "://") {
		rel, err = filepath.ToSlash(f.local(name)), nil
	}
	if err != nil || isImageFile(rel) {
		return rel, err
	}
	return f.complete(rel), nil
}

// complete adds the ending of the file of that name, if there is one.
func (f *folder) complete(name string) string {
	if _, err := f.root.Lstat(filepath.FromSlash(name)); err == nil {
		return name
	}
	for _, ending := range append([]string{f.ending}, slices.Concat(imageEndings, dicomEndings)...) {
		if _, err := f.root.Lstat(filepath.FromSlash(name + ending)); err == nil && ending != "" {
			f.ending = ending
			return name + ending
		}
	}
	return name
}

// inFolder returns name as a slash path relative to the folder dir, or an
// error saying that it leads out of it.
func inFolder(dir, name string) (string, error) {
	if strings.ContainsRune(name, 0) {
		return "", fmt.Errorf("%q holds a NUL byte", name)
	}
	if len(name) > maxName {
		return "", fmt.Errorf("%.40q… is a path of %d bytes, more than %d", name, len(name), maxName)
	}
	if scheme, _, ok := strings.Cut(name, "://"); ok && !strings.ContainsAny(scheme, `/\`) {
		return "", fmt.Errorf("%q is a URL that is not read: want a local file, or http(s) with --allow-remote", name)
	}
	rel := filepath.FromSlash(name)
	if filepath.IsAbs(rel) {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return "", err
		}
		if rel, err = filepath.Rel(abs, rel); err != nil {
			return "", err
		}
	}
	if !filepath.IsLocal(rel) {
		return "", fmt.Errorf("%q leads out of the folder %q; name a root: that holds it, or allow it with --allow-outside", name, dir)
	}
	return path.Clean(filepath.ToSlash(rel)), nil
}

// cause strips the operation and path from a file system error, since our own
// message names them.
func cause(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}

// maxFileBytes bounds one image file: a gigabyte is a whole-slide image, which
// is to be cut into regions first.
const maxFileBytes = 1 << 30

// maxName bounds a path, as operating systems do.
const maxName = 4096

// walk lists the files of the tree that are wanted, hidden ones passed over, in
// the order of their names. Symbolic links are not followed, so that it ends.
func (f *folder) walk(ctx context.Context, wanted func(name string) bool) ([]string, error) {
	var files []string
	err := fs.WalkDir(f.root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if strings.HasPrefix(entry.Name(), ".") && name != "." {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !entry.IsDir() && wanted(name) {
			files = append(files, name)
		}
		return nil
	})
	return files, err
}

// maxLooks bounds how many files are looked for.
const maxLooks = 20_000

// LookForFiles returns a problem if images are not where the dataset says. Of
// many it looks for some only, evenly spread.
func (d *Dataset) LookForFiles() []Problem {
	f, ok := d.files.(*folder)
	if !ok || len(d.Samples) == 0 {
		return nil
	}
	step := (len(d.Samples) + maxLooks - 1) / maxLooks
	looked, missing, first := 0, 0, ""
	for i := 0; i < len(d.Samples); i += step {
		path := d.Samples[i].Source.Path
		if isRemote(path) {
			continue
		}
		looked++
		if _, err := os.Lstat(f.local(path)); err != nil {
			if missing++; missing == 1 {
				first = path
			}
		}
	}
	if missing == 0 {
		return nil
	}
	of := fmt.Sprintf("%d samples", looked)
	if step > 1 {
		of = fmt.Sprintf("%d samples looked for, of %d", looked, len(d.Samples))
	}
	return []Problem{{Where: f.dir, What: fmt.Sprintf("the images of %d of %s are not there, the first: %q; %s", missing, of, first, whereImagesLie(first))}}
}
