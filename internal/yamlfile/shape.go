package yamlfile

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// longest is how long a line may be that is shown as the right one, and mostFaults how
// many are.
const (
	longest    = 160
	mostFaults = 20
)

// misshapen lists the values of the document that are of another kind than their
// keys take: a word for a list, keys for a word, a list for keys. Each is followed
// by the line that would be right, made of what stands there or, where keys are
// wanted, of the tag `example` of the struct's field, a value of it and what else is
// to be said. Aliases are not followed.
func misshapen(document *yaml.Node, t reflect.Type) (faults []string) {
	for _, node := range document.Content {
		faults = append(faults, inside(node, t)...)
	}
	if more := len(faults) - mostFaults; more > 0 {
		faults = append(faults[:mostFaults], fmt.Sprintf("and %d more", more))
	}
	return faults
}

// inside looks at the values of keys, and of those in lists of keys.
func inside(node *yaml.Node, t reflect.Type) (faults []string) {
	t = pointed(t)
	switch {
	case node.Kind == yaml.SequenceNode && t.Kind() == reflect.Slice:
		for _, item := range node.Content {
			faults = append(faults, inside(item, t.Elem())...)
		}
	case node.Kind == yaml.MappingNode && t.Kind() == reflect.Map:
		for i := 1; i < len(node.Content); i += 2 {
			faults = append(faults, inside(node.Content[i], t.Elem())...)
		}
	case node.Kind == yaml.MappingNode && t.Kind() == reflect.Struct:
		for i := 0; i+1 < len(node.Content); i += 2 {
			key, value := node.Content[i], node.Content[i+1]
			field, ok := fieldOf(t, key.Value)
			if !ok {
				continue
			}
			whole := valueWithRest(node, i, t, field)
			if want := wantedFor(field, key.Value, whole, t); want != "" {
				faults = append(faults, fmt.Sprintf("line %d: %s: %s: want %s", value.Line, key.Value, kindOf(whole), want))
				continue
			}
			faults = append(faults, inside(value, field.Type)...)
		}
	}
	return faults
}

func pointed(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

func fieldOf(t reflect.Type, key string) (reflect.StructField, bool) {
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ","); name == key && key != "" {
			return t.Field(i), true
		}
	}
	return reflect.StructField{}, false
}

// valueWithRest returns the value of the pair at i. Of a list without brackets inside
// braces, {shots: 1,2,4}, YAML makes the key shots and the keys 2 and 4 without
// values: they belong to it.
func valueWithRest(node *yaml.Node, i int, t reflect.Type, field reflect.StructField) *yaml.Node {
	value := node.Content[i+1]
	if pointed(field.Type).Kind() != reflect.Slice || value.Kind != yaml.ScalarNode {
		return value
	}
	whole := *value
	for i += 2; i+1 < len(node.Content) && node.Content[i+1].Tag == "!!null" && node.Content[i+1].Value == ""; i += 2 {
		if _, known := fieldOf(t, node.Content[i].Value); known {
			break
		}
		whole.Value += "," + node.Content[i].Value
	}
	return &whole
}

// wantedFor says what the field takes and shows it, or nothing where the value is of
// that kind, or where the field's type reads such values itself.
func wantedFor(field reflect.StructField, key string, value *yaml.Node, t reflect.Type) string {
	if value.Kind == yaml.AliasNode || value.Tag == "!!null" {
		return ""
	}
	kind := pointed(field.Type).Kind()
	example, own := field.Tag.Get("example"), readsItself(field.Type)
	switch {
	case kind == reflect.Slice && (value.Kind != yaml.SequenceNode || isScalar(pointed(field.Type).Elem().Kind()) && !ofWords(value)):
		if item := pointed(field.Type).Elem(); example == "" && (isScalar(item.Kind()) || readsItself(item)) {
			example = list(words(value), item.Kind())
		} else if example == "" {
			return ""
		}
		return "a list: " + key + ": " + example
	case kind == reflect.Struct && example != "" && value.Kind != yaml.MappingNode && !(own && value.Kind == yaml.ScalarNode):
		return "keys with values, such as " + key + ": " + example
	case isScalar(kind) && value.Kind != yaml.ScalarNode && !own:
		want, found := wanted(kind.String()), fitting(words(value), kind)
		if len(found) > 0 {
			want += ": " + key + ": " + plain(found[0])
		}
		if several, ok := fieldOf(t, key+"s"); ok && len(found) > 1 && several.Type.Kind() == reflect.Slice {
			want += "; of several, " + key + "s: " + list(found, kind)
		}
		return want
	}
	return ""
}

func ofWords(list *yaml.Node) bool {
	return !slices.ContainsFunc(list.Content, func(item *yaml.Node) bool {
		return item.Kind == yaml.SequenceNode || item.Kind == yaml.MappingNode
	})
}

func isScalar(kind reflect.Kind) bool {
	return kind >= reflect.Bool && kind <= reflect.Float64 || kind == reflect.String
}

// readsItself reports whether the type has a method that reads YAML.
func readsItself(t reflect.Type) bool {
	reader := reflect.TypeFor[interface{ UnmarshalYAML(*yaml.Node) error }]()
	return reflect.PointerTo(pointed(t)).Implements(reader)
}

func kindOf(value *yaml.Node) string {
	switch value.Kind {
	case yaml.SequenceNode:
		if !ofWords(value) {
			return "more than words in a list"
		}
		return "a list"
	case yaml.MappingNode:
		return "keys with values"
	}
	if text := []rune(value.Value); len(text) > 40 {
		return strconv.Quote(string(text[:40]) + "…")
	}
	return strconv.Quote(value.Value)
}

// list is a right list of those words that fit, or else one to go by.
func list(words []string, kind reflect.Kind) string {
	items := fitting(words, kind)
	for i, item := range items {
		items[i] = plain(item)
	}
	text := strings.Join(items, ", ")
	switch {
	case text != "" && len(text) <= longest:
	case kind == reflect.String:
		text = "a, b"
	default:
		text = "1, 2, 4"
	}
	return "[" + text + "]"
}

// fitting are the words that are such as the kind takes; numbers among all others are
// not looked at further.
func fitting(words []string, kind reflect.Kind) (fit []string) {
	for _, word := range words {
		_, err := strconv.ParseFloat(word, 64)
		if err == nil || kind == reflect.String || !isScalar(kind) {
			fit = append(fit, word)
		}
	}
	return fit
}

// words are those of a value: its parts between commas, unless they are sentences; of
// a list those of its items; of keys their values where all are words, or else the
// keys.
func words(value *yaml.Node) (found []string) {
	switch value.Kind {
	case yaml.ScalarNode:
		for part := range strings.SplitSeq(value.Value, ",") {
			if part = strings.TrimSpace(part); part == "" || strings.Contains(part, " ") {
				return []string{value.Value}
			}
			found = append(found, part)
		}
	case yaml.SequenceNode:
		for _, item := range value.Content {
			found = append(found, words(item)...)
		}
	case yaml.MappingNode:
		start := 1
		for i := 1; i < len(value.Content); i += 2 {
			if v := value.Content[i]; v.Kind != yaml.ScalarNode || v.Tag != "!!str" {
				start = 0
			}
		}
		for i := start; i < len(value.Content); i += 2 {
			found = append(found, value.Content[i].Value)
		}
	}
	return found
}

// plain quotes a word that would mean something else without.
func plain(word string) string {
	if word == "" || strings.TrimSpace(word) != word || strings.ContainsAny(word, ",[]{}:#&*!|>'\"%@`\\") || slices.ContainsFunc([]rune(word), func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(word)
	}
	return word
}
