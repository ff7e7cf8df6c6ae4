package npy

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

const (
	// maxMembers bounds an archive; Google's published embeddings hold one
	// array per image, hundreds of thousands.
	maxMembers = 4 << 20
	// maxRatio is how far a member of more than freeBytes may have been
	// compressed: deflate reaches 1000 on zeros, images and vectors 20.
	maxRatio  = 200
	freeBytes = 64 << 20
)

// Archive is an open .npz file. Its methods are not safe for concurrent use.
type Archive struct {
	path    string
	zip     *zip.ReadCloser
	names   []string
	members map[string]*zip.File
}

// OpenArchive opens an .npz file and checks its table of contents.
func OpenArchive(path string) (*Archive, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil, fmt.Errorf("npy: open %s: a folder, and an .npz archive is a file", path)
	}
	z, err := zip.OpenReader(path)
	if errors.Is(err, zip.ErrFormat) {
		return nil, fmt.Errorf("npy: open %s: not an .npz archive", path)
	}
	// ErrInsecurePath concerns extracting, which is not done here; member by
	// member the names are checked below.
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return nil, fmt.Errorf("npy: open %s: %w", path, cause(err))
	}
	a := &Archive{path: path, zip: z, members: map[string]*zip.File{}}
	if err := a.index(); err != nil {
		z.Close()
		return nil, fmt.Errorf("npy: open %s: %w", path, err)
	}
	return a, nil
}

func (a *Archive) index() error {
	if len(a.zip.File) > maxMembers {
		return fmt.Errorf("%d members: want at most %d", len(a.zip.File), maxMembers)
	}
	for _, f := range a.zip.File {
		name, isArray := strings.CutSuffix(f.Name, ".npy")
		switch {
		case !isArray:
			continue // NumPy ignores them too
		case slices.Contains(strings.Split(name, "/"), "..") || strings.HasPrefix(name, "/") || strings.ContainsAny(name, "\\\x00"):
			return fmt.Errorf("member %q: a name that leads elsewhere", f.Name)
		case a.members[name] != nil:
			return fmt.Errorf("member %q stands twice", f.Name)
		case f.Flags&1 != 0:
			return fmt.Errorf("member %q is encrypted", f.Name)
		case f.UncompressedSize64 > MaxBytes+maxHeader:
			return fmt.Errorf("member %q: %d bytes, more than %d", f.Name, f.UncompressedSize64, int64(MaxBytes))
		case f.UncompressedSize64 > freeBytes && f.UncompressedSize64/maxRatio > f.CompressedSize64:
			return fmt.Errorf("member %q: %d bytes from %d, which looks like a decompression bomb", f.Name, f.UncompressedSize64, f.CompressedSize64)
		}
		a.members[name] = f
		a.names = append(a.names, name)
	}
	return nil
}

// Names lists the arrays in the order of the archive, without ".npy".
func (a *Archive) Names() []string { return a.names }

// Read reads one array.
func (a *Archive) Read(name string) (*Array, error) {
	f := a.members[name]
	if f == nil {
		return nil, fmt.Errorf("npy: %s holds no array %q", a.path, name)
	}
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("npy: %s: %s: %w", a.path, name, err)
	}
	defer r.Close()
	array, err := Read(io.LimitReader(r, int64(f.UncompressedSize64)+1), int64(f.UncompressedSize64))
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", a.path, name, err)
	}
	// The rest must be nothing: reading it also makes zip check the CRC.
	if n, err := io.Copy(io.Discard, r); err != nil || n > 0 {
		return nil, fmt.Errorf("npy: %s: %s: %d bytes behind the array (%w)", a.path, name, n, errors.Join(err, errTrailing))
	}
	return array, nil
}

var errTrailing = errors.New("want nothing behind it")

// Close closes the file.
func (a *Archive) Close() error { return a.zip.Close() }

// WriteArchive writes an .npz archive, its members in the order of their names
// and not compressed, as numpy.savez does; each is written by its function, such
// as one that calls [Write]. The same members give the same bytes.
func WriteArchive(w io.Writer, members map[string]func(io.Writer) error) error {
	z := zip.NewWriter(w)
	for _, name := range slices.Sorted(maps.Keys(members)) {
		member, err := z.CreateHeader(&zip.FileHeader{Name: name + ".npy", Method: zip.Store})
		if err != nil {
			return fmt.Errorf("npy: write %s: %w", name, err)
		}
		if err := members[name](member); err != nil {
			return fmt.Errorf("npy: write %s: %w", name, err)
		}
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("npy: write archive: %w", err)
	}
	return nil
}
