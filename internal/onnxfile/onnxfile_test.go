package onnxfile

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// Models are written field by field, as no honest exporter would.

func text(field protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, field, protowire.BytesType), s)
}

func msg(field protowire.Number, parts ...[]byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, field, protowire.BytesType), slices.Concat(parts...))
}

func num(field protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, field, protowire.VarintType), v)
}

func port(field protowire.Number, name string, elem uint64) []byte {
	shape := msg(2, msg(1, text(2, "n")), msg(1, num(1, 4)))
	return msg(field, text(1, name), msg(2, msg(1, num(1, elem), shape)))
}

func node(parts ...[]byte) []byte {
	return msg(1, append([][]byte{text(1, "x"), text(2, "y"), text(3, "n1")}, parts...)...)
}

func outside(location string, more ...[]byte) []byte {
	return msg(5, append([][]byte{num(1, 4), num(2, 1), text(8, "w"), num(14, 1), msg(13, text(1, "location"), text(2, location))}, more...)...)
}

func entry(key, value string) []byte { return msg(13, text(1, key), text(2, value)) }

// model is a model with an input x, an output y and what else it is to hold.
func model(graph ...[]byte) []byte {
	return slices.Concat(num(1, 8), msg(7, append([][]byte{port(11, "x", 1), port(12, "y", 1)}, graph...)...), msg(8, text(1, ""), num(2, 17)))
}

func nested(depth int) []byte {
	inner := text(2, "g")
	for range depth {
		inner = msg(1, text(4, "If"), msg(5, text(1, "then_branch"), msg(6, inner)))
	}
	return inner
}

// save writes a model beside a file of weights of 16 bytes.
func save(t testing.TB, data []byte) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "model")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"m.onnx": data, "w.bin": make([]byte, 16), "../secret": make([]byte, 16), "twice": make([]byte, 16)} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{
		os.Symlink("../secret", filepath.Join(dir, "link")),
		os.Symlink("..", filepath.Join(dir, "up")),
		os.Link(filepath.Join(dir, "twice"), filepath.Join(dir, "hard")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "m.onnx")
}

func TestHonestModelsAreRead(t *testing.T) {
	t.Parallel()
	scalar := msg(5, num(2, 1), text(8, "logit_scale"), protowire.AppendBytes(protowire.AppendTag(nil, 9, protowire.BytesType), []byte{0, 0, 0x80, 0x3f}))
	function := msg(25, text(1, "f"), text(10, "pkg.own"), msg(7, text(4, "Relu")))
	data := slices.Concat(model(scalar, port(11, "logit_scale", 1), outside("w.bin", entry("offset", "0"), entry("length", "16"), entry("checksum", "x")),
		node(text(4, "Gelu"), text(7, "com.microsoft")), node(text(4, "f"), text(7, "pkg.own")), nested(10)), function)
	m, err := Inspect(save(t, data))
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Inputs) != 1 || m.Inputs[0].Name != "x" || !slices.Equal(m.Inputs[0].Dims, []int64{-1, 4}) || m.Scalars["logit_scale"] != 1 ||
		!slices.Equal(m.External, []string{"w.bin"}) || m.Size != int64(len(data)+16) {
		t.Errorf("%+v", m)
	}
}

