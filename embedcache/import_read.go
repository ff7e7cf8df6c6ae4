package embedcache

import (
	"context"
	"encoding/binary"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/medprobe/medprobe/internal/near"
	"github.com/medprobe/medprobe/internal/npy"
	"github.com/medprobe/medprobe/internal/safetensors"
	"github.com/medprobe/medprobe/internal/texttab"
	"github.com/parquet-go/parquet-go"
)

// Names that are looked for where none are said, the likeliest first.
var (
	usualIDs     = []string{"ids", "id", "names", "image_id", "path", "filename"}
	usualVectors = []string{"emb", "embeddings", "embedding", "features", "vectors", "x", "X"}
)

// readVectors reads a file by the end of its name.
func readVectors(ctx context.Context, path string, o ImportOptions) (*vectorTable, error) {
	switch fileKind(path) {
	case ".npz":
		return readNPZ(ctx, path, o)
	case ".npy":
		return readNPY(path, o)
	case ".parquet":
		return readParquet(ctx, path, o)
	case ".safetensors":
		return readSafetensors(ctx, path, o)
	case ".pkl", ".pickle", ".pt", ".pth", ".joblib":
		return nil, errors.New("pickles are not read, since reading one can run anything; write the vectors as plain arrays: numpy.savez(\"out.npz\", ids=ids, emb=vectors)")
	}
	return nil, errors.New("want a file that ends in .npz, .npy, .parquet or .safetensors")
}

// pick returns the name that is said, or the first usual one that is there.
func pick(what, said string, usual, there []string) (string, error) {
	if said != "" {
		return said, near.Check(what, said, there)
	}
	for _, name := range usual {
		if slices.Contains(there, name) {
			return name, nil
		}
	}
	return "", nil
}

// listed shows the first of the names.
func listed(names []string) string {
	if len(names) > 20 {
		names = append(slices.Clone(names[:20]), "…")
	}
	return strings.Join(names, ", ")
}

// shape sets dimensions and tokens of one image, or of the rows of an array.
func (t *vectorTable) shape(dims []int) error {
	switch len(dims) {
	case 1:
		t.dim, t.tokens = dims[0], 1
	case 2:
		t.dim, t.tokens = dims[1], dims[0]
	default:
		return fmt.Errorf("shape %v of one image: want [D] or [tokens, D]", dims)
	}
	return nil
}

func readNPZ(ctx context.Context, path string, o ImportOptions) (*vectorTable, error) {
	archive, err := npy.OpenArchive(path)
	if err != nil {
		return nil, err
	}
	defer archive.Close()
	vectors, err := pick("array", o.Embeddings, usualVectors, archive.Names())
	if err != nil {
		return nil, err
	}
	var ids string
	if !strings.HasSuffix(o.IDs, ".csv") {
		if ids, err = pick("array", o.IDs, usualIDs, archive.Names()); err != nil {
			return nil, err
		}
	}
	if vectors == "" || ids == "" && o.IDs == "" {
		if o.Embeddings != "" || o.IDs != "" {
			return nil, fmt.Errorf("arrays %s: name those of the ids and of the vectors with --ids and --embeddings", listed(archive.Names()))
		}
		return readNamed(ctx, archive.Names(), func(name string) ([]int, []float32, error) {
			a, err := archive.Read(name)
			if err != nil {
				return nil, nil, err
			}
			values, err := a.Float32()
			return a.Shape, values, err
		})
	}
	t := &vectorTable{}
	if err := t.array(archive.Read(vectors)); err != nil {
		return nil, fmt.Errorf("array %s: %w", vectors, err)
	}
	if ids == "" {
		t.ids, err = readIDs(o.IDs)
		return t, err
	}
	a, err := archive.Read(ids)
	if err != nil {
		return nil, err
	}
	if t.ids, err = a.Strings(); err != nil {
		return nil, fmt.Errorf("array %s: %w", ids, err)
	}
	return t, nil
}

