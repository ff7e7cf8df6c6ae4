package experiment

import (
	"io"

	"github.com/medprobe/medprobe/evaluate"
	"github.com/medprobe/medprobe/internal/safetensors"
	"gonum.org/v1/gonum/blas/blas32"
)

// keptVectors are vectors of the test part that a run leaves.
type keptVectors struct {
	x blas32.General
	// at says which of the test samples they are, by number.
	at []int
}

// sample returns vectors of the test part, a few of each of the patients that the
// seed draws: what a registry scores again to see that a head still says the same,
// and what later images are compared with.
func (l *lab) sample() keptVectors {
	at := evaluate.DrawUnits(groupsOf(l.data, l.test), evaluate.SketchRows, evaluate.SketchPerUnit, l.config.Seed)
	return keptVectors{gather(l.testX, at), at}
}

func (k keptVectors) write(w io.Writer) error {
	numbers := make([]float32, len(k.at))
	for i, at := range k.at {
		numbers[i] = float32(at) // below 2²⁴, which is more than a test part holds
	}
	return safetensors.Write(w, []safetensors.Array{
		{Name: "vectors", Shape: []int{k.x.Rows, k.x.Cols}, Data: k.x.Data},
		{Name: "rows", Shape: []int{len(numbers)}, Data: numbers},
	}, nil)
}
