package medprobe_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/datasets/phantom"
	"github.com/medprobe/medprobe/internal/needs"
)

// written returns the section of docs/formats.md on what outlives a command.
func written(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(page), "## What medprobe writes\n")
	if !found {
		t.Fatal("docs/formats.md does not say what medprobe writes")
	}
	return section
}

// Every version of a form that the code knows, and every table of its databases,
// is in docs/formats.md, and no version that the code does not know.
func TestFormsAndTablesAreListed(t *testing.T) {
	t.Parallel()
	section := written(t)
	form := regexp.MustCompile(`medprobe\.[a-z]+/[0-9]+`)
	known := map[string]bool{}
	table := regexp.MustCompile(`(?m)^CREATE TABLE (\w+)`)
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && path != ".":
			return filepath.SkipDir
		case filepath.Ext(path) == ".go" && !strings.HasSuffix(path, "_test.go"):
			code, err := os.ReadFile(path)
			for _, quoted := range regexp.MustCompile(`"medprobe\.[a-z]+/[0-9]+"`).FindAllString(string(code), -1) {
				known[strings.Trim(quoted, `"`)] = true
			}
			return err
		case filepath.Ext(path) == ".sql" && strings.Contains(path, "migration"):
			code, err := os.ReadFile(path)
			for _, found := range table.FindAllStringSubmatch(string(code), -1) {
				if !strings.Contains(section, "`"+found[1]+"`") {
					t.Errorf("%s makes the table %s, which docs/formats.md does not list", path, found[1])
				}
			}
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(known) < 8 {
		t.Fatalf("%d forms in the code: want those of runs, reports, heads, versions and more", len(known))
	}
	said := form.FindAllString(section, -1)
	for name := range known {
		if !slices.Contains(said, name) {
			t.Errorf("docs/formats.md does not list %s", name)
		}
	}
	for _, name := range said {
		if !known[name] {
			t.Errorf("docs/formats.md lists %s, which no code knows", name)
		}
	}
}

// What commands leave in a run's folder, in the user's cache and configuration is
// in the pages; docs/experiment.md lists a run's files and no others.
func TestFilesThatAreLeftAreListed(t *testing.T) {
	needs.Time(t)
	p := newPageTest(t, "docs/formats.md", newStage(t))
	if err := phantom.WriteDataset(t.Context(), filepath.Join(p.dir, "again"), phantom.Options{Seed: 8, Train: 40, Test: 40}); err != nil {
		t.Fatal(err)
	}
	yaml := "data: {format: csv, path: labels.csv, labels: [effusion]}\nexternal:\n  - {name: again, data: {format: csv, path: again/labels.csv, labels: [effusion]}}\nencoder: demo\nheads: [logistic]\n"
	if err := os.WriteFile(filepath.Join(p.dir, "experiment.yaml"), []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	p.shell(0, "medprobe run experiment.yaml --out run && medprobe registry add cxr --run run && medprobe search --encoder demo --image images/$(ls images | head -1) --top 1")
	page, err := os.ReadFile("docs/experiment.md")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(page), "## What a run leaves\n")
	list, _, _ = strings.Cut(list, "\n\n## ")
	var listed []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+\\.(?:html|json|parquet|safetensors))`").FindAllStringSubmatch(list, -1) {
		listed = append(listed, row[1])
	}
	var left []string
	for _, path := range p.files(filepath.Join(p.dir, "run")) {
		left = append(left, regexp.MustCompile(`^heads/.*\.safetensors$`).ReplaceAllString(path, "heads/*.safetensors"))
	}
	slices.Sort(listed)
	slices.Sort(left)
	if left = slices.Compact(left); !slices.Equal(left, listed) {
		t.Errorf("a run leaves\n%q, and docs/experiment.md lists\n%q", left, listed)
	}
	section := written(t)
	for _, path := range p.files(p.home) {
		name, inside, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(path, ".config/"), "medprobe/"), "/")
		if name == "registry" {
			name, inside, _ = strings.Cut(inside, "/")
		}
		if inside != "" && name == "objects" {
			name = "objects/"
		}
		if strings.HasSuffix(name, "-wal") || strings.HasSuffix(name, "-shm") { // SQLite's own
			name = name[:len(name)-4]
		}
		if name != "encoders" && !strings.Contains(section, "`"+name+"`") {
			t.Errorf("%s is left in the user's folders, and docs/formats.md does not list %s", path, name)
		}
	}
}

// files lists the files below a folder.
func (p *pageTest) files(dir string) []string {
	p.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			all = append(all, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		p.Fatal(err)
	}
	return all
}
