package trainer

import (
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/blas/blas64"
)

// Multiplier multiplies float32 matrices. The products of a fit are made by it,
// and made right to float64 where that matters.
type Multiplier interface {
	// Multiply sets c, m×n, to a·b, or to a·bᵀ if t is [blas.Trans]; a is m×k.
	// The rows of all three follow one another without gaps.
	Multiply(t blas.Transpose, a, b, c blas32.General) error
}

// exactMultiplier is a [Multiplier] that multiplies float64 matrices too.
type exactMultiplier interface {
	// MultiplyExact sets c, m×n, to a·bᵀ, where a is m×k, as Multiply does.
	MultiplyExact(a, b, c blas64.General) error
}

// gonum is the multiplier of pure Go.
type gonum struct{}

// fewColumns is up to how many rows of a are multiplied one by one.
const fewColumns = 4

func (gonum) Multiply(t blas.Transpose, a, b, c blas32.General) error {
	if a.Rows > fewColumns {
		blas32.Gemm(blas.NoTrans, t, 1, a, b, 0, c)
		return nil
	}
	size := (b.Rows + chunks - 1) / chunks
	parts := make([]blas32.General, chunks)
	each(chunks, func(chunk int) {
		from, to := min(b.Rows, chunk*size), min(b.Rows, (chunk+1)*size)
		rows := blas32.General{Rows: to - from, Cols: b.Cols, Stride: b.Stride, Data: b.Data[from*b.Stride : to*b.Stride]}
		if rows.Rows == 0 {
			return
		}
		for k := range a.Rows {
			x := blas32.Vector{N: a.Cols, Inc: 1, Data: a.Data[k*a.Stride:]}
			if t == blas.Trans {
				blas32.Gemv(blas.NoTrans, 1, rows, x, 0, blas32.Vector{N: rows.Rows, Inc: 1, Data: c.Data[k*c.Stride+from:]})
				continue
			}
			if k == 0 {
				parts[chunk] = blas32.General{Rows: c.Rows, Cols: c.Cols, Stride: c.Cols, Data: make([]float32, c.Rows*c.Cols)}
			}
			x.N, x.Data = rows.Rows, x.Data[from:]
			blas32.Gemv(blas.Trans, 1, rows, x, 0, blas32.Vector{N: c.Cols, Inc: 1, Data: parts[chunk].Data[k*c.Cols:]})
		}
	})
	if t == blas.Trans {
		return nil
	}
	for k := range c.Rows {
		row := blas32.Vector{N: c.Cols, Inc: 1, Data: c.Data[k*c.Stride:]}
		clear(row.Data[:c.Cols])
		for _, p := range parts {
			if p.Data != nil {
				blas32.Axpy(1, blas32.Vector{N: c.Cols, Inc: 1, Data: p.Data[k*c.Cols:]}, row)
			}
		}
	}
	return nil
}
