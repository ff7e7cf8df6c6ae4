// Package yamlfile reads one YAML document into a struct and lets nothing
// pass: an unknown, doubled or misspelt key is an error with its line and the
// key that was probably meant.
package yamlfile

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/medprobe/medprobe/internal/near"
	"go.yaml.in/yaml/v4"
)

// maxBytes bounds a file that people write by hand.
const maxBytes = 8 << 20

// Load reads the file into v, a pointer to a struct.
func Load(path string, v any) error {
	data, err := read(path)
	if err != nil {
		return err
	}
	return Parse(path, data, v)
}

// HasKey reports whether the file is one of keys and has this one at the top.
func HasKey(path, key string) bool {
	data, err := read(path)
	if err != nil {
		return false
	}
	var document yaml.Node
	if yaml.Load(data, &document) != nil || len(document.Content) != 1 {
		return false
	}
	top := document.Content[0]
	for i := 0; top.Kind == yaml.MappingNode && i < len(top.Content); i += 2 {
		if top.Content[i].Value == key {
			return true
		}
	}
	return false
}

func read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		return nil, fmt.Errorf("read %s: a folder, and a YAML file is wanted", path)
	}
	if err == nil && info.Size() > maxBytes {
		return nil, fmt.Errorf("read %s: %d bytes, more than the %d such a file may have", path, info.Size(), maxBytes)
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(path)
	}
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return nil, fmt.Errorf("read %s: %w", path, pathErr.Err)
	}
	return data, err
}

// Parse reads data, which came from the file name, into v.
func Parse(name string, data []byte, v any) error {
	var document yaml.Node
	switch err := yaml.Load(data, &document); {
	case err == nil && len(document.Content) == 1 && document.Content[0].Kind != yaml.MappingNode:
		return fmt.Errorf("%s: holds no keys: want KEY: VALUE, a line each", name)
	case err != nil && strings.Contains(err.Error(), "no documents in stream"):
		return fmt.Errorf("%s: an empty file", name)
	case err == nil:
		if faults := misshapen(&document, reflect.TypeOf(v)); len(faults) > 0 {
			return fmt.Errorf("%s: %s", name, strings.Join(faults, "; "))
		}
	}
	if err := yaml.Load(data, v, yaml.WithKnownFields()); err != nil {
		return fmt.Errorf("%s: %s", name, explain(err.Error(), reflect.TypeOf(v)))
	}
	return nil
}

var unknownField = regexp.MustCompile(`field (\S+) not found in type [\w.]+`)

// unfit is the library's word for a value that does not fit the Go type; it shows
// scalars only.
var unfit = regexp.MustCompile("cannot construct !!(\\w+)(?: `(.*?)`)? into (\\S+[^;\\s])")

var digits = regexp.MustCompile(`^[0-9]+$`)

// wanted says what YAML a Go type takes.
func wanted(goType string) string {
	switch {
	case strings.HasPrefix(goType, "[]"):
		return "a list, such as [a, b]; of one, [a]"
	case strings.HasPrefix(goType, "float"):
		return "a number with a point, such as 0.5"
	case strings.HasPrefix(goType, "uint"):
		return "a whole number from 0"
	case strings.HasPrefix(goType, "int"):
		return "a whole number"
	case goType == "bool":
		return "true or false"
	case goType == "string":
		return "text"
	}
	return "keys with values, such as {key: value}"
}

// explain turns the library's words about unknown fields, and about values of
// another kind, into ours.
func explain(message string, t reflect.Type) string {
	message = strings.TrimPrefix(message, "yaml: ")
	message = strings.TrimPrefix(message, "construct errors: ")
	message = unfit.ReplaceAllStringFunc(message, func(m string) string {
		got := unfit.FindStringSubmatch(m)
		what := strconv.Quote(got[2])
		if kind, ok := map[string]string{"seq": "a list", "map": "keys with values"}[got[1]]; ok {
			what = kind
		}
		return what + ": want " + wanted(got[3])
	})
	if strings.Contains(message, "found character that cannot start any token") {
		message += "; is it a tab? indent with spaces"
	}
	places := map[string][]string{}
	fieldPlaces(t, "", places, map[reflect.Type]bool{})
	return unknownField.ReplaceAllStringFunc(message, func(m string) string {
		name := unknownField.FindStringSubmatch(m)[1]
		hint := near.Hint(name, slices.Sorted(maps.Keys(places)))
		if under, known := places[name]; known && !slices.Contains(under, "") {
			hint = " here; it belongs under " + strings.Join(under, " or ")
		} else if known {
			hint = " here; it belongs at the top, not indented"
		} else if digits.MatchString(name) {
			hint = "; a decimal comma? write 0." + name
		}
		return fmt.Sprintf("unknown field %q%s", name, hint)
	})
}

// fieldPlaces notes for each YAML key of a struct type, and of those inside it, the
// keys that it stands under, quoted; none is the top.
func fieldPlaces(t reflect.Type, under string, places map[string][]string, seen map[reflect.Type]bool) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || seen[t] {
		return
	}
	seen[t] = true
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		inside := under
		if name != "" && name != "-" {
			inside = strconv.Quote(name)
			if !slices.Contains(places[name], under) {
				places[name] = append(places[name], under)
			}
		}
		fieldPlaces(t.Field(i).Type, inside, places, seen)
	}
}
