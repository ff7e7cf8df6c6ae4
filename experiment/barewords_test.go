package experiment

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/internal/yamlfile"
)

// Prompts that are bare words are shown as they are to be written, which can be read.
func TestBarePromptsAreShownRight(t *testing.T) {
	t.Parallel()
	const known = "data: {format: csv, path: labels.csv, labels: [square]}\nencoder: demo\n"
	for name, tt := range map[string]struct{ prompts, want string }{
		"a word":                  {"prompts: {square: a square}", `line 3: prompts: want the texts under positive and negative of each finding, such as square: {positive: ["a square"], negative: ["no square"]}`},
		"a list":                  {"prompts:\n  square: [a square, one more]", `line 4: prompts: want the texts under positive and negative of each finding, such as square: {positive: ["a square"],`},
		"an empty list":           {"prompts: {square: []}", `such as square: {positive: ["square"],`},
		"texts without findings":  {"prompts: [a square]", `such as square: {positive: ["a square"], negative: ["no square"]}`},
		"a text without findings": {"prompts: a square", `such as square: {positive: ["a square"], negative: ["no square"]}`},
		"dashes before findings":  {"prompts:\n  - circle: a circle", `line 4: prompts: want the texts under positive and negative of each finding, such as circle: {positive: ["a circle"], negative: ["no circle"]}`},
		"dashes before texts":     {"prompts:\n  - positive: [a square]", `such as square: {positive: ["square"],`},
		"positive for a finding":  {"prompts: {positive: [a square], negative: [none]}", `such as square: {positive: ["a square"], negative: ["no square"]}`},
		"one bare of two":         {"prompts: {circle: {positive: [a circle]}, square: a square}", `such as square: {positive: ["a square"],`},
	} {
		_, err := load(t, known+tt.prompts+"\n")
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v, want one line that shows %s", name, err, tt.want)
			continue
		}
		_, right, _ := strings.Cut(err.Error(), "such as ")
		right, _, _ = strings.Cut(right, "; or pack:")
		if c, err := load(t, known+"prompts: {"+right+"}\n"); err != nil || len(c.Prompts) != 1 {
			t.Errorf("%s: what is shown, %s, reads as %v, %v", name, right, c, err)
		}
	}
	// Without names of findings in the file there is none to show.
	if _, err := load(t, "data: csv:labels.csv\nencoder: demo\nprompts: [a square]\n"); err == nil || !strings.Contains(err.Error(), `such as FINDING: {positive: ["a square"], negative: ["no FINDING"]}`) {
		t.Errorf("no finding known: %v", err)
	}
	// A file of prompts for 'medprobe zeroshot' says the same.
	path := filepath.Join(t.TempDir(), "prompts.yaml")
	if err := os.WriteFile(path, []byte("square: a square\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadPrompts(path); err == nil || !strings.Contains(err.Error(), `square: {positive: ["a square"], negative: ["no square"]}`) {
		t.Errorf("a file of prompts: %v", err)
	}
}

// What is shown where keys are wanted can be read.
func TestExamplesOfKeysAreRight(t *testing.T) {
	t.Parallel()
	n := 0
	for _, of := range []reflect.Type{reflect.TypeFor[Config](), reflect.TypeFor[datasets.Spec](), reflect.TypeFor[External]()} {
		for i := range of.NumField() {
			f := of.Field(i)
			example, isShown := f.Tag.Lookup("example")
			if !isShown {
				continue
			}
			n++
			example, _, _ = strings.Cut(example, "; ")
			said := reflect.New(reflect.StructOf([]reflect.StructField{{Name: f.Name, Type: f.Type, Tag: f.Tag}}))
			if err := yamlfile.Parse(f.Name, []byte(strings.Split(f.Tag.Get("yaml"), ",")[0]+": "+example+"\n"), said.Interface()); err != nil {
				t.Error(err)
			}
			if said.Elem().Field(0).IsZero() {
				t.Errorf("%s: %s says nothing", f.Name, example)
			}
		}
	}
	if n < 8 {
		t.Errorf("%d examples", n)
	}
}

func TestSeveralEncodersInOneWord(t *testing.T) {
	t.Parallel()
	_, err := load(t, "data: csv:labels.csv\nencoder: demo, other\n")
	if err == nil || !strings.Contains(err.Error(), `encoder: "demo, other": want one name: encoder: demo; of several, encoders: [demo, other]`) {
		t.Errorf("error %v", err)
	}
}
