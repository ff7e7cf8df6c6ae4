package texttab

import (
	"encoding/json"
	"slices"
	"testing"
)

var objects = []string{
	`{}`, `{"a": 1}`, ` { "a" : -1.50 , "b":"x y" } `, `{"a":null,"b":true,"c":false}`, `{"a":""}`, `{"a":"Gr\u00f6\u00dfe"}`, `{"a":"Größe","ö":0}`,
	`{"a":1e5}`, `{"a":01}`, `{"a":-}`, `{"a":.5}`, `{"a":5.}`, `{"a":1,}`, `{"a" 1}`, `{"a":1}}`, `{"a":1} {}`, `{"a":[1,"x"]}`, `{"a":{"b":1}}`, `{"a":"x`,
	`{"a":"x\"y"}`, "{\"a\":\"tab\there\"}", "{\"a\":\"\xff\"}", `{"a":nul}`, `{a:1}`, `[1]`, ``, `{`, `{"a":1,"a":2}`, `{"":"","":0}`, "{\"a\":1\u00a0}",
}

// What the quick way takes for an object, the decoder reads as the same.
func agrees(t *testing.T, line string) {
	t.Helper()
	var o flatObject
	if !o.read(line) {
		return
	}
	keys, cells := o.keys, o.cells
	wantKeys, wantCells, err := object([]byte(line))
	if err != nil || !json.Valid([]byte(line)) || !slices.Equal(keys, wantKeys) || !slices.Equal(cells, wantCells) {
		t.Errorf("%q: %q %q, want %q %q, %v", line, keys, cells, wantKeys, wantCells, err)
	}
}

func TestFlatObjectsAreReadAsTheDecoderReadsThem(t *testing.T) {
	t.Parallel()
	quick := 0
	for _, line := range objects {
		agrees(t, line)
		if new(flatObject).read(line) {
			quick++
		}
	}
	if quick < 6 {
		t.Errorf("%d objects were read the quick way", quick)
	}
}

func FuzzFlat(f *testing.F) {
	for _, line := range objects {
		f.Add(line)
	}
	f.Fuzz(agrees)
}
