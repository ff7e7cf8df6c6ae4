package texttab

import (
	"strings"
	"unicode/utf8"
)

// flatObject holds keys and cells of an object.
type flatObject struct{ keys, cells []string }

// read reads the keys and the cells of a JSON object of plain texts, numbers,
// truths and nulls, many times faster than a decoder that may meet anything. ok
// is false for all else, and for what is no JSON: the decoder is to say so. The
// slices of o are used again.
func (o *flatObject) read(line string) (ok bool) {
	o.keys, o.cells = o.keys[:0], o.cells[:0]
	s := flatScanner{line}
	if !s.eat('{') {
		return false
	}
	if s.eat('}') {
		return s.rest == ""
	}
	for {
		key, ok := s.text()
		if !ok || !s.eat(':') {
			return false
		}
		cell, ok := s.value()
		if !ok {
			return false
		}
		o.keys, o.cells = append(o.keys, key), append(o.cells, cell)
		if s.eat('}') {
			return s.rest == "" && distinct(o.keys)
		}
		if !s.eat(',') {
			return false
		}
	}
}

type flatScanner struct{ rest string }

// eat steps over a mark and the space around it.
func (s *flatScanner) eat(mark byte) bool {
	s.space()
	if s.rest == "" || s.rest[0] != mark {
		return false
	}
	s.rest = s.rest[1:]
	s.space()
	return true
}

func (s *flatScanner) space() {
	for s.rest != "" && (s.rest[0] == ' ' || s.rest[0] == '\t') {
		s.rest = s.rest[1:]
	}
}

// text reads a text without escapes.
func (s *flatScanner) text() (string, bool) {
	if s.rest == "" || s.rest[0] != '"' {
		return "", false
	}
	text, rest, ended := strings.Cut(s.rest[1:], `"`)
	for i := range len(text) {
		if text[i] == '\\' || text[i] < ' ' {
			return "", false
		}
	}
	s.rest = rest
	return text, ended && utf8.ValidString(text)
}

// value reads a plain value as a cell.
func (s *flatScanner) value() (string, bool) {
	if strings.HasPrefix(s.rest, `"`) {
		return s.text()
	}
	end := 0
	for end < len(s.rest) && s.rest[end] != ',' && s.rest[end] != '}' && s.rest[end] != ' ' && s.rest[end] != '\t' {
		end++
	}
	word := s.rest[:end]
	s.rest = s.rest[end:]
	switch word {
	case "null":
		return "", true
	case "true":
		return "1", true
	case "false":
		return "0", true
	}
	return word, isPlainNumber(word)
}

// isPlainNumber reports whether the word is a JSON number without an exponent.
func isPlainNumber(word string) bool {
	whole, fraction, parted := strings.Cut(strings.TrimPrefix(word, "-"), ".")
	if whole == "" || len(whole) > 1 && whole[0] == '0' || parted && fraction == "" {
		return false
	}
	for _, part := range []string{whole, fraction} {
		for i := range len(part) {
			if part[i] < '0' || part[i] > '9' {
				return false
			}
		}
	}
	return true
}
