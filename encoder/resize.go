package encoder

import (
	"math"

	"github.com/medprobe/medprobe/internal/near"
)

// filter is a resampling filter of Pillow's: its name, its value and how far it
// reaches.
type filter struct {
	name    string
	support float64
	at      func(x float64) float64
}

// filters holds the filters by Pillow's number, which preprocessor_config.json
// calls resample.
var filters = map[int]filter{
	2: {"bilinear", 1, func(x float64) float64 { return max(0, 1-math.Abs(x)) }},
	3: {"bicubic", 2, cubic},
}

// filterNumber returns Pillow's number of a filter.
func filterNumber(name string) (int, error) {
	for number, f := range filters {
		if f.name == name {
			return number, nil
		}
	}
	return 0, near.Check("resample", name, []string{"bilinear", "bicubic"})
}

// cubic is the cubic convolution with a = −½ (Keys 1981). Here and below, a
// conversion around a product keeps it from being fused with the sum, which some
// processors do and which gives other last bits.
func cubic(x float64) float64 {
	const a = -0.5
	x = math.Abs(x)
	switch {
	case x < 1:
		return float64(float64(float64(float64((a+2)*x)-(a+3))*x)*x) + 1
	case x < 2:
		return (float64((float64((x-5)*x)+8)*x) - 4) * a
	}
	return 0
}

// precisionBits is the fixed-point precision of Pillow's coefficients for
// 8-bit channels.
const precisionBits = 32 - 8 - 2

// window is the stretch of input pixels that makes one output pixel.
type window struct {
	first   int
	weights []int32
}

// windows follows precompute_coeffs and normalize_coeffs_8bpc of Pillow's
// src/libImaging/Resample.c.
func (f filter) windows(in, out int) []window { return f.windowsFrom(in, out, 0, out) }

// windowsFrom returns the n windows from the given one on.
func (f filter) windowsFrom(in, out, from, n int) []window {
	scale := float64(in) / float64(out)
	reach := max(scale, 1) // antialiasing: the filter grows with the reduction
	support := float64(f.support * reach)
	all := make([]window, n)
	for i := range all {
		center := float64((float64(from+i) + 0.5) * scale)
		first := max(int(center-support+0.5), 0)
		last := min(int(center+support+0.5), in)
		weights, sum := make([]float64, last-first), 0.0
		for x := range weights {
			weights[x] = f.at((float64(x+first) - center + 0.5) * (1 / reach))
			sum += weights[x]
		}
		fixed := make([]int32, len(weights))
		for x, w := range weights {
			if sum != 0 {
				w /= sum
			}
			w = float64(w * (1 << precisionBits))
			fixed[x] = int32(w + math.Copysign(0.5, w))
		}
		all[i] = window{first, fixed}
	}
	return all
}

// rgb8 is an image of three bytes a pixel, row by row.
type rgb8 struct {
	width, height int
	pix           []uint8
}

// resize equals Pillow's Image.resize for mode RGB: a horizontal and then a
// vertical pass, each rounded to bytes, each left out where the size stays.
func (m rgb8) resize(f filter, width, height int) rgb8 {
	var columns, rows []window
	if m.width != width {
		columns = f.windows(m.width, width)
	}
	if m.height != height {
		rows = f.windows(m.height, height)
	}
	return m.resample(columns, rows)
}

const half = 1 << (precisionBits - 1)

func clip8(v int32) uint8 { return uint8(min(max(v>>precisionBits, 0), 255)) }

