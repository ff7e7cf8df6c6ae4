package datasets

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"image"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/medprobe/medprobe/internal/raster"
)

// maxFileBytes bounds one image file: a gigabyte is a whole-slide image, which
// is to be cut into regions first.
const maxFileBytes = 1 << 30

// Content is the undecoded content behind a source: the bytes of a file, or
// one image of an array.
type Content struct {
	data []byte
	// raw is the shape height×width×channels of array data, zero for a file.
	raw [3]int
}

// Digest returns the SHA-256 that names the content: of a file's bytes, so
// that a renamed file keeps its name; of the shape and the bytes of an image
// in an array.
func (c Content) Digest() [sha256.Size]byte {
	if c.raw[0] == 0 {
		return sha256.Sum256(c.data)
	}
	h := sha256.New()
	fmt.Fprintf(h, "uint8 %dx%dx%d\n", c.raw[0], c.raw[1], c.raw[2])
	h.Write(c.data)
	return [sha256.Size]byte(h.Sum(nil))
}

// Pixels returns how many pixels decoding will take, without decoding.
func (c Content) Pixels() (int64, error) {
	if c.raw[0] != 0 {
		return int64(c.raw[0]) * int64(c.raw[1]), nil
	}
	w, h, _, err := raster.Size(c.data)
	return int64(w) * int64(h), err
}

// Decode returns the whole image. An image of more than maxPixels pixels is
// refused before anything is decoded; 0 means the limit of
// [raster.DefaultMaxPixels].
func (c Content) Decode(maxPixels int64) (image.Image, error) {
	if c.raw[0] == 0 {
		return raster.Decode(c.data, maxPixels)
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
// absolute path, nor through a symbolic link.
type folder struct{ root *os.Root }

func openFolder(dir string) (folder, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return folder{}, fmt.Errorf("datasets: open folder %q: %w", dir, cause(err))
	}
	return folder{root}, nil
}

func (f folder) Close() error { return f.root.Close() }

func (f folder) read(s Source) (Content, error) {
	data, err := f.bytes(s.Path)
	return Content{data: data}, err
}

func (f folder) bytes(name string) ([]byte, error) {
	file, err := f.root.Open(filepath.FromSlash(name))
	if err != nil {
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

// inFolder returns name as a slash path relative to the folder dir, or an
// error saying that it leads out of it.
func inFolder(dir, name string) (string, error) {
	if strings.ContainsRune(name, 0) {
		return "", fmt.Errorf("%q holds a NUL byte", name)
	}
	if scheme, _, ok := strings.Cut(name, "://"); ok && !strings.ContainsAny(scheme, `/\`) {
		return "", fmt.Errorf("%q is a URL; images are read from local files only", name)
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
		return "", fmt.Errorf("%q leads out of the folder %q; name a root that holds it", name, dir)
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
