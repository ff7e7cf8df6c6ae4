package encoder

import (
	"context"
	"fmt"
)

// Trial is a first run of a graph that came from elsewhere. A library written in
// C may not survive it, so a program runs it in a process of its own: the fields
// are plain data, to be handed over as JSON.
type Trial struct {
	Model string `json:"model"`
	Graph Graph  `json:"graph"`
	// Size is the side of the images, or 0 for texts.
	Size int `json:"size"`
	// Bytes is the size of the graph and its weights.
	Bytes int64 `json:"bytes"`
}

const trialBatch = 3

// Run loads the graph, runs it on three images, or texts, of ones and returns the
// shape of the output for them. Three, since exporters that follow one run keep its
// batch size, of 1 or 2, by mistake.
func (t Trial) Run(ctx context.Context) (shape []int64, err error) {
	if _, _, err := FindRuntime(""); err != nil {
		return nil, err
	}
	s, err := newSession(t.Model, t.Graph, Options{})
	if err != nil {
		return nil, err
	}
	defer func() {
		if e := s.close(); err == nil {
			err = e
		}
	}()
	if t.Size == 0 {
		return tryOut(ctx, s, make([]int64, trialBatch*textLength), textLength)
	}
	n := int64(t.Size)
	return tryOut(ctx, s, make([]float32, trialBatch*3*n*n), t.Graph.imageShape(n)...)
}

func tryOut[T int64 | float32](ctx context.Context, s *session, values []T, shape ...int64) ([]int64, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for i := range values {
		values[i] = 1
	}
	batch := int64(trialBatch)
	if s.graph.OneByOne {
		batch, values = 1, values[:len(values)/trialBatch]
	}
	out, err := forward(s, values, append([]int64{batch}, shape...))
	if err != nil {
		return nil, err
	}
	if out.shape[0] != batch {
		return nil, fmt.Errorf("output %q has shape %v for %d inputs: want one row for each", s.graph.Output, out.shape, batch)
	}
	return out.shape, nil
}

// try runs the trial as the options say, or in this process.
func (o ImportOptions) try(ctx context.Context, t Trial) ([]int64, error) {
	if o.Try != nil {
		return o.Try(ctx, t)
	}
	return t.Run(ctx)
}
