package embedcache

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
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
	keys, byKey := make([]Key, len(texts)), map[Key][]float32{}
	var missing []string
	var absent []Key
	for i, text := range texts {
		ids := enc.Tokenize(text)
		if len(ids) == 0 { // it cannot read, and says why
			return enc.EncodeTexts(ctx, texts)
		}
		key := Key{Content: tokenDigest(ids)}
		keys[i] = key
		if _, twin := byKey[key]; twin {
			continue
		}
		byKey[key] = nil
		switch data, err := c.read(ctx, query, s, key); {
		case err == nil:
			byKey[key] = make([]float32, s.values())
			s.store.decode(byKey[key], data)
		case errors.Is(err, ErrNotStored), errors.Is(err, ErrDamaged):
			missing, absent = append(missing, text), append(absent, key)
		default:
			return nil, err
		}
	}
	if len(missing) > 0 {
		made, err := enc.EncodeTexts(ctx, missing)
		if err != nil {
			return nil, err
		}
		batch := make([]stored, len(made))
		for k := range made {
			batch[k] = stored{key: absent[k], values: made[k]}
			byKey[absent[k]] = made[k]
		}
		if err := c.write(ctx, s, batch, nil); err != nil {
			return nil, err
		}
	}
	vectors := make([][]float32, len(texts))
	for i, key := range keys {
		vectors[i] = slices.Clone(byKey[key]) // several texts may have the same
	}
	return vectors, nil
}

func tokenDigest(ids []int64) [sha256.Size]byte {
	h := sha256.New()
	fmt.Fprintf(h, "tokens %d\n", len(ids))
	binary.Write(h, binary.LittleEndian, ids) // writing to a hash cannot fail
	return [sha256.Size]byte(h.Sum(nil))
}
