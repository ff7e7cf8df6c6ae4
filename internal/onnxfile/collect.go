package onnxfile

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxMetadata bounds the metadata that are kept, in bytes.
const maxMetadata = 64 << 20

// Weight is a weight that lies in the model.
type Weight struct {
	Elem int
	Dims []int64
	// Raw holds the values, little-endian.
	Raw []byte
}

// Contents is what [Collect] keeps of a model.
type Contents struct {
	// Metadata are those of the model, by key.
	Metadata map[string]string
	// Weights are by name, without the prefix.
	Weights map[string]Weight
}

// Collect reads of a model of size bytes its metadata whose keys begin with key and
// the weights whose names begin with prefix; the rest is passed over, not held. A key
// or name that stands twice is an error, and so are more than most bytes of weights.
func Collect(r io.Reader, size int64, key, prefix string, most int64) (*Contents, error) {
	if size > maxModel {
		return nil, fmt.Errorf("onnx model of %d bytes: want at most %d", size, maxModel)
	}
	c := &collector{walk: newWalk(r, size), key: key, prefix: prefix, most: most, Contents: Contents{Metadata: map[string]string{}, Weights: map[string]Weight{}}}
	graphs, left := 0, int64(maxMetadata)
	err := c.each(c.end, func(field uint64, kind int) error {
		switch field {
		case modelGraph:
			graphs++
			return c.graph(kind)
		case modelMetadata:
			return c.meta(kind, &left)
		}
		return c.skip(kind, c.end)
	})
	if err == nil && graphs != 1 {
		err = fmt.Errorf("%d graphs: want one; this is no ONNX model", graphs)
	}
	if err != nil {
		return nil, fmt.Errorf("onnx model: %w", err)
	}
	return &c.Contents, nil
}

type collector struct {
	*walk
	Contents
	key, prefix string
	most        int64
}

func (c *collector) graph(kind int) error {
	return c.sub(kind, c.end, func(field uint64, kind int, end int64) error {
		if field != graphWeight {
			return c.skip(kind, end)
		}
		return errors.Join(c.count(), c.weight(kind, end))
	})
}

// weight keeps a weight whose name, which comes before its values, has the prefix.
func (c *collector) weight(kind int, end int64) error {
	name, w := "", Weight{}
	err := c.sub(kind, end, func(field uint64, kind int, end int64) (err error) {
		switch field {
		case 1:
			w.Dims, err = c.numbers(w.Dims, maxDims, kind, end)
		case 2:
			var v uint64
			v, err = c.number(kind)
			w.Elem = int(min(v, maxElem+1))
		case 8:
			name, err = c.text(kind, end)
		case 9:
			if !strings.HasPrefix(name, c.prefix) {
				return c.skip(kind, end)
			}
			w.Raw, err = c.blob(kind, end, &c.most)
		default:
			err = c.skip(kind, end)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("tensor %.60q: %w", name, err)
	}
	short, ok := strings.CutPrefix(name, c.prefix)
	if !ok || w.Raw == nil {
		return nil
	}
	if _, twice := c.Weights[short]; twice {
		return fmt.Errorf("tensor %.60q stands twice", name)
	}
	c.Weights[short] = w
	return nil
}

func (c *collector) meta(kind int, left *int64) error {
	var key string
	var value []byte
	err := c.sub(kind, c.end, func(field uint64, kind int, end int64) (err error) {
		switch {
		case field == 1:
			key, err = c.text(kind, end)
		case field == 2 && strings.HasPrefix(key, c.key):
			value, err = c.blob(kind, end, left)
		default:
			err = c.skip(kind, end)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("metadata %.60q: %w", key, err)
	}
	if !strings.HasPrefix(key, c.key) {
		return nil
	}
	if _, twice := c.Metadata[key]; twice {
		return fmt.Errorf("metadata %.60q stands twice", key)
	}
	c.Metadata[key] = string(value)
	return c.count()
}

// blob reads the bytes of a field, of which left are allowed. It takes memory as they
// come.
func (c *collector) blob(kind int, end int64, left *int64) ([]byte, error) {
	stop, err := c.length(kind, end)
	if err != nil {
		return nil, err
	}
	n := stop - c.at
	if *left -= n; *left < 0 {
		return nil, fmt.Errorf("%d bytes: that is more than medprobe writes", n)
	}
	b, err := io.ReadAll(io.LimitReader(c.r, n))
	c.at += int64(len(b))
	if err != nil || int64(len(b)) != n {
		return nil, errCut
	}
	return b, nil
}
