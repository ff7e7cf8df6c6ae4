package embedcache

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// TextEncoder turns texts into vectors. Texts of the same tokens have the same
// vector.
type TextEncoder interface {
	Fingerprint() string
	Dim() int
	Tokenize(text string) []int64
	EncodeTexts(ctx context.Context, texts []string) ([][]float32, error)
}

// textual stands for the preprocessing in the space of an encoder's texts.
const textual = "text"

// Texts returns one vector per text, in order, as the encoder gives it: not of
// length one. Texts whose tokens are in the cache are not encoded; the others are
// encoded and stored.
func (c *Cache) Texts(ctx context.Context, enc TextEncoder, texts []string) ([][]float32, error) {
	s, err := c.open(ctx, Space{Encoder: enc.Fingerprint(), Preprocess: textual, Dim: enc.Dim()}, "")
	if err != nil {
		return nil, err
	}
	query, err := c.db.PrepareContext(ctx, selectVector)
	if err != nil {
		return nil, c.explain(err)
	}
	defer query.Close()
	vectors := make([][]float32, len(texts))
	place := map[Key]int{}
	var missing []string
	var keys []Key
	for i, text := range texts {
		ids := enc.Tokenize(text)
		if len(ids) == 0 { // it cannot read, and says why
			return enc.EncodeTexts(ctx, texts)
		}
		key := Key{Content: tokenDigest(ids)}
		if at, twin := place[key]; twin {
			vectors[i] = vectors[at]
			continue
		}
		place[key] = i
		switch data, err := c.read(ctx, query, s, key); {
		case err == nil:
			vectors[i] = make([]float32, s.values())
			s.store.decode(vectors[i], data)
		case errors.Is(err, ErrNotStored), errors.Is(err, ErrDamaged):
			missing, keys = append(missing, text), append(keys, key)
		default:
			return nil, err
		}
	}
	if len(missing) == 0 {
		return clones(vectors), nil
	}
	made, err := enc.EncodeTexts(ctx, missing)
	if err != nil {
		return nil, err
	}
	batch := make([]stored, len(made))
	byKey := map[Key][]float32{}
	for k := range made {
		batch[k] = stored{key: keys[k], values: made[k]}
		byKey[keys[k]] = made[k]
	}
	if err := c.write(ctx, s, batch, nil); err != nil {
		return nil, err
	}
	for i, text := range texts {
		if vectors[i] == nil {
			vectors[i] = byKey[Key{Content: tokenDigest(enc.Tokenize(text))}]
		}
	}
	return clones(vectors), nil
}

// clones copies the vectors, of which several may be the same.
func clones(vectors [][]float32) [][]float32 {
	for i, v := range vectors {
		vectors[i] = append([]float32(nil), v...)
	}
	return vectors
}

func tokenDigest(ids []int64) [sha256.Size]byte {
	h := sha256.New()
	fmt.Fprintf(h, "tokens %d\n", len(ids))
	binary.Write(h, binary.LittleEndian, ids) // writing to a hash cannot fail
	return [sha256.Size]byte(h.Sum(nil))
}
