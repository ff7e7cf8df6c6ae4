package encoder

import (
	"image"
	"image/color"
)

// newRGB returns the image's colours as bytes, as Pillow's convert("RGB")
// gives them: straight, alpha dropped. 16-bit channels are scaled to bytes with
// rounding.
func newRGB(img image.Image) rgb8 {
	b := img.Bounds()
	m := rgb8{width: b.Dx(), height: b.Dy(), pix: make([]uint8, 3*b.Dx()*b.Dy())}
	switch src := img.(type) {
	case *image.Gray:
		m.rows(func(y int, row []uint8) {
			from := src.Pix[src.PixOffset(b.Min.X, b.Min.Y+y):]
			for x := range m.width {
				row[3*x], row[3*x+1], row[3*x+2] = from[x], from[x], from[x]
			}
		})
	case *image.NRGBA:
		m.rows(func(y int, row []uint8) {
			from := src.Pix[src.PixOffset(b.Min.X, b.Min.Y+y):]
			for x := range m.width {
				copy(row[3*x:3*x+3], from[4*x:4*x+3])
			}
		})
	case *image.YCbCr:
		m.rows(func(y int, row []uint8) {
			for x := range m.width {
				yi, ci := src.YOffset(b.Min.X+x, b.Min.Y+y), src.COffset(b.Min.X+x, b.Min.Y+y)
				row[3*x], row[3*x+1], row[3*x+2] = jpegRGB(src.Y[yi], src.Cb[ci], src.Cr[ci])
			}
		})
	case *image.Paletted:
		var palette [256][3]uint8
		for i, c := range src.Palette {
			palette[i] = straight(c)
		}
		m.rows(func(y int, row []uint8) {
			from := src.Pix[src.PixOffset(b.Min.X, b.Min.Y+y):]
			for x := range m.width {
				copy(row[3*x:3*x+3], palette[from[x]][:])
			}
		})
	default:
		m.rows(func(y int, row []uint8) {
			for x := range m.width {
				c := straight(img.At(b.Min.X+x, b.Min.Y+y))
				copy(row[3*x:3*x+3], c[:])
			}
		})
	}
	return m
}

func (m rgb8) rows(fill func(y int, row []uint8)) {
	for y := range m.height {
		fill(y, m.pix[3*y*m.width:3*(y+1)*m.width])
	}
}

// straight returns the colour without its alpha, and not multiplied by it.
func straight(c color.Color) [3]uint8 {
	switch c := c.(type) {
	case color.RGBA:
		if c.A == 0xff {
			return [3]uint8{c.R, c.G, c.B}
		}
	case color.NRGBA:
		return [3]uint8{c.R, c.G, c.B}
	case color.CMYK:
		r, g, b := cmykRGB(c)
		return [3]uint8{r, g, b}
	}
	n := color.NRGBA64Model.Convert(c).(color.NRGBA64)
	return [3]uint8{byteOf(n.R), byteOf(n.G), byteOf(n.B)}
}

// byteOf scales 0…65535 to 0…255 with rounding.
func byteOf(v uint16) uint8 { return uint8((uint32(v)*255 + 32767) / 65535) }

// jpegRGB is libjpeg's conversion in 16-bit fixed point (jdcolor.c).
func jpegRGB(y, cb, cr uint8) (r, g, b uint8) {
	const half = 1 << 15
	l, u, v := int32(y), int32(cb)-128, int32(cr)-128
	clip := func(v int32) uint8 { return uint8(min(max(v, 0), 255)) }
	return clip(l + (91881*v+half)>>16), // 1.40200
		clip(l + (-22554*u-46802*v+half)>>16), // 0.34414, 0.71414
		clip(l + (116130*u+half)>>16) // 1.77200
}

// cmykRGB is Pillow's conversion (Convert.c).
func cmykRGB(c color.CMYK) (r, g, b uint8) {
	white := int32(255 - c.K)
	ink := func(v uint8) uint8 {
		t := int32(v)*white + 128
		return uint8(min(max(white-((t>>8)+t)>>8, 0), 255))
	}
	return ink(c.C), ink(c.M), ink(c.Y)
}
