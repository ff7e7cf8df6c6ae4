package medprobe_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// docs/troubleshooting.md explains each message that the script of the most likely
// mistakes sees on standard error, in the same words, and no message that it does
// not see.
func TestMistakesAreExplained(t *testing.T) {
	t.Parallel()
	script, err := txtar.ParseFile("cmd/medprobe/testdata/script/mistakes.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, f := range script.Files {
		if strings.HasPrefix(f.Name, "said-") {
			if !regexp.MustCompile(`(?m)^(\[\w+\] )?cmp(env)? stderr ` + f.Name + `$`).Match(script.Comment) {
				t.Errorf("the script does not compare %s", f.Name)
			}
			said = append(said, strings.NewReplacer("$WORK/home/cache", "~/.cache", "$FORMATS", "…").Replace(string(f.Data)))
		}
	}
	page, err := os.ReadFile("docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	var explained []string
	for _, block := range regexp.MustCompile("(?s)```text\n(.*?)```").FindAllSubmatch(page, -1) {
		explained = append(explained, string(block[1]))
	}
	if len(said) < 10 {
		t.Errorf("%d mistakes: want ten at least", len(said))
	}
	for _, message := range said {
		if !slices.Contains(explained, message) {
			t.Errorf("not explained:\n%s", message)
		}
	}
	for _, message := range explained {
		if !slices.Contains(said, message) {
			t.Errorf("explained, but no mistake of the script leads to it:\n%s", message)
		}
	}
}
