package embedcache

import (
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/medprobe/medprobe/internal/atomicfile"
	"github.com/medprobe/medprobe/internal/npy"
	"github.com/medprobe/medprobe/internal/safetensors"
	"github.com/medprobe/medprobe/internal/vec"
	"github.com/parquet-go/parquet-go"
)

// ExportOptions says what to export. The zero value is every vector of the space,
// of length one, under the keys of the cache.
type ExportOptions struct {
	// Keys picks vectors and their order; nil means all, in the order in which
	// they came.
	Keys []Key
	// IDs names them, instead of [Key.String]; as many as keys.
	IDs []string
	// Raw leaves the vectors as the tower gave them.
	Raw bool
}

// Names of what an export holds.
const (
	exportVectors = "emb"
	exportIDs     = "ids"
)

// exportEndings are the formats, by the ends of files' names.
var exportEndings = []string{".npz", ".npy", ".parquet", ".safetensors"}

// Export writes vectors to a file: an .npz with the arrays ids [n] and emb [n, D];
// an .npy of the vectors, and a table of the ids beside it; a Parquet file with the
// columns id and embedding; or safetensors with emb [n, D] and ids [n, L], UTF-8
// filled up with zeros. Several vectors per image are [n, tokens, D] (Parquet: one
// list). It returns the number of rows. They pass through: memory does not grow
// with them. A vector that is damaged is an error.
func (c *Cache) Export(ctx context.Context, s Space, path string, o ExportOptions) (int, error) {
	ending := strings.ToLower(filepath.Ext(path))
	if !slices.Contains(exportEndings, ending) {
		return 0, fmt.Errorf("embedcache: export %s: want a name that ends in %s", path, strings.Join(exportEndings, ", "))
	}
	if o.IDs != nil && len(o.IDs) != len(o.Keys) {
		return 0, fmt.Errorf("embedcache: export %s: %d ids for %d vectors", path, len(o.IDs), len(o.Keys))
	}
	n := 0
	err := c.snapshot(ctx, func(conn *sql.Conn) error {
		shelf, err := c.find(ctx, conn, s)
		if err != nil {
			return err
		}
		e := &export{cache: c, conn: conn, shelf: shelf, o: o, path: path}
		if err := e.measure(ctx); err != nil {
			return err
		}
		n = e.rows
		switch ending {
		case ".npz":
			return e.npz(ctx)
		case ".npy":
			return e.npy(ctx)
		case ".parquet":
			return e.parquet(ctx)
		}
		return e.safetensors(ctx)
	})
	return n, err
}

// export is one export under way, from one state of the cache.
type export struct {
	cache *Cache
	conn  *sql.Conn
	shelf shelf
	o     ExportOptions
	path  string
	rows  int
	// width is that of the longest id in bytes.
	width int
}

// measure counts the rows and finds the longest id.
func (e *export) measure(ctx context.Context) error {
	if e.o.Keys != nil {
		e.rows = len(e.o.Keys)
		return e.ids(ctx, func(id string) error {
			e.width = max(e.width, len(id))
			return nil
		})
	}
	var region, frame sql.NullInt64
	if err := e.conn.QueryRowContext(ctx, `SELECT count(*), max(length(region)), max(frame) FROM vector WHERE space = $1`, e.shelf.id).
		Scan(&e.rows, &region, &frame); err != nil {
		return e.cache.explain(err)
	}
	e.width = len(Key{}.String())
	if frame.Int64 > 0 {
		e.width += 1 + len(strconv.FormatInt(frame.Int64, 10))
	}
	if region.Int64 > 0 {
		e.width += 1 + int(region.Int64)
	}
	return nil
}

// id names the vector of a key that was picked.
func (e *export) id(i int) string {
	if e.o.IDs != nil {
		return e.o.IDs[i]
	}
	return e.o.Keys[i].String()
}

// ids lets take have the ids in the order of the rows.
func (e *export) ids(ctx context.Context, take func(string) error) error {
	for i := range e.o.Keys {
		if err := take(e.id(i)); err != nil {
			return err
		}
	}
	if e.o.Keys != nil {
		return nil
	}
	rows, err := e.conn.QueryContext(ctx, `SELECT content, region, frame FROM vector WHERE +space = $1 ORDER BY id`, e.shelf.id)
	if err != nil {
		return e.cache.explain(err)
	}
	defer rows.Close()
	for rows.Next() {
		var content []byte
		var region string
		var k Key
		if err := rows.Scan(&content, &region, &k.Frame); err != nil {
			return e.cache.explain(err)
		}
		if k.Region, err = parseRegion(region); err != nil || len(content) != len(k.Content) {
			return fmt.Errorf("embedcache: export: %w", ErrDamaged)
		}
		k.Content = [32]byte(content)
		if err := take(k.String()); err != nil {
			return err
		}
	}
	return e.cache.explain(rows.Err())
}

