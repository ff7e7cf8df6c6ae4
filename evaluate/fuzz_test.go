package evaluate

import (
	"bytes"
	"math"
	"testing"

	"github.com/parquet-go/parquet-go"
)

// A report that is read can be written, and is then read as the same.
func FuzzReadReport(f *testing.F) {
	f.Add([]byte(`{"schema":"` + Schema + `","counts":{"samples":1,"used":1}}`))
	f.Add([]byte(`{"schema":"` + Schema + `","counts":{"samples":3,"used":1,"excluded":[{"reason":"x","n":1}],"failed":[{"reason":"y","n":1}]},"findings":[{"label":"a","methods":null}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := ReadReport(bytes.NewReader(text))
		if err != nil {
			return
		}
		var once, twice bytes.Buffer
		if err := r.WriteJSON(&once); err != nil {
			return // a number that JSON has no words for does not come in either
		}
		again, err := ReadReport(bytes.NewReader(once.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		if err := again.WriteJSON(&twice); err != nil || !bytes.Equal(once.Bytes(), twice.Bytes()) {
			t.Errorf("%v: written %s, then %s", err, once.Bytes(), twice.Bytes())
		}
	})
}

func FuzzReadPredictions(f *testing.F) {
	var b bytes.Buffer
	if err := parquet.Write(&b, []Prediction{{ID: "a", Patient: "p", Finding: "x", Method: "m", Score: 1}, {ID: "b", Score: math.Inf(1)}}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		rows, err := ReadPredictions(bytes.NewReader(data), int64(len(data)))
		if err == nil && len(rows) > len(data) {
			t.Errorf("%d rows of %d bytes", len(rows), len(data))
		}
	})
}
