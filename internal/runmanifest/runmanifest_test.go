package runmanifest

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

func TestManifestIsReadBackAndChecksFiles(t *testing.T) {
	t.Parallel()
	m := &Manifest{
		Schema: Schema, Name: "<a> & b", Seed: 1 << 63, Experiment: "e", Dataset: "d", Split: "s", Encoder: "x", Preprocess: "p",
		// SHA-256 of "abc", as FIPS 180-2 gives it.
		Files: map[string]string{"report.json": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
	}
	var b bytes.Buffer
	if err := m.Write(&b); err != nil {
		t.Fatal(err)
	}
	got, err := Parse(b.Bytes())
	if err != nil || !reflect.DeepEqual(got, m) {
		t.Fatalf("%+v, %v: want %+v", got, err, m)
	}
	if err := got.Check("report.json", []byte("abc")); err != nil {
		t.Error(err)
	}
	for want, err := range map[string]error{
		`its manifest says "ba7816bf8f01"…: it was changed, or the files are not of one run`: got.Check("report.json", []byte("abd")),
		"heads/x is not in its manifest": got.Check("heads/x", []byte("abc")),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: want %q", err, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"schema": "medprobe.run/2"}`:             `of schema "medprobe.run/2": this medprobe knows "medprobe.run/1"; upgrade medprobe`,
		`{"schema"`:                                "manifest.json: unexpected end",
		`{"schema": "medprobe.run/1", "seed": -1}`: "manifest.json: json",
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v: want %q", text, err, want)
		}
	}
}

// A manifest that is not one is an error and never a panic.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"schema": "medprobe.run/1", "files": {"a": "b"}}`))
	f.Add([]byte(`{"files": null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := Parse(text)
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := m.Write(&b); err != nil {
			t.Fatal(err)
		}
		if again, err := Parse(b.Bytes()); err != nil || !reflect.DeepEqual(m, again) {
			t.Errorf("%+v, %v: want %+v", again, err, m)
		}
	})
}
