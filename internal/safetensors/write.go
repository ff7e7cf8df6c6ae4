package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"slices"
)

// Array is a tensor to write.
type Array struct {
	Name  string
	Shape []int
	Data  []float32
}

// Stream is a tensor whose bytes are written by a function.
type Stream struct {
	Name string
	// DType is "F32" or "U8".
	DType string
	Shape []int
	// Write writes the values, little-endian.
	Write func(io.Writer) error
}

// size is the tensor's size in bytes.
func (s Stream) size() int {
	n := s.width()
	for _, d := range s.Shape {
		n *= d
	}
	return n
}

func (s Stream) width() int {
	if s.DType == "U8" {
		return 1
	}
	return 4
}

// Write writes the arrays as F32; see [WriteStreams].
func Write(w io.Writer, arrays []Array, metadata map[string]string) error {
	streams := make([]Stream, len(arrays))
	for i, a := range arrays {
		streams[i] = Stream{a.Name, "F32", a.Shape, func(w io.Writer) error { return binary.Write(w, binary.LittleEndian, a.Data) }}
		if n := streams[i].size(); n != 4*len(a.Data) {
			return fmt.Errorf("safetensors: write tensor %q: %d values: want %v", a.Name, len(a.Data), a.Shape)
		}
	}
	return WriteStreams(w, streams, metadata)
}

// WriteStreams writes tensors in the layout of the reference writer, to the byte:
// the widest values first and then by name, the metadata before all and sorted by
// key (the reference leaves its order to chance), the header padded with spaces to
// a multiple of eight bytes. The same input gives the same bytes.
func WriteStreams(w io.Writer, streams []Stream, metadata map[string]string) error {
	streams = slices.SortedFunc(slices.Values(streams), func(a, b Stream) int {
		return cmp.Or(cmp.Compare(b.width(), a.width()), cmp.Compare(a.Name, b.Name))
	})
	text, err := header(streams, metadata)
	if err != nil {
		return err
	}
	if err := binary.Write(w, binary.LittleEndian, uint64(len(text))); err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	for _, s := range streams {
		count := &counter{to: w}
		if err := s.Write(count); err != nil {
			return err
		}
		if count.n != s.size() {
			return fmt.Errorf("safetensors: write tensor %q: %d bytes: want %d", s.Name, count.n, s.size())
		}
	}
	return nil
}

// counter counts what it passes on.
type counter struct {
	to io.Writer
	n  int
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.n += n
	return n, err
}

// header returns the JSON header of tensors that are in their order.
func header(streams []Stream, metadata map[string]string) ([]byte, error) {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	put := func(separator byte, v any) error {
		text.WriteByte(separator)
		err := enc.Encode(v)
		text.Truncate(text.Len() - 1) // the newline that Encode adds
		return err
	}
	separator := byte('{')
	if len(metadata) > 0 {
		text.WriteString(`{"__metadata__"`)
		if err := put(':', metadata); err != nil {
			return nil, err
		}
		separator = ','
	}
	at := 0
	for i, a := range streams {
		n := a.size()
		if i > 0 && streams[i-1].Name == a.Name || a.Name == "__metadata__" {
			return nil, fmt.Errorf("safetensors: write tensor %q: want another name for each", a.Name)
		}
		err := put(separator, a.Name)
		if err == nil {
			err = put(':', struct {
				DType   string `json:"dtype"`
				Shape   []int  `json:"shape"`
				Offsets [2]int `json:"data_offsets"`
			}{a.DType, append([]int{}, a.Shape...), [2]int{at, at + n}})
		}
		if err != nil {
			return nil, err
		}
		separator, at = ',', at+n
	}
	if separator == '{' {
		text.WriteByte('{')
	}
	text.WriteByte('}')
	text.Write(bytes.Repeat([]byte(" "), (8-text.Len()%8)%8))
	return text.Bytes(), nil
}
