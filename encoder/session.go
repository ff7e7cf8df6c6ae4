package encoder

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strconv"

	ort "github.com/yalue/onnxruntime_go"
)

// maxBatch bounds the images or texts of one run of a tower, and so its
// memory.
const maxBatch = 16

// session is one tower, loaded. Running it is safe for concurrent use.
type session struct {
	s   *ort.DynamicAdvancedSession
	dim int64
}

func newSession(model, input, output string, dim, threads int) (_ *session, err error) {
	options, err := ort.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, options.Destroy()) }()
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	err = errors.Join(
		options.SetIntraOpNumThreads(threads),
		options.SetInterOpNumThreads(1),
		// Spinning threads starve the goroutines that decode images.
		options.AddSessionConfigEntry("session.intra_op.allow_spinning", strconv.Itoa(0)),
	)
	if err != nil {
		return nil, err
	}
	s, err := ort.NewDynamicAdvancedSession(model, []string{input}, []string{output}, options)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", model, err)
	}
	return &session{s, int64(dim)}, nil
}

func (s *session) close() error { return s.s.Destroy() }

// run runs the tower on rows of equal length, batch by batch, and returns one
// vector per row. shape is that of one row.
func run[T ort.TensorData](ctx context.Context, s *session, rows [][]T, shape ...int64) ([][]float32, error) {
	out := make([][]float32, 0, len(rows))
	for start := 0; start < len(rows); start += maxBatch {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		batch := rows[start:min(start+maxBatch, len(rows))]
		flat := make([]T, 0, len(batch)*len(batch[0]))
		for _, row := range batch {
			flat = append(flat, row...)
		}
		vectors, err := runBatch(s, flat, append(ort.Shape{int64(len(batch))}, shape...))
		if err != nil {
			return nil, err
		}
		out = append(out, vectors...)
	}
	for i, v := range out {
		for _, x := range v {
			if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
				return nil, fmt.Errorf("item %d: the encoder gives a vector that is not finite", i)
			}
		}
	}
	return out, nil
}

func runBatch[T ort.TensorData](s *session, flat []T, shape ort.Shape) (_ [][]float32, err error) {
	input, err := ort.NewTensor(shape, flat)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, input.Destroy()) }()
	output, err := ort.NewEmptyTensor[float32](ort.NewShape(shape[0], s.dim))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, output.Destroy()) }()
	if err := s.s.Run([]ort.Value{input}, []ort.Value{output}); err != nil {
		return nil, err
	}
	vectors := make([][]float32, shape[0])
	for i := range vectors {
		vectors[i] = append([]float32(nil), output.GetData()[int64(i)*s.dim:int64(i+1)*s.dim]...)
	}
	return vectors, nil
}
