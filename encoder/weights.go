package encoder

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/medprobe/medprobe/internal/float16"
	"github.com/medprobe/medprobe/internal/onnxgraph"
)

// weights copies tensors of a checkpoint, as float32, into the file beside the
// graph and declares them there.
type weights struct {
	graph    *onnxgraph.Graph
	from     *checkpoint
	location string
	out      *bufio.Writer
	half     bool // float16
	offset   int64
	err      error // the first; building goes on without effect
}

// elem is the element type of the weights, and of what is computed from them.
func (w *weights) elem() int32 {
	if w.half {
		return onnxgraph.Float16
	}
	return onnxgraph.Float
}

func newWeights(g *onnxgraph.Graph, from *checkpoint, location string, out io.Writer) *weights {
	return &weights{graph: g, from: from, location: location, out: bufio.NewWriterSize(out, 1<<20)}
}

// tensor returns the name of the tensor in the graph.
func (w *weights) tensor(name string, shape ...int) string {
	start := w.copy(name, shape...)
	return w.graph.External(name, w.elem(), w.location, start, w.offset-start, shape...)
}

// rows returns the names of n tensors into which the rows of one are divided.
func (w *weights) rows(name string, n int, shape ...int) []string {
	start := w.copy(name, shape...)
	part := append([]int{shape[0] / n}, shape[1:]...)
	size := (w.offset - start) / int64(n)
	names := make([]string, n)
	for i := range names {
		names[i] = w.graph.External(fmt.Sprintf("%s.%d", name, i), w.elem(), w.location, start+int64(i)*size, size, part...)
	}
	return names
}

func (w *weights) copy(name string, shape ...int) (start int64) {
	start = w.offset
	if w.err != nil {
		return start
	}
	f, err := w.from.tensor(name, shape...)
	if err != nil {
		w.err = err
		return start
	}
	if w.half {
		values, err := f.Float32(name)
		if err == nil {
			err = w.writeHalves(values)
		}
		if w.err = err; err != nil {
			w.err = fmt.Errorf("%s: tensor %q: %w", f.Path(), name, err)
		}
		return start
	}
	size, err := f.CopyFloat32(w.out, name)
	w.err = err
	w.offset += size
	return start
}

// read returns the values of a tensor, or nil after an error.
func (w *weights) read(name string, shape ...int) []float32 {
	if w.err != nil {
		return nil
	}
	f, err := w.from.tensor(name, shape...)
	if err != nil {
		w.err = err
		return nil
	}
	values, err := f.Float32(name)
	w.err = err
	return values
}

// alignment of what is appended, so that every tensor begins where any
// processor can read it fast.
const alignment = 64

// append writes bytes and returns where they begin.
func (w *weights) append(data []byte) (start int64) {
	start = w.offset
	if w.err != nil {
		return start
	}
	padding := (alignment - len(data)%alignment) % alignment
	_, w.err = w.out.Write(append(data, make([]byte, padding)...))
	w.offset += int64(len(data) + padding)
	return start
}

func (w *weights) finish() error {
	if w.err != nil {
		return w.err
	}
	return w.out.Flush()
}

// writeHalves appends values as float16.
func (w *weights) writeHalves(values []float32) error {
	if err := float16.Check(values); err != nil {
		return fmt.Errorf("%w; import with --precision fp32", err)
	}
	var b [2]byte
	for _, v := range values {
		binary.LittleEndian.PutUint16(b[:], float16.From(v))
		if _, err := w.out.Write(b[:]); err != nil {
			return err
		}
	}
	w.offset += int64(2 * len(values))
	return nil
}
