package dicom

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"image"
	"image/jpeg"
	"slices"

	"github.com/medprobe/medprobe/internal/raster"
)

// Options says which image to make of a file.
type Options struct {
	// Frame is counted from 0.
	Frame int
	// Window is asked for in place of the file's own, if not nil.
	Window *Window
	// MaxPixels bounds the image; 0 means raster.DefaultMaxPixels.
	MaxPixels int64
}

// Image returns one frame as it is shown: grey of 8 or 16 bits after modality
// LUT, window and inversion, see [File.display]; or colours of 8 bits.
func (f *File) Image(ctx context.Context, o Options) (img image.Image, err error) {
	defer func() { // a decoder that gives up
		if p := recover(); p != nil {
			img, err = nil, fmt.Errorf("broken DICOM pixels: %v", p)
		}
	}()
	width, height, err := f.Size()
	if err != nil {
		return nil, err
	}
	if o.MaxPixels == 0 {
		o.MaxPixels = raster.DefaultMaxPixels
	}
	if int64(width)*int64(height) > o.MaxPixels {
		return nil, &raster.TooLargeError{Width: width, Height: height, Max: o.MaxPixels}
	}
	frames, err := f.Frames()
	if err != nil {
		return nil, err
	}
	if o.Frame < 0 || o.Frame >= frames {
		return nil, fmt.Errorf("frame %d: the file has %d", o.Frame+1, frames)
	}
	s, err := f.shape()
	if err != nil {
		return nil, err
	}
	native, order, err := f.samples(ctx, &s, o, frames)
	if err != nil {
		return nil, err
	}
	if s.samples == 3 {
		return s.colors(native, order)
	}
	if s.photometric == "PALETTE COLOR" {
		return f.palette(s, native, order)
	}
	return f.display(s, native, order, o)
}

// samples returns the bytes of a frame as if it were stored uncompressed, and
// their order; s is changed to how they lie.
func (f *File) samples(ctx context.Context, s *shape, o Options, frames int) ([]byte, binary.ByteOrder, error) {
	little := binary.ByteOrder(binary.LittleEndian)
	if f.encapsulated == nil {
		if !slices.Contains([]string{implicitLittle, explicitLittle, explicitBig, deflated}, f.syntax) {
			return nil, nil, fmt.Errorf("transfer syntax %s says that the pixels are compressed, and they are not", f.syntax)
		}
		data, err := f.nativeFrame(*s, o.Frame)
		if s.photometric == "YBR_FULL_422" && err == nil {
			data, s.planar = s.spread422(data), false
		}
		return data, f.order, err
	}
	coded, err := f.codedFrame(o.Frame, frames)
	if err != nil {
		return nil, nil, err
	}
	s.planar = false
	switch {
	case f.syntax == rleLossless:
		data, err := unpackRLE(*s, coded)
		return data, little, err
	case f.syntax == jpegBaseline, f.syntax == jpegExtended && s.stored == 8:
		data, err := s.jpegSamples(coded)
		return data, little, err
	}
	data, err := f.convert(ctx, s, coded)
	return data, little, err
}

// jpegSamples decodes a JPEG of 8 bits. Three components come out as RGB and
// s says so.
func (s *shape) jpegSamples(data []byte) ([]byte, error) {
	config, err := jpeg.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("JPEG in DICOM: %w", err)
	}
	if config.Width != s.width || config.Height != s.height {
		return nil, fmt.Errorf("JPEG in DICOM of %d×%d pixels, and the header says %d×%d", config.Width, config.Height, s.width, s.height)
	}
	img, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("JPEG in DICOM: %w", err)
	}
	s.allocated, s.stored, s.signed = 8, 8, false
	switch m := img.(type) {
	case *image.Gray:
		if s.samples != 1 {
			return nil, fmt.Errorf("JPEG in DICOM with one component: want %d", s.samples)
		}
		return packed(m.Pix, m.Stride, s.width, s.height), nil
	case *image.YCbCr:
		if s.samples == 1 {
			return packed(m.Y, m.YStride, s.width, s.height), nil
		}
		colors := raster.JPEGColors(m)
		if s.photometric == "RGB" && !bytes.Contains(data[:min(len(data), 64)], []byte("JFIF")) {
			colors = unconverted(m) // stored as RGB, whatever the decoder took it for
		}
		s.photometric = "RGB"
		return threeOfFour(colors.Pix), nil
	case *image.RGBA: // Adobe's marker said RGB
		s.photometric = "RGB"
		return threeOfFour(packed(m.Pix, m.Stride, 4*s.width, s.height)), nil
	}
	return nil, fmt.Errorf("JPEG in DICOM: %T is no picture of 1 or 3 components", img)
}

