package trainer

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/blas/blas32"
)

// Prior is the zero-shot classifier: the logits of x are Scale·x·Tᵀ + Bias.
type Prior struct {
	// T is C×D. For findings a row is the positive less the negative text
	// vector; for exclusive classes it is the class's text vector.
	T           blas32.General
	Scale, Bias float64
	// Space is that of the vectors whose texts they are, if it is known.
	Space Space
}

func (p *Prior) validate(classes, dim int) error {
	if p.T.Rows != classes || p.T.Cols != dim {
		return fmt.Errorf("prior of %d×%d: want %d classes × %d dimensions", p.T.Rows, p.T.Cols, classes, dim)
	}
	if err := finite(p.T); err != nil {
		return fmt.Errorf("prior: %w", err)
	}
	if !(p.Scale > 0) || math.IsInf(p.Scale, 0) || math.IsNaN(p.Bias) || math.IsInf(p.Bias, 0) {
		return fmt.Errorf("prior with scale %v and bias %v: want a positive scale and a bias", p.Scale, p.Bias)
	}
	return nil
}

// of returns an error if the prior is of another space than vectors; either may
// be unknown.
func (p *Prior) of(s Space) error {
	if p.Space == s || p.Space == (Space{}) || s == (Space{}) {
		return nil
	}
	return fmt.Errorf("the prior is of encoder %.12s with preprocessing %.12s, the vectors are of %.12s with %.12s: want both of one encoder", p.Space.Encoder, p.Space.Preprocess, s.Encoder, s.Preprocess)
}

// ZeroShot returns the prior as a head.
func ZeroShot(p Prior, classes []string, exclusive bool, space Space) (*Head, error) {
	if err := errors.Join(p.of(space), p.validate(len(classes), p.T.Cols)); err != nil {
		return nil, fmt.Errorf("trainer: zero-shot: %w", err)
	}
	h := &Head{Kind: "zero-shot", Classes: classes, Exclusive: exclusive, Space: space}
	h.W = blas32.General{Rows: p.T.Rows, Cols: p.T.Cols, Stride: p.T.Cols, Data: make([]float32, p.T.Rows*p.T.Cols)}
	h.B = make([]float32, len(classes))
	for c := range classes {
		h.B[c] = float32(p.Bias)
		for j, v := range p.T.Data[c*p.T.Stride : c*p.T.Stride+p.T.Cols] {
			h.W.Data[c*p.T.Cols+j] = float32(p.Scale * float64(v))
		}
	}
	return h, nil
}
