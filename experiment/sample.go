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
	// at says which of the test samples they are, by number; nil where they are not
	// all of the patients they belong to.
	at []int
}

// sample returns vectors of the test part, all of patients drawn by the seed: what
// a registry scores again to see that a head still says the same, and what later
// images are compared with. Of patients with more images than are kept it takes
// some, evenly.
func (l *lab) sample() keptVectors {
	groups := make([]string, len(l.test))
	for r, i := range l.test {
		groups[r] = l.data.Samples[i].Group()
	}
	at := evaluate.DrawUnits(groups, evaluate.SketchRows, l.config.Seed)
	if len(at) > 0 {
		return keptVectors{gather(l.testX, at), at}
	}
	n := min(len(l.test), evaluate.SketchRows)
	for i := range n {
		at = append(at, i*len(l.test)/n)
	}
	return keptVectors{x: gather(l.testX, at)}
}

func (k keptVectors) write(w io.Writer) error {
	numbers := make([]float32, len(k.at))
	for i, at := range k.at {
		numbers[i] = float32(at) // below 2²⁴, which is more than a test part holds
	}
	arrays := []safetensors.Array{{Name: "vectors", Shape: []int{k.x.Rows, k.x.Cols}, Data: k.x.Data}}
	if k.at != nil {
		arrays = append(arrays, safetensors.Array{Name: "rows", Shape: []int{len(numbers)}, Data: numbers})
	}
	return safetensors.Write(w, arrays, nil)
}
