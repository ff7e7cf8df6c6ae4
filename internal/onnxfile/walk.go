package onnxfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
)

const (
	// maxDepth bounds graphs within attributes of nodes of graphs.
	maxDepth = 16
	// maxParts bounds nodes and tensors, and so what is remembered of them.
	maxParts = 1 << 20
	maxDims  = 32
	// maxElem is the last element type there is, with some to come.
	maxElem = 32
)

// domains are those of the operators that ONNX Runtime brings.
var domains = []string{"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}

// bits are the widths of the element types; strings have none.
var bits = map[int]int64{1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128, 16: 16, 17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4}

// walk is the way through one model.
type walk struct {
	*wire
	end   int64
	parts int

	graphs          int // at the top
	inputs, outputs []Value
	weights         map[string]bool
	scalars         map[string]float64
	external        []external
	functions       map[string]bool   // domains that the model defines itself
	foreign         map[string]string // first node of each other domain
}

func newWalk(r io.Reader, size int64) *walk {
	return &walk{wire: newWire(r), end: size, weights: map[string]bool{}, scalars: map[string]float64{}, functions: map[string]bool{}, foreign: map[string]string{}}
}

// count counts a node or a tensor.
func (w *walk) count() error {
	if w.parts++; w.parts > maxParts {
		return fmt.Errorf("more than %d nodes and tensors", maxParts)
	}
	return nil
}

// sub visits the fields of the message in a field.
func (w *walk) sub(kind int, end int64, visit func(field uint64, kind int, end int64) error) error {
	stop, err := w.length(kind, end)
	if err != nil {
		return err
	}
	return w.each(stop, func(field uint64, kind int) error { return visit(field, kind, stop) })
}

func (w *walk) model() error {
	return w.each(w.end, func(field uint64, kind int) error {
		switch field {
		case 7:
			w.graphs++
			return w.graph(kind, w.end, 0)
		case 25:
			return w.function(kind, w.end)
		}
		return w.skip(kind, w.end)
	})
}

// finish checks what can only be known at the end.
func (w *walk) finish() (*Model, error) {
	if w.graphs != 1 {
		return nil, fmt.Errorf("%d graphs: want one; this is no ONNX model", w.graphs)
	}
	for domain, node := range w.foreign {
		if !w.functions[domain] {
			return nil, fmt.Errorf("node %q is of the operators %q, which ONNX Runtime does not have; export the model without them", node, domain)
		}
	}
	m := &Model{Outputs: w.outputs, Scalars: w.scalars}
	for _, v := range w.inputs {
		if !w.weights[v.Name] { // before version 4, weights are inputs too
			m.Inputs = append(m.Inputs, v)
		}
	}
	if len(m.Inputs) == 0 || len(m.Outputs) == 0 {
		return nil, fmt.Errorf("%d inputs and %d outputs: want at least one of each", len(m.Inputs), len(m.Outputs))
	}
	for _, v := range slices.Concat(m.Inputs, m.Outputs) {
		if v.Elem < 1 || v.Elem > maxElem {
			return nil, fmt.Errorf("input or output %q has element type %d: want one of ONNX's", v.Name, v.Elem)
		}
	}
	return m, nil
}

func (w *walk) function(kind int, end int64) error {
	return w.sub(kind, end, func(field uint64, kind int, end int64) error {
		switch field {
		case 7:
			return w.node(kind, end, 1)
		case 10:
			domain, err := w.text(kind, end)
			w.functions[domain] = true
			return err
		}
		return w.skip(kind, end)
	})
}

func (w *walk) graph(kind int, end int64, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("graphs within graphs, more than %d deep", maxDepth)
	}
	return w.sub(kind, end, func(field uint64, kind int, end int64) error {
		switch field {
		case 1:
			return w.node(kind, end, depth)
		case 5:
			t, err := w.tensor(kind, end)
			if depth == 0 {
				w.remember(t)
			}
			return err
		case 15:
			return w.sparse(kind, end)
		case 11, 12, 13:
			v, err := w.value(kind, end)
			if depth == 0 && field == 11 {
				w.inputs = append(w.inputs, v)
			} else if depth == 0 && field == 12 {
				w.outputs = append(w.outputs, v)
			}
			return errors.Join(err, w.count())
		}
		return w.skip(kind, end)
	})
}

