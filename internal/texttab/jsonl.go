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

// jsonAsCSV reads an object a line. Its keys become the columns, in the order
// in which they are first met.
func jsonAsCSV(r io.Reader) (*bytes.Buffer, error) {
	lines := bufio.NewScanner(io.LimitReader(r, maxBytes+1))
	lines.Buffer(nil, maxLine)
	var header []string
	place := map[string]int{}
	var rows [][]string
	cells := 0
	for number := 1; lines.Scan(); number++ {
		line := bytes.TrimSpace(bytes.TrimPrefix(lines.Bytes(), []byte("\ufeff")))
		row := make([]string, len(header))
		if len(line) > 0 {
			keys, values, err := object(line)
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				err = errors.New("the JSON object does not end on its line")
			}
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", number, err)
			}
			for k, key := range keys {
				at, known := place[key]
				if !known {
					at = len(header)
					place[key] = at
					header, row = append(header, key), append(row, "")
				}
				row[at] = values[k]
			}
		}
		if cells += len(row); cells > maxCells {
			return nil, fmt.Errorf("line %d: more than %d cells: divide the table", number, maxCells)
		}
		rows = append(rows, row)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", len(rows)+1, err)
	}
	text := &bytes.Buffer{}
	if len(header) == 0 {
		return text, nil
	}
	table := csv.NewWriter(text)
	if err := table.Write(header); err != nil {
		return nil, err
	}
	for _, row := range rows {
		if err := table.Write(append(row, make([]string, len(header)-len(row))...)); err != nil {
			return nil, err
		}
	}
	table.Flush()
	return text, table.Error()
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
