package datasets

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
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
	"github.com/medprobe/medprobe/internal/raster"
)

// maxFileBytes bounds one image file: a gigabyte is a whole-slide image, which
// is to be cut into regions first.
const maxFileBytes = 1 << 30

// maxName bounds a path, as operating systems do.
const maxName = 4096

// Content is the undecoded content behind a source: the bytes of a file or of a
// member of an archive, one image of an array, or a ready vector.
type Content struct {
	data []byte
	// raw is the shape height×width×channels of array data, zero for a file.
	raw [3]int
	// frame says which image of a DICOM file is meant.
	frame int
	look
	vector []float32
	// digest, if not nil, is that of data, worked out once for all frames.
	digest func() [sha256.Size]byte
}

// Vector returns the ready vector, or nil where there are pixels.
func (c Content) Vector() []float32 { return c.vector }

// Digest returns the SHA-256 that names the content: of a file's bytes, so
// that a renamed file keeps its name; of the shape and the bytes of an image
// in an array; of the file's digest and what else was asked for that changes the
// pixels, a window or a turn; of the numbers of a vector.
func (c Content) Digest() [sha256.Size]byte {
	h := sha256.New()
	of := c.digest
	if of == nil {
		of = func() [sha256.Size]byte { return sha256.Sum256(c.data) }
	}
	switch {
	case c.vector != nil:
		fmt.Fprintf(h, "float32 %d\n", len(c.vector))
		binary.Write(h, binary.LittleEndian, c.vector) // writing to a hash cannot fail
	case c.raw[0] != 0:
		fmt.Fprintf(h, "uint8 %dx%dx%d\n", c.raw[0], c.raw[1], c.raw[2])
		h.Write(c.data)
	case c.changed() != "":
		fmt.Fprintf(h, "%x%s\n", of(), c.changed())
	default:
		return of()
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// changed says what look does to this content; nothing, mostly.
func (c Content) changed() string {
	switch {
	case dicom.Is(c.data):
		return windowName(c.window)
	case c.upright && raster.Orientation(c.data) != 1:
		return " upright"
	}
	return ""
}

// OnItsSide reports whether the file says in EXIF that its pixels are to be turned,
// and they are not.
func (c Content) OnItsSide() bool {
	return c.vector == nil && c.raw[0] == 0 && !c.upright && !dicom.Is(c.data) && raster.Orientation(c.data) != 1
}

// Pixels returns how many pixels decoding will take, without decoding.
func (c Content) Pixels() (int64, error) {
	if c.vector != nil {
		return 0, errors.New("a ready vector has no pixels")
	}
	if c.raw[0] != 0 {
		return int64(c.raw[0]) * int64(c.raw[1]), nil
	}
	w, h := 0, 0
	if dicom.Is(c.data) {
		f, err := dicom.Parse(c.data)
		if err == nil {
			w, h, err = f.Size()
		}
		return int64(w) * int64(h), err
	}
	w, h, _, err := raster.Size(c.data)
	return int64(w) * int64(h), err
}

// Decode returns the whole image. An image of more than maxPixels pixels is
// refused before anything is decoded; 0 means the limit of
// [raster.DefaultMaxPixels].
func (c Content) Decode(ctx context.Context, maxPixels int64) (image.Image, error) {
	if c.vector != nil {
		return nil, errors.New("a ready vector has no pixels")
	}
	if c.raw[0] == 0 {
		return DecodeImage(ctx, c.data, ImageOptions{dicom.Options{Frame: c.frame, Window: c.window, MaxPixels: maxPixels}, c.upright})
	}
	h, w := c.raw[0], c.raw[1]
	if c.raw[2] == 1 {
		return &image.Gray{Pix: c.data, Stride: w, Rect: image.Rect(0, 0, w, h)}, nil
	}
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		copy(img.Pix[4*i:], c.data[3*i:3*i+3])
		img.Pix[4*i+3] = 0xff
	}
	return img, nil
}

// ImageOptions says which image of a file is meant, and how it is shown.
type ImageOptions struct {
	// Options are for DICOM, but for MaxPixels; other files have one frame.
	dicom.Options
	// Upright turns a photograph as its EXIF data says.
	Upright bool
}

// DecodeImage returns the image that the bytes of a file hold: PNG, JPEG, TIFF,
// BMP, WebP, GIF or DICOM.
func DecodeImage(ctx context.Context, data []byte, o ImageOptions) (image.Image, error) {
	if !dicom.Is(data) {
		if o.Frame > 0 {
			return nil, fmt.Errorf("frame %d of a file that has one image", o.Frame+1)
		}
		img, err := raster.Decode(data, o.MaxPixels)
		if err != nil || !o.Upright {
			return img, err
		}
		return raster.Upright(img, raster.Orientation(data)), nil
	}
	f, err := dicom.Parse(data)
	if err != nil {
		return nil, err
	}
	return f.Image(ctx, o.Options)
}

// Crop returns the region of img, or img itself for an empty region. A region
// that does not lie within the image is an error.
func Crop(img image.Image, region image.Rectangle) (image.Image, error) {
	if region == (image.Rectangle{}) {
		return img, nil
	}
	r := region.Add(img.Bounds().Min)
	if r.Empty() || !r.In(img.Bounds()) {
		return nil, fmt.Errorf("region %v does not lie within the image of %d×%d pixels", region, img.Bounds().Dx(), img.Bounds().Dy())
	}
	sub, ok := img.(interface {
		SubImage(image.Rectangle) image.Image
	})
	if !ok {
		return nil, fmt.Errorf("an image of type %T cannot be cut to a region", img)
	}
	return sub.SubImage(r), nil
}

// Content reads what lies behind a source of this dataset.
func (d *Dataset) Content(s Source) (Content, error) {
	if d.files == nil {
		return Content{}, errors.New("datasets: this dataset has no files behind it")
	}
	return d.files.read(s)
}

// files gives access to what the sources of one dataset name.
type files interface {
	read(Source) (Content, error)
	Close() error
}

// folder is a directory tree that cannot be left: neither by "..", nor by an
// absolute path, nor through a symbolic link, unless the user allows it.
type folder struct {
	root    *os.Root
	dir     string
	outside bool
	remote  *remote // nil where the network is not allowed
	look
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
	f := &folder{root: root, dir: dir, outside: s.AllowOutside, look: s.look()}
	if s.AllowRemote {
		f.remote = newRemote()
	}
	return f, nil
}

func (f *folder) Close() error { return f.root.Close() }

func (f *folder) read(s Source) (Content, error) {
	if isRemote(s.Path) {
		data, err := f.remote.bytes(s.Path)
		return Content{data: data, frame: s.Frame, look: f.look}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last.path != s.Path {
		f.mu.Unlock()
		data, err := f.bytes(s.Path)
		f.mu.Lock()
		c := Content{data: data, look: f.look, frame: s.Frame}
		if err != nil || !dicom.Is(data) {
			return c, err
		}
		c.digest = sync.OnceValue(func() [sha256.Size]byte { return sha256.Sum256(data) })
		f.last.path, f.last.content = s.Path, c
	}
	c := f.last.content
	c.frame = s.Frame
	return c, nil
}

func (f *folder) open(name string) (*os.File, error) {
	local := filepath.FromSlash(name)
	// A pipe that nobody writes to would be waited for.
	const flags = os.O_RDONLY | syscall.O_NONBLOCK
	if !f.outside {
		return f.root.OpenFile(local, flags, 0)
	}
	if !filepath.IsAbs(local) {
		local = filepath.Join(f.dir, local)
	}
	return os.OpenFile(local, flags, 0)
}

// whereImagesLie says where the image of a path that leads nowhere is looked for.
func whereImagesLie(name string) string {
	if strings.Contains(name, `\`) && filepath.Separator == '/' {
		return `the path is written as on Windows: put / for each \`
	}
	return "image paths are relative to the folder of the data, or to the one that root names"
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
		rel, err = filepath.ToSlash(filepath.Join(f.dir, name)), nil
		if filepath.IsAbs(name) {
			rel = filepath.ToSlash(name)
		}
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
