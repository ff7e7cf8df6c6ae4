package experiment

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/datasets"
)

func TestPromptsOfPacks(t *testing.T) {
	t.Parallel()
	nih, err := loadPrompts("pack:nih")
	if err != nil {
		t.Fatal(err)
	}
	chexpert, err := loadPrompts("pack:chexpert")
	if err != nil {
		t.Fatal(err)
	}
	d := &datasets.Dataset{Classes: []string{"effusion", "Nodule"}}
	own := Prompt{Positive: []string{"a lump"}, Negative: []string{"no lump"}}
	for yaml, want := range map[string]Prompts{
		"pack:nih": {"effusion": nih["Effusion"], "Nodule": nih["Nodule"]},
		`{effusion: pack:nih/Effusion, Nodule: pack:nih}`:                              {"effusion": nih["Effusion"], "Nodule": nih["Nodule"]},
		`{"*": pack:nih, Nodule: {positive: [a lump], negative: [no lump]}}`:           {"effusion": nih["Effusion"], "Nodule": own},
		`{"*": pack:nih, effusion: pack:chexpert/Pleural Effusion}`:                    {"effusion": chexpert["Pleural Effusion"], "Nodule": nih["Nodule"]},
		`{effusion: pack:nih, Nodule: {positive: [a lump], negative: [no lump]}}`:      {"effusion": nih["Effusion"], "Nodule": own},
		`{"*": pack:nih, Cardiomegaly: {positive: [big heart], negative: [no heart]}}`: {"effusion": nih["Effusion"], "Nodule": nih["Nodule"], "Cardiomegaly": {Positive: []string{"big heart"}, Negative: []string{"no heart"}}},
	} {
		c, err := load(t, "data: csv:labels.csv\nencoder: demo\nprompts: "+yaml+"\n")
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Prompts.unpacked(d)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", yaml, got, err, want)
		}
	}
	for yaml, want := range map[string]string{
		"pack:nhi":                `"nih"`,
		"nih":                     "pack:NAME",
		"{Nodule: pack:nhi}":      "line 3",
		"{Nodule: {positve: []}}": `"positive"`,
	} {
		if _, err := load(t, "data: csv:labels.csv\nencoder: demo\nprompts: "+yaml+"\n"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", yaml, err, want)
		}
	}
	for yaml, want := range map[string]string{
		"{Nodule: pack:retinopathy}": "Nodule: pack:retinopathy has no such finding",
		"{Nodule: pack:nih/Nodul}":   "Nodule: pack:nih/Nodul has no such finding",
		`{"*": "pack:nih/Nodule"}`:   "want the whole pack",
	} {
		c, err := load(t, "data: csv:labels.csv\nencoder: demo\nprompts: "+yaml+"\n")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Prompts.unpacked(d); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", yaml, err, want)
		}
	}
}

// What the pack said stands in the run's experiment.json, word for word.
func TestRunKeepsTheTextsOfAPack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.rows = slices.Clone(w.rows)
	yaml := strings.NewReplacer("labels: [upper, lower]", "labels: [upper, lower], rename: {upper: Nodule, lower: Mass}").Replace(pairs)
	head, _, _ := strings.Cut(yaml, "prompts:")
	_, tail, _ := strings.Cut(yaml, "curve:")
	c := w.load(head + "prompts: pack:nih\ncurve:" + tail)
	r, err := Run(t.Context(), c, w.options())
	if err != nil {
		t.Fatal(err)
	}
	if text := string(r.config.text()); !strings.Contains(text, "nodule") {
		t.Errorf("experiment.json holds no text of the pack: %s", text)
	}
}