// unconverted takes the three components as red, green and blue.
func unconverted(m *image.YCbCr) *image.NRGBA {
	out := image.NewNRGBA(m.Rect)
	for y := range m.Rect.Dy() {
		for x := range m.Rect.Dx() {
			c := m.COffset(x, y)
			copy(out.Pix[out.PixOffset(x, y):], []uint8{m.Y[m.YOffset(x, y)], m.Cb[c], m.Cr[c], 0xff})
		}
	}
	return out
}

func packed(pix []byte, stride, width, height int) []byte {
	if stride == width {
		return pix[:width*height]
	}
	out := make([]byte, 0, width*height)
	for y := range height {
		out = append(out, pix[y*stride:y*stride+width]...)
	}
	return out
}

func threeOfFour(pix []byte) []byte {
	out := make([]byte, 0, len(pix)/4*3)
	for at := 0; at < len(pix); at += 4 {
		out = append(out, pix[at:at+3]...)
	}
	return out
}

// spread422 repeats the chroma of pixels that share it: Y Y Cb Cr becomes
// Y Cb Cr twice.
func (s *shape) spread422(data []byte) []byte {
	out := make([]byte, 0, 3*s.width*s.height)
	for range s.height {
		for x := 0; x < s.width; x += 2 {
			out = append(out, data[0], data[2], data[3])
			if x+1 < s.width {
				out = append(out, data[1], data[2], data[3])
			}
			data = data[4:]
		}
	}
	s.photometric = "YBR_FULL"
	return out
}

// colors returns three samples a pixel as 8-bit colours.
func (s shape) colors(data []byte, order binary.ByteOrder) (image.Image, error) {
	if s.photometric != "RGB" && s.photometric != "YBR_FULL" {
		return nil, fmt.Errorf("photometric interpretation %q with 3 samples a pixel: want RGB, YBR_FULL or YBR_FULL_422", s.photometric)
	}
	pixels := s.width * s.height
	sample := func(i int) uint8 { return data[i] }
	if s.allocated == 16 {
		sample = func(i int) uint8 { return byteOf(order.Uint16(data[2*i:])) }
	}
	next, plane := 3, 1
	if s.planar {
		next, plane = 1, pixels
	}
	out := image.NewNRGBA(image.Rect(0, 0, s.width, s.height))
	for i := range pixels {
		p := out.Pix[4*i : 4*i+4 : 4*i+4]
		p[0], p[1], p[2], p[3] = sample(i*next), sample(i*next+plane), sample(i*next+2*plane), 0xff
		if s.photometric == "YBR_FULL" {
			p[0], p[1], p[2] = fromYBR(p[0], p[1], p[2])
		}
	}
	return out, nil
}

// byteOf scales 0…65535 to 0…255 with rounding.
func byteOf(v uint16) uint8 { return uint8((uint32(v)*255 + 32767) / 65535) }

// fromYBR is PS3.3 C.7.6.3.1.2 turned round, rounded as pydicom's
// convert_color_space does it.
func fromYBR(y, cb, cr uint8) (r, g, b uint8) {
	l, u, v := float64(y), float64(cb)-128, float64(cr)-128
	part := func(x float64) uint8 { return uint8(min(max(x+0.5, 0), 255)) }
	return part(l + 1.402*v), part(l - (0.114*1.772*u+0.299*1.402*v)/0.587), part(l + 1.772*u)
}

// palette looks the pixels up in the file's three tables.
func (f *File) palette(s shape, data []byte, order binary.ByteOrder) (image.Image, error) {
	var table [3]lut
	for c := range Tag(3) {
		if f.values[redSegments+c] != nil && f.values[redTable+c] == nil {
			return nil, fmt.Errorf("a palette in segments %v is not read", redSegments+c)
		}
		var err error
		if table[c], err = f.lookup(redDescriptor+c, redTable+c, false); err != nil {
			return nil, fmt.Errorf("palette: %w", err)
		}
		if table[c].bits > 8 {
			for i, v := range table[c].values {
				table[c].values[i] = uint16(byteOf(v))
			}
		}
	}
	out := image.NewNRGBA(image.Rect(0, 0, s.width, s.height))
	for i := range s.width * s.height {
		v := int(data[i*s.allocated/8])
		if s.allocated == 16 {
			v = int(order.Uint16(data[2*i:]))
		}
		for c := range 3 {
			out.Pix[4*i+c] = uint8(table[c].at(v))
		}
		out.Pix[4*i+3] = 0xff
	}
	return out, nil
}