func (w *walk) remember(t tensor) {
	w.weights[t.name] = true
	if t.elem == Float && t.elements() == 1 && t.first != nil {
		w.scalars[t.name] = float64(*t.first)
	}
}

func (w *walk) node(kind int, end int64, depth int) error {
	if err := w.count(); err != nil {
		return err
	}
	var name, operator, domain string
	err := w.sub(kind, end, func(field uint64, kind int, end int64) (err error) {
		switch field {
		case 3:
			name, err = w.text(kind, end)
		case 4:
			operator, err = w.text(kind, end)
		case 5:
			err = w.attribute(kind, end, depth)
		case 7:
			domain, err = w.text(kind, end)
		default:
			err = w.skip(kind, end)
		}
		return err
	})
	if name == "" {
		name = operator
	}
	if err != nil {
		return fmt.Errorf("node %q: %w", name, err)
	}
	if _, seen := w.foreign[domain]; !seen && !slices.Contains(domains, domain) {
		w.foreign[domain] = name
	}
	return nil
}

func (w *walk) attribute(kind int, end int64, depth int) error {
	return w.sub(kind, end, func(field uint64, kind int, end int64) error {
		switch field {
		case 5, 10:
			_, err := w.tensor(kind, end)
			return err
		case 6, 11:
			return w.graph(kind, end, depth+1)
		case 22, 23:
			return w.sparse(kind, end)
		}
		return w.skip(kind, end)
	})
}

func (w *walk) sparse(kind int, end int64) error {
	return w.sub(kind, end, func(field uint64, kind int, end int64) error {
		if field == 1 || field == 2 {
			_, err := w.tensor(kind, end)
			return err
		}
		return w.skip(kind, end)
	})
}

// tensor is a TensorProto without its values.
type tensor struct {
	name     string
	elem     int
	dims     []int64
	raw      int64 // bytes of raw_data, -1 for none
	outside  bool
	external external
	first    *float32 // the value of a tensor of one float
}

// elements returns how many values the shape holds, or -1 where that cannot be.
func (t *tensor) elements() int64 {
	n := int64(1)
	for _, d := range t.dims {
		if d < 0 || d > 0 && n > math.MaxInt64/256/d {
			return -1
		}
		n *= d
	}
	return n
}

// bytes returns what the values take, or -1 for a type without a width.
func (t *tensor) bytes() int64 {
	width, ok := bits[t.elem]
	if !ok {
		return -1
	}
	n := t.elements()
	return n/8*width + (n%8*width+7)/8
}

func (w *walk) tensor(kind int, end int64) (tensor, error) {
	t := tensor{raw: -1}
	if err := w.count(); err != nil {
		return t, err
	}
	err := w.sub(kind, end, func(field uint64, kind int, end int64) error { return w.tensorField(&t, field, kind, end) })
	if err == nil {
		err = t.check()
	}
	if err != nil {
		return t, fmt.Errorf("tensor %q: %w", t.name, err)
	}
	if t.outside {
		t.external.tensor, t.external.need = t.name, t.bytes()
		w.external = append(w.external, t.external)
	}
	return t, nil
}

func (w *walk) tensorField(t *tensor, field uint64, kind int, end int64) (err error) {
	switch field {
	case 1:
		t.dims, err = w.numbers(t.dims, maxDims, kind, end)
	case 2:
		var v uint64
		v, err = w.number(kind)
		t.elem = int(min(v, math.MaxInt32))
	case 4:
		err = w.floats(t, kind, end)
	case 8:
		t.name, err = w.text(kind, end)
	case 9:
		err = w.raw(t, kind, end)
	case 13:
		t.outside = true
		err = w.entry(&t.external, kind, end)
	case 14:
		var v uint64
		v, err = w.number(kind)
		t.outside = t.outside || v == 1
	default:
		err = w.skip(kind, end)
	}
	return err
}

