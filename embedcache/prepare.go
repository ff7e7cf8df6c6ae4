package embedcache

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"image"
	"slices"
	"time"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/internal/vec"
)

// item is a sample on its way from a worker to the encoder: in the cache
// already, failed, or with its pixels.
type item struct {
	index  int
	key    Key
	pixels []float32
	// vector is ready and needs no encoder.
	vector []float32
	// turned: the file says that its pixels are to be turned, and they are not.
	turned bool
	// file, if not nil, is what the sample was read from.
	file *seen
	err  error
}

// prepare reads the image that the samples share, looks each of them up and
// decodes it if one is missing.
func (f *fill) prepare(ctx context.Context, samples []int, out chan<- item) error {
	send := sending(ctx, out)
	if v, ok := f.enc.(*Vectors); ok {
		return f.named(ctx, v, samples, send)
	}
	source := f.data.Samples[samples[0]].Source
	stamp, stamped := f.data.Stamp(source)
	if stamped && !f.o.Rehash {
		hits, err := f.remembered(ctx, samples, stamp)
		if err != nil {
			return err
		}
		if hits != nil {
			return send(hits...)
		}
	}
	content, err := f.data.Content(source)
	if err != nil {
		for _, i := range samples {
			if err := send(item{index: i, err: at(StepRead, err)}); err != nil {
				return err
			}
		}
		return nil
	}
	digest := content.Digest()
	hits, missing, err := f.lookUp(ctx, samples, digest)
	if err != nil {
		return err
	}
	if stamped && settled(stamp, time.Now()) {
		file := &seen{stamp, digest}
		if len(hits) > 0 {
			hits[0].file = file
		} else {
			missing[0].file = file
		}
	}
	if err := send(hits...); err != nil || len(missing) == 0 {
		return err
	}
	if vector := content.Vector(); vector != nil {
		return f.ready(vector, missing, send)
	}
	return f.decode(ctx, content, missing, send)
}

// sending returns what passes items on until the context ends.
func sending(ctx context.Context, out chan<- item) func(...item) error {
	return func(items ...item) error {
		for _, it := range items {
			select {
			case out <- it:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}
}

// remembered returns the samples of a file that is as it was, if the vectors of all of
// them are there.
func (f *fill) remembered(ctx context.Context, samples []int, stamp datasets.Stamp) ([]item, error) {
	digest, known, err := f.cache.recall(ctx, f.known, stamp)
	if err != nil || !known {
		return nil, err
	}
	hits, missing, err := f.lookUp(ctx, samples, digest)
	if err != nil || len(missing) > 0 {
		return nil, err
	}
	return hits, nil
}

// named looks imported vectors up, by the samples' ids or by what they show.
func (f *fill) named(ctx context.Context, v *Vectors, samples []int, send func(...item) error) error {
	for _, i := range samples {
		it := item{index: i, key: idKey(f.data.Samples[i].ID)}
		_, err := f.cache.read(ctx, f.query, f.shelf, it.key)
		if errors.Is(err, ErrNotStored) {
			digest, _, unread := f.cache.identify(ctx, f.known, f.data, f.data.Samples[i].Source)
			if unread == nil {
				it.key = keyOf(digest, f.data.Samples[i].Source)
				_, err = f.cache.read(ctx, f.query, f.shelf, it.key)
			}
		}
		if errors.Is(err, ErrNotStored) {
			it.err = at(StepEncode, v.absent())
		} else if errors.Is(err, ErrDamaged) {
			it.err = at(StepRead, err)
		} else if err != nil {
			return err
		}
		if err := send(it); err != nil {
			return err
		}
	}
	return nil
}

// lookUp sorts the samples of one content by whether their vectors are there.
func (f *fill) lookUp(ctx context.Context, samples []int, content [sha256.Size]byte) (hits, missing []item, err error) {
	for _, i := range samples {
		it := item{index: i, key: keyOf(content, f.data.Samples[i].Source)}
		switch _, err := f.cache.read(ctx, f.query, f.shelf, it.key); {
		case err == nil:
			hits = append(hits, it)
		case errors.Is(err, ErrNotStored), errors.Is(err, ErrDamaged):
			missing = append(missing, it)
		default:
			return nil, nil, err
		}
	}
	return hits, missing, nil
}

// ready passes on a vector that the dataset has, brought to length one.
func (f *fill) ready(vector []float32, missing []item, send func(...item) error) error {
	for _, it := range missing {
		it.vector = slices.Clone(vector)
		if len(vector) != f.shelf.Dim {
			it.err = at(StepRead, fmt.Errorf("a ready vector of %d values: want %d, as the encoder makes them", len(vector), f.shelf.Dim))
		} else {
			it.err = at(StepRead, vec.Unit(it.vector, it.vector))
		}
		if err := send(it); err != nil {
			return err
		}
	}
	return nil
}

// decode turns the image into pixels for each missing region of it, holding
// its share of the pixel budget as long as the decoded image lives.
func (f *fill) decode(ctx context.Context, content datasets.Content, missing []item, send func(...item) error) error {
	pixels, err := content.Pixels()
	if err == nil {
		err = f.budget.Acquire(ctx, pixels)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	var img image.Image
	if err == nil {
		defer f.budget.Release(pixels)
		img, err = content.Decode(ctx, f.o.MaxPixels)
	}
	turned := err == nil && content.OnItsSide()
	for _, it := range missing {
		it.err, it.turned = at(StepDecode, err), turned
		if err == nil {
			it.pixels, it.err = f.preprocess(img, it.key.Region)
		}
		if err := send(it); err != nil {
			return err
		}
	}
	return nil
}

func (f *fill) preprocess(img image.Image, region image.Rectangle) ([]float32, error) {
	part, err := datasets.Crop(img, region)
	if err != nil {
		return nil, at(StepDecode, err)
	}
	pixels, err := f.enc.Preprocess(part)
	return pixels, at(StepEncode, err)
}
