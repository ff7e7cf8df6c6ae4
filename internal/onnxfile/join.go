package onnxfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// Operators of the small models mean the same from this opset on.
const leastOpset = 13

// The fields of ModelProto and GraphProto that a joint model is made of.
const (
	modelIR, modelProducer, modelGraph, modelOpset, modelMetadata, modelFunction = 1, 2, 7, 8, 14, 25
	graphNode, graphName, graphWeight, graphInput, graphOutput                   = 1, 2, 5, 11, 12
)

// Join writes one model: before, the model in the file at path, and those in after,
// one behind the other. Each takes what the one before it gives, its only output,
// under its own name for it: the names of before's and path's must be the same, the
// models in after are adapted. Inputs are those of before, outputs and metadata
// those of the last. before and after are of package onnxgraph, with prefixes of
// their own and without weights outside; the file's own weights are copied without
// holding them, and its weights outside stay in the files that it names.
func Join(w io.Writer, before []byte, path string, after ...[]byte) error {
	if err := join(w, before, path, after); err != nil {
		return fmt.Errorf("join onnx model %s: %w", path, err)
	}
	return nil
}

func join(out io.Writer, before []byte, path string, after [][]byte) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	tower, err := readOutline(f)
	if err != nil {
		return err
	}
	first, err := readSmall(before)
	if err != nil {
		return err
	}
	var last []*small
	gives := tower.outputs
	for _, model := range after {
		s, err := readSmall(model)
		if err != nil {
			return err
		}
		if len(s.inputs) != 1 || len(gives) == 0 {
			return fmt.Errorf("%d inputs after %d outputs: want one of each", len(s.inputs), len(gives))
		}
		if len(last) > 0 { // the first takes the file's output by its name
			s.rename(s.inputs[0].name, gives[0])
		} else if !slices.Contains(gives, s.inputs[0].name) {
			return fmt.Errorf("no output %q: it has %q", s.inputs[0].name, gives)
		}
		last, gives = append(last, s), s.names(s.outputs)
	}
	if err := tower.accepts(first, last); err != nil {
		return err
	}
	return tower.write(out, f, first, last)
}

// span is a stretch of a file.
type span struct{ from, to int64 }

// outline is where the parts of a model lie in its file.
type outline struct {
	ir      uint64
	opset   uint64
	model   []span // opsets and functions
	graph   []span // what is kept of the graph
	inputs  map[string]span
	outputs []string
	weights map[string]bool
	made    map[string]bool // what nodes give
}

func readOutline(f *os.File) (*outline, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	o := &outline{inputs: map[string]span{}, weights: map[string]bool{}, made: map[string]bool{}}
	w := newWalk(f, info.Size())
	if err := o.read(w); err != nil {
		return nil, err
	}
	for name, at := range o.inputs {
		if o.weights[name] { // before version 4, weights are inputs too
			o.graph = append(o.graph, at)
			delete(o.inputs, name)
		}
	}
	slices.SortFunc(o.graph, func(a, b span) int { return int(a.from - b.from) })
	if o.opset < leastOpset {
		return nil, fmt.Errorf("operators of opset %d: want %d or newer; convert it with onnx.version_converter", o.opset, leastOpset)
	}
	return o, nil
}

func (o *outline) read(w *walk) error {
	graphs := 0
	err := w.each(w.end, func(field uint64, kind int) (err error) {
		from := w.from
		switch field {
		case modelIR:
			o.ir, err = w.number(kind)
		case modelGraph:
			graphs++
			err = o.readGraph(w, kind)
		case modelOpset:
			err = o.readOpset(w, kind)
			o.model = append(o.model, span{from, w.at})
		default:
			err = w.skip(kind, w.end)
			if field == modelFunction {
				o.model = append(o.model, span{from, w.at})
			}
		}
		return err
	})
	if err == nil && graphs != 1 {
		err = fmt.Errorf("%d graphs: want one", graphs)
	}
	return err
}

