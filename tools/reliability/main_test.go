package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every threat has its row, and every test that is named is there.
func TestThreatsHaveTheirTests(t *testing.T) {
	t.Chdir(filepath.Join("..", ".."))
	found := map[string]map[string]bool{}
	for i, row := range threats {
		if row.Number != i+1 || row.Name == "" || row.Goal == "" || len(row.Tests) == 0 && row.Short == "" {
			t.Errorf("row %d: %+v: want a number, a name, a goal, and tests or the reason why not", i+1, row)
		}
		for _, p := range row.Tests {
			if found[p.Package] == nil {
				found[p.Package] = testsIn(t, p.Package)
			}
			name, script, _ := strings.Cut(p.Test, "/")
			if !found[p.Package][name] {
				t.Errorf("row %d: there is no %s in %s", row.Number, name, p.Package)
			}
			if script != "" {
				if _, err := os.Stat(filepath.Join(p.Package, "testdata", "script", script+".txtar")); err != nil {
					t.Errorf("row %d: %v", row.Number, err)
				}
			}
		}
	}
}

// testsIn returns the names of the tests of a package.
func testsIn(t *testing.T, name string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(name, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %d files, %v", name, len(files), err)
	}
	names := map[string]bool{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
				names[f.Name.Name] = true
			}
		}
	}
	return names
}

// The page shows every test by its outcome: nothing that failed or was not run looks
// like a pass.
func TestPageShowsOutcomes(t *testing.T) {
	t.Parallel()
	p := threats[0].Tests[0]
	for outcome, want := range map[string]string{"pass": "200 of 200", "fail": "**FAILED**", "skip": "**skipped on this machine**", "": "**not run**"} {
		r := result{Package: p.Package, Test: p.Test, Outcome: outcome}
		r.fill([]byte(`{"Action":"output","Test":"` + p.Test + `","Output":"    x_test.go:1: measured: 200 of 200\n"}` + "\nno JSON\n"))
		page := string(table(map[proof]result{p: r}))
		if !strings.Contains(page, want) || outcome != "pass" && strings.Contains(page, ": passed") {
			t.Errorf("%s: want %q in\n%.900s", outcome, want, page)
		}
	}
}

// The page in docs is of these rows.
func TestPageIsOfTheseRows(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(page)))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range threats {
		for _, want := range []string{"| " + row.Name + " | " + row.Goal + " |", row.Short} {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s is out of date: run make reliability; it lacks %q", page, want)
			}
		}
		for _, p := range row.Tests {
			if !strings.Contains(string(text), "`"+p.Test+"` in `"+p.Package+"`") {
				t.Errorf("%s is out of date: run make reliability; it lacks %s", page, p.Test)
			}
		}
	}
}
