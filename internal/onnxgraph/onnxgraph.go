// Package onnxgraph writes ONNX models: it builds the ModelProto of onnx.proto3
// (ONNX 1.12, IR version 8) field by field with protowire, so that no generated
// code is needed. Large weights stay in a file beside the model and are named
// by offset and length.
package onnxgraph

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// Element types of onnx.TensorProto.DataType.
const (
	Float   = 1
	Int8    = 3
	Int64   = 7
	String  = 8
	Float16 = 10
	Double  = 11
)

// Contrib is the domain of ONNX Runtime's own operators.
const Contrib = "com.microsoft"

const (
	irVersion = 8
	opset     = 17
)

// Graph is a model under construction. Nodes are in the order in which they
// run; Op adds one and returns the name of its output.
type Graph struct {
	// Prefix begins the names of all that the graph computes and holds, but for
	// inputs, outputs and what is named by the caller: graphs of different prefixes
	// can be put one behind the other.
	Prefix string

	name         string
	nodes        [][]byte
	initializers [][]byte
	inputs       [][]byte
	outputs      [][]byte
	metadata     [][2]string
	contrib      bool
	count        int
	constants    map[string]string
}

// New returns an empty graph.
func New(name string) *Graph { return &Graph{name: name, constants: map[string]string{}} }

// Dim is one dimension of an input or output: its size, or the name of a size
// that is chosen when the model runs.
type Dim struct {
	Size int64
	Name string
}

// Input declares an input of the model and returns its name.
func (g *Graph) Input(name string, elem int32, dims ...Dim) string {
	g.inputs = append(g.inputs, valueInfo(name, elem, dims))
	return name
}

// Output declares an output of the model. value is the name of what it shows.
func (g *Graph) Output(name, value string, elem int32, dims ...Dim) {
	g.node("", "Identity", []string{value}, []string{name}, nil)
	g.outputs = append(g.outputs, valueInfo(name, elem, dims))
}

// Meta adds an entry to the model's metadata.
func (g *Graph) Meta(key, value string) { g.metadata = append(g.metadata, [2]string{key, value}) }

// External names a weight that lies in a file beside the model.
func (g *Graph) External(name string, elem int32, location string, offset, size int64, shape ...int) string {
	t := tensorHead(name, elem, shape)
	for _, kv := range [][2]string{{"location", location}, {"offset", strconv.FormatInt(offset, 10)}, {"length", strconv.FormatInt(size, 10)}} {
		var entry []byte
		entry = text(entry, 1, kv[0])
		entry = text(entry, 2, kv[1])
		t = message(t, 13, entry)
	}
	t = protowire.AppendTag(t, 14, protowire.VarintType) // data_location = EXTERNAL
	t = protowire.AppendVarint(t, 1)
	g.initializers = append(g.initializers, t)
	return name
}

// Tensor adds a weight by its bytes, little-endian, and returns its name.
func (g *Graph) Tensor(name string, elem int32, shape []int, raw []byte) string {
	t := tensorHead(name, elem, shape)
	t = protowire.AppendTag(t, 9, protowire.BytesType) // raw_data
	g.initializers = append(g.initializers, protowire.AppendBytes(t, raw))
	return name
}

// Ints returns the name of a constant tensor of int64; a scalar for shape nil.
func (g *Graph) Ints(shape []int, values ...int64) string {
	var raw []byte
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(v))
	}
	return g.constant(Int64, shape, raw)
}

// Floats returns the name of a constant tensor of float32; a scalar for shape
// nil.
func (g *Graph) Floats(shape []int, values ...float32) string {
	var raw []byte
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return g.constant(Float, shape, raw)
}

// Doubles returns the name of a constant tensor of float64; a scalar for shape
// nil.
func (g *Graph) Doubles(shape []int, values ...float64) string {
	var raw []byte
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(v))
	}
	return g.constant(Double, shape, raw)
}

// Strings adds a constant tensor of texts and returns its name.
func (g *Graph) Strings(shape []int, values ...string) string {
	name := fmt.Sprintf("%sstrings_%d", g.Prefix, len(g.initializers))
	t := tensorHead(name, String, shape)
	for _, v := range values {
		t = text(t, 6, v) // string_data
	}
	g.initializers = append(g.initializers, t)
	return name
}

func (g *Graph) constant(elem int32, shape []int, raw []byte) string {
	key := fmt.Sprintf("%d %v %x", elem, shape, raw)
	if name, ok := g.constants[key]; ok {
		return name
	}
	name := fmt.Sprintf("%sconst_%d", g.Prefix, len(g.constants))
	g.constants[key] = name
	return g.Tensor(name, elem, shape, raw)
}

