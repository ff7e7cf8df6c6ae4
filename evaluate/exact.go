package evaluate

import "math/bits"

// exact sums products of integers without rounding, so that the order of the
// terms does not matter. The zero value is zero.
type exact struct{ plus, minus wide }

// wide is an integer of 128 bits.
type wide struct{ high, low uint64 }

func (s *exact) add(x, y int64) {
	into := &s.plus
	if (x < 0) != (y < 0) {
		into = &s.minus
	}
	high, low := bits.Mul64(magnitude(x), magnitude(y))
	var carry uint64
	into.low, carry = bits.Add64(into.low, low, 0)
	into.high, _ = bits.Add64(into.high, high, carry)
}

func magnitude(x int64) uint64 {
	if x < 0 {
		return -uint64(x)
	}
	return uint64(x)
}

// float returns the sum to the nearest float64 but for the last bit.
func (s *exact) float() float64 {
	larger, smaller, sign := s.plus, s.minus, 1.0
	if larger.high < smaller.high || larger.high == smaller.high && larger.low < smaller.low {
		larger, smaller, sign = smaller, larger, -1
	}
	low, borrow := bits.Sub64(larger.low, smaller.low, 0)
	high, _ := bits.Sub64(larger.high, smaller.high, borrow)
	return sign * (float64(high)*0x1p64 + float64(low))
}
