package texttab

import (
	"strings"
	"unicode/utf8"
)

// flat returns the keys and the cells of a JSON object of plain texts, numbers,
// truths and nulls, many times faster than a decoder that may meet anything. ok
// is false for all else, and for what is no JSON: the decoder is to say so.
func flat(line string) (keys, cells []string, ok bool) {
	s := flatScanner{line}
	if !s.eat("{") {
		return nil, nil, false
	}
	if s.eat("}") {
		return nil, nil, s.rest == ""
	}
	for {
		key, ok := s.text()
		if !ok || !s.eat(":") {
			return nil, nil, false
		}
		cell, ok := s.value()
		if !ok {
			return nil, nil, false
		}
		keys, cells = append(keys, key), append(cells, cell)
		if s.eat("}") {
			return keys, cells, s.rest == ""
		}
		if !s.eat(",") {
			return nil, nil, false
		}
	}
}

type flatScanner struct{ rest string }

// eat steps over a mark and the space around it.
func (s *flatScanner) eat(mark string) bool {
	rest, ok := strings.CutPrefix(strings.TrimLeft(s.rest, " \t"), mark)
	if ok {
		s.rest = strings.TrimLeft(rest, " \t")
	}
	return ok
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
	end := strings.IndexAny(s.rest, ", \t}")
	if end < 0 {
		return "", false
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
