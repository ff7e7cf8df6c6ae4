package experiment

import (
	"os"
	"path/filepath"
	"testing"
)

func FuzzLoadPrompts(f *testing.F) {
	for _, pack := range Packs() {
		text, err := packs.ReadFile("prompts/" + pack + ".yaml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte("effusion: {positive: [an effusion], negative: [none], templates: ['{} {}']}\n"))
	f.Add([]byte("a: pack:chexpert\nb: {positive: &a [*a]}\n"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 1<<16 {
			return
		}
		path := filepath.Join(dir, "prompts.yaml")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _ = loadPrompts(path)
	})
}
