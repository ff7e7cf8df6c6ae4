// Package raster decodes image files that nobody vouches for. The size of an
// image is read and judged before a single pixel is decoded, a decoder that
// panics gives an error, and a [Budget] bounds the pixels of all images that
// are decoded at the same time.
//
// Colours are those that Pillow gives, lossy formats included ([JPEGColors]):
// what changes them changes vectors, and with it the preprocessing revision in
// package encoder.
package raster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	_ "image/gif"  // the formats that image.Decode knows:
	_ "image/jpeg" // every decoder reads the first frame or page
	_ "image/png"

	_ "golang.org/x/image/bmp"
	_ "golang.org/x/image/tiff"
	_ "golang.org/x/image/webp"
	"golang.org/x/sync/semaphore"
)

// DefaultMaxPixels is the largest image that is decoded where nothing else is
// said: Pillow's limit for an error, twice its MAX_IMAGE_PIXELS.
const DefaultMaxPixels = 2 * (1024 * 1024 * 1024 / 4 / 3)

// TooLargeError says that an image has more pixels than allowed.
type TooLargeError struct {
	Width, Height int
	Max           int64
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("image of %d×%d pixels: want at most %d pixels (--max-pixels)", e.Width, e.Height, e.Max)
}

// Size returns width and height in pixels and the format, reading the header
// only.
func Size(data []byte) (width, height int, format string, err error) {
	defer recovered(&err)
	if len(data) == 0 {
		return 0, 0, "", errors.New("the file is empty")
	}
	config, format, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return 0, 0, "", fmt.Errorf("not a readable image: %w", err)
	}
	if config.Width <= 0 || config.Height <= 0 {
		return 0, 0, "", fmt.Errorf("%s image of %d×%d pixels: want at least one", format, config.Width, config.Height)
	}
	return config.Width, config.Height, format, nil
}

// Decode returns the image, or the first frame of several, in the colours that
// Pillow gives: see [JPEGColors]; a transparent colour of a GIF is kept; alpha of
// a lossy WebP is dropped. A TIFF is turned as it says, which Pillow does too; what
// EXIF data says of others is not applied: see [Orientation]. An image of more than
// maxPixels pixels (0: [DefaultMaxPixels]) is a *[TooLargeError], found before it is
// decoded.
func Decode(data []byte, maxPixels int64) (img image.Image, err error) {
	defer recovered(&err)
	if maxPixels == 0 {
		maxPixels = DefaultMaxPixels
	}
	width, height, format, err := Size(data)
	if err != nil {
		return nil, err
	}
	// Division, since the product of a lying header may overflow.
	if int64(width) > maxPixels/int64(height) {
		return nil, &TooLargeError{width, height, maxPixels}
	}
	if !canHold(data, format, width, height) {
		return nil, fmt.Errorf("broken %s image: %d bytes cannot hold %d×%d pixels", format, len(data), width, height)
	}
	var background uint8
	if format == "gif" {
		data, background = opaqueGIF(data)
	}
	img, _, err = image.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("broken %s image: %w", format, err)
	}
	if b := img.Bounds(); b.Empty() {
		return nil, fmt.Errorf("broken %s image: no pixels", format)
	}
	if format == "tiff" {
		return upright(img, data), nil
	}
	switch m := img.(type) {
	case *image.YCbCr:
		if format == "webp" {
			return webpColors(m), nil
		}
		return JPEGColors(m), nil
	case *image.NYCbCrA:
		return webpColors(&m.YCbCr), nil
	case *image.Paletted:
		if format == "gif" {
			return onScreen(m, width, height, background), nil
		}
	}
	return img, nil
}

// recovered turns a decoder's panic into an error.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("broken image: the decoder gave up: %v", r)
	}
}

// Budget bounds the pixels of the images that are decoded at the same time.
type Budget struct {
	pixels *semaphore.Weighted
	max    int64
}

// NewBudget allows maxPixels pixels at a time (0: [DefaultMaxPixels]).
func NewBudget(maxPixels int64) *Budget {
	if maxPixels == 0 {
		maxPixels = DefaultMaxPixels
	}
	return &Budget{semaphore.NewWeighted(maxPixels), maxPixels}
}

// Acquire waits until the pixels fit beside those in use. More pixels than the
// whole budget are an error at once.
func (b *Budget) Acquire(ctx context.Context, pixels int64) error {
	if pixels > b.max {
		return fmt.Errorf("image of %d pixels: want at most %d (--max-pixels)", pixels, b.max)
	}
	return b.pixels.Acquire(ctx, pixels)
}

// Release gives the pixels of one Acquire back.
func (b *Budget) Release(pixels int64) { b.pixels.Release(pixels) }
