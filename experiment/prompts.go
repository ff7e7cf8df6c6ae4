package experiment

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/medprobe/medprobe/internal/near"
	"github.com/medprobe/medprobe/internal/vec"
	"github.com/medprobe/medprobe/trainer"
	"gonum.org/v1/gonum/blas/blas32"
)

// TextEncoder turns texts into vectors.
type TextEncoder interface {
	Dim() int
	LogitScale() float64
	EncodeTexts(context.Context, []string) ([][]float32, error)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// ZeroShotPrior turns prompts into the zero-shot classifier of the classes: one
// row of T per class. For a finding the row is the mean positive text less the
// mean negative one, so that the score is the logit of CheXzero's softmax over
// the two (Tiu et al., Nature Biomedical Engineering 2022); for a class among
// exclusive ones it is its mean text. Each text vector is scaled to length one
// before averaging and each mean after it, as CLIP's prompt ensembles are.
//
// Every class needs a prompt; a prompt for no class is an error too, since it
// is a misspelt one.
func ZeroShotPrior(ctx context.Context, enc TextEncoder, classes []string, exclusive bool, prompts map[string]Prompt) (*trainer.Prior, error) {
	for _, name := range sortedKeys(prompts) {
		if err := near.Check("finding", name, classes); err != nil {
			return nil, fmt.Errorf("experiment: prompts: %w", err)
		}
	}
	dim := enc.Dim()
	t := blas32.General{Rows: len(classes), Cols: dim, Stride: dim, Data: make([]float32, len(classes)*dim)}
	for c, class := range classes {
		prompt, ok := prompts[class]
		if !ok {
			return nil, fmt.Errorf("experiment: prompts: none for %q; give every finding one, or none at all", class)
		}
		positive, err := meanText(ctx, enc, prompt.Positive)
		if err != nil {
			return nil, err
		}
		row := t.Data[c*dim : (c+1)*dim]
		copy(row, positive)
		if exclusive || len(prompt.Negative) == 0 {
			continue
		}
		negative, err := meanText(ctx, enc, prompt.Negative)
		if err != nil {
			return nil, err
		}
		for i, v := range negative {
			row[i] -= v
		}
	}
	return &trainer.Prior{T: t, Scale: enc.LogitScale()}, nil
}

// meanText returns the mean direction of the texts, of length one.
func meanText(ctx context.Context, enc TextEncoder, texts []string) ([]float32, error) {
	vectors, err := enc.EncodeTexts(ctx, texts)
	if err != nil {
		return nil, fmt.Errorf("experiment: prompts: %w", err)
	}
	mean := make([]float32, enc.Dim())
	for k, v := range vectors {
		if err := vec.Unit(v, v); err != nil {
			return nil, fmt.Errorf("experiment: prompts: %q: %w", texts[k], err)
		}
		for i, x := range v {
			mean[i] += x / float32(len(vectors))
		}
	}
	if err := vec.Unit(mean, mean); err != nil {
		return nil, fmt.Errorf("experiment: prompts: the mean of %q: %w", texts, err)
	}
	return mean, nil
}
