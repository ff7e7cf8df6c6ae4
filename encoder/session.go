package encoder

import (
	"cmp"
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

// Graph says how a graph is run. The zero value is one that medprobe built.
type Graph struct {
	// File is the graph's path within the encoder's folder.
	File string `json:"file"`
	// Input and Output are names of the graph's.
	Input  string `json:"input"`
	Output string `json:"output"`
	// Layout of the pixels: nchw or nhwc.
	Layout string `json:"layout,omitempty"`
	// Pool makes one vector of an output with one per token: cls, the first, or
	// mean, the mean of all; empty for an output of one vector.
	Pool string `json:"pool,omitempty"`
	// OneByOne says that the graph takes one image or text at a time.
	OneByOne bool `json:"one_by_one,omitempty"`
}

// The layouts of pixels: channel by channel, or the channels of each pixel side
// by side.
const (
	layoutNCHW = "nchw"
	layoutNHWC = "nhwc"
)

// imageShape is the shape of an image with sides of n pixels.
func (g *Graph) imageShape(n int64) []int64 {
	if g.Layout == layoutNHWC {
		return []int64{n, n, 3}
	}
	return []int64{3, n, n}
}

// checkShape checks that an output of a shape is, or can be pooled to, one
// vector for each input.
func (g *Graph) checkShape(shape []int64) error {
	switch {
	case slices.Min(shape) < 1:
		return fmt.Errorf("shape %v is empty", shape)
	case len(shape) == 3 && g.Pool == "":
		return fmt.Errorf("shape %v holds a vector per token: want pool: cls, the first, or pool: mean", shape)
	case len(shape) == 2 && g.Pool != "":
		return fmt.Errorf("shape %v holds one vector: pool: %s has nothing to pool", shape, g.Pool)
	case len(shape) != 2 && len(shape) != 3:
		return fmt.Errorf("shape %v: want [batch, dimensions], or [batch, tokens, dimensions] with pool", shape)
	}
	return nil
}

// session is one graph, loaded. Its methods are safe for concurrent use.
type session struct {
	graph Graph

	running sync.RWMutex                // held for reading by each run
	s       *ort.DynamicAdvancedSession // nil once closed
}

func newSession(model string, g Graph, o Options) (_ *session, err error) {
	options, err := ort.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, options.Destroy()) }()
	if o.Threads == 0 {
		o.Threads = runtime.GOMAXPROCS(0)
	}
	err = errors.Join(
		options.SetIntraOpNumThreads(o.Threads),
		options.SetInterOpNumThreads(1),
		// Spinning threads starve the goroutines that decode images.
		options.AddSessionConfigEntry("session.intra_op.allow_spinning", strconv.Itoa(0)),
		useDevice(options, o.Device),
	)
	if err != nil {
		return nil, err
	}
	s, err := ort.NewDynamicAdvancedSession(model, []string{g.Input}, []string{g.Output}, options)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", model, err)
	}
	return &session{s: s, graph: g}, nil
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
	size := maxBatch
	if s.graph.OneByOne {
		size = 1
	}
	for batch := range slices.Chunk(rows, size) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		flat := make([]T, 0, len(batch)*len(batch[0]))
		for _, row := range batch {
			flat = append(flat, row...)
		}
		y, err := forward(s, flat, append([]int64{int64(len(batch))}, shape...))
		if err != nil {
			return nil, err
		}
		vectors, err := y.vectors(&s.graph, len(batch))
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

// output is what a graph gave.
type output struct {
	shape  []int64
	values []float32
}

// forward runs the graph once.
func forward[T ort.TensorData](s *session, flat []T, shape []int64) (_ output, err error) {
	input, err := ort.NewTensor(shape, flat)
	if err != nil {
		return output{}, err
	}
	defer func() { err = errors.Join(err, input.Destroy()) }()
	s.running.RLock()
	defer s.running.RUnlock()
	if s.s == nil {
		return output{}, os.ErrClosed
	}
	values := []ort.Value{nil} // made by the run, which knows the shape
	if err := s.s.Run([]ort.Value{input}, values); err != nil {
		return output{}, err
	}
	defer func() { err = errors.Join(err, values[0].Destroy()) }()
	tensor, ok := values[0].(*ort.Tensor[float32])
	if !ok {
		return output{}, fmt.Errorf("output %q is a %T: want float32", s.graph.Output, values[0])
	}
	return output{tensor.GetShape().Clone(), slices.Clone(tensor.GetData())}, nil
}

// vectors returns the vectors [D] of n inputs.
func (y output) vectors(g *Graph, n int) ([][]float32, error) {
	if err := g.checkShape(y.shape); err != nil || y.shape[0] != int64(n) {
		return nil, cmp.Or(err, fmt.Errorf("output %q has shape %v for %d inputs", g.Output, y.shape, n))
	}
	dim := int(y.shape[len(y.shape)-1])
	each := len(y.values) / n
	all := make([][]float32, n)
	for i := range all {
		tokens := y.values[i*each : (i+1)*each]
		if g.Pool == poolMean {
			all[i] = meanToken(tokens, dim)
		} else {
			all[i] = slices.Clone(tokens[:dim])
		}
	}
	return all, nil
}

// meanToken returns the mean of tokens of dim values each, summed in float64.
func meanToken(tokens []float32, dim int) []float32 {
	mean := make([]float32, dim)
	for k := range mean {
		sum := 0.0
		for i := k; i < len(tokens); i += dim {
			sum += float64(tokens[i])
		}
		mean[k] = float32(sum * float64(dim) / float64(len(tokens)))
	}
	return mean
}

// arrange puts images of [3·size·size] values, channel by channel, into the
// graph's layout.
func (g *Graph) arrange(images [][]float32, size int) [][]float32 {
	if g.Layout != layoutNHWC {
		return images
	}
	out := make([][]float32, len(images))
	for i, image := range images {
		out[i] = make([]float32, len(image))
		for p := range size * size {
			for channel := range 3 {
				out[i][3*p+channel] = image[channel*size*size+p]
			}
		}
	}
	return out
}
