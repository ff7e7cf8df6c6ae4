package onnxfile

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/internal/onnxgraph"
	"google.golang.org/protobuf/encoding/protowire"
)

// before gives x, after takes y and the last one takes what that gives.
func before() []byte {
	g := onnxgraph.New("")
	g.Prefix = "a/"
	g.Output("x", g.Input("pixels", Float, onnxgraph.Dim{Name: "N"}), Float)
	return g.Model()
}

func behind(prefix, in, out string) []byte {
	g := onnxgraph.New("")
	g.Prefix = prefix
	g.Meta("by", prefix)
	x := g.Input(in, Float)
	g.Output(out, g.Op("Add", []string{x, g.Floats([]int{1}, 1)}), Float, onnxgraph.Dim{Name: "N"})
	return g.Model()
}

func TestJoinedModelsAreOne(t *testing.T) {
	t.Parallel()
	path := save(t, slices.Concat(model(node(text(4, "Relu")), msg(5, num(1, 1), num(2, 1), text(8, "w"), msg(9, make([]byte, 4)))), msg(14, text(1, "by"), text(2, "file"))))
	var b bytes.Buffer
	if err := Join(&b, before(), path, behind("b/", "y", "b/out"), behind("c/", "embedding", "score")); err != nil {
		t.Fatal(err)
	}
	m, err := Inspect(save(t, b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Inputs) != 1 || m.Inputs[0].Name != "pixels" || len(m.Outputs) != 1 || m.Outputs[0].Name != "score" {
		t.Errorf("inputs %+v, outputs %+v", m.Inputs, m.Outputs)
	}
	c, err := Collect(&b, int64(b.Len()), "", "c/", 1000)
	if err != nil || len(c.Metadata) != 1 || c.Metadata["by"] != "c/" || len(c.Weights) != 1 {
		t.Errorf("metadata %v, weights %v, %v", c.Metadata, c.Weights, err)
	}
}

func TestJoinRefuses(t *testing.T) {
	t.Parallel()
	relu := node(text(4, "Relu"))
	old := slices.Concat(num(1, 8), msg(7, port(11, "x", 1), port(12, "y", 1), relu), msg(8, text(1, ""), num(2, 11)))
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"opset 11":       {old, "opset 11: want 13"},
		"a name of ours": {model(relu, msg(1, text(1, "x"), text(2, "score"), text(4, "Relu"))), `a tensor "score"`},
		"pixels":         {model(relu, msg(1, text(1, "x"), text(2, "pixels"), text(4, "Relu"))), `a tensor "pixels"`},
		"two inputs":     {model(relu, port(11, "mask", 1)), "2 inputs: want one"},
		"other input":    {slices.Concat(num(1, 8), msg(7, port(11, "z", 1), port(12, "y", 1)), msg(8, num(2, 17))), `input "z"`},
		"other output":   {slices.Concat(num(1, 8), msg(7, port(11, "x", 1), port(12, "z", 1)), msg(8, num(2, 17))), `no output "y"`},
		"two graphs":     {slices.Concat(model(relu), model(relu)), "2 graphs"},
		"cut":            {model(relu)[:20], "cut short"},
		"nothing":        {nil, "0 graphs"},
	} {
		path := filepath.Join(t.TempDir(), "m.onnx")
		if err := os.WriteFile(path, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := Join(&b, before(), path, behind("b/", "y", "b/out"), behind("c/", "embedding", "score")); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v: want an error with %q", name, err, c.want)
		}
	}
}

func TestCollectRefuses(t *testing.T) {
	t.Parallel()
	w := func(name string, n int) []byte {
		return msg(5, num(1, uint64(n/4)), num(2, 1), text(8, name), msg(9, make([]byte, n)))
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"a weight twice": {model(w("c/w", 4), w("c/w", 4)), "stands twice"},
		"a key twice":    {slices.Concat(model(), msg(14, text(1, "k"), text(2, "v")), msg(14, text(1, "k"), text(2, "v"))), "stands twice"},
		"more than most": {model(w("c/w", 800), w("c/v", 400)), "more than medprobe writes"},
		"too long":       {slices.Concat(model(), protowire.AppendVarint(protowire.AppendTag(nil, 14, protowire.BytesType), 1<<40)), "are left"},
		"no graph":       {num(1, 8), "0 graphs"},
	} {
		if got, err := Collect(bytes.NewReader(c.data), int64(len(c.data)), "", "c/", 1000); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v: want an error with %q", name, got, err, c.want)
		}
	}
	if _, err := Collect(bytes.NewReader(nil), 1<<40, "", "", 0); err == nil {
		t.Error("a terabyte is read")
	}
}

func FuzzJoin(f *testing.F) {
	f.Add(model(node(text(4, "Relu"))))
	f.Add(model(outside("w.bin", entry("offset", "4")), nested(3)))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "m.onnx")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := Join(&b, before(), path, behind("b/", "y", "b/out"), behind("c/", "embedding", "score")); err != nil {
			return
		}
		c, err := Collect(bytes.NewReader(b.Bytes()), int64(b.Len()), "", "c/", 1000)
		if err != nil || c.Metadata["by"] != "c/" {
			t.Errorf("joined to what is no model: %v", err)
		}
	})
}

func FuzzCollect(f *testing.F) {
	f.Add(model(node(text(4, "Relu")), msg(5, num(1, 1), num(2, 1), text(8, "c/w"), msg(9, make([]byte, 4)))))
	f.Add(slices.Concat(model(), msg(14, text(1, "k"), text(2, "v"))))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Collect(bytes.NewReader(data), int64(len(data)), "", "c/", 1000)
		if err != nil {
			return
		}
		total := 0
		for _, w := range c.Weights {
			total += len(w.Raw)
		}
		if total > 1000 || total > len(data) {
			t.Errorf("%d bytes of weights out of %d", total, len(data))
		}
	})
}
