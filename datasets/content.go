package datasets

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"image"

	"github.com/medprobe/medprobe/internal/dicom"
	"github.com/medprobe/medprobe/internal/raster"
)

// Content is the undecoded content behind a source: the bytes of a file or of a
// member of an archive, one image of an array, or a ready vector.
type Content struct {
	data []byte
	// raw is the shape height×width×channels of array data, zero for a file.
	raw [3]int
	// shown says which image of a file is meant, and how it is shown.
	shown  ImageOptions
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
	switch {
	case c.vector != nil:
		fmt.Fprintf(h, "float32 %d\n", len(c.vector))
		binary.Write(h, binary.LittleEndian, c.vector) // writing to a hash cannot fail
	case c.raw[0] != 0:
		fmt.Fprintf(h, "uint8 %dx%dx%d\n", c.raw[0], c.raw[1], c.raw[2])
		h.Write(c.data)
	default:
		of := c.digestOfData()
		changed := c.changed()
		if changed == "" {
			return of
		}
		fmt.Fprintf(h, "%x%s\n", of, changed)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

func (c Content) digestOfData() [sha256.Size]byte {
	if c.digest != nil {
		return c.digest()
	}
	return sha256.Sum256(c.data)
}

// changed says what else than its own bytes makes this content's pixels; nothing, mostly.
func (c Content) changed() string {
	switch {
	case dicom.Is(c.data):
		return windowName(c.shown.Window)
	case c.shown.Upright && raster.Orientation(c.data) != 1:
		return " upright"
	}
	return ""
}

// OnItsSide reports whether the file says in EXIF that its pixels are to be turned,
// and they are not.
func (c Content) OnItsSide() bool {
	return c.vector == nil && c.raw[0] == 0 && !c.shown.Upright && !dicom.Is(c.data) && raster.Orientation(c.data) != 1
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
		how := c.shown
		how.MaxPixels = maxPixels
		return DecodeImage(ctx, c.data, how)
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

// image returns a region of the image.
func (c Content) image(ctx context.Context, region image.Rectangle) (image.Image, error) {
	img, err := c.Decode(ctx, 0)
	if err != nil {
		return nil, err
	}
	return Crop(img, region)
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

// Image returns the decoded region of sample i.
func (d *Dataset) Image(ctx context.Context, i int) (image.Image, error) {
	content, err := d.Content(d.Samples[i].Source)
	if err != nil {
		return nil, err
	}
	return content.image(ctx, d.Samples[i].Source.Region)
}
