package raster

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/draw"
)

// Orientation returns how the EXIF data of a file says that its pixels lie, 1 to 8
// as in the standard (CIPA DC-008, tag 274): 1 upright, 3 upside down, 6 and 8 on a
// side, 2, 4, 5 and 7 mirrored. A file that says nothing, or nothing that can be
// read, is upright.
//
// A TIFF is upright too: [Decode] has turned it, as Pillow does.
func Orientation(data []byte) int {
	// The form of EXIF data is that of a TIFF.
	if o := tiffTag(exif(data), orientation); o >= 1 && o <= 8 {
		return int(o)
	}
	return 1
}

// exif returns the EXIF data within a JPEG, PNG or WebP, from the byte order on;
// nil where there is none.
func exif(data []byte) []byte {
	var found []byte
	switch {
	case bytes.HasPrefix(data, []byte("\xff\xd8")):
		found = jpegEXIF(data)
	case bytes.HasPrefix(data, []byte("\x89PNG\r\n\x1a\n")):
		found = chunkNamed("eXIf", data[8:], pngChunk)
	case len(data) > 12 && string(data[:4]) == "RIFF" && string(data[8:12]) == "WEBP":
		found = chunkNamed("EXIF", data[12:], riffChunk)
	}
	// Before the byte order some writers put what a JPEG has there.
	found = bytes.TrimPrefix(found, []byte("Exif\x00\x00"))
	if !bytes.HasPrefix(found, []byte("II*\x00")) && !bytes.HasPrefix(found, []byte("MM\x00*")) {
		return nil
	}
	return found
}

// jpegEXIF returns the first APP1 segment of EXIF before the pixels.
func jpegEXIF(data []byte) []byte {
	const app1, startOfScan = 0xe1, 0xda
	for data = data[2:]; len(data) >= 4 && data[0] == 0xff; {
		if data[1] == 0xff { // padding
			data = data[1:]
			continue
		}
		size := int(binary.BigEndian.Uint16(data[2:]))
		if data[1] == startOfScan || size < 2 || 2+size > len(data) {
			return nil
		}
		if segment := data[4 : 2+size]; data[1] == app1 && bytes.HasPrefix(segment, []byte("Exif\x00\x00")) {
			return segment
		}
		data = data[2+size:]
	}
	return nil
}

// chunkNamed returns the content of the first chunk of that name.
func chunkNamed(name string, data []byte, read func([]byte) (string, int64, int64)) []byte {
	for len(data) >= 12 {
		is, size, all := read(data)
		if all > int64(len(data)) {
			return nil
		}
		if is == name {
			return data[8 : 8+size]
		}
		data = data[all:]
	}
	return nil
}

// pngChunk returns name, size of the content, and of the chunk with its checksum.
func pngChunk(data []byte) (string, int64, int64) {
	size := int64(binary.BigEndian.Uint32(data))
	return string(data[4:8]), size, size + 12
}

// riffChunk returns the same of a WebP's chunk, which has an even length.
func riffChunk(data []byte) (string, int64, int64) {
	size := int64(binary.LittleEndian.Uint32(data[4:]))
	return string(data[:4]), size, 8 + size + size&1
}

// Upright returns the image as [Orientation] says that it is to be seen; of 5 to 8
// width and height change places.
//
// Oracle: ImageOps.exif_transpose of Pillow 9.4 (testdata/orientation).
func Upright(img image.Image, orientation int) image.Image {
	if orientation < 2 || orientation > 8 {
		return img
	}
	b := img.Bounds()
	t := turn{orientation, b.Dx(), b.Dy()}
	switch m := img.(type) {
	case *image.Gray:
		out := *m
		out.Pix, out.Stride, out.Rect = t.turned(m.Pix[m.PixOffset(b.Min.X, b.Min.Y):], m.Stride, 1)
		return &out
	case *image.Gray16:
		out := *m
		out.Pix, out.Stride, out.Rect = t.turned(m.Pix[m.PixOffset(b.Min.X, b.Min.Y):], m.Stride, 2)
		return &out
	case *image.Paletted:
		out := *m
		out.Pix, out.Stride, out.Rect = t.turned(m.Pix[m.PixOffset(b.Min.X, b.Min.Y):], m.Stride, 1)
		return &out
	case *image.RGBA:
		out := *m
		out.Pix, out.Stride, out.Rect = t.turned(m.Pix[m.PixOffset(b.Min.X, b.Min.Y):], m.Stride, 4)
		return &out
	case *image.RGBA64:
		out := *m
		out.Pix, out.Stride, out.Rect = t.turned(m.Pix[m.PixOffset(b.Min.X, b.Min.Y):], m.Stride, 8)
		return &out
	case *image.NRGBA:
		out := *m
		out.Pix, out.Stride, out.Rect = t.turned(m.Pix[m.PixOffset(b.Min.X, b.Min.Y):], m.Stride, 4)
		return &out
	case *image.NRGBA64:
		out := *m
		out.Pix, out.Stride, out.Rect = t.turned(m.Pix[m.PixOffset(b.Min.X, b.Min.Y):], m.Stride, 8)
		return &out
	case *image.CMYK:
		out := *m
		out.Pix, out.Stride, out.Rect = t.turned(m.Pix[m.PixOffset(b.Min.X, b.Min.Y):], m.Stride, 4)
		return &out
	}
	straight := image.NewNRGBA(image.Rect(0, 0, t.width, t.height))
	draw.Draw(straight, straight.Rect, img, b.Min, draw.Src)
	return Upright(straight, orientation)
}

// turn moves the pixels of an image of that size.
type turn struct{ orientation, width, height int }

// bounds are those of the upright image.
func (t turn) bounds() image.Rectangle {
	if t.orientation >= 5 {
		return image.Rect(0, 0, t.height, t.width)
	}
	return image.Rect(0, 0, t.width, t.height)
}

// from returns where the pixel x, y of the upright image lies in the other.
func (t turn) from(x, y int) (int, int) {
	right, bottom := t.width-1, t.height-1
	switch t.orientation {
	case 2:
		return right - x, y
	case 3:
		return right - x, bottom - y
	case 4:
		return x, bottom - y
	case 5:
		return y, x
	case 6:
		return y, bottom - x
	case 7:
		return right - y, bottom - x
	}
	return right - y, x // 8
}

// turned returns the pixels of the upright image, their stride and its bounds, of
// pixels of so many bytes.
func (t turn) turned(pixels []byte, stride, size int) ([]byte, int, image.Rectangle) {
	b := t.bounds()
	out := make([]byte, 0, b.Dx()*b.Dy()*size)
	for y := range b.Dy() {
		for x := range b.Dx() {
			fromX, fromY := t.from(x, y)
			at := fromY*stride + fromX*size
			out = append(out, pixels[at:at+size]...)
		}
	}
	return out, b.Dx() * size, b
}
