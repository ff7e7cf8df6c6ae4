package encoder

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"

	ort "github.com/yalue/onnxruntime_go"
)

// maxBatch bounds the images or texts of one run of a tower, and so its
// memory.
const maxBatch = 16

// session is one tower, loaded. Its methods are safe for concurrent use.
type session struct {
	dim int64

	running sync.RWMutex                // held for reading by each run
	s       *ort.DynamicAdvancedSession // nil once closed
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
	return &session{s: s, dim: int64(dim)}, nil
}

// close waits for the runs under way. Later runs say [os.ErrClosed].
func (s *session) close() error {
	s.running.Lock()
	defer s.running.Unlock()
	if s.s == nil {
		return nil
	}
	err := s.s.Destroy()
	s.s = nil
	return err
}

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
	return out, nil
}

// notFinite returns the index of the first vector that holds NaN or infinity,
// or -1.
func notFinite(vectors [][]float32) int {
	return slices.IndexFunc(vectors, func(v []float32) bool {
		return slices.ContainsFunc(v, func(x float32) bool { return math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) })
	})
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
	s.running.RLock()
	defer s.running.RUnlock()
	if s.s == nil {
		return nil, os.ErrClosed
	}
	if err := s.s.Run([]ort.Value{input}, []ort.Value{output}); err != nil {
		return nil, err
	}
	vectors := make([][]float32, shape[0])
	for i := range vectors {
		vectors[i] = append([]float32(nil), output.GetData()[int64(i)*s.dim:int64(i+1)*s.dim]...)
	}
	return vectors, nil
}
