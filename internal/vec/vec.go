// Package vec holds the operations on vectors that several packages share.
package vec

import (
	"fmt"
	"math"
)

// Unit writes v scaled to Euclidean length one into dst, which has its length
// and may be v itself; see [Length] and [Scale].
func Unit(dst, v []float32) error {
	length, err := Length(v)
	if err == nil {
		Scale(dst, v, length)
	}
	return err
}

// Length returns ‖v‖, summed in float64. A vector of length zero or with a value
// that is not finite has no direction and is an error.
func Length(v []float32) (float64, error) {
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	length := math.Sqrt(sum)
	if !(length > 0) || math.IsInf(length, 0) {
		return 0, fmt.Errorf("the vector has length %v: want a finite one above 0", length)
	}
	return length, nil
}

// Scale writes v/length into dst, which has its length and may be v itself.
func Scale(dst, v []float32, length float64) {
	dst, inverse := dst[:len(v)], 1/length
	for i, x := range v {
		dst[i] = float32(float64(x) * inverse)
	}
}
