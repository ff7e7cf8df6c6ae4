package onnxgraph

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/medprobe/medprobe/internal/needs"
)

// everything is a graph that uses each kind of value, attribute and
// initializer the package writes: y = LayerNorm(left half of (x·wᵀ + b)), with
// w in a file beside the model.
func everything() *Graph {
	g := New("everything")
	g.Meta("seed", "7")
	x := g.Input("x", Float, Dim{Name: "batch"}, Dim{Size: 3})
	w := g.External("w", Float, "weights.bin", 8, 4*4*3, 4, 3)
	b := g.Floats([]int{4}, 1, -2, 0.5, 0)
	h := g.Op("Gemm", []string{x, w, b}, Attr{"transB", int64(1)}, Attr{"alpha", float32(0.5)})
	parts := g.Split(h, 1, 2, 2)
	turned := g.Op("Transpose", []string{parts[0]}, Attr{"perm", []int64{1, 0}})
	back := g.Op("Transpose", []string{turned}, Attr{"perm", []int64{1, 0}})
	padded := g.Op("Pad", []string{back, g.Ints([]int{4}, 0, 0, 0, 0), g.Floats(nil, 0)}, Attr{"mode", "constant"})
	normal := g.Op("LayerNormalization", []string{padded, g.Floats([]int{2}, 1, 1)}, Attr{"axis", int64(-1)}, Attr{"epsilon", float32(1e-6)})
	g.Output("y", normal, Float, Dim{Name: "batch"}, Dim{Size: 2})
	return g
}

// The reference checker is Python's and need not be there: the graphs that
// matter are run by ONNX Runtime in package encoder's tests.
func TestReferenceCheckerAccepts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	model := filepath.Join(dir, "model.onnx")
	if err := os.WriteFile(filepath.Join(dir, "weights.bin"), make([]byte, 8+4*4*3), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(model, everything().Model(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := exec.Command("/usr/bin/python3", "-c", "import onnx").Run(); err != nil {
		needs.Opinion(t, "no Python with onnx (Debian: python3-onnx)")
	}
	out, err := exec.Command("/usr/bin/python3", "../../tools/reference/onnxcheck.py", model).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var got struct {
		IR              int
		Opset           map[string]int
		Inputs, Outputs map[string][]any
		Metadata        map[string]string
		Values          map[string][]float64
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	for what, pair := range map[string][2]string{
		"opset":    {fmt.Sprint(got.Opset), "map[:17]"},
		"inputs":   {fmt.Sprint(got.Inputs), "map[x:[batch 3]]"},
		"outputs":  {fmt.Sprint(got.Outputs), "map[y:[batch 2]]"},
		"metadata": {fmt.Sprint(got.Metadata), "map[seed:7]"},
		"bias":     {fmt.Sprint(got.Values["const_0"]), "[1 -2 0.5 0]"},
		"sizes":    {fmt.Sprint(got.Values["const_1"]), "[2 2]"},
		"weight":   {fmt.Sprint(got.Values["w"]), "[0 0 0 0]"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %s: want %s", what, pair[0], pair[1])
		}
	}
}

func TestEqualConstantsAreWrittenOnce(t *testing.T) {
	t.Parallel()
	g := New("g")
	a, b, c, d := g.Ints(nil, 1), g.Ints(nil, 1), g.Ints([]int{1}, 1), g.Floats(nil, 1)
	if a != b || a == c || c == d {
		t.Errorf("constants %s %s %s %s", a, b, c, d)
	}
}

func TestSameGraphSameBytes(t *testing.T) {
	t.Parallel()
	if !bytes.Equal(everything().Model(), everything().Model()) {
		t.Error("two builds of one graph differ")
	}
}