// resample makes an output column of each window of columns and a row of each of
// rows; nil leaves the direction as it is. Both passes go on at once, one row of
// the image at a time, since the rows between them may be many more than those
// of image or result.
func (m rgb8) resample(columns, rows []window) rgb8 {
	out := rgb8{width: m.width, height: m.height}
	if columns != nil {
		out.width = len(columns)
	}
	if rows != nil {
		out.height = len(rows)
	}
	stride := 3 * out.width
	out.pix = make([]uint8, stride*out.height)
	if rows == nil {
		m.rows(func(y int, row []uint8) { resampleRow(out.pix[y*stride:(y+1)*stride], row, columns) })
		return out
	}
	sums := make([]int32, stride*out.height)
	for i := range sums {
		sums[i] = half
	}
	line := make([]uint8, stride)
	done := 0 // output rows whose windows end above y
	m.rows(func(y int, row []uint8) {
		resampleRow(line, row, columns)
		for done < len(rows) && rows[done].first+len(rows[done].weights) <= y {
			done++
		}
		for o := done; o < len(rows) && rows[o].first <= y; o++ {
			k := y - rows[o].first
			if k >= len(rows[o].weights) {
				continue
			}
			w, sum := rows[o].weights[k], sums[o*stride:(o+1)*stride]
			for i, v := range line {
				sum[i] += int32(v) * w
			}
		}
	})
	for i, v := range sums {
		out.pix[i] = clip8(v)
	}
	return out
}

func resampleRow(to, row []uint8, columns []window) {
	if columns == nil {
		copy(to, row)
		return
	}
	for x, c := range columns {
		r, g, b := int32(half), int32(half), int32(half)
		from := row[3*c.first : 3*(c.first+len(c.weights))]
		for k, w := range c.weights {
			r += int32(from[3*k]) * w
			g += int32(from[3*k+1]) * w
			b += int32(from[3*k+2]) * w
		}
		to[3*x], to[3*x+1], to[3*x+2] = clip8(r), clip8(g), clip8(b)
	}
}

// resizePadded equals resize to a square after padding to one with black,
// ⌊d/2⌋ pixels before and the rest after. The padding is never made: what is
// black adds nothing to a sum.
func (m rgb8) resizePadded(f filter, size int) rgb8 {
	side := max(m.width, m.height)
	columns := inside(f.windows(side, size), (side-m.width)/2, m.width)
	rows := inside(f.windows(side, size), (side-m.height)/2, m.height)
	return m.resample(columns, rows)
}

// resizeCropped equals resize of the shorter side to the given length, the other
// one in proportion and cut to a whole number, and then the square of size pixels
// in the middle, as Hugging Face's resize and center_crop do. Only that square is
// computed.
func (m rgb8) resizeCropped(f filter, shortest, size int) rgb8 {
	short := min(m.width, m.height)
	middle := func(side int) []window {
		resized := int(float64(shortest*side) / float64(short))
		return f.windowsFrom(side, resized, (resized-size)/2, size)
	}
	return m.resample(middle(m.width), middle(m.height))
}

// inside takes from windows over a padded line what lies on its n real pixels,
// which follow after the given number of others.
func inside(all []window, before, n int) []window {
	for i, w := range all {
		first := w.first - before
		from := min(max(-first, 0), len(w.weights))
		to := min(len(w.weights), n-first)
		if from >= to {
			all[i] = window{}
			continue
		}
		all[i] = window{first + from, w.weights[from:to]}
	}
	return all
}

// resizeBilinear is tf.image.resize(method="bilinear", antialias=False) with
// half-pixel centres (tensorflow/core/kernels/image/resize_bilinear_op.cc), in
// float32, cut to uint8.
func (m rgb8) resizeBilinear(width, height int) rgb8 {
	type tap struct {
		low, high int
		weight    float32
	}
	taps := func(in, out int) []tap {
		scale := float32(in) / float32(out)
		all := make([]tap, out)
		for i := range all {
			at := float32((float32(i)+0.5)*scale) - 0.5
			floor := float32(math.Floor(float64(at)))
			all[i] = tap{max(int(floor), 0), min(int(math.Ceil(float64(at))), in-1), at - floor}
		}
		return all
	}
	columns, rows := taps(m.width, width), taps(m.height, height)
	out := rgb8{width: width, height: height, pix: make([]uint8, 3*width*height)}
	for y, r := range rows {
		top, bottom := m.pix[3*r.low*m.width:], m.pix[3*r.high*m.width:]
		for x, c := range columns {
			for k := range 3 {
				mix := func(row []uint8) float32 {
					low, high := float32(row[3*c.low+k]), float32(row[3*c.high+k])
					return low + float32((high-low)*c.weight)
				}
				upper, lower := mix(top), mix(bottom)
				out.pix[3*(y*width+x)+k] = uint8(upper + float32((lower-upper)*r.weight))
			}
		}
	}
	return out
}