func TestHostileModelsAreRefusedByName(t *testing.T) {
	t.Parallel()
	models := 0
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"absolute path":          {model(outside("/etc/passwd")), `tensor "w": external data in "/etc/passwd": want a file beside the model`},
		"parent folder":          {model(outside("../secret")), `tensor "w": external data in "../secret": want a file beside the model`},
		"parent further in":      {model(outside("a/../../secret")), "want a file beside the model"},
		"parent that comes back": {model(outside("a/../w.bin")), "want a file beside the model"},
		"behind a fragment":      {model(outside("#/../../secret")), "want a file beside the model"},
		"symbolic link":          {model(outside("link")), `"link": it is a symbolic link`},
		"linked folder":          {model(outside("up/secret")), "it is a symbolic link"},
		"hard link":              {model(outside("hard")), `"hard": the file has other names too`},
		"device":                 {model(outside("/dev/zero")), "want a file beside the model"},
		"no such file":           {model(outside("absent")), `"absent": there is no such file`},
		"a folder":               {model(outside(".")), "not a plain file"},
		"the model itself":       {model(outside("m.onnx")), "that is the model itself"},
		"in memory":              {model(outside("*/_ORT_MEM_ADDR_/*")), "there is no such file"},
		"no location":            {model(msg(5, num(2, 1), text(8, "w"), num(14, 1))), `tensor "w": its values lie outside, but it does not say`},
		"offset past the end":    {model(outside("w.bin", entry("offset", "17"))), `tensor "w": external data from byte 17, 0 long: "w.bin" has 16`},
		"length past the end":    {model(outside("w.bin", entry("length", "9223372036854775807"), entry("offset", "8"))), `"w.bin" has 16`},
		"negative offset":        {model(outside("w.bin", entry("offset", "-1"))), `tensor "w": external data: offset "-1"`},
		"offset of words":        {model(outside("w.bin", entry("offset", "many"))), `offset "many"`},
		"too few bytes outside":  {model(outside("w.bin", num(1, 4), entry("length", "8"))), `tensor "w": external data of 8 bytes: its type and shape take 64`},
		"within a node":          {model(node(text(4, "Constant"), msg(5, text(1, "value"), msg(5, num(1, 4), num(2, 1), text(8, "inner"), num(14, 1), entry("location", "/etc/passwd"))))), "/etc/passwd"},
		"within a subgraph":      {model(msg(1, text(3, "if"), msg(5, msg(6, outside("../secret"))))), "../secret"},
		"raw data of 2 GB": {model(msg(5, num(1, 1<<29), num(2, 1), text(8, "w"),
			protowire.AppendVarint(protowire.AppendTag(nil, 9, protowire.BytesType), 1<<31))), `tensor "w": byte `},
		"raw data of another size": {model(msg(5, num(1, 3), num(2, 1), text(8, "w"), text(9, "abc"))), `tensor "w": 3 bytes of values: its type and shape [3] take 12`},
		"shape of 2^80":            {model(msg(5, num(1, 1<<40), num(1, 1<<40), num(2, 1), text(8, "w"))), `tensor "w": shape [1099511627776 1099511627776] is out of range`},
		"negative shape":           {model(msg(5, num(1, 1<<63), num(2, 1), text(8, "w"))), `tensor "w": shape`},
		"1,000 dimensions":         {model(msg(5, msg(1, bytes.Repeat([]byte{1}, 1000)), num(2, 1), text(8, "w"))), "more than 32 dimensions"},
		"deep subgraphs":           {model(nested(5000)), "graphs within graphs, more than 16 deep"},
		"operators of its own":     {model(node(text(4, "Evil"), text(7, "evil.ops"))), `node "n1" is of the operators "evil.ops"`},
		"type that is none":        {model(msg(5, num(2, 99), text(8, "w"))), `tensor "w": element type 99`},
		"input without a type":     {model(msg(11, text(1, "z"))), `input or output "z" has element type 0`},
		"input of unknown type":    {model(port(11, "z", 1<<40)), `input or output "z" has element type`},
		"no inputs":                {msg(7, port(12, "y", 1)), "0 inputs and 1 outputs"},
		"no graph":                 {num(1, 8), "0 graphs"},
		"two graphs":               {slices.Concat(model(), model()), "2 graphs"},
		"cut":                      {model(node(text(4, "Relu")))[:40], "are left"},
		"long name":                {model(node(text(4, strings.Repeat("a", 1<<17)))), "a name of 131072 bytes"},
		"a pickle":                 {[]byte("\x80\x04\x95garbage"), "no ONNX model"},
		"text":                     {[]byte("version https://git-lfs.github.com/spec/v1\n"), ""},
		"endless number":           {bytes.Repeat([]byte{0xff}, 64), "longer than 64 bits"},
	} {
		path := save(t, c.data)
		if _, err := Inspect(path); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v: want %q", name, err, c.want)
		}
		models++
	}
	t.Logf("measured: %d of %d hostile models refused before the runtime", models, models)
}

// Hugging Face's cache keeps its files as links into its blobs.
func TestLinksOfHuggingFacesCacheAreFollowed(t *testing.T) {
	t.Parallel()
	repo := filepath.Join(t.TempDir(), "models--a--b")
	snapshot := filepath.Join(repo, "snapshots", "1", "onnx")
	for _, dir := range []string{snapshot, filepath.Join(repo, "blobs")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, data := range map[string][]byte{"m": model(outside("w.bin")), "w": make([]byte, 16)} {
		if err := os.WriteFile(filepath.Join(repo, "blobs", name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for to, name := range map[string]string{"m.onnx": "m", "w.bin": "w"} {
		if err := os.Symlink(filepath.Join("..", "..", "..", "blobs", name), filepath.Join(snapshot, to)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Inspect(filepath.Join(snapshot, "m.onnx")); err != nil {
		t.Error(err)
	}
}

func FuzzInspect(f *testing.F) {
	f.Add(model(node(text(4, "Relu"))))
	f.Add(model(outside("w.bin", entry("offset", "4")), nested(3)))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "m.onnx")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if m, err := Inspect(path); err == nil && (len(m.Inputs) == 0 || len(m.External) > 0) {
			t.Errorf("accepted %+v in an empty folder", m)
		}
	})
}