// vectors lets take have the id and the values of each row in turn.
func (e *export) vectors(ctx context.Context, take func(id string, values []float32) error) error {
	finish := func(id string, values []float32) error {
		if !e.o.Raw {
			for token := range slices.Chunk(values, e.shelf.Dim) {
				if err := vec.Unit(token, token); err != nil {
					return err
				}
			}
		}
		return take(id, values)
	}
	if e.o.Keys == nil {
		values := make([]float32, e.shelf.values())
		return e.cache.eachRow(ctx, e.conn, e.shelf, func(r row) error {
			if !r.readable || !e.shelf.intact(r.key, r.data, r.sum) {
				return fmt.Errorf("embedcache: export: content %x: %w", r.key.Content[:6], ErrDamaged)
			}
			e.shelf.store.decode(values, r.data)
			return finish(r.key.String(), values)
		})
	}
	query, err := e.conn.PrepareContext(ctx, selectVector)
	if err != nil {
		return e.cache.explain(err)
	}
	defer query.Close()
	values := make([]float32, e.shelf.values())
	for i, key := range e.o.Keys {
		data, err := e.cache.read(ctx, query, e.shelf, key)
		if err == nil {
			e.shelf.store.decode(values, data)
			err = finish(e.id(i), values)
		}
		if err != nil {
			return e.cache.rowError(i, key, err)
		}
	}
	return nil
}

// shape is that of all the vectors.
func (e *export) shape() []int {
	if e.shelf.tokens() > 1 {
		return []int{e.rows, e.shelf.tokens(), e.shelf.Dim}
	}
	return []int{e.rows, e.shelf.Dim}
}

// floats writes the vectors, little-endian.
func (e *export) floats(ctx context.Context, w io.Writer) error {
	buffer := make([]byte, 4*e.shelf.values())
	return e.vectors(ctx, func(_ string, values []float32) error {
		if _, err := binary.Encode(buffer, binary.LittleEndian, values); err != nil {
			return err
		}
		_, err := w.Write(buffer)
		return err
	})
}

func (e *export) array(ctx context.Context, w io.Writer) error {
	if err := npy.WriteHeader(w, "<f4", e.shape()); err != nil {
		return err
	}
	return e.floats(ctx, w)
}

func (e *export) npz(ctx context.Context) error {
	text := func(s string) func(io.Writer) error {
		return func(w io.Writer) error {
			return npy.WriteTexts(w, nil, len(s), func(put func(string) error) error { return put(s) })
		}
	}
	return atomicfile.Write(e.path, func(w io.Writer) error {
		return npy.WriteArchive(w, map[string]func(io.Writer) error{
			exportVectors: func(w io.Writer) error { return e.array(ctx, w) },
			exportIDs: func(w io.Writer) error {
				return npy.WriteTexts(w, []int{e.rows}, e.width, func(put func(string) error) error { return e.ids(ctx, put) })
			},
			"encoder":    text(e.shelf.Encoder),
			"preprocess": text(e.shelf.Preprocess),
		})
	})
}

func (e *export) npy(ctx context.Context) error {
	if err := atomicfile.Write(e.path, func(w io.Writer) error { return e.array(ctx, w) }); err != nil {
		return err
	}
	return atomicfile.Write(idsBeside(e.path), func(w io.Writer) error {
		if _, err := io.WriteString(w, "id\n"); err != nil {
			return err
		}
		return e.ids(ctx, func(id string) error {
			if strings.ContainsAny(id, "\",\r\n") {
				id = `"` + strings.ReplaceAll(id, `"`, `""`) + `"`
			}
			_, err := io.WriteString(w, id+"\n")
			return err
		})
	})
}

// idsBeside is the table of the ids of an .npy file.
func idsBeside(path string) string {
	return strings.TrimSuffix(path, filepath.Ext(path)) + ".ids.csv"
}

// exportedRow is a row of an exported Parquet file.
type exportedRow struct {
	ID        string    `parquet:"id"`
	Embedding []float32 `parquet:"embedding,list"`
}

// rowGroup is how many rows of Parquet are held at once.
const rowGroup = 4096

func (e *export) parquet(ctx context.Context) error {
	return atomicfile.Write(e.path, func(w io.Writer) error {
		out := parquet.NewGenericWriter[exportedRow](w, parquet.KeyValueMetadata("medprobe.encoder", e.shelf.Encoder),
			parquet.KeyValueMetadata("medprobe.preprocess", e.shelf.Preprocess), parquet.KeyValueMetadata("medprobe.tokens", strconv.Itoa(e.shelf.tokens())))
		var batch []exportedRow
		flush := func() error {
			if _, err := out.Write(batch); err != nil {
				return err
			}
			batch = batch[:0]
			return out.Flush()
		}
		if err := e.vectors(ctx, func(id string, values []float32) error {
			if batch = append(batch, exportedRow{id, slices.Clone(values)}); len(batch) < rowGroup {
				return nil
			}
			return flush()
		}); err != nil {
			return err
		}
		if err := flush(); err != nil {
			return err
		}
		return out.Close()
	})
}

func (e *export) safetensors(ctx context.Context) error {
	return atomicfile.Write(e.path, func(w io.Writer) error {
		return safetensors.WriteStreams(w, []safetensors.Stream{
			{Name: exportVectors, DType: "F32", Shape: e.shape(), Write: func(w io.Writer) error { return e.floats(ctx, w) }},
			{Name: exportIDs, DType: "U8", Shape: []int{e.rows, e.width}, Write: func(w io.Writer) error {
				buffer := make([]byte, e.width)
				return e.ids(ctx, func(id string) error {
					clear(buffer[copy(buffer, id):])
					_, err := w.Write(buffer)
					return err
				})
			}},
		}, map[string]string{"encoder": e.shelf.Encoder, "preprocess": e.shelf.Preprocess})
	})
}
