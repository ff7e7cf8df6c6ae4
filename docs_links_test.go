package medprobe_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

var (
	// link is a link or a picture: a path, an anchor or both.
	link    = regexp.MustCompile(`\]\(([^)#\s]*)(?:#([^)\s]*))?\)`)
	heading = regexp.MustCompile(`^#{1,6} +(.*)$`)
	inline  = regexp.MustCompile("!?\\[([^]]*)\\]\\([^)]*\\)|`([^`]*)`")
)

// A link within the project leads to a file that is there, an anchor to a heading
// of that page, a picture to a picture.
func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	links := 0
	for _, page := range markdownFiles(t) {
		for _, m := range link.FindAllStringSubmatch(prose(t, page), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			links++
			to := page
			if m[1] != "" {
				to = filepath.Join(filepath.Dir(page), m[1])
			}
			if info, err := os.Stat(to); err != nil || info.Size() == 0 {
				t.Errorf("%s: %s leads to nothing: %v", page, m[0], err)
				continue
			}
			if m[2] != "" && !slices.Contains(anchors(prose(t, to)), m[2]) {
				t.Errorf("%s: %s: %s has no such heading; it has %q", page, m[0], to, anchors(prose(t, to)))
			}
		}
	}
	if links < 100 {
		t.Errorf("%d links: want those of all pages", links)
	}
}

// The table of README.md leads to every page for users.
func TestReadmeLeadsToEveryPage(t *testing.T) {
	t.Parallel()
	_, index, found := strings.Cut(prose(t, "README.md"), "## Where to go next\n")
	if !found {
		t.Fatal("README.md has no index")
	}
	for _, page := range pages(t) {
		if page != "README.md" && !strings.Contains(index, "]("+page+")") {
			t.Errorf("README.md does not lead to %s", page)
		}
	}
}

// markdownFiles lists the pages of the whole project.
func markdownFiles(t *testing.T) []string {
	t.Helper()
	var all []string
	err := fs.WalkDir(os.DirFS("."), ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path == ".ort":
			return fs.SkipDir // what others wrote
		case !entry.IsDir() && filepath.Ext(path) == ".md":
			all = append(all, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// prose returns a page without its blocks of code, where nothing is a link.
func prose(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	code := false
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "```") {
			code = !code
		} else if !code {
			out.WriteString(line)
		}
	}
	return out.String()
}

// anchors returns those that GitHub gives the headings: lower case, blanks as
// hyphens, without punctuation; -1, -2 and so on where one is there already.
func anchors(page string) []string {
	var all []string
	times := map[string]int{}
	for line := range strings.Lines(page) {
		m := heading.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		anchor := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r):
				return unicode.ToLower(r)
			}
			return -1
		}, inline.ReplaceAllString(m[1], "$1$2"))
		times[anchor]++
		if n := times[anchor]; n > 1 {
			anchor += "-" + strconv.Itoa(n-1)
		}
		all = append(all, anchor)
	}
	return all
}

func TestAnchors(t *testing.T) {
	t.Parallel()
	page := "# Where to go, next?\n## `run` and [labels](x.md)\n## Whose an image is\n### Leaks\n# Leaks\nno # heading\n"
	want := []string{"where-to-go-next", "run-and-labels", "whose-an-image-is", "leaks", "leaks-1"}
	if got := anchors(page); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
