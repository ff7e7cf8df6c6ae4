package registry

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/medprobe/medprobe/internal/safetensors"
	"github.com/medprobe/medprobe/trainer"
)

// parts is the file of a head taken apart, so that another format can hold its
// tensors in its own way and give the same file back.
type parts struct {
	tensors map[string]part
	texts   map[string]string
}

// part is a tensor of float32, by its bytes.
type part struct {
	shape []int
	raw   []byte
}

// takeApart reads a head's file. One that [trainer.Head.Write] would not write in
// the same bytes is an error.
func takeApart(file []byte) (*parts, error) {
	f, err := safetensors.Read(headFile, file)
	if err != nil {
		return nil, err
	}
	p := &parts{tensors: map[string]part{}, texts: f.Metadata()}
	for _, t := range f.Tensors() {
		if t.DType != "F32" {
			return nil, fmt.Errorf("%s: tensor %q of type %s: want F32", headFile, t.Name, t.DType)
		}
		raw, err := f.Bytes(t.Name)
		if err != nil {
			return nil, err
		}
		p.tensors[t.Name] = part{t.Shape, raw}
	}
	if again, err := p.file(); err != nil || !bytes.Equal(again, file) {
		return nil, fmt.Errorf("%s is not in the form that medprobe writes: save the head again", headFile)
	}
	return p, nil
}

// file returns the head's file.
func (p *parts) file() ([]byte, error) {
	var streams []safetensors.Stream
	for name, t := range p.tensors {
		streams = append(streams, safetensors.Stream{Name: name, DType: "F32", Shape: t.shape, Write: func(w io.Writer) error {
			_, err := w.Write(t.raw)
			return err
		}})
	}
	var b bytes.Buffer
	err := safetensors.WriteStreams(&b, streams, p.texts)
	return b.Bytes(), err
}

// unknown names a part that [trainer.Head.Probabilities] may use and an export that
// computes the same does not know; "" if there is none.
func (p *parts) unknown() string {
	for _, name := range slices.Sorted(maps.Keys(p.tensors)) {
		known := slices.Contains([]string{"weight", "bias", "cache.keys", "cache.values"}, name)
		if !known && !strings.HasPrefix(name, "network.") {
			return name
		}
	}
	for _, key := range slices.Sorted(maps.Keys(p.texts)) {
		switch key {
		case "format", "kind", "exclusive", "encoder", "preprocess", "classes", "fits", "notes", "calibration", "thresholds", "cache":
		default:
			return key
		}
	}
	return ""
}

// encodeHead returns the file of a head.
func encodeHead(h *trainer.Head) ([]byte, error) {
	var b bytes.Buffer
	err := h.Write(&b)
	return b.Bytes(), err
}
