package encoder

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/medprobe/medprobe/internal/needs"
)

type tokenized struct {
	Text string  `json:"text"`
	IDs  []int64 `json:"input_ids"`
}

func readTokenized(t testing.TB, path string) []tokenized {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []tokenized
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestMedSigLIPTokens(t *testing.T) {
	t.Parallel()
	dir := needs.Data(t, "medsiglip-tokenizer")
	tok, err := LoadTokenizer(filepath.Join(dir, "spiece.model"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range readTokenized(t, filepath.Join(dir, "golden.json")) {
		if got := tok.Encode(want.Text); !slices.Equal(got, want.IDs) {
			t.Errorf("Encode(%q) = %v, want %v (SiglipTokenizer)", want.Text, got, want.IDs)
		}
	}
}
