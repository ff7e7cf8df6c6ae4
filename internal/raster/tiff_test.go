package raster

import (
	"encoding/hex"
	"image"
	"testing"
)

// Faxes of 9×5 white pixels with four black ones at the left of the third row,
// written and read so by Pillow 9.4 (compression group3 and group4); and the same
// with 0 for white, which shows it the other way round.
func TestBlackOfAFaxIsBlack(t *testing.T) {
	t.Parallel()
	const tags = "09000001030001000000090000000101030001000000050000000201030001000000010000000301030001000000"
	for name, text := range map[string]string{
		"group 4, 0 is black": "49492a001200000026a266cc9a8980080080" + tags +
			"0400000006010300010000000100000011010400010000000800000016010300010000000500000017010400010000000a0000001c010300010000000100000000000000",
		"group 3, 0 is black": "49492a00180000000013510004d44001b30013510004d440" + tags +
			"030000000601030001000000010000001101040001000000080000001601030001000000050000001701040001000000100000001c010300010000000100000000000000",
		"group 4, 0 is white": "49492a001200000026a266cc9a8980080080" + tags +
			"0400000006010300010000000000000011010400010000000800000016010300010000000500000017010400010000000a0000001c010300010000000100000000000000",
	} {
		data, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(name, err)
		}
		img, err := Decode(data, 0)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		m := img.(*image.Gray)
		white, black := uint8(255), uint8(0)
		if name == "group 4, 0 is white" {
			white, black = 0, 255
		}
		if m.GrayAt(0, 0).Y != white || m.GrayAt(3, 2).Y != black || m.GrayAt(4, 2).Y != white {
			t.Errorf("%s: %d %d %d, want %d %d %d", name, m.GrayAt(0, 0).Y, m.GrayAt(3, 2).Y, m.GrayAt(4, 2).Y, white, black, white)
		}
	}
}
