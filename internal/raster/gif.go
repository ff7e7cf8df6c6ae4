package raster

import (
	"bytes"
	"image"
	"slices"
)

// opaqueGIF returns the file with no colour of the first frame transparent:
// the decoder would replace that colour by black, while dropping alpha keeps it.
// index is the colour that was transparent, or 0.
func opaqueGIF(data []byte) (opaque []byte, index uint8) {
	const header, table = 13, 0x80
	if len(data) < header {
		return data, 0
	}
	at := header
	if data[10]&table != 0 {
		at += 3 << (data[10]&7 + 1)
	}
	// An extension is '!', a kind, and blocks of up to 255 bytes until an empty one.
	for at+6 < len(data) && data[at] == '!' {
		if data[at+1] == 0xf9 && data[at+2] == 4 && data[at+3]&1 != 0 {
			index = data[at+6]
			data = slices.Clone(data)
			data[at+3] &^= 1
		}
		at += 2
		for at < len(data) && data[at] != 0 {
			at += 1 + int(data[at])
		}
		at++
	}
	return data, index
}

// onScreen puts a frame where it stands on the screen, as large as the header
// says; around it is the colour background.
func onScreen(frame *image.Paletted, width, height int, background uint8) *image.Paletted {
	screen := image.Rect(0, 0, width, height)
	if frame.Rect == screen {
		return frame
	}
	out := &image.Paletted{Pix: bytes.Repeat([]byte{background}, width*height), Stride: width, Rect: screen, Palette: frame.Palette}
	inside := frame.Rect.Intersect(screen)
	for y := inside.Min.Y; y < inside.Max.Y; y++ {
		from := frame.PixOffset(inside.Min.X, y)
		copy(out.Pix[out.PixOffset(inside.Min.X, y):], frame.Pix[from:from+inside.Dx()])
	}
	return out
}
