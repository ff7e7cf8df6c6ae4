package trainer

import (
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
)

// forward sets z, k×rows, to v·Xᵀ + b, where the rows of v, k×(dim+1), hold
// weights and, last, their intercept; in float64 if exact is asked for.
func (d *design) forward(v, z blas64.General, exact bool) error {
	if !exact {
		out, scales, shift, err := d.fastForward(v)
		d.each(out.Rows, func(k int) {
			row := z.Data[k*z.Stride:][:z.Cols]
			for i, v := range out.Data[k*z.Cols : (k+1)*z.Cols] {
				row[i] = float64(v)*scales[k] + shift[k]
			}
		})
		return err
	}
	w, shift := d.centred(v)
	if d.exact.Data != nil {
		blas64.Gemm(blas.NoTrans, blas.Trans, 1, w, d.exact, 0, z)
	} else {
		d.blocks(func(_, from, to int, x blas64.General) {
			part := blas64.General{Rows: z.Rows, Cols: to - from, Stride: z.Stride, Data: z.Data[from:]}
			blas64.Gemm(blas.NoTrans, blas.Trans, 1, w, x, 0, part)
		})
	}
	for k, s := range shift {
		floats.AddConst(s, z.Data[k*z.Stride:][:z.Cols])
	}
	return nil
}

// centred returns weights and intercepts for the vectors as they are stored.
func (d *design) centred(v blas64.General) (w blas64.General, shift []float64) {
	w, shift = d.wideRoom(0, v.Rows, d.dim), make([]float64, v.Rows)
	for k := range v.Rows {
		from, to := v.Data[k*v.Stride:][:d.dim+1], w.Data[k*d.dim:][:d.dim]
		copy(to, from)
		shift[k] = from[d.dim]
		if d.exact.Data == nil {
			if d.dev != nil {
				floats.Div(to, d.dev)
			}
			shift[k] -= floats.Dot(to, d.mean)
		}
	}
	return w, shift
}

// fastForward is forward in float32: logit i of row k is scales[k]·z[k][i] +
// shift[k]. The next product writes over z.
func (d *design) fastForward(v blas64.General) (z blas32.General, scales, shift []float64, err error) {
	w, shift := d.centred(v)
	small, scales := d.narrow(0, w)
	z = blas32.General{Rows: v.Rows, Cols: d.rows, Stride: d.rows, Data: d.room(1, v.Rows*d.rows)}
	return z, scales, shift, d.multiplier.Multiply(blas.Trans, small, d.fast, z)
}

// backward sets g, k×(dim+1), to r·X and, last, Σ r, where r is k×rows; in
// float64 if exact is asked for.
func (d *design) backward(r, g blas64.General, exact bool) error {
	if !exact {
		small, scales := d.narrow(1, r)
		return d.fastBackward(small, scales, g)
	}
	sums := make([]float64, g.Rows)
	for k := range sums {
		sums[k] = floats.Sum(r.Data[k*r.Stride:][:r.Cols])
	}
	w := blas64.General{Rows: g.Rows, Cols: d.dim, Stride: g.Stride, Data: g.Data}
	if d.exact.Data != nil {
		blas64.Gemm(blas.NoTrans, blas.NoTrans, 1, r, d.exact, 0, w)
	} else {
		d.exactBackward(r, w)
	}
	d.uncentre(g, sums)
	return nil
}

// fastBackward is backward in float32, of row k of r times scales[k].
func (d *design) fastBackward(r blas32.General, scales []float64, g blas64.General) error {
	out := blas32.General{Rows: r.Rows, Cols: d.dim, Stride: d.dim, Data: d.room(0, r.Rows*d.dim)}
	if err := d.multiplier.Multiply(blas.NoTrans, r, d.fast, out); err != nil {
		return err
	}
	sums := make([]float64, r.Rows)
	d.each(r.Rows, func(k int) {
		for _, v := range r.Data[k*r.Stride:][:r.Cols] {
			sums[k] += float64(v)
		}
		sums[k] *= scales[k]
		for j, v := range out.Data[k*d.dim : (k+1)*d.dim] {
			g.Data[k*g.Stride+j] = float64(v) * scales[k]
		}
	})
	d.uncentre(g, sums)
	return nil
}

