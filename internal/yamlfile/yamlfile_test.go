package yamlfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type nested struct {
	Shots []int `yaml:"shots"`
}

type config struct {
	Seed  int     `yaml:"seed"`
	Share float64 `yaml:"share"`
	Train nested  `yaml:"train"`
}

func TestMistakesAreNamedWithLineAndRemedy(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"unknown key", "seed: 1\nsed: 2\n", `line 2: unknown field "sed"; did you mean "seed"?`},
		{"unknown key inside", "train:\n  shot: [1]\n", `line 2: unknown field "shot"; did you mean "shots"?`},
		{"key at the wrong place", "shots: [1]\n", `line 1: unknown field "shots" here; it belongs under "train"`},
		{"key too deep", "train:\n  seed: 1\n", `line 2: unknown field "seed" here; it belongs at the top`},
		{"wrong type", "seed: abc\n", `line 1: "abc": want a whole number`},
		{"a word for a list", "train: {shots: a few}\n", `line 1: "a few": want a list, such as [a, b]; of one, [a]`},
		{"percent", "share: 50%\n", `line 1: "50%": want a number with a point, such as 0.5`},
		{"decimal comma", "train: {shots: 0,8}\n", `unknown field "8"; a decimal comma? write 0.8`},
		{"words for keys", "train: some\n", `line 1: "some": want keys with values, such as {key: value}`},
		{"a list for keys", "train: [1, 2]\n", `line 1: a list: want keys with values`},
		{"keys for a number", "seed: {a: 1}\n", `line 1: keys with values: want a whole number`},
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