func (t *tensor) check() error {
	switch {
	case t.elem < 1 || t.elem > maxElem:
		return fmt.Errorf("element type %d: want one of ONNX's", t.elem)
	case t.elements() < 0:
		return fmt.Errorf("shape %v is out of range", t.dims)
	case t.raw >= 0 && !t.outside && t.bytes() >= 0 && t.raw != t.bytes():
		return fmt.Errorf("%d bytes of values: its type and shape %v take %d", t.raw, t.dims, t.bytes())
	case t.outside && t.external.location == "":
		return errors.New("its values lie outside, but it does not say in which file")
	}
	return nil
}

// four reads a float32.
func (w *walk) four() (*float32, error) {
	var b [4]byte
	if _, err := io.ReadFull(w.r, b[:]); err != nil {
		return nil, errCut
	}
	w.at += 4
	v := math.Float32frombits(binary.LittleEndian.Uint32(b[:]))
	return &v, nil
}

// floats passes over float_data; of a single value it keeps that.
func (w *walk) floats(t *tensor, kind int, end int64) (err error) {
	if kind == wireFixed32 {
		t.first, err = w.four()
		return err
	}
	stop, err := w.length(kind, end)
	if err == nil && stop-w.at == 4 {
		t.first, err = w.four()
	}
	return errors.Join(err, w.pass(stop-w.at))
}

// raw passes over raw_data; of four bytes it keeps the float they would be.
func (w *walk) raw(t *tensor, kind int, end int64) error {
	stop, err := w.length(kind, end)
	if err != nil {
		return err
	}
	if t.raw = stop - w.at; t.raw == 4 {
		t.first, err = w.four()
		return err
	}
	return w.pass(t.raw)
}

// entry reads one key and value of external_data.
func (w *walk) entry(e *external, kind int, end int64) error {
	var key, value string
	err := w.sub(kind, end, func(field uint64, kind int, end int64) (err error) {
		switch field {
		case 1:
			key, err = w.text(kind, end)
		case 2:
			value, err = w.text(kind, end)
		default:
			err = w.skip(kind, end)
		}
		return err
	})
	if err != nil {
		return err
	}
	into := map[string]*int64{"offset": &e.offset, "length": &e.length}[key]
	switch {
	case key == "location":
		e.location = value
	case into != nil:
		if *into, err = strconv.ParseInt(value, 10, 64); err != nil || *into < 0 {
			return fmt.Errorf("external data: %s %q: want a number of bytes", key, value)
		}
	}
	return nil
}

// value reads a ValueInfoProto; what is no tensor keeps element type 0.
func (w *walk) value(kind int, end int64) (v Value, err error) {
	err = w.sub(kind, end, func(field uint64, kind int, end int64) (err error) {
		switch field {
		case 1:
			v.Name, err = w.text(kind, end)
		case 2:
			err = w.sub(kind, end, func(field uint64, kind int, end int64) error {
				if field == 1 {
					return w.tensorType(&v, kind, end)
				}
				return w.skip(kind, end)
			})
		default:
			err = w.skip(kind, end)
		}
		return err
	})
	return v, err
}

func (w *walk) tensorType(v *Value, kind int, end int64) error {
	return w.sub(kind, end, func(field uint64, kind int, end int64) error {
		switch field {
		case 1:
			elem, err := w.number(kind)
			v.Elem = int(min(elem, math.MaxInt32))
			return err
		case 2:
			v.Dims = []int64{}
			return w.sub(kind, end, func(field uint64, kind int, end int64) error {
				if field != 1 {
					return w.skip(kind, end)
				}
				d, err := w.dim(kind, end)
				if v.Dims = append(v.Dims, d); len(v.Dims) > maxDims {
					return fmt.Errorf("%q has more than %d dimensions", v.Name, maxDims)
				}
				return err
			})
		}
		return w.skip(kind, end)
	})
}

func (w *walk) dim(kind int, end int64) (int64, error) {
	size := int64(-1)
	err := w.sub(kind, end, func(field uint64, kind int, end int64) error {
		if field != 1 {
			return w.skip(kind, end)
		}
		v, err := w.number(kind)
		if size = int64(v); size <= 0 {
			size = -1 // some exporters write 0 for a size that is open
		}
		return err
	})
	return size, err
}
