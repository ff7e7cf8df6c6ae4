package report

import (
	"fmt"
	"reflect"
	"strings"
	"unicode"

	"github.com/medprobe/medprobe/evaluate"
)

// visible returns a copy of a report, gate or drift in which every string is [plain].
func visible[T evaluate.Report | evaluate.Gate | evaluate.Drift](r *T) *T {
	return plainCopy(reflect.ValueOf(r)).Interface().(*T)
}

func plainCopy(v reflect.Value) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	switch v.Kind() {
	case reflect.String:
		out.SetString(plain(v.String()))
	case reflect.Struct:
		for i := range v.NumField() {
			out.Field(i).Set(plainCopy(v.Field(i)))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			out.Set(reflect.New(v.Type().Elem()))
			out.Elem().Set(plainCopy(v.Elem()))
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 { // a picture, or JSON that is not shown
			out.Set(v)
		} else if !v.IsNil() {
			out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
			for i := range v.Len() {
				out.Index(i).Set(plainCopy(v.Index(i)))
			}
		}
	case reflect.Map:
		if !v.IsNil() {
			out.Set(reflect.MakeMap(v.Type()))
			for it := v.MapRange(); it.Next(); {
				out.SetMapIndex(plainCopy(it.Key()), plainCopy(it.Value()))
			}
		}
	default:
		out.Set(v)
	}
	return out
}

// plain returns s in one line of text that neither moves a cursor nor reverses
// its neighbours: blanks for tabs and line breaks, codes for other control and
// bidirectional characters.
func plain(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	hidden := func(r rune) bool {
		return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029'
	}
	if !strings.ContainsFunc(s, hidden) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			b.WriteByte(' ')
		case hidden(r):
			fmt.Fprintf(&b, "\\u%04x", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
