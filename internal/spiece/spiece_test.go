package spiece

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

func load(t testing.TB, name string) *Model {
	t.Helper()
	m, err := Load("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Both models cut clinical words, scripts, emoji, compatibility characters and
// bytes that are not UTF-8 as sentencepiece does (testdata/README.md).
func TestCutsAsSentencepieceDoes(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"small", "odd"} {
		m := load(t, name+".model")
		data, err := os.ReadFile("testdata/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var cuts []struct {
			Text string `json:"text"`
			IDs  []int  `json:"ids"`
		}
		if err := json.Unmarshal(data, &cuts); err != nil {
			t.Fatal(err)
		}
		for _, want := range cuts {
			text, err := hex.DecodeString(want.Text)
			if err != nil {
				t.Fatal(err)
			}
			if got := m.Encode(string(text)); !slices.Equal(got, want.IDs) {
				t.Errorf("%s: Encode(%q) = %v, want %v (sentencepiece 0.1.97)", name, text, got, want.IDs)
			}
		}
	}
}

func TestPieces(t *testing.T) {
	t.Parallel()
	m := load(t, "small.model")
	for text, want := range map[string]int{"<pad>": 0, "</s>": 1, "<unk>": 2, "<0x00>": 3, "<0xFF>": 258} {
		if got, ok := m.ID(text); !ok || got != want {
			t.Errorf("ID(%q) = %d, %v; want %d", text, got, ok, want)
		}
	}
	if _, ok := m.ID("no such piece"); ok || m.Unknown() != 2 {
		t.Errorf("an absent piece has an id, or Unknown() = %d, want 2", m.Unknown())
	}
}

// Work that grew with the square of a megabyte would not end before go test stops
// waiting.
func TestAMegabyteIsCut(t *testing.T) {
	t.Parallel()
	m, size := load(t, "small.model"), 1<<20
	if testing.Short() {
		size = 1 << 16
	}
	for _, text := range []string{"a", "pleural effusion ", "ﷺ", "\xff", "🫁", "e\u0301\u0323", " "} {
		m.Encode(strings.Repeat(text, size/len(text)))
	}
}

// message writes a field of a protobuf message; a string or a number.
func message(fields ...any) []byte {
	var out []byte
	for i := 0; i < len(fields); i += 2 {
		number := protowire.Number(fields[i].(int))
		switch value := fields[i+1].(type) {
		case int:
			out = protowire.AppendTag(out, number, protowire.VarintType)
			out = protowire.AppendVarint(out, uint64(value))
		case string:
			out = protowire.AppendTag(out, number, protowire.BytesType)
			out = protowire.AppendString(out, value)
		case []byte:
			out = protowire.AppendTag(out, number, protowire.BytesType)
			out = protowire.AppendBytes(out, value)
		}
	}
	return out
}

func TestWhatIsNoModelIsRefused(t *testing.T) {
	t.Parallel()
	unk, a := message(1, "<unk>", 3, 2), message(1, "a")
	var nan []byte
	nan = protowire.AppendTag(message(1, "b"), 2, protowire.Fixed32Type)
	nan = protowire.AppendFixed32(nan, 0x7fc00000)
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"nothing":                      {nil, "no unknown piece"},
		"text":                         {[]byte("hello, this is not a model"), "not a SentencePiece model"},
		"BPE":                          {message(1, unk, 1, a, 2, message(3, 2)), "want 1, Unigram"},
		"an empty piece":               {message(1, unk, 1, message(1, "")), "want 1 to 1024"},
		"a huge piece":                 {message(1, unk, 1, message(1, strings.Repeat("a", 2000))), "want 1 to 1024"},
		"a piece twice":                {message(1, unk, 1, a, 1, a), "stands twice"},
		"two unknown pieces":           {message(1, unk, 1, message(1, "?", 3, 2)), "two unknown"},
		"only an unknown piece":        {message(1, unk), "no pieces"},
		"a type of its own":            {message(1, unk, 1, message(1, "a", 3, 9)), "unknown type 9"},
		"a score that is no number":    {message(1, unk, 1, nan), "not a number"},
		"a negative byte":              {message(1, unk, 1, a, 1, message(1, "<0x-1>", 3, 6)), "want <0x00> to <0xFF>"},
		"a byte of one digit":          {message(1, unk, 1, a, 1, message(1, "<0x1>", 3, 6)), "want <0x00> to <0xFF>"},
		"fallback without bytes":       {message(1, unk, 1, a, 2, message(35, 1)), "without 256 byte pieces"},
		"a character map cut off":      {message(1, unk, 1, a, 3, message(2, "\x01")), "cut off"},
		"a character map that lies":    {message(1, unk, 1, a, 3, message(2, "\xff\xff\xff\xff0000\x00")), "do not fit"},
		"a character map without end":  {message(1, unk, 1, a, 3, message(2, "\x04\x00\x00\x000000aaaa")), "do not fit"},
		"a character that is a novel":  {message(1, unk, 1, a, 3, message(2, "\x04\x00\x00\x000000"+strings.Repeat("a", 5000)+"\x00")), "of a character"},
		"more bytes than a vocabulary": {make([]byte, maxFile+1), "more than"},
	} {
		_, err := Parse(c.data)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", name, err, c.want)
		}
	}
	if _, err := Load("testdata/absent.model"); err == nil || !strings.Contains(err.Error(), "absent.model") {
		t.Errorf("an absent file: %v, want its name", err)
	}
}

// A model with any byte changed or cut off gives an error, or cuts a text.
func TestDamagedModelsDoNoHarm(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/odd.model")
	if err != nil {
		t.Fatal(err)
	}
	for i := range data {
		if m, err := Parse(data[:i]); err == nil {
			m.Encode("pleural effusion ﬃ")
		}
		damaged := slices.Clone(data)
		damaged[i] ^= byte(1 + i*37)
		if m, err := Parse(damaged); err == nil {
			m.Encode("pleural effusion ﬃ")
		}
	}
}

func FuzzModel(f *testing.F) {
	data, err := os.ReadFile("testdata/odd.model")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data, "pleural effusion")
	f.Add(message(1, message(1, "<unk>", 3, 2), 1, message(1, "a"), 3, message(2, "\x08\x00\x00\x0000000000a\x00")), "aﬃ\xff")
	f.Fuzz(func(t *testing.T, data []byte, text string) {
		m, err := Parse(data)
		if err != nil {
			return
		}
		for _, id := range m.Encode(text[:min(len(text), 1000)]) {
			if id < 0 || id >= m.Size() {
				t.Fatalf("id %d of %d pieces", id, m.Size())
			}
		}
	})
}

func ExampleModel_Encode() {
	m, err := Load("testdata/small.model")
	if err != nil {
		panic(err)
	}
	fmt.Println(m.Encode("a pleural effusion"))
	fmt.Println(m.Encode("a\u3000pleural eﬀｕｓｉｏｎ")) // a wide space, a ligature, full width
	// Output:
	// [373 308 287]
	// [373 308 287]
}

func BenchmarkEncode(b *testing.B) {
	m := load(b, "small.model")
	for b.Loop() {
		m.Encode("<unk>▁a chest radiograph with a small left pleural effusion")
	}
}