// array takes an array of [n, D] or [n, tokens, D].
func (t *vectorTable) array(a *npy.Array, err error) error {
	if err != nil {
		return err
	}
	if len(a.Shape) < 2 {
		return fmt.Errorf("shape %v: want [n, D] or [n, tokens, D]", a.Shape)
	}
	if err := t.shape(a.Shape[1:]); err != nil {
		return err
	}
	t.values, err = a.Float32()
	return err
}

// readNamed reads one array of [D] or [tokens, D] for each id.
func readNamed(ctx context.Context, names []string, read func(string) ([]int, []float32, error)) (*vectorTable, error) {
	t := &vectorTable{}
	var first []int
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		shape, values, err := read(name)
		if err != nil {
			return nil, fmt.Errorf("array %.80q: %w", name, err)
		}
		if first == nil {
			first = shape
			if err := t.shape(shape); err != nil {
				return nil, fmt.Errorf("array %.80q: %w", name, err)
			}
		}
		if !slices.Equal(shape, first) {
			return nil, fmt.Errorf("array %.80q has shape %v, %.80q has %v: want one for all, or name the arrays with --ids and --embeddings", name, shape, names[0], first)
		}
		t.ids, t.values = append(t.ids, name), append(t.values, values...)
	}
	return t, nil
}

func readNPY(path string, o ImportOptions) (*vectorTable, error) {
	t := &vectorTable{}
	err := t.array(npy.ReadFile(path))
	if err != nil {
		return nil, err
	}
	if o.IDs == "" {
		o.IDs = idsBeside(path)
	}
	t.ids, err = readIDs(o.IDs)
	return t, err
}

// readIDs reads the column id, or the first one, of a table.
func readIDs(path string) ([]string, error) {
	f, err := texttab.Open(path)
	if err != nil {
		return nil, fmt.Errorf("the ids: %w; name their table with --ids", err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	header, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("the ids %s: %w", path, err)
	}
	column := 0
	for i, name := range header {
		if slices.Contains(usualIDs, strings.ToLower(name)) {
			column = i
			break
		}
	}
	var ids []string
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return ids, nil
		}
		if err != nil {
			return nil, fmt.Errorf("the ids %s: %w", path, err)
		}
		ids = append(ids, row[column])
	}
}

// readSafetensors reads a tensor of vectors and one of ids, or a tensor for each id.
func readSafetensors(ctx context.Context, path string, o ImportOptions) (*vectorTable, error) {
	f, err := safetensors.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var names []string
	shapes := map[string][]int{}
	for _, tensor := range f.Tensors() {
		names = append(names, tensor.Name)
		for _, d := range tensor.Shape {
			shapes[tensor.Name] = append(shapes[tensor.Name], int(d))
		}
	}
	vectors, err := pick("tensor", o.Embeddings, usualVectors, names)
	if err != nil {
		return nil, err
	}
	if vectors == "" {
		return readNamed(ctx, names, func(name string) ([]int, []float32, error) {
			values, err := f.Float32(name)
			return shapes[name], values, err
		})
	}
	t := &vectorTable{}
	if len(shapes[vectors]) < 2 {
		return nil, fmt.Errorf("tensor %s has shape %v: want [n, D] or [n, tokens, D]", vectors, shapes[vectors])
	}
	if err := t.shape(shapes[vectors][1:]); err != nil {
		return nil, fmt.Errorf("tensor %s: %w", vectors, err)
	}
	if t.values, err = f.Float32(vectors); err != nil {
		return nil, err
	}
	if strings.HasSuffix(o.IDs, ".csv") {
		t.ids, err = readIDs(o.IDs)
		return t, err
	}
	name, err := pick("tensor", o.IDs, usualIDs, names)
	if err != nil {
		return nil, err
	}
	t.ids, err = idsOf(f, name, shapes[name])
	return t, err
}

