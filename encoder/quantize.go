package encoder

import (
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"sync"

	"github.com/medprobe/medprobe/internal/onnxgraph"
)

// The precisions of an encoder: of all of it, or, for int8, of its linear layers.
const (
	precisionFP32 = "fp32"
	precisionFP16 = "fp16" // for GPUs: on a CPU it is slower than fp32
	precisionInt8 = "int8"
)

// Precisions lists the precisions, the default first.
func Precisions() []string { return []string{precisionFP32, precisionFP16, precisionInt8} }

// quantized is a matrix of activations in 8 bits: x = scale·(values − zero).
type quantized struct{ values, scale, zero string }

// quantizer builds linear layers on 8-bit integers: weights are rounded once,
// per output, activations at every run, per matrix (ONNX's
// DynamicQuantizeLinear). What is not a linear layer stays in float32.
type quantizer struct {
	*weights
	seen map[string]quantized // several layers may read the same activations
	// shares holds, for activations that were divided by them, the factors that
	// the weights of their readers take over, by input.
	shares map[string][]float32
}

func (q *quantizer) activations(x string) quantized {
	a, ok := q.seen[x]
	if !ok {
		parts := q.graph.Ops("", "DynamicQuantizeLinear", []string{x}, 3)
		a = quantized{parts[0], parts[1], parts[2]}
		q.seen[x] = a
	}
	return a
}

// linear is y = x·Wᵀ + b. The operators stand in the order that ONNX Runtime
// joins to one.
func (q *quantizer) linear(x, name string, in, out int) string {
	data := q.read(name+".weight", out, in)
	if shares := q.shares[x]; shares != nil {
		for i := range data {
			data[i] *= shares[i%in]
		}
	}
	return q.product(x, name+".weight", data, in, out, q.tensor(name+".bias", out))
}

// part is a linear layer of a third of the rows of a packed weight, [3·width,
// width].
func (q *quantizer) part(x, name, bias string, part, width int) string {
	data := q.read(name, 3*width, width)
	if data != nil {
		data = data[part*width*width : (part+1)*width*width]
	}
	return q.product(x, fmt.Sprintf("%s.%d.int8", name, part), data, width, width, bias)
}

func (q *quantizer) product(x, name string, data []float32, in, out int, bias string) string {
	a, g := q.activations(x), q.graph
	weight, scale := q.matrix(name, data, in, out)
	product := g.Op("Cast", []string{g.Op("MatMulInteger", []string{a.values, weight, a.zero})}, attr("to", int64(onnxgraph.Float)))
	product = g.Op("Mul", []string{product, g.Op("Mul", []string{a.scale, scale})})
	return g.Op("Add", []string{product, bias})
}

// matrix stores a weight [out, in] as integers, [in, out], with a scale per
// output.
func (q *quantizer) matrix(name string, data []float32, in, out int) (values, scale string) {
	if data == nil {
		return name, name
	}
	rounded, scales := quantizeRows(data, out, in)
	start := q.append(rounded)
	values = q.graph.External(name, onnxgraph.Int8, q.location, start, int64(len(rounded)), in, out)
	start = q.append(scales)
	return values, q.graph.External(name+".scale", onnxgraph.Float, q.location, start, int64(len(scales)), out)
}

// smoothed is a tensor of a normalisation, divided by shares.
type smoothed struct {
	name   string
	shares []float32
}

// spread is how many standard deviations of a normalised value are thought to
// come before its scale and bias.
const spread = 4

// smoothed returns scale and bias of a normalisation, each channel divided by a
// share that the weights of its readers take over, so that channels which are
// far larger than the others do not take all the steps of an activation:
// SmoothQuant (Xiao et al., arXiv 2211.10438, eq. 4, α = ½). How large a channel
// gets is read from its scale and bias; no images are needed.
func (q *quantizer) smoothed(name string, width, out int, readers []string) (scale, bias smoothed) {
	gamma, beta := q.read(name+".weight", width), q.read(name+".bias", width)
	largest := make([]float64, width) // weight by input
	for _, reader := range readers {
		for i, v := range q.read(reader+".weight", out, width) {
			largest[i%width] = max(largest[i%width], math.Abs(float64(v)))
		}
	}
	if q.err != nil {
		return scale, bias
	}
	shares := make([]float32, width)
	for i := range shares {
		activation := spread*math.Abs(float64(gamma[i])) + math.Abs(float64(beta[i]))
		shares[i] = 1
		if activation > 0 && largest[i] > 0 {
			shares[i] = float32(math.Sqrt(activation / largest[i]))
		}
		gamma[i] /= shares[i]
		beta[i] /= shares[i]
	}
	store := func(name string, values []float32) smoothed {
		data := floatBytes(values)
		start := q.append(data)
		return smoothed{q.graph.External(name, onnxgraph.Float, q.location, start, int64(4*len(values)), len(values)), shares}
	}
	return store(name+".weight", gamma), store(name+".bias", beta)
}

func floatBytes(values []float32) []byte {
	data := make([]byte, 0, 4*len(values))
	for _, v := range values {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	return data
}

// weightSteps is the largest integer of a weight. It is 7 bits and not 8: two
// products of an 8-bit activation and a 7-bit weight fit into 16 bits, so that
// processors without VNNI give the same vectors as those with it.
const weightSteps = 63

// quantizeRows rounds each of the n rows of a matrix to multiples of its own
// scale, and returns the integers transposed, [width, n], with the scales as
// little-endian float32. The scale is the one, of some shares of the row's
// largest value, with the least squared error.
func quantizeRows(data []float32, n, width int) (values, scales []byte) {
	values = make([]byte, len(data))
	steps := make([]float32, n)
	var workers sync.WaitGroup
	part := n/runtime.GOMAXPROCS(0) + 1
	for start := 0; start < n; start += part {
		workers.Go(func() {
			for r := start; r < min(start+part, n); r++ {
				row := data[r*width : (r+1)*width]
				scale := bestScale(row)
				for c, v := range row {
					values[c*n+r] = byte(int8(step(v, scale)))
				}
				steps[r] = scale
			}
		})
	}
	workers.Wait()
	return values, floatBytes(steps)
}

// step rounds v to a multiple of scale, within the steps there are.
func step(v, scale float32) float64 {
	return max(-weightSteps, min(weightSteps, math.RoundToEven(float64(v)/float64(scale))))
}

func bestScale(row []float32) float32 {
	largest := float32(0)
	for _, v := range row {
		largest = max(largest, float32(math.Abs(float64(v))))
	}
	if largest == 0 {
		return 1
	}
	best, least := largest/weightSteps, math.Inf(1)
	for share := float32(1); share > 0.7; share -= 0.05 {
		scale := largest * share / weightSteps
		loss := 0.0
		for _, v := range row {
			d := float64(v) - float64(scale)*step(v, scale)
			loss += d * d
		}
		if loss < least {
			best, least = scale, loss
		}
	}
	return best
}
