package datasets

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"path"
	"slices"
	"strings"

	"github.com/medprobe/medprobe/internal/dicom"
	"github.com/medprobe/medprobe/internal/raster"
	"golang.org/x/image/draw"
)

// ImageOptions says which image of a file is meant, and how it is shown.
type ImageOptions struct {
	// Options are for DICOM, but for MaxPixels; other files have one frame.
	dicom.Options
	// Upright turns a photograph as its EXIF data says.
	Upright bool
}

// shown says how the spec wants images to be shown.
func (s Spec) shown() ImageOptions {
	return ImageOptions{Options: dicom.Options{Window: s.Window}, Upright: s.Upright}
}

// frame returns the options for a frame.
func (o ImageOptions) frame(n int) ImageOptions {
	o.Frame = n
	return o
}

// name names how images are shown, as far as it changes their pixels.
func (o ImageOptions) name() string {
	if o.Upright {
		return windowName(o.Window) + " upright"
	}
	return windowName(o.Window)
}

func windowName(w *dicom.Window) string {
	if w == nil {
		return ""
	}
	return fmt.Sprintf(" window %v %v", w.Center, w.Width)
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

// PixelDigest returns the SHA-256 of the size and the colours of an image, which
// are the same in every format without loss.
func PixelDigest(img image.Image) [sha256.Size]byte {
	b := img.Bounds()
	h := sha256.New()
	fmt.Fprintf(h, "%d %d\n", b.Dx(), b.Dy())
	row := make([]byte, 0, 8*b.Dx())
	for y := b.Min.Y; y < b.Max.Y; y++ {
		row = row[:0]
		for x := b.Min.X; x < b.Max.X; x++ {
			c := color.NRGBA64Model.Convert(img.At(x, y)).(color.NRGBA64)
			for _, v := range []uint16{c.R, c.G, c.B, c.A} {
				row = binary.LittleEndian.AppendUint16(row, v)
			}
		}
		h.Write(row)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// Thumbnail returns a PNG of at most size×size pixels.
func Thumbnail(img image.Image, size int) ([]byte, error) {
	b := img.Bounds()
	longest := max(b.Dx(), b.Dy())
	w, h := max(1, b.Dx()*size/longest), max(1, b.Dy()*size/longest)
	small := image.NewNRGBA(image.Rect(0, 0, w, h))
	draw.ApproxBiLinear.Scale(small, small.Rect, img, b, draw.Src, nil)
	var out bytes.Buffer
	if err := png.Encode(&out, small); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// imageEndings are the file names that are taken for images in a folder.
var imageEndings = []string{".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif"}

// dicomEndings are the file names that are taken for DICOM.
var dicomEndings = []string{".dcm", ".dicom"}

func isImageFile(name string) bool {
	return IsImageName(name) || slices.Contains(dicomEndings, strings.ToLower(path.Ext(name)))
}

// IsImageName reports whether a file is taken for an image by its ending.
func IsImageName(name string) bool {
	return slices.Contains(imageEndings, strings.ToLower(path.Ext(name)))
}
