// Package spiece reads SentencePiece models of the Unigram kind and cuts texts
// with them as google/sentencepiece 0.1.97 does: the normaliser's compiled
// character map, the Viterbi search over piece scores, and byte fallback.
package spiece

import (
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// Bounds on what a model file may hold.
const (
	maxFile  = 16 << 20 // the largest vocabularies in use take 5 MB
	maxPiece = 1 << 10  // bytes of a piece, and of what a character becomes
)

// kind is ModelProto.SentencePiece.Type.
type kind uint64

const (
	normal      kind = 1
	unknown     kind = 2
	control     kind = 3
	userDefined kind = 4
	unused      kind = 5
	byteKind    kind = 6
)

type piece struct {
	text  string
	score float32
	kind  kind
}

// Model is a vocabulary with its scores and its normaliser. It is safe for
// concurrent use.
type Model struct {
	pieces     []piece
	ids        map[string]int
	trie       trie
	normalizer normalizer
	unk        int
	bytes      [256]int // ids of the byte pieces; -1 without byte fallback
	fallback   bool
	unkScore   float32
	maxScore   float32
}

// Load reads a spiece.model file.
func Load(path string) (*Model, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("spiece: %w", err)
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("spiece: %s: %d bytes, more than %d", path, info.Size(), maxFile)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("spiece: %w", err)
	}
	m, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("spiece: %s: %w", path, err)
	}
	return m, nil
}

// Parse reads a serialised sentencepiece.ModelProto.
func Parse(data []byte) (*Model, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("%d bytes, more than %d", len(data), maxFile)
	}
	m := &Model{normalizer: normalizer{removeExtraSpaces: true, escapeSpaces: true}}
	modelType := uint64(1)
	err := fields(data, func(number protowire.Number, value field) error {
		switch number {
		case 1:
			p, err := parsePiece(value.bytes)
			m.pieces = append(m.pieces, p)
			return err
		case 2:
			return fields(value.bytes, func(number protowire.Number, value field) error {
				switch number {
				case 3:
					modelType = value.number
				case 35:
					m.fallback = value.number != 0
				}
				return nil
			})
		case 3:
			return m.normalizer.parse(value.bytes)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if modelType != 1 {
		return nil, fmt.Errorf("model type %d: want 1, Unigram", modelType)
	}
	return m, m.index()
}

func parsePiece(data []byte) (piece, error) {
	p := piece{kind: normal}
	err := fields(data, func(number protowire.Number, value field) error {
		switch number {
		case 1:
			p.text = string(value.bytes)
		case 2:
			p.score = math.Float32frombits(uint32(value.number))
		case 3:
			p.kind = kind(value.number)
		}
		return nil
	})
	if err == nil && (p.text == "" || len(p.text) > maxPiece) {
		err = fmt.Errorf("piece of %d bytes: want 1 to %d", len(p.text), maxPiece)
	}
	if err == nil && math.IsNaN(float64(p.score)) {
		err = fmt.Errorf("piece %q has a score that is not a number", p.text)
	}
	return p, err
}

// index builds what encoding needs.
func (m *Model) index() error {
	m.ids, m.unk = make(map[string]int, len(m.pieces)), -1
	for b := range m.bytes {
		m.bytes[b] = -1
	}
	// The highest score is never below FLT_MIN in the reference.
	lowest, highest := float32(math.MaxFloat32), float32(0x1p-126)
	var inTrie, kept []int
	for id, p := range m.pieces {
		if _, twice := m.ids[p.text]; twice {
			return fmt.Errorf("piece %q stands twice", p.text)
		}
		m.ids[p.text] = id
		switch p.kind {
		case unknown:
			if m.unk >= 0 {
				return errors.New("two unknown pieces")
			}
			m.unk = id
		case byteKind:
			b, err := byteOf(p.text)
			if err != nil {
				return err
			}
			m.bytes[b] = id
		case normal:
			lowest, highest = min(lowest, p.score), max(highest, p.score)
			inTrie = append(inTrie, id)
		case userDefined, unused:
			inTrie = append(inTrie, id)
			if p.kind == userDefined {
				kept = append(kept, id)
			}
		case control:
		default:
			return fmt.Errorf("piece %q has the unknown type %d", p.text, p.kind)
		}
	}
	if m.unk < 0 {
		return errors.New("no unknown piece")
	}
	if m.fallback && slices.Contains(m.bytes[:], -1) {
		return errors.New("byte fallback without 256 byte pieces")
	}
	if len(inTrie) == 0 {
		return errors.New("no pieces")
	}
	m.unkScore, m.maxScore = lowest-unkPenalty, highest
	m.trie = newTrie(m.pieces, inTrie)
	m.normalizer.keep = newTrie(m.pieces, kept)
	return nil
}

// byteOf returns the byte that a piece such as <0x0A> stands for.
func byteOf(text string) (byte, error) {
	if len(text) == len("<0x00>") {
		b, err := strconv.ParseUint(text[3:5], 16, 8)
		if err == nil && text == fmt.Sprintf("<0x%02X>", b) {
			return byte(b), nil
		}
	}
	return 0, fmt.Errorf("byte piece %q: want <0x00> to <0xFF>", text)
}

// Size returns the number of pieces.
func (m *Model) Size() int { return len(m.pieces) }

// ID returns the id of a piece.
func (m *Model) ID(text string) (int, bool) {
	id, ok := m.ids[text]
	return id, ok
}

// Unknown returns the id of the unknown piece.
func (m *Model) Unknown() int { return m.unk }

// field is the value of a protobuf field: bytes, or a number for the others.
type field struct {
	bytes  []byte
	number uint64
}

// fields calls visit for each field of a message.
func fields(data []byte, visit func(protowire.Number, field) error) error {
	for len(data) > 0 {
		number, wire, n := protowire.ConsumeTag(data)
		if n < 0 {
			return fmt.Errorf("not a SentencePiece model: %w", protowire.ParseError(n))
		}
		data = data[n:]
		var value field
		switch wire {
		case protowire.BytesType:
			value.bytes, n = protowire.ConsumeBytes(data)
		case protowire.VarintType:
			value.number, n = protowire.ConsumeVarint(data)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(data)
			value.number = uint64(v)
		default:
			n = protowire.ConsumeFieldValue(number, wire, data)
		}
		if n < 0 {
			return fmt.Errorf("not a SentencePiece model: %w", protowire.ParseError(n))
		}
		data = data[n:]
		if err := visit(number, value); err != nil {
			return err
		}
	}
	return nil
}