// uncentre makes products with the vectors as they are stored those with the
// centred ones, and puts the sums of r last.
func (d *design) uncentre(g blas64.General, sums []float64) {
	for k, sum := range sums {
		row := g.Data[k*g.Stride:][:d.dim+1]
		if d.exact.Data == nil {
			floats.AddScaled(row[:d.dim], -sum, d.mean)
			if d.dev != nil {
				floats.Div(row[:d.dim], d.dev)
			}
		}
		row[d.dim] = sum
	}
}

func (d *design) exactBackward(r, w blas64.General) {
	parts := make([]blas64.General, chunks)
	d.blocks(func(chunk, from, to int, x blas64.General) {
		p := &parts[chunk]
		if p.Data == nil {
			*p = blas64.General{Rows: w.Rows, Cols: w.Cols, Stride: w.Cols, Data: make([]float64, w.Rows*w.Cols)}
		}
		blas64.Gemm(blas.NoTrans, blas.NoTrans, 1, blas64.General{Rows: r.Rows, Cols: to - from, Stride: r.Stride, Data: r.Data[from:]}, x, 1, *p)
	})
	for k := range w.Rows {
		row := w.Data[k*w.Stride:][:w.Cols]
		clear(row)
		for _, p := range parts {
			if p.Data != nil {
				floats.Add(row, p.Data[k*p.Stride:][:w.Cols])
			}
		}
	}
}

const (
	// chunks is into how many pieces a sum over rows is divided, so that it is
	// the same on any number of processors; blockRows of a piece are in float64
	// at a time.
	chunks    = 8
	blockRows = 64
)

// blocks shows every row in float64, a block of each chunk at a time. The
// blocks of a chunk follow one another.
func (d *design) blocks(do func(chunk, from, to int, x blas64.General)) {
	size := (d.rows + chunks - 1) / chunks
	room := d.wideRoom(6, chunks*blockRows, d.dim)
	d.each(chunks, func(chunk int) {
		x := part(room, chunk*blockRows, blockRows)
		end := min(d.rows, (chunk+1)*size)
		for from := chunk * size; from < end; from += blockRows {
			to := min(end, from+blockRows)
			for i, v := range d.fast.Data[from*d.dim : to*d.dim] {
				x.Data[i] = float64(v)
			}
			x.Rows = to - from
			do(chunk, from, to, x)
		}
	})
}

// room returns n values to write over. They are used again by the next product.
func (d *design) room(slot, n int) []float32 { return sized(&d.rooms[slot], n) }

// wideRoom returns a matrix to write over, as room does; its values are those of
// before.
func (d *design) wideRoom(slot, rows, columns int) blas64.General {
	return blas64.General{Rows: rows, Cols: columns, Stride: columns, Data: sized(&d.wide[slot], rows*columns)}
}

func sized[T float32 | float64](room *[]T, n int) []T {
	if len(*room) < n {
		*room = make([]T, n)
	}
	return (*room)[:n]
}

// narrow writes the rows of m in float32 into a room, each divided by a scale that
// keeps it in range.
func (d *design) narrow(slot int, m blas64.General) (blas32.General, []float64) {
	out := blas32.General{Rows: m.Rows, Cols: m.Cols, Stride: max(1, m.Cols), Data: d.room(slot, m.Rows*m.Cols)}
	scales := make([]float64, m.Rows)
	d.each(m.Rows, func(k int) {
		row := m.Data[k*m.Stride:][:m.Cols]
		largest := 0.0
		for _, v := range row {
			if v = math.Abs(v); v > largest {
				largest = v
			}
		}
		scales[k] = powerOfTwo(largest)
		inverse := 1 / scales[k]
		for j, v := range row {
			out.Data[k*m.Cols+j] = float32(v * inverse)
		}
	})
	return out, scales
}

// powerOfTwo returns the least power of two above v.
func powerOfTwo(v float64) float64 {
	_, exponent := math.Frexp(v)
	return math.Ldexp(1, min(max(exponent, -1000), 1000))
}
