package encoder

import (
	"encoding/binary"
	"fmt"
	"math"
)

// maxHalf is the largest finite float16.
const maxHalf = 65504

// writeHalves appends values as float16.
func (w *weights) writeHalves(values []float32) error {
	var b [2]byte
	for i, v := range values {
		if !(math.Abs(float64(v)) <= maxHalf) {
			return fmt.Errorf("value %d is %v: float16 ends at %d; import with --precision fp32", i, v, maxHalf)
		}
		binary.LittleEndian.PutUint16(b[:], float16(v))
		if _, err := w.out.Write(b[:]); err != nil {
			return err
		}
	}
	w.offset += int64(2 * len(values))
	return nil
}

// float16 returns the IEEE 754 binary16 nearest to v, to even where two are as
// near; |v| is at most [maxHalf].
func float16(v float32) uint16 {
	bits := math.Float32bits(v)
	sign := uint16(bits >> 16 & 0x8000)
	size := math.Abs(float64(v))
	if size < 1./(1<<14) { // subnormal: a multiple of 2⁻²⁴
		return sign | uint16(math.RoundToEven(size*(1<<24)))
	}
	// A carry out of the fraction raises the exponent, as it should.
	rest := bits&0x7fffffff - 112<<23
	rest += 0xfff + rest>>13&1
	return sign | uint16(rest>>13)
}
