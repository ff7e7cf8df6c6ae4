package registry

import (
	"bytes"
	"fmt"
	"math"

	"github.com/medprobe/medprobe/internal/safetensors"
	"github.com/medprobe/medprobe/trainer"
	"gonum.org/v1/gonum/blas/blas32"
)

// sampleTolerance is how far a probability may lie from the stored one: another
// processor may round a float32 the other way.
const sampleTolerance = 1e-6

// scoreSample adds to a sample of vectors the probabilities that the head gives
// them, so that both can be compared again wherever the head goes.
func scoreSample(file []byte, h *trainer.Head) ([]byte, error) {
	x, _, err := readSample(file)
	if err != nil {
		return nil, err
	}
	p, err := h.Probabilities(x)
	if err != nil {
		return nil, err
	}
	probabilities := make([]float32, len(p.Data))
	for i, v := range p.Data {
		probabilities[i] = float32(v)
	}
	var b bytes.Buffer
	err = safetensors.Write(&b, []safetensors.Array{
		{Name: "vectors", Shape: []int{x.Rows, x.Cols}, Data: x.Data},
		{Name: "probabilities", Shape: []int{p.Rows, p.Cols}, Data: probabilities},
	}, map[string]string{"format": "medprobe.sample/1"})
	return b.Bytes(), err
}

// readSample reads vectors and, where they are there, probabilities.
func readSample(file []byte) (x, p blas32.General, err error) {
	f, err := safetensors.Read(sampleFile, file)
	if err != nil {
		return x, p, err
	}
	matrix := func(name string) (m blas32.General, err error) {
		t, ok := f.Tensor(name)
		if !ok {
			return m, nil
		}
		if len(t.Shape) != 2 {
			return m, fmt.Errorf("%s of shape %v: want a matrix", name, t.Shape)
		}
		m = blas32.General{Rows: t.Shape[0], Cols: t.Shape[1], Stride: max(1, t.Shape[1])}
		m.Data, err = f.Float32(name)
		return m, err
	}
	if x, err = matrix("vectors"); err != nil {
		return x, p, err
	}
	if x.Rows == 0 {
		return x, p, fmt.Errorf("no vectors")
	}
	p, err = matrix("probabilities")
	return x, p, err
}

// checkSample scores the stored sample again and compares.
func checkSample(file []byte, h *trainer.Head) error {
	x, want, err := readSample(file)
	if err != nil {
		return err
	}
	got, err := h.Probabilities(x)
	if err != nil {
		return err
	}
	if want.Rows != got.Rows || want.Cols != got.Cols {
		return fmt.Errorf("probabilities of %d×%d stored, the head gives %d×%d", want.Rows, want.Cols, got.Rows, got.Cols)
	}
	for i, v := range got.Data {
		if d := math.Abs(v - float64(want.Data[i])); !(d <= sampleTolerance) {
			return fmt.Errorf("row %d, %q: the head gives %.7f, stored is %.7f", i/got.Cols, h.Classes[i%got.Cols], v, want.Data[i])
		}
	}
	return nil
}
