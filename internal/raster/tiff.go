package raster

import (
	"encoding/binary"
	"image"
)

// faxIsInverted reports whether the decoder shows the first page of a TIFF with
// black and white exchanged: it takes the white of a fax for 1 even where the
// file says that 0 is black. In libtiff, and so in Pillow, white is 0 in the
// coding, whatever is shown for it.
func faxIsInverted(data []byte) bool {
	const (
		compression, photometric = 259, 262
		group3, group4           = 3, 4
		blackIsZero              = 1
	)
	c := tiffTag(data, compression)
	return (c == group3 || c == group4) && tiffTag(data, photometric) == blackIsZero
}

// upright returns the first page as Pillow shows it.
func upright(img image.Image, data []byte) image.Image {
	if m, grey := img.(*image.Gray); grey && faxIsInverted(data) {
		invert(m)
	}
	if m, ycc := img.(*image.YCbCr); ycc {
		img = JPEGColors(m)
	}
	return Upright(img, int(tiffTag(data, orientation)))
}

// orientation is the tag of [Orientation].
const orientation = 274

// tiffTag returns the number of a tag of type SHORT of the first page, or 0.
func tiffTag(data []byte, tag uint16) uint16 {
	if len(data) < 8 {
		return 0
	}
	order := binary.ByteOrder(binary.LittleEndian)
	if data[0] == 'M' {
		order = binary.BigEndian
	}
	at := int64(order.Uint32(data[4:]))
	if at+2 > int64(len(data)) {
		return 0
	}
	n := int(order.Uint16(data[at:]))
	for entries := data[at+2:]; n > 0 && len(entries) >= 12; entries, n = entries[12:], n-1 {
		const short = 3
		if order.Uint16(entries) == tag && order.Uint16(entries[2:]) == short {
			return order.Uint16(entries[8:])
		}
	}
	return 0
}

func invert(m *image.Gray) {
	for i := range m.Pix {
		m.Pix[i] = ^m.Pix[i]
	}
}
