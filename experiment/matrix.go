package experiment

import (
	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/blas/blas64"
)

// gather returns the rows of m as a matrix of their own.
func gather(m blas32.General, rows []int) blas32.General {
	g := blas32.General{Rows: len(rows), Cols: m.Cols, Stride: max(1, m.Cols), Data: make([]float32, 0, len(rows)*m.Cols)}
	for _, i := range rows {
		g.Data = append(g.Data, m.Data[i*m.Stride:i*m.Stride+m.Cols]...)
	}
	return g
}

// column returns column c of m.
func column(m blas64.General, c int) []float64 {
	values := make([]float64, m.Rows)
	for i := range values {
		values[i] = m.Data[i*m.Stride+c]
	}
	return values
}

// upTo lists the numbers from 0 to n−1.
func upTo(n int) []int {
	numbers := make([]int, n)
	for i := range numbers {
		numbers[i] = i
	}
	return numbers
}

// pick returns the values at the places.
func pick[T any](values []T, places []int) []T {
	picked := make([]T, len(places))
	for k, r := range places {
		picked[k] = values[r]
	}
	return picked
}

func row(x blas32.General, i int) []float32 { return x.Data[i*x.Stride : i*x.Stride+x.Cols] }

// columns returns the columns of m at the places.
func columns(m blas64.General, places []int) blas64.General {
	c := matrix64(m.Rows, len(places))
	for i := range m.Rows {
		for k, place := range places {
			c.Data[i*c.Stride+k] = m.Data[i*m.Stride+place]
		}
	}
	return c
}

func matrix64(rows, cols int) blas64.General {
	return blas64.General{Rows: rows, Cols: cols, Stride: max(1, cols), Data: make([]float64, rows*cols)}
}

// vectorsOf returns the rows of a matrix.
func vectorsOf(x blas32.General) [][]float32 {
	rows := make([][]float32, x.Rows)
	for i := range rows {
		rows[i] = row(x, i)
	}
	return rows
}
