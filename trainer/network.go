package trainer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/blas/blas64"
)

// Network is a multi-layer perceptron with rectified units: hidden layers, and a
// last one whose values are logits.
type Network struct {
	// Weights of a layer are units × inputs.
	Weights []blas32.General
	Biases  [][]float32
}

// hiddenUnits and dropout are those of the official notebook; so is the rest of
// how a network is trained: Adam with steps of 1e-4, batches of 32, 25 epochs and
// 1e-5 times the squares of the hidden weights.
var (
	hiddenUnits = []int{512, 256}
	dropout     = []float64{0.05, 0.1}
)

const (
	networkRate    = 1e-4
	networkEpsilon = 1e-7
	networkBatch   = 32
	networkEpochs  = 25
	networkDecay   = 1e-5
)

// fitNetwork trains one network for all classes: cross-entropy of a softmax for
// exclusive classes, the mean of the known labels' log-losses for findings.
//
// Source: Google's notebook for data-efficient classifiers on MedSigLIP, its MLP
// of 512 and 256 units. Weights start as Keras has them (Glorot's uniform). No
// part is held out, so that no epoch is chosen.
func fitNetwork(ctx context.Context, x blas32.General, y Targets, groups []string, o Options, h *Head) error {
	tasks, err := shotTasks(x, y, groups, o)
	if err != nil {
		return err
	}
	d, o := tasks[0].design, tasks[0].o
	random := newRandom(o.Seed, 6)
	net := newNetwork(random, d.dim, append(append([]int(nil), hiddenUnits...), len(y.Classes)))
	s := &schedule{random: random, dropout: dropout, epochs: networkEpochs, multiplier: d.multiplier}
	if err := s.train(ctx, net, d.fast, y); err != nil {
		return err
	}
	h.Networks = []*Network{net}
	for _, t := range tasks {
		t.fit = ClassFit{Class: t.name, Converged: true, Iterations: networkEpochs}
		t.fit.count(t.y)
		if t.name == "" {
			t.fit.Positives, t.fit.Negatives = len(t.y), 0
		}
		h.Fits = append(h.Fits, t.fit)
	}
	return nil
}

// newNetwork draws a network: weights uniform in ±√(6/(inputs+units)), biases 0.
func newNetwork(random *rand.Rand, inputs int, units []int) *Network {
	n := &Network{}
	for _, out := range units {
		w := blas32.General{Rows: out, Cols: inputs, Stride: inputs, Data: make([]float32, out*inputs)}
		limit := math.Sqrt(6 / float64(inputs+out))
		for i := range w.Data {
			w.Data[i] = float32(limit * (2*random.Float64() - 1))
		}
		n.Weights, n.Biases = append(n.Weights, w), append(n.Biases, make([]float32, out))
		inputs = out
	}
	return n
}

// forward returns what each layer gives for the rows of x: rectified, but for
// the last. mask, if not nil, changes what a hidden layer gives.
func (n *Network) forward(x blas32.General, by Multiplier, mask func(layer int, values []float32)) ([]blas32.General, error) {
	var layers []blas32.General
	for l, w := range n.Weights {
		z := blas32.General{Rows: x.Rows, Cols: w.Rows, Stride: w.Rows, Data: make([]float32, x.Rows*w.Rows)}
		if err := by.Multiply(blas.Trans, x, w, z); err != nil {
			return nil, err
		}
		for i := range z.Rows {
			row := z.Data[i*z.Stride : (i+1)*z.Stride]
			for k, b := range n.Biases[l] {
				row[k] += b
				if l < len(n.Weights)-1 {
					row[k] = max(0, row[k])
				}
			}
		}
		if mask != nil && l < len(n.Weights)-1 {
			mask(l, z.Data)
		}
		layers = append(layers, z)
		x = z
	}
	return layers, nil
}

// add adds the network's logits to columns of z, n×C, from the first on.
func (n *Network) add(x blas32.General, z blas64.General, first int) error {
	for from := 0; from < x.Rows; from += scoredRows {
		some := compact(blas32.General{Rows: min(scoredRows, x.Rows-from), Cols: x.Cols, Stride: x.Stride, Data: x.Data[from*x.Stride:]})
		layers, err := n.forward(some, gonum{}, nil)
		if err != nil {
			return err
		}
		last := layers[len(layers)-1]
		for i := range some.Rows {
			for k, v := range last.Data[i*last.Stride : (i+1)*last.Stride] {
				z.Data[(from+i)*z.Stride+first+k] += float64(v)
			}
		}
	}
	return nil
}

// outputs is how many logits the network gives.
func (n *Network) outputs() int { return n.Weights[len(n.Weights)-1].Rows }

// validate checks the shapes of a network for vectors of dim dimensions.
func (n *Network) validate(dim int) error {
	if len(n.Weights) == 0 || len(n.Biases) != len(n.Weights) {
		return fmt.Errorf("network of %d layers with %d biases: want at least one, and as many", len(n.Weights), len(n.Biases))
	}
	for l, w := range n.Weights {
		if w.Cols != dim || len(n.Biases[l]) != w.Rows || w.Rows < 1 {
			return fmt.Errorf("network: layer %d of %d×%d with %d biases: want %d inputs", l, w.Rows, w.Cols, len(n.Biases[l]), dim)
		}
		if err := errors.Join(finite(w), finite(blas32.General{Rows: 1, Cols: w.Rows, Stride: w.Rows, Data: n.Biases[l]})); err != nil {
			return fmt.Errorf("network: layer %d: %w", l, err)
		}
		dim = w.Rows
	}
	return nil
}

