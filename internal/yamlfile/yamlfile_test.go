package yamlfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

type nested struct {
	Shots []int `yaml:"shots"`
}

type config struct {
	Seed  int               `yaml:"seed"`
	Share float64           `yaml:"share"`
	Train nested            `yaml:"train"`
	Split part              `yaml:"split" example:"{share: 0.5}"`
	Head  string            `yaml:"head"`
	Heads []string          `yaml:"heads"`
	Parts []part            `yaml:"parts" example:"[{share: 0.5}]"`
	Named map[string]nested `yaml:"named"`
	Rest  []part            `yaml:"rest"`
	Own   own               `yaml:"own"`
}

type part struct {
	Share float64 `yaml:"share"`
}

// own reads a word too.
type own struct {
	Word  string
	Shots []int `yaml:"shots"`
}

func (o *own) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		o.Word = node.Value
		return nil
	}
	type fields own
	return node.Load((*fields)(o), yaml.WithKnownFields())
}

func TestMistakesAreNamedWithLineAndRemedy(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"unknown key", "seed: 1\nsed: 2\n", `line 2: unknown field "sed"; did you mean "seed"?`},
		{"unknown key inside", "train:\n  shot: [1]\n", `line 2: unknown field "shot"; did you mean "shots"?`},
		{"key at the wrong place", "split: {seed: 1}\n", `line 1: unknown field "seed" here; it belongs at the top`},
		{"key too deep", "train:\n  seed: 1\n", `line 2: unknown field "seed" here; it belongs at the top`},
		{"wrong type", "seed: abc\n", `line 1: "abc": want a whole number`},
		{"a word for a list", "train: {shots: a few}\n", `line 1: shots: "a few": want a list: shots: [1, 2, 4]`},
		{"percent", "share: 50%\n", `line 1: "50%": want a number with a point, such as 0.5`},
		{"decimal comma", "{seed: 1, share: 0,8}\n", `unknown field "8"; a decimal comma? write 0.8`},
		{"words for keys", "train: some\n", `line 1: "some": want keys with values, such as {key: value}`},
		{"a list for keys", "train: [1, 2]\n", `line 1: a list: want keys with values`},
		{"numbers between quotes", `train: {shots: "1, 2,4"}`, `line 1: shots: "1, 2,4": want a list: shots: [1, 2, 4]`},
		{"numbers without brackets", "train: {shots: 1,2,4}\n", `line 1: shots: "1,2,4": want a list: shots: [1, 2, 4]`},
		{"numbers without brackets before another key", "{heads: a,b, seed: 1}\n", `line 1: heads: "a,b": want a list: heads: [a, b]`},
		{"a word", "seed: 1\nheads: knn\n", `line 2: heads: "knn": want a list: heads: [knn]`},
		{"a sentence", "heads: one, and another one\n", `heads: "one, and another one": want a list: heads: ["one, and another one"]`},
		{"a word that needs quotes", "heads: 'a: b'\n", `want a list: heads: ["a: b"]`},
		{"a long text", "heads: " + strings.Repeat("x", 500) + "\n", `xxx…": want a list: heads: [a, b]`},
		{"keys for a list", "heads: {knn: {k: 1}, gda: }\n", "line 1: heads: keys with values: want a list: heads: [knn, gda]"},
		{"named keys for a list", "heads: {name: knn}\n", "want a list: heads: [knn]"},
		{"keys in a list", "heads: [knn, {gda: {alpha: 1}}]\n", "line 1: heads: more than words in a list: want a list: heads: [knn, gda]"},
		{"an empty map for a list", "heads: {}\n", "heads: keys with values: want a list: heads: [a, b]"},
		{"a list for a word", "head: [knn]\n", "line 1: head: a list: want text: head: knn"},
		{"a list for a word that has a plural", "head: [knn, gda]\n", "line 1: head: a list: want text: head: knn; of several, heads: [knn, gda]"},
		{"a list for a number", "seed: [x, 7]\n", "line 1: seed: a list: want a whole number: seed: 7"},
		{"a word for keys that have an example", "split: half\n", `line 1: split: "half": want keys with values, such as split: {share: 0.5}`},
		{"a list for keys that have an example", "split: [1, 2]\n", "line 1: split: a list: want keys with values, such as split: {share: 0.5}"},
		{"keys for a list of keys", "parts: {share: 1}\n", "line 1: parts: keys with values: want a list: parts: [{share: 0.5}]"},
		{"keys for a list of keys without an example", "rest: {share: 1}\n", "line 1: keys with values: want a list"},
		{"under any name", "named:\n  x: {shots: 4}\n", `line 2: shots: "4": want a list: shots: [4]`},
		{"in a list", "parts:\n  - share: [1]\n", "line 2: share: a list: want a number with a point, such as 0.5: share: 1"},
		{"in what reads itself", "own: {shots: 4}\n", `line 1: shots: "4": want a list: shots: [4]`},
		{"two at once", "head: [a]\nheads: a\n", `head: a; line 2: heads: "a": want a list`},
		{"many at once", "parts: [" + strings.Repeat("{share: []}, ", 30) + "]\n", "such as 0.5; and 10 more"},
		{"at two places", "seed: 1\nshots: [1]\n", `line 2: unknown field "shots" here; it belongs under "train" or "own"`},
		{"below zero", "seed: 1.5\n", `"1.5": want a whole number`},
		{"keys for a number", "seed: {a: 1}\n", `line 1: seed: keys with values: want a whole number`},
		{"key twice", "seed: 1\nseed: 2\n", "seed"},
		{"two documents", "seed: 1\n---\nseed: 2\n", ""},
		{"tab", "\tseed: 1\n", "is it a tab? indent with spaces"},
		{"nothing", "", "an empty file"},
		{"a comment", "# seed: 1\n", "an empty file"},
		{"a list", "- seed: 1\n", "want KEY: VALUE"},
		{"a table", "path,y\na.png,1\n", "want KEY: VALUE"},
		{"alias bomb", "a: &a [1]\nb: *c\n", "c"},
	} {
		var c config
		err := Parse("experiment.yaml", []byte(tt.text), &c)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "experiment.yaml: ") {
			t.Errorf("%s: error %v, want it to name the file and %q", tt.name, err, tt.want)
		}
	}
}