// Attr is an attribute of a node: an int64, a float32, a string or []int64.
type Attr struct {
	Name  string
	Value any
}

// Op adds a node with one output and returns the output's name.
func (g *Graph) Op(kind string, inputs []string, attrs ...Attr) string {
	return g.Ops("", kind, inputs, 1, attrs...)[0]
}

// Ops adds a node of a domain ("" is ONNX's own, or [Contrib]) with n outputs and
// returns their names.
func (g *Graph) Ops(domain, kind string, inputs []string, n int, attrs ...Attr) []string {
	g.count++
	g.contrib = g.contrib || domain == Contrib
	outputs := make([]string, n)
	for i := range outputs {
		outputs[i] = fmt.Sprintf("%s%s_%d", g.Prefix, kind, g.count)
		if n > 1 {
			outputs[i] += "_" + strconv.Itoa(i)
		}
	}
	g.node(domain, kind, inputs, outputs, attrs)
	return outputs
}

// Split adds a node that cuts the input into as many parts as sizes along the
// axis and returns their names.
func (g *Graph) Split(input string, axis int64, sizes ...int64) []string {
	return g.Ops("", "Split", []string{input, g.Ints([]int{len(sizes)}, sizes...)}, len(sizes), Attr{"axis", axis})
}

func (g *Graph) node(domain, kind string, inputs, outputs []string, attrs []Attr) {
	var n []byte
	for _, in := range inputs {
		n = text(n, 1, in)
	}
	for _, out := range outputs {
		n = text(n, 2, out)
	}
	n = text(n, 3, "n_"+outputs[0])
	n = text(n, 4, kind)
	for _, a := range attrs {
		n = message(n, 5, attribute(a))
	}
	if domain != "" {
		n = text(n, 7, domain)
	}
	g.nodes = append(g.nodes, n)
}

// attribute encodes an AttributeProto; its type numbers are those of
// AttributeProto.AttributeType.
func attribute(a Attr) []byte {
	b := text(nil, 1, a.Name)
	kind := uint64(0)
	switch v := a.Value.(type) {
	case float32:
		b = protowire.AppendTag(b, 2, protowire.Fixed32Type)
		b = protowire.AppendFixed32(b, math.Float32bits(v))
		kind = 1
	case int64:
		b = varint(b, 3, uint64(v))
		kind = 2
	case string:
		b = text(b, 4, v)
		kind = 3
	case []int64:
		for _, x := range v {
			b = varint(b, 8, uint64(x))
		}
		kind = 7
	}
	return varint(b, 20, kind)
}

// Model returns the encoded ModelProto.
func (g *Graph) Model() []byte {
	var graph []byte
	for _, n := range g.nodes {
		graph = message(graph, 1, n)
	}
	graph = text(graph, 2, g.name)
	for _, t := range g.initializers {
		graph = message(graph, 5, t)
	}
	for _, v := range g.inputs {
		graph = message(graph, 11, v)
	}
	for _, v := range g.outputs {
		graph = message(graph, 12, v)
	}
	m := varint(nil, 1, irVersion)
	m = text(m, 2, "medprobe")
	m = message(m, 7, graph)
	m = message(m, 8, varint(text(nil, 1, ""), 2, opset))
	if g.contrib {
		m = message(m, 8, varint(text(nil, 1, Contrib), 2, 1))
	}
	return append(m, g.Metadata()...)
}

// Metadata returns the encoded metadata alone. Behind a model's bytes they are more
// metadata of that model.
func (g *Graph) Metadata() []byte {
	var m []byte
	for _, kv := range g.metadata {
		m = message(m, 14, text(text(nil, 1, kv[0]), 2, kv[1]))
	}
	return m
}

func tensorHead(name string, elem int32, shape []int) []byte {
	var t []byte
	for _, d := range shape {
		t = varint(t, 1, uint64(d))
	}
	t = varint(t, 2, uint64(elem))
	return text(t, 8, name)
}

func valueInfo(name string, elem int32, dims []Dim) []byte {
	var shape []byte
	for _, d := range dims {
		if d.Name != "" {
			shape = message(shape, 1, text(nil, 2, d.Name))
		} else {
			shape = message(shape, 1, varint(nil, 1, uint64(d.Size)))
		}
	}
	tensor := message(varint(nil, 1, uint64(elem)), 2, shape)
	return message(text(nil, 1, name), 2, message(nil, 1, tensor))
}

func text(b []byte, field protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), s)
}

func message(b []byte, field protowire.Number, m []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), m)
}

func varint(b []byte, field protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}
