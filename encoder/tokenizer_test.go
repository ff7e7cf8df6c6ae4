package encoder

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/medprobe/medprobe/internal/needs"
)

const smallModel = "../internal/spiece/testdata/small.model"

func tokenizerOf(t testing.TB, path string) *tokenizer {
	t.Helper()
	tok, err := loadTokenizer(path)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func readJSONFile(t testing.TB, path string, v any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatal(err)
	}
}

// The texts that came with the vocabulary, ids from Hugging Face's tokeniser.
func TestMedSigLIPTokens(t *testing.T) {
	t.Parallel()
	dir := needs.Data(t, "medsiglip-tokenizer")
	tok := tokenizerOf(t, filepath.Join(dir, "spiece.model"))
	var golden []struct {
		Text string  `json:"text"`
		IDs  []int64 `json:"input_ids"`
	}
	readJSONFile(t, filepath.Join(dir, "golden.json"), &golden)
	if len(golden) != 127 {
		t.Fatalf("%d texts, want 127", len(golden))
	}
	for _, want := range golden {
		if got := tok.Encode(want.Text); !slices.Equal(got, want.IDs) {
			t.Errorf("Encode(%q) = %v, want %v (SiglipTokenizer)", want.Text, got, want.IDs)
		}
	}
	compareTokens(t, tok, "testdata/tokens/medsiglip.json")
}

func TestTokensOfASmallVocabulary(t *testing.T) {
	t.Parallel()
	compareTokens(t, tokenizerOf(t, smallModel), "testdata/tokens/small.json")
}

// compareTokens compares with the ids of tools/reference/tokens.py.
func compareTokens(t *testing.T, tok *tokenizer, path string) {
	t.Helper()
	var golden []struct {
		Text   string  `json:"text"`
		Repeat int     `json:"repeat"`
		IDs    []int64 `json:"ids"`
	}
	readJSONFile(t, path, &golden)
	for _, want := range golden {
		ids := want.IDs
		for len(ids) < 64 {
			ids = append(ids, 1)
		}
		if got := tok.Encode(strings.Repeat(want.Text, want.Repeat)); !slices.Equal(got, ids) {
			t.Errorf("%s: Encode(%q × %d) = %v, want %v", path, want.Text, want.Repeat, got, ids)
		}
	}
}

// Every character is lower-cased, and counted as white space or not, as Python
// does. Python 3.11 knows Unicode 14; characters of later versions may differ
// and are not compared.
func TestCharactersAsInPython(t *testing.T) {
	t.Parallel()
	var rows []struct {
		Space []rune
		From  rune
		To    string
	}
	readJSONFile(t, "testdata/tokens/characters.json", &rows)
	to, space := map[rune]string{}, map[rune]bool{}
	for _, row := range rows {
		for _, c := range row.Space {
			space[c] = true
		}
		if row.To != "" {
			to[row.From] = row.To
		}
	}
	for c := rune(0); c <= utf8.MaxRune; c++ {
		if c >= 0xd800 && c < 0xe000 {
			continue
		}
		want := string(c)
		if lower, ok := to[c]; ok {
			want = lower
		}
		if got := lower(string(c)); got != want {
			t.Errorf("lower(%U) = %q, want %q (Python 3.11)", c, got, want)
		}
		if isSpace(c) != space[c] {
			t.Errorf("isSpace(%U) = %v, want %v (Python 3.11)", c, isSpace(c), space[c])
		}
	}
}

// Nor does a long text take more than its length: in work that grew with the square of a
// megabyte go test would stop waiting.
func TestTextsAreAlways64Tokens(t *testing.T) {
	t.Parallel()
	tok, size := tokenizerOf(t, smallModel), 1<<20
	if testing.Short() {
		size = 1 << 16
	}
	for name, text := range map[string]string{
		"empty": "", "blanks": " \t\n", "punctuation": "?!", "special": "</s>", "not UTF-8": "\xff\xfe\xc3(", "zeros": "\x00\x00",
		"a megabyte": strings.Repeat("Pleural effusion, left. ", size/24), "a megabyte of one word": strings.Repeat("e", size),
		"a megabyte of special tokens": strings.Repeat("<unk> ", size/6), "a megabyte that is not UTF-8": strings.Repeat("\xff", size),
	} {
		ids := tok.Encode(text)
		if len(ids) != 64 || ids[63] != 1 {
			t.Errorf("%s: %d ids, want 64 that end with 1", name, len(ids))
		}
	}
}

func TestTokenizerIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	tok := tokenizerOf(t, smallModel)
	want := tok.Encode("a small left pleural effusion")
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 100 {
				if got := tok.Encode("a small left pleural effusion"); !slices.Equal(got, want) {
					t.Errorf("got %v, want %v", got, want)
				}
			}
		})
	}
	wait.Wait()
}

func TestTokenizerNeedsAnEnd(t *testing.T) {
	t.Parallel()
	// odd.model has its </s>; one without it is written by renaming.
	data, err := os.ReadFile("../internal/spiece/testdata/odd.model")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "spiece.model")
	if err := os.WriteFile(path, []byte(strings.Replace(string(data), "</s>", "</x>", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadTokenizer(path); err == nil || !strings.Contains(err.Error(), "no piece </s>") {
		t.Errorf("loadTokenizer without </s>: %v", err)
	}
}

func FuzzTokenizer(f *testing.F) {
	tok := tokenizerOf(f, smallModel)
	for _, text := range []string{"", "Chest X-ray: no effusion.", "</s> <unk>", "\xffﬃ\u3000İ▁"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ids := tok.Encode(text)
		if len(ids) != 64 || ids[63] != 1 {
			t.Fatalf("%d ids that end with %d", len(ids), ids[len(ids)-1])
		}
		for _, id := range ids {
			if id < 0 || id >= int64(tok.Vocabulary()) {
				t.Fatalf("id %d of %d", id, tok.Vocabulary())
			}
		}
	})
}

func BenchmarkTokenizer(b *testing.B) {
	tok := tokenizerOf(b, smallModel)
	for b.Loop() {
		tok.Encode("a chest radiograph with a small left pleural effusion")
	}
}

// What is cut is what Encode's 63 ids leave of the whole.
func TestCut(t *testing.T) {
	t.Parallel()
	tok := tokenizerOf(t, smallModel)
	for _, n := range []int{0, 1, 10, 200} {
		text := strings.Repeat("effusion ", n)
		if got, want := tok.Cut(text), max(0, len(tok.whole(text))-63); got != want || n == 200 && got == 0 || n < 2 && got != 0 {
			t.Errorf("Cut of %d words: %d, want %d", n, got, want)
		}
	}
}