func (o *outline) readOpset(w *walk, kind int) error {
	domain, version := "", uint64(0)
	err := w.sub(kind, w.end, func(field uint64, kind int, end int64) (err error) {
		switch field {
		case 1:
			domain, err = w.text(kind, end)
		case 2:
			version, err = w.number(kind)
		default:
			err = w.skip(kind, end)
		}
		return err
	})
	if domain == "" || domain == "ai.onnx" {
		o.opset = version
	}
	return err
}

func (o *outline) readGraph(w *walk, kind int) error {
	return w.sub(kind, w.end, func(field uint64, kind int, end int64) (err error) {
		from := w.from
		switch field {
		case graphName:
			return w.skip(kind, end)
		case graphInput, graphOutput:
			v, err := w.value(kind, end)
			if field == graphOutput {
				o.outputs = append(o.outputs, v.Name)
			} else {
				o.inputs[v.Name] = span{from, w.at}
			}
			return errors.Join(err, w.count())
		case graphWeight:
			t, failed := w.tensor(kind, end)
			o.weights[t.name], err = true, failed
		case graphNode:
			err = o.readNode(w, kind, end)
		default:
			err = w.skip(kind, end)
		}
		o.graph = append(o.graph, span{from, w.at})
		return err
	})
}

func (o *outline) readNode(w *walk, kind int, end int64) error {
	return errors.Join(w.count(), w.sub(kind, end, func(field uint64, kind int, end int64) error {
		if field != 2 {
			return w.skip(kind, end)
		}
		name, err := w.text(kind, end)
		o.made[name] = true
		return err
	}))
}

// accepts checks that names of the file's and of the small models do not meet where
// they should not.
func (o *outline) accepts(first *small, last []*small) error {
	if len(o.inputs) != 1 || len(first.outputs)+len(first.inputs) == 0 {
		return fmt.Errorf("%d inputs: want one", len(o.inputs))
	}
	for name := range o.inputs {
		if !slices.Contains(append(first.names(first.outputs), first.names(first.inputs)...), name) {
			return fmt.Errorf("input %q, and the pixels are called %q", name, first.names(first.outputs))
		}
	}
	for _, s := range append([]*small{first}, last...) {
		for _, name := range s.made {
			_, input := o.inputs[name]
			if o.made[name] || o.weights[name] || input && s != first {
				return fmt.Errorf("it has a tensor %q, as what is joined to it: rename it", name)
			}
		}
	}
	for _, in := range first.inputs {
		if o.made[in.name] || o.weights[in.name] {
			return fmt.Errorf("it has a tensor %q, as the pixels are called: rename it", in.name)
		}
	}
	return nil
}

// write puts the parts together.
func (o *outline) write(out io.Writer, f *os.File, first *small, last []*small) error {
	head, tail := first.graph(), []byte(nil)
	for _, in := range first.inputs {
		head = appendField(head, graphInput, in.raw)
	}
	head = protowire.AppendString(protowire.AppendTag(head, graphName, protowire.BytesType), "medprobe-end-to-end")
	for _, s := range last {
		tail = append(tail, s.graph()...)
	}
	end := last[len(last)-1]
	for _, v := range end.outputs {
		tail = appendField(tail, graphOutput, v.raw)
	}
	size := int64(len(head) + len(tail))
	for _, s := range o.graph {
		size += s.to - s.from
	}
	if size > maxModel-1<<20 {
		return fmt.Errorf("%d bytes together: want less than 2 GiB, with the weights in a file beside the model", size)
	}
	w := bufio.NewWriterSize(out, 1<<20)
	var b []byte
	b = protowire.AppendVarint(protowire.AppendTag(b, modelIR, protowire.VarintType), max(o.ir, 8))
	b = appendField(b, modelProducer, []byte("medprobe"))
	b = protowire.AppendVarint(protowire.AppendTag(b, modelGraph, protowire.BytesType), uint64(size))
	w.Write(append(b, head...)) // what goes wrong, Flush returns
	if err := copySpans(w, f, o.graph); err != nil {
		return err
	}
	w.Write(tail)
	if err := copySpans(w, f, o.model); err != nil {
		return err
	}
	for _, raw := range end.metadata {
		w.Write(appendField(nil, modelMetadata, raw))
	}
	return w.Flush()
}