// What fits is left alone.
func TestRightShapesPass(t *testing.T) {
	for _, text := range []string{
		"seed: 1\nheads: []\nhead: \nsplit: \nparts: \nnamed: {}\n",
		"heads: [a, 1, '']\nparts: [{share: 1}]\nown: word\nhead: 0.5\n",
		"own: {shots: [1]}\nnamed: {x: {shots: [1, 2]}}\n",
		"train: &t {shots: [1]}\nnamed: {x: *t}\n",
		"heads:\n- a\n- b\n",
	} {
		var c config
		if err := Parse("experiment.yaml", []byte(text), &c); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestLoadReadsAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "experiment.yaml")
	if err := os.WriteFile(path, []byte("seed: 7\ntrain: {shots: [1, 2]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var c config
	if err := Load(path, &c); err != nil {
		t.Fatal(err)
	}
	if c.Seed != 7 || len(c.Train.Shots) != 2 {
		t.Errorf("Load = %+v", c)
	}
	if err := Load(path+".no", &c); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("missing file: %v", err)
	}
}

func TestHasKeyLooksAtTheTopOnly(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]bool{
		"data: csv:x\nencoder: demo\n": true, "{encoder: demo, data: }": true,
		"format: csv\n": false, "inner: {data: x}\n": false, "- data: x\n": false, "data\n": false, "": false, "a: [": false,
	} {
		path := filepath.Join(dir, "file.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := HasKey(path, "data"); got != want {
			t.Errorf("HasKey(%q) = %v", text, got)
		}
	}
	if HasKey(dir, "data") || HasKey(filepath.Join(dir, "nowhere"), "data") {
		t.Error("a folder, or nothing, has a key")
	}
}