// schedule says how a network is trained.
type schedule struct {
	random     *rand.Rand // nil keeps the order of the rows
	dropout    []float64  // share of each hidden layer; nil for none
	epochs     int
	multiplier Multiplier
}

func (s *schedule) train(ctx context.Context, n *Network, x blas32.General, y Targets) error {
	size := 0
	for l, w := range n.Weights {
		size += len(w.Data) + len(n.Biases[l])
	}
	values, gradient := make([]float64, 0, size), make([]float64, size)
	for l, w := range n.Weights {
		for _, v := range append(append([]float32(nil), w.Data...), n.Biases[l]...) {
			values = append(values, float64(v))
		}
	}
	optimizer, order := newAdam(networkRate, networkEpsilon, 0, size), upTo(x.Rows)
	for range s.epochs {
		if s.random != nil {
			s.random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		}
		for from := 0; from < len(order); from += networkBatch {
			if err := ctx.Err(); err != nil {
				return err
			}
			batch := order[from:min(len(order), from+networkBatch)]
			if err := s.gradient(n, x, y, batch, gradient); err != nil {
				return err
			}
			optimizer.step(values, gradient, 1)
			n.set(values)
		}
	}
	return nil
}

// set puts parameters, layer by layer, weights before biases, into the network.
func (n *Network) set(values []float64) {
	for l, w := range n.Weights {
		for i := range w.Data {
			w.Data[i] = float32(values[i])
		}
		values = values[len(w.Data):]
		for k := range n.Biases[l] {
			n.Biases[l][k] = float32(values[k])
		}
		values = values[len(n.Biases[l]):]
	}
}

// gradient sets the gradient of a batch's loss by the parameters.
func (s *schedule) gradient(n *Network, x blas32.General, y Targets, batch []int, gradient []float64) error {
	in := blas32.General{Rows: len(batch), Cols: x.Cols, Stride: x.Cols, Data: make([]float32, 0, len(batch)*x.Cols)}
	for _, i := range batch {
		in.Data = append(in.Data, x.Data[i*x.Stride:i*x.Stride+x.Cols]...)
	}
	var masks [][]float32
	layers, err := n.forward(in, s.multiplier, func(l int, values []float32) {
		mask := make([]float32, len(values))
		for i := range values {
			switch {
			case s.dropout == nil:
				mask[i] = 1
			case s.random.Float64() >= s.dropout[l]:
				mask[i] = float32(1 / (1 - s.dropout[l]))
			}
			values[i] *= mask[i]
		}
		masks = append(masks, mask)
	})
	if err != nil {
		return err
	}
	back := layers[len(layers)-1]
	lossGradient(back, y, batch)
	end := len(gradient)
	for l := len(n.Weights) - 1; l >= 0; l-- {
		w, from := n.Weights[l], in
		if l > 0 {
			from = layers[l-1]
		}
		g := gradient[end-len(w.Data)-w.Rows : end]
		end -= len(g)
		if err := layerGradient(w, back, from, l < len(n.Weights)-1, g, s.multiplier); err != nil {
			return err
		}
		if l == 0 {
			break
		}
		next := blas32.General{Rows: back.Rows, Cols: w.Cols, Stride: w.Cols, Data: make([]float32, back.Rows*w.Cols)}
		if err := s.multiplier.Multiply(blas.NoTrans, back, w, next); err != nil {
			return err
		}
		for i, v := range layers[l-1].Data {
			if v <= 0 {
				next.Data[i] = 0
			}
			next.Data[i] *= masks[l-1][i]
		}
		back = next
	}
	return nil
}

// layerGradient sets g to the gradient by a layer's weights and biases: back is
// that by what it gives, from is what it was given.
func layerGradient(w, back, from blas32.General, decay bool, g []float64, by Multiplier) error {
	turned := blas32.General{Rows: back.Cols, Cols: back.Rows, Stride: back.Rows, Data: make([]float32, len(back.Data))}
	for k := range back.Cols {
		sum := 0.0
		for i := range back.Rows {
			v := back.Data[i*back.Stride+k]
			turned.Data[k*turned.Stride+i] = v
			sum += float64(v)
		}
		g[len(w.Data)+k] = sum
	}
	out := blas32.General{Rows: w.Rows, Cols: w.Cols, Stride: w.Cols, Data: make([]float32, len(w.Data))}
	if err := by.Multiply(blas.NoTrans, turned, from, out); err != nil {
		return err
	}
	for i, v := range out.Data {
		if g[i] = float64(v); decay {
			g[i] += 2 * networkDecay * float64(w.Data[i])
		}
	}
	return nil
}

// lossGradient turns the logits of a batch into the gradient of its mean loss.
func lossGradient(z blas32.General, y Targets, batch []int) {
	known := 0
	row := make([]float64, z.Cols)
	for i, r := range batch {
		out := z.Data[i*z.Stride : (i+1)*z.Stride]
		for k, v := range out {
			row[k] = float64(v)
		}
		if y.Exclusive {
			softmax(row)
			known++
		}
		for k, label := range y.Values[r] {
			p := row[k]
			if !y.Exclusive {
				p = sigmoid(p)
			}
			switch {
			case label == Unknown:
				out[k] = 0
				continue
			case !y.Exclusive:
				known++
			}
			out[k] = float32(p - float64(label))
		}
	}
	for i := range z.Data {
		z.Data[i] /= float32(max(1, known))
	}
}