func copySpans(w io.Writer, f io.ReaderAt, spans []span) error {
	for _, s := range spans {
		if _, err := io.Copy(w, io.NewSectionReader(f, s.from, s.to-s.from)); err != nil {
			return err
		}
	}
	return nil
}

// small is a model in memory.
type small struct {
	inputs, outputs []declared
	nodes, weights  [][]byte
	metadata        [][]byte
	made            []string // names of weights and of what nodes give
}

// declared is an input or output.
type declared struct {
	name string
	raw  []byte
}

func (s *small) names(values []declared) (list []string) {
	for _, v := range values {
		list = append(list, v.name)
	}
	return list
}

// readSmall reads a model that package onnxgraph wrote.
func readSmall(model []byte) (*small, error) {
	s := &small{}
	err := fields(model, func(field protowire.Number, raw []byte) error {
		switch field {
		case modelMetadata:
			s.metadata = append(s.metadata, raw)
		case modelGraph:
			return fields(raw, s.part)
		}
		return nil
	})
	return s, err
}

func (s *small) part(field protowire.Number, raw []byte) error {
	switch field {
	case graphNode:
		s.nodes = append(s.nodes, raw)
		return fields(raw, func(field protowire.Number, name []byte) error {
			if field == 2 {
				s.made = append(s.made, string(name))
			}
			return nil
		})
	case graphWeight:
		s.weights = append(s.weights, raw)
		s.made = append(s.made, first(raw, 8))
	case graphInput:
		s.inputs = append(s.inputs, declared{first(raw, 1), raw})
	case graphOutput:
		s.outputs = append(s.outputs, declared{first(raw, 1), raw})
	}
	return nil
}

// rename lets the nodes take an input by another name.
func (s *small) rename(from, to string) {
	for i, node := range s.nodes {
		var b []byte
		// Nodes were read once already.
		_ = eachField(node, func(field protowire.Number, kind protowire.Type, whole, raw []byte) error {
			if field == 1 && string(raw) == from {
				whole = appendField(nil, 1, []byte(to))
			}
			b = append(b, whole...)
			return nil
		})
		s.nodes[i] = b
	}
}

// graph returns the nodes and weights as fields of a graph.
func (s *small) graph() []byte {
	var b []byte
	for _, node := range s.nodes {
		b = appendField(b, graphNode, node)
	}
	for _, weight := range s.weights {
		b = appendField(b, graphWeight, weight)
	}
	return b
}

func appendField(b []byte, field protowire.Number, raw []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), raw)
}

// first returns the text in the first field of a number.
func first(message []byte, number protowire.Number) (text string) {
	found := false
	_ = fields(message, func(field protowire.Number, raw []byte) error {
		if field == number && !found {
			text, found = string(raw), true
		}
		return nil
	})
	return text
}

// fields visits the fields of a message that hold bytes.
func fields(message []byte, visit func(field protowire.Number, raw []byte) error) error {
	return eachField(message, func(field protowire.Number, kind protowire.Type, _, raw []byte) error {
		if kind != protowire.BytesType {
			return nil
		}
		return visit(field, raw)
	})
}

// eachField visits every field: whole with its tag, and the bytes it holds, if any.
func eachField(message []byte, visit func(field protowire.Number, kind protowire.Type, whole, raw []byte) error) error {
	for len(message) > 0 {
		field, kind, tag := protowire.ConsumeTag(message)
		if tag < 0 {
			return protowire.ParseError(tag)
		}
		n := protowire.ConsumeFieldValue(field, kind, message[tag:])
		if n < 0 {
			return protowire.ParseError(n)
		}
		var raw []byte
		if kind == protowire.BytesType {
			raw, _ = protowire.ConsumeBytes(message[tag:])
		}
		if err := visit(field, kind, message[:tag+n], raw); err != nil {
			return err
		}
		message = message[tag+n:]
	}
	return nil
}