// idsOf reads the texts that a tensor of bytes holds, one a row, filled up with zeros.
func idsOf(f *safetensors.File, name string, shape []int) (ids []string, err error) {
	tensor, ok := f.Tensor(name)
	if !ok || tensor.DType != "U8" || len(shape) != 2 {
		return nil, errors.New("no ids: want a tensor ids of U8 [n, length], or a table with --ids FILE.csv")
	}
	text, err := f.Bytes(name)
	if err != nil {
		return nil, err
	}
	for id := range slices.Chunk(text, max(1, shape[1])) {
		ids = append(ids, strings.TrimRight(string(id), "\x00"))
	}
	return ids, nil
}

// readParquet reads a column of ids and one of vectors: lists of numbers, or bytes
// that hold float32, little-endian.
func readParquet(ctx context.Context, path string, o ImportOptions) (*vectorTable, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	table, err := texttab.OpenParquet(f)
	if err != nil {
		return nil, err
	}
	leaf := map[string]int{}
	var names []string
	for i, column := range table.Schema().Columns() {
		if _, twice := leaf[column[0]]; twice {
			return nil, fmt.Errorf("column %q holds several values: want a list of numbers", column[0])
		}
		leaf[column[0]] = i
		names = append(names, column[0])
	}
	ids, err := pick("column", o.IDs, usualIDs, names)
	if err != nil {
		return nil, err
	}
	vectors, err := pick("column", o.Embeddings, usualVectors, names)
	if err != nil {
		return nil, err
	}
	if ids == "" || vectors == "" {
		return nil, fmt.Errorf("columns %s: name those of the ids and of the vectors with --ids and --embeddings", listed(names))
	}
	t := &vectorTable{tokens: 1}
	err = texttab.EachRow(ctx, table, func(number int, row parquet.Row) error {
		id, values, err := vectorRow(row, leaf[ids], leaf[vectors])
		if err != nil {
			return fmt.Errorf("row %d: %w", number, err)
		}
		if number == 0 {
			t.dim = len(values)
		}
		if len(values) != t.dim || t.dim == 0 {
			return fmt.Errorf("row %d, id %.80q: %d values: want %d as in the first row", number, id, len(values), t.dim)
		}
		t.ids, t.values = append(t.ids, id), append(t.values, values...)
		return nil
	})
	if err == nil {
		err = t.split(table)
	}
	return t, err
}

// split parts the values of an image into the vectors that an export says it has.
func (t *vectorTable) split(table *parquet.File) error {
	text, ok := table.Lookup("medprobe.tokens")
	if !ok {
		return nil
	}
	n := 0
	if _, err := fmt.Sscan(text, &n); err != nil || n < 1 || t.dim%n != 0 {
		return fmt.Errorf("medprobe.tokens = %.20q for %d values", text, t.dim)
	}
	t.dim, t.tokens = t.dim/n, n
	return nil
}

func vectorRow(row parquet.Row, ids, vectors int) (id string, values []float32, err error) {
	for _, v := range row {
		switch {
		case v.Column() == ids && !v.IsNull():
			if id, err = texttab.Cell(v); err != nil {
				return "", nil, err
			}
		case v.Column() != vectors || v.IsNull():
		case v.Kind() == parquet.Float:
			values = append(values, v.Float())
		case v.Kind() == parquet.Double:
			values = append(values, float32(v.Double()))
		case v.Kind() == parquet.ByteArray, v.Kind() == parquet.FixedLenByteArray:
			b := v.ByteArray()
			if len(b)%4 != 0 {
				return "", nil, fmt.Errorf("%d bytes: want float32 values of 4 each", len(b))
			}
			for ; len(b) > 0; b = b[4:] {
				values = append(values, math.Float32frombits(binary.LittleEndian.Uint32(b)))
			}
		default:
			return "", nil, fmt.Errorf("a vector of %v: want real numbers", v.Kind())
		}
	}
	return id, values, nil
}
