package embedcache

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"image"
	"path/filepath"
	"slices"
	"strings"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/internal/vec"
)

// ImportOptions says what of a file to take, and whose vectors they are.
type ImportOptions struct {
	// Name is that of the encoder that made the vectors.
	Name string
	// Space, if not nil, is that of an encoder that is here too; the ids must then
	// be contents, as exports of a cache write them. Otherwise the vectors belong
	// to the name, and their ids may be any.
	Space *Space
	// IDs and Embeddings name the arrays, columns or tensors; empty takes the usual
	// names. For an .npy file, and for others if it ends in .csv, IDs is a table
	// whose column id, or first one, holds them.
	IDs, Embeddings string
}

// Imported counts what an import did.
type Imported struct {
	Encoder string `json:"encoder"`
	Rows    int    `json:"rows"`
	Dim     int    `json:"dim"`
	Tokens  int    `json:"tokens"`
}

// Import stores vectors that were made elsewhere: all of them, or none. Their
// number, dimensions and values are checked first; a vector that is not finite or
// has length zero is an error that names its id, and so is an id that stands twice.
func (c *Cache) Import(ctx context.Context, path string, o ImportOptions) (Imported, error) {
	done := Imported{Encoder: o.Name}
	t, err := readVectors(ctx, path, o)
	if err != nil {
		return done, fmt.Errorf("embedcache: import %s: %w", path, err)
	}
	done.Rows, done.Dim, done.Tokens = len(t.ids), t.dim, t.tokens
	space := importedSpace(o.Name, t.dim, t.tokens)
	if o.Space != nil {
		space = *o.Space
		if t.dim != space.Dim || t.tokens != space.tokens() {
			return done, fmt.Errorf("embedcache: import %s: %d × %d values per image: encoder %s gives %d × %d", path, t.tokens, t.dim, o.Name, space.tokens(), space.Dim)
		}
	}
	batch, err := t.rows(o)
	if err != nil {
		return done, fmt.Errorf("embedcache: import %s: %w", path, err)
	}
	shelf, err := c.open(ctx, space, "")
	if err != nil {
		return done, err
	}
	return done, c.change(ctx, shelf, func(tx *sql.Tx) error { return c.put(ctx, tx, shelf, batch) })
}

// importPrefix begins the name of an encoder that is known by its vectors only.
const importPrefix = "vectors of "

// importedPreprocess stands for a preprocessing that nobody here has seen.
const importedPreprocess = "not known"

// ImportedFingerprint stands for that of an encoder which is known by its vectors
// only.
func ImportedFingerprint(name string) string { return importPrefix + name }

func importedSpace(name string, dim, tokens int) Space {
	s := Space{Encoder: ImportedFingerprint(name), Preprocess: importedPreprocess, Dim: dim}
	if tokens > 1 {
		s.Tokens = tokens
	}
	return s
}

// vectorTable is what an import reads.
type vectorTable struct {
	ids         []string
	dim, tokens int
	values      []float32 // ids × tokens × dim
}

// rows checks the vectors and gives them their keys.
func (t *vectorTable) rows(o ImportOptions) ([]stored, error) {
	size := t.dim * t.tokens
	if len(t.ids) == 0 || size == 0 {
		return nil, errors.New("there is no vector in it")
	}
	if len(t.values) != len(t.ids)*size {
		return nil, fmt.Errorf("%d ids for %d vectors", len(t.ids), len(t.values)/size)
	}
	batch := make([]stored, len(t.ids))
	seen := map[Key]bool{}
	unit := make([]float32, t.dim)
	for i, id := range t.ids {
		if id == "" {
			return nil, fmt.Errorf("row %d has no id", i)
		}
		key, err := parseKey(id)
		if err != nil && o.Space != nil {
			return nil, fmt.Errorf("row %d: %w; name an encoder that is not imported here to keep them under ids of their own", i, err)
		}
		if err != nil {
			key = idKey(id)
		}
		if seen[key] {
			return nil, fmt.Errorf("row %d: id %.80q stands twice", i, id)
		}
		seen[key] = true
		batch[i] = stored{key: key, values: t.values[i*size : (i+1)*size]}
		for token := range slices.Chunk(batch[i].values, t.dim) {
			if err := vec.Unit(unit, token); err != nil {
				return nil, fmt.Errorf("row %d, id %.80q: %w", i, id, err)
			}
		}
	}
	return batch, nil
}

// idKey is the key of a vector that is known by an id.
func idKey(id string) Key {
	return Key{Content: sha256.Sum256([]byte("id\n" + id))}
}

// Vectors stands for an encoder whose vectors were imported and that is not here
// itself: it has what it has, by the ids of samples. It is an [ImageEncoder] that
// encodes nothing.
type Vectors struct {
	name  string
	space Space
}

// Vectors returns the imported vectors of a name; without any the error wraps
// [ErrNotStored].
func (c *Cache) Vectors(ctx context.Context, name string) (*Vectors, error) {
	v := &Vectors{name: name, space: importedSpace(name, 0, 1)}
	err := c.db.QueryRowContext(ctx, `SELECT dim, tokens FROM space WHERE encoder = $1 AND preprocess = $2`, v.space.Encoder, v.space.Preprocess).
		Scan(&v.space.Dim, &v.space.Tokens)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("embedcache: %s: no vectors of %q were imported: %w", c.path, name, ErrNotStored)
	}
	return v, c.explain(err)
}

// Name returns the name that the vectors were imported under.
func (v *Vectors) Name() string { return v.name }

// Fingerprint names the encoder in the cache.
func (v *Vectors) Fingerprint() string { return v.space.Encoder }

// PreprocessFingerprint names the preprocessing in the cache.
func (v *Vectors) PreprocessFingerprint() string { return v.space.Preprocess }

// Dim returns the number of values of a vector.
func (v *Vectors) Dim() int { return v.space.Dim }

// Tokens returns how many vectors an image has.
func (v *Vectors) Tokens() int { return v.space.Tokens }

// Source returns "": it is not known who made the vectors.
func (v *Vectors) Source() string { return "" }

// License returns "": it is not known.
func (v *Vectors) License() string { return "" }

// LogitScale returns 1: it is not known, and no prompt will ask for it.
func (v *Vectors) LogitScale() float64 { return 1 }

// LogitBias returns 0: it is not known.
func (v *Vectors) LogitBias() float64 { return 0 }

// Keys names the vectors of a dataset's samples, by their ids.
func (v *Vectors) Keys(d *datasets.Dataset) []Key {
	keys := make([]Key, len(d.Samples))
	for i := range keys {
		keys[i] = idKey(d.Samples[i].ID)
	}
	return keys
}

// absent is why nothing is encoded.
func (v *Vectors) absent() error {
	return fmt.Errorf("the encoder %s is not here, only vectors of it; import those that are missing, or the encoder", v.name)
}

// Preprocess fails.
func (v *Vectors) Preprocess(image.Image) ([]float32, error) { return nil, v.absent() }

// EncodePixels fails.
func (v *Vectors) EncodePixels(context.Context, [][]float32) ([][]float32, error) {
	return nil, v.absent()
}

// EncodeTexts fails.
func (v *Vectors) EncodeTexts(context.Context, []string) ([][]float32, error) {
	return nil, fmt.Errorf("no prompts can be encoded: %w", v.absent())
}

// fileKind is the kind of a file by its name.
func fileKind(path string) string { return strings.ToLower(filepath.Ext(path)) }
