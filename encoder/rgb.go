package encoder

import (
	"image"
	"image/color"

	"github.com/medprobe/medprobe/internal/raster"
)

// newRGB returns the image's colours as bytes, as Pillow's convert("RGB")
// gives them: straight, alpha dropped. Grey of 16 bits, which Pillow would clip,
// is scaled to bytes with rounding.
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
	case *image.Gray16:
		m.rows(func(y int, row []uint8) {
			from := src.Pix[src.PixOffset(b.Min.X, b.Min.Y+y):]
			for x := range m.width {
				v := byteOf(uint16(from[2*x])<<8 | uint16(from[2*x+1]))
				row[3*x], row[3*x+1], row[3*x+2] = v, v, v
			}
		})
	case *image.NRGBA:
		m.fourBytes(src.Pix, src.Stride)
	case *image.RGBA:
		if !src.Opaque() {
			m.colors(src)
			break
		}
		m.fourBytes(src.Pix, src.Stride)
	case *image.YCbCr:
		if b.Min.X < 0 || b.Min.Y < 0 { // no decoder makes them
			m.colors(src)
			break
		}
		colors := raster.JPEGColors(src)
		m.fourBytes(colors.Pix, colors.Stride)
	case *image.NYCbCrA:
		if b.Min.X < 0 || b.Min.Y < 0 {
			m.colors(src)
			break
		}
		colors := raster.JPEGColors(&src.YCbCr)
		m.fourBytes(colors.Pix, colors.Stride)
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
		m.colors(img)
	}
	return m
}

// fourBytes takes the first three of every four bytes.
func (m rgb8) fourBytes(pix []uint8, stride int) {
	m.rows(func(y int, row []uint8) {
		from := pix[y*stride:]
		for x := range m.width {
			p, q := row[3*x:3*x+3:3*x+3], from[4*x:4*x+3:4*x+3]
			p[0], p[1], p[2] = q[0], q[1], q[2]
		}
	})
}

// colors takes any image, one color.Color at a time.
func (m rgb8) colors(img image.Image) {
	origin := img.Bounds().Min
	m.rows(func(y int, row []uint8) {
		for x := range m.width {
			c := straight(img.At(origin.X+x, origin.Y+y))
			copy(row[3*x:3*x+3], c[:])
		}
	})
}

func (m rgb8) rows(fill func(y int, row []uint8)) {
	for y := range m.height {
		fill(y, m.pix[3*y*m.width:3*(y+1)*m.width])
	}
}

// straight returns the colour without its alpha, and not multiplied by it.
// Three channels of 16 bits lose their lower bytes, as in Pillow; grey ones are
// scaled.
func straight(c color.Color) [3]uint8 {
	switch c := c.(type) {
	case color.RGBA:
		if c.A == 0 {
			return [3]uint8{c.R, c.G, c.B}
		}
		part := func(v uint8) uint8 { return uint8(min(255, uint32(v)*255/uint32(c.A))) }
		return [3]uint8{part(c.R), part(c.G), part(c.B)}
	case color.NRGBA:
		return [3]uint8{c.R, c.G, c.B}
	case color.CMYK:
		r, g, b := cmykRGB(c)
		return [3]uint8{r, g, b}
	case color.Gray16:
		return [3]uint8{byteOf(c.Y), byteOf(c.Y), byteOf(c.Y)}
	}
	n := color.NRGBA64Model.Convert(c).(color.NRGBA64)
	return [3]uint8{uint8(n.R >> 8), uint8(n.G >> 8), uint8(n.B >> 8)}
}

// byteOf scales 0…65535 to 0…255 with rounding.
func byteOf(v uint16) uint8 { return uint8((uint32(v)*255 + 32767) / 65535) }

// cmykRGB is Pillow's conversion (Convert.c).
func cmykRGB(c color.CMYK) (r, g, b uint8) {
	white := int32(255 - c.K)
	ink := func(v uint8) uint8 {
		t := int32(v)*white + 128
		return uint8(min(max(white-((t>>8)+t)>>8, 0), 255))
	}
	return ink(c.C), ink(c.M), ink(c.Y)
}
