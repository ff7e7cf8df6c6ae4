package spiece

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// space is the character that stands for a space inside pieces, U+2581.
const space = "\u2581"

// normalizer rewrites text before it is cut, as sentencepiece's
// src/normalizer.cc does.
type normalizer struct {
	units             []uint32 // double-array trie over the texts to replace
	texts             []byte   // what replaces them, each ended by a zero byte
	keep              trie     // user-defined pieces, which are left as they are
	removeExtraSpaces bool
	escapeSpaces      bool
}

func (z *normalizer) parse(data []byte) error {
	return fields(data, func(number protowire.Number, value field) error {
		switch number {
		case 2:
			return z.parseMap(value.bytes)
		case 4:
			z.removeExtraSpaces = value.number != 0
		case 5:
			z.escapeSpaces = value.number != 0
		}
		return nil
	})
}

// parseMap reads precompiled_charsmap: the size of the trie in bytes, the trie,
// the texts.
func (z *normalizer) parseMap(data []byte) error {
	if len(data) == 0 {
		return nil
	}
	if len(data) < 4 {
		return errors.New("the character map is cut off")
	}
	size := binary.LittleEndian.Uint32(data)
	data = data[4:]
	if uint64(size) >= uint64(len(data)) || size%4 != 0 || size == 0 || data[len(data)-1] != 0 {
		return errors.New("the character map's sizes do not fit")
	}
	z.units = make([]uint32, size/4)
	for i := range z.units {
		z.units[i] = binary.LittleEndian.Uint32(data[4*i:])
	}
	z.texts = bytes.Clone(data[size:])
	for text := range bytes.SplitSeq(z.texts, []byte{0}) {
		if len(text) > maxPiece {
			return fmt.Errorf("the character map makes %d bytes of a character: want at most %d", len(text), maxPiece)
		}
	}
	return nil
}

// lookup returns the longest prefix of s that the map replaces and what by;
// n is 0 where there is none. The units are those of Darts-clone.
func (z *normalizer) lookup(s string) (n int, text []byte) {
	if len(z.units) == 0 {
		return 0, nil
	}
	offset := func(unit uint32) uint32 { return unit >> 10 << (unit & (1 << 9) >> 6) }
	found := uint32(0)
	at := offset(z.units[0])
	for i := range min(len(s), maxPiece) {
		at ^= uint32(s[i])
		if uint64(at) >= uint64(len(z.units)) {
			break
		}
		unit := z.units[at]
		if unit&(1<<31|0xff) != uint32(s[i]) {
			break
		}
		at ^= offset(unit)
		if unit>>8&1 == 1 {
			if uint64(at) >= uint64(len(z.units)) {
				break
			}
			n, found = i+1, z.units[at]&(1<<31-1)
		}
	}
	if n == 0 || uint64(found) >= uint64(len(z.texts)) {
		return 0, nil
	}
	text = z.texts[found:]
	return n, text[:bytes.IndexByte(text, 0)]
}

// prefix returns the next stretch of s, its length and its normal form.
func (z *normalizer) prefix(s string) (n int, form string) {
	longest := 0
	z.keep.walk(s, func(length int, _ int32) { longest = length })
	if longest > 0 {
		return longest, s[:longest]
	}
	if n, text := z.lookup(s); n > 0 {
		return n, string(text)
	}
	r, size := utf8.DecodeRuneInString(s)
	if r == utf8.RuneError && size <= 1 {
		return 1, "\ufffd"
	}
	return size, s[:size]
}

// normalize returns the text in the form that pieces are matched with.
func (z *normalizer) normalize(s string) string {
	var b strings.Builder
	b.Grow(len(s) + len(s)/2)
	afterSpace := z.removeExtraSpaces // leading spaces go too
	for len(s) > 0 {
		n, form := z.prefix(s)
		s = s[n:]
		if afterSpace {
			form = strings.TrimLeft(form, " ")
		}
		if form == "" {
			continue
		}
		if z.escapeSpaces && strings.IndexByte(form, ' ') >= 0 {
			b.WriteString(strings.ReplaceAll(form, " ", space))
		} else {
			b.WriteString(form)
		}
		afterSpace = z.removeExtraSpaces && strings.HasSuffix(form, " ")
	}
	if !z.removeExtraSpaces {
		return b.String()
	}
	end := " "
	if z.escapeSpaces {
		end = space
	}
	out := b.String()
	for strings.HasSuffix(out, end) {
		out = strings.TrimSuffix(out, end)
	}
	return out
}
