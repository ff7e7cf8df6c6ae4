package texttab

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// IsJSON reports whether the table is a file of JSON objects, by its name.
func IsJSON(path string) bool {
	ext := strings.ToLower(filepath.Ext(strings.TrimSuffix(strings.ToLower(path), ".gz")))
	return ext == ".jsonl" || ext == ".ndjson"
}

// maxLine bounds one JSON object.
const maxLine = 16 << 20

// jsonLines reads an object a line.
type jsonLines struct {
	*bufio.Scanner
	number int
	object flatObject
}

func newJSONLines(r io.Reader) *jsonLines {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 1<<16), maxLine)
	return &jsonLines{Scanner: lines}
}

// next returns the keys and cells of the next line, none of an empty one, and
// [io.EOF] after the last. They are valid until the next call.
func (l *jsonLines) next() (keys, cells []string, err error) {
	l.number++
	if !l.Scan() {
		if err = l.Err(); errors.Is(err, bufio.ErrTooLong) {
			err = fmt.Errorf("more than %d bytes", maxLine)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("line %d: %w", l.number, err)
		}
		return nil, nil, io.EOF
	}
	line := bytes.TrimSpace(bytes.TrimPrefix(l.Bytes(), []byte("\ufeff")))
	if len(line) == 0 {
		return nil, nil, nil
	}
	if l.object.read(string(line)) {
		return l.object.keys, l.object.cells, nil
	}
	keys, cells, err = object(line)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the JSON object does not end on its line")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("line %d: %w", l.number, err)
	}
	return keys, cells, nil
}

// distinct reports whether no name stands twice.
func distinct(names []string) bool {
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return false
		}
	}
	return true
}

// jsonHeader lists the keys of all lines, in the order in which they are first
// met.
func jsonHeader(r io.Reader) ([]string, error) {
	var header []string
	known := map[string]bool{}
	for lines := newJSONLines(r); ; {
		keys, _, err := lines.next()
		if errors.Is(err, io.EOF) {
			return header, nil
		}
		if err != nil {
			return nil, err
		}
		for i, key := range keys {
			if i < len(header) && header[i] == key {
				continue // as in most lines
			}
			if !known[key] {
				known[key] = true
				header = append(header, key)
			}
		}
	}
}

// jsonAsCSV returns the lines as rows under the header.
func jsonAsCSV(in io.ReadCloser, header []string) io.ReadCloser {
	place := map[string]int{}
	for i, key := range header {
		place[key] = i
	}
	row := make([]string, len(header))
	lines := newJSONLines(in)
	return newRowText(in, header, func(table *csv.Writer) error {
		keys, cells, err := lines.next()
		if err != nil {
			return err
		}
		clear(row)
		for i, key := range keys {
			at := i
			if at >= len(header) || header[at] != key {
				known := false
				if at, known = place[key]; !known {
					return fmt.Errorf("line %d: the key %q is new: the file was changed", lines.number, key)
				}
			}
			row[at] = cells[i]
		}
		return table.Write(row)
	})
}

// object returns the keys of a JSON object in their order, and its values as
// cells.
func object(line []byte) (keys, values []string, err error) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	if token, err := d.Token(); err != nil || token != json.Delim('{') {
		return nil, nil, errors.New("want a JSON object")
	}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, nil, err
		}
		key := token.(string) // a decoder gives nothing else here
		if slices.Contains(keys, key) {
			return nil, nil, fmt.Errorf("key %q stands twice", key)
		}
		var value any
		if err := d.Decode(&value); err != nil {
			return nil, nil, fmt.Errorf("key %q: %w", key, err)
		}
		text, err := jsonCell(value)
		if err != nil {
			return nil, nil, fmt.Errorf("key %q: %w", key, err)
		}
		keys, values = append(keys, key), append(values, text)
	}
	if _, err := d.Token(); err != nil {
		return nil, nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, nil, errors.New("more than one object on the line")
	}
	return keys, values, nil
}

func jsonCell(value any) (string, error) {
	switch v := value.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case bool:
		return strconv.Itoa(map[bool]int{true: 1}[v]), nil
	case json.Number:
		return v.String(), nil
	case []any:
		parts := make([]string, len(v))
		for i, part := range v {
			if _, nested := part.([]any); nested {
				return "", errors.New("a list within a list")
			}
			var err error
			if parts[i], err = jsonCell(part); err != nil {
				return "", err
			}
			if strings.Contains(parts[i], "|") {
				return "", fmt.Errorf("%q holds the |  that joins lists", parts[i])
			}
		}
		return strings.Join(parts, "|"), nil
	}
	return "", errors.New("an object within the object: want a flat one")
}
