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

// Write writes the arrays as F32 in the layout of the reference writer, to the
// byte: sorted by name, the metadata first and sorted by key (the reference
// leaves its order to chance), the header padded with spaces to a multiple of
// eight bytes. The same input gives the same bytes.
func Write(w io.Writer, arrays []Array, metadata map[string]string) error {
	arrays = slices.SortedFunc(slices.Values(arrays), func(a, b Array) int { return cmp.Compare(a.Name, b.Name) })
	text, err := header(arrays, metadata)
	if err != nil {
		return err
	}
	if err := binary.Write(w, binary.LittleEndian, uint64(len(text))); err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	for _, a := range arrays {
		if err := binary.Write(w, binary.LittleEndian, a.Data); err != nil {
			return err
		}
	}
	return nil
}

// header returns the JSON header of arrays that are sorted by name.
func header(arrays []Array, metadata map[string]string) ([]byte, error) {
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
	for i, a := range arrays {
		n := 1
		for _, d := range a.Shape {
			n *= d
		}
		switch {
		case n != len(a.Data):
			return nil, fmt.Errorf("safetensors: write tensor %q: %d values: want %v", a.Name, len(a.Data), a.Shape)
		case i > 0 && arrays[i-1].Name == a.Name, a.Name == "__metadata__":
			return nil, fmt.Errorf("safetensors: write tensor %q: want another name for each", a.Name)
		}
		err := put(separator, a.Name)
		if err == nil {
			err = put(':', struct {
				DType   string `json:"dtype"`
				Shape   []int  `json:"shape"`
				Offsets [2]int `json:"data_offsets"`
			}{"F32", append([]int{}, a.Shape...), [2]int{at, at + 4*n}})
		}
		if err != nil {
			return nil, err
		}
		separator, at = ',', at+4*n
	}
	if separator == '{' {
		text.WriteByte('{')
	}
	text.WriteByte('}')
	text.Write(bytes.Repeat([]byte(" "), (8-text.Len()%8)%8))
	return text.Bytes(), nil
}
