// Package float16 converts IEEE 754 binary16 numbers and multiplies them with
// float32 ones.
package float16

import (
	"fmt"
	"math"
)

// Max is the largest finite value.
const Max = 65504

// From returns the number nearest to v, to even where two are as near. What is
// nearer to 65536 than to [Max] becomes infinite; NaN stays NaN.
func From(v float32) uint16 {
	bits := math.Float32bits(v)
	sign := uint16(bits >> 16 & 0x8000)
	size := math.Abs(float64(v))
	switch {
	case size != size:
		return sign | 0x7e00
	case size >= 65520:
		return sign | 0x7c00
	case size < 1./(1<<14): // subnormal: a multiple of 2⁻²⁴
		return sign | uint16(math.RoundToEven(size*(1<<24)))
	}
	// A carry out of the fraction raises the exponent, as it should.
	rest := bits&0x7fffffff - 112<<23
	rest += 0xfff + rest>>13&1
	return sign | uint16(rest>>13)
}

// To returns the value of h; every one is a float32.
func To(h uint16) float32 {
	sign, exponent, fraction := uint32(h>>15)<<31, uint32(h>>10&0x1f), uint32(h&0x3ff)
	switch exponent {
	case 0:
		v := float32(fraction) / (1 << 24)
		return math.Float32frombits(sign | math.Float32bits(v))
	case 0x1f:
		return math.Float32frombits(sign | 0xff<<23 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+112)<<23 | fraction<<13)
}

// Check returns an error that names the first value which no finite number is
// near to.
func Check(values []float32) error {
	for i, v := range values {
		if !(math.Abs(float64(v)) <= Max) {
			return fmt.Errorf("value %d is %v: float16 ends at %d", i, v, Max)
		}
	}
	return nil
}

// Dot returns Σ hᵢ·qᵢ over vectors of one length, in float32. The order of the
// sum depends on the processor; the result is within n·2⁻²⁴·Σ|hᵢ·qᵢ| of the
// exact one.
func Dot(h []uint16, q []float32) float32 {
	q = q[:len(h)]
	whole := 0
	sum := float32(0)
	if fast && len(h) >= block {
		whole = len(h) / block * block
		sum = dot(&h[0], &q[0], whole)
	}
	for i := whole; i < len(h); i++ {
		sum += To(h[i]) * q[i]
	}
	return sum
}
