package registry

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
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
	if len(file) < 8 || binary.LittleEndian.Uint64(file) > uint64(len(file)-8) {
		return nil, fmt.Errorf("%s of %d bytes is cut short", headFile, len(file))
	}
	body := 8 + binary.LittleEndian.Uint64(file)
	var entries map[string]json.RawMessage
	if err := json.Unmarshal(file[8:body], &entries); err != nil {
		return nil, fmt.Errorf("%s: %w", headFile, err)
	}
	p := &parts{tensors: map[string]part{}}
	for name, text := range entries {
		if name == "__metadata__" {
			if err := json.Unmarshal(text, &p.texts); err != nil {
				return nil, fmt.Errorf("%s: metadata: %w", headFile, err)
			}
			continue
		}
		var entry struct {
			DType   string    `json:"dtype"`
			Shape   []int     `json:"shape"`
			Offsets [2]uint64 `json:"data_offsets"`
		}
		if err := json.Unmarshal(text, &entry); err != nil {
			return nil, fmt.Errorf("%s: tensor %q: %w", headFile, name, err)
		}
		from, to, size := entry.Offsets[0], entry.Offsets[1], uint64(len(file))-body
		if from > to || to > size || entry.DType != "F32" {
			return nil, fmt.Errorf("%s: tensor %q of type %s from byte %d to %d of %d: want F32", headFile, name, entry.DType, from, to, size)
		}
		p.tensors[name] = part{entry.Shape, file[body+from : body+to]}
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
