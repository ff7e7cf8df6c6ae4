package raster

import "encoding/binary"

// canHold says whether the file can hold the pixels that its header claims, so
// that a header alone costs no memory:
//   - a BMP stores every pixel as it is;
//   - deflate, in PNG, makes at most 1032 bytes of one;
//   - a JPEG codes every 8×8 block of its finest component with at least a bit.
//
// Other formats may hold a plain image of any size in a few bytes.
func canHold(data []byte, format string, width, height int) bool {
	pixels, bits := float64(width)*float64(height), 8*float64(len(data))
	switch {
	case format == "bmp" && len(data) >= 30:
		return pixels*float64(binary.LittleEndian.Uint16(data[28:])) <= bits
	case format == "png" && len(data) >= 26:
		channels := map[byte]float64{0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[data[25]]
		return pixels*channels*float64(data[24]) <= 1032*bits
	case format == "jpeg":
		return pixels <= 64*bits
	}
	return true
}
