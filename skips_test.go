package medprobe

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
)

// bareSkips returns where the source skips a test by itself: the calls of Skip, Skipf
// and SkipNow of whatever is no package.
func bareSkips(name string, source []byte) ([]string, error) {
	positions := token.NewFileSet()
	file, err := parser.ParseFile(positions, name, source, 0)
	if err != nil {
		return nil, err
	}
	imported := map[string]bool{}
	for _, spec := range file.Imports {
		path := strings.Trim(spec.Path.Value, `"`)
		imported[path[strings.LastIndex(path, "/")+1:]] = true
		if spec.Name != nil {
			imported[spec.Name.Name] = true
		}
	}
	var found []string
	if !imported["testing"] {
		return nil, nil
	}
	ast.Inspect(file, func(n ast.Node) bool {
		s, ok := n.(*ast.SelectorExpr)
		if !ok || !slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, s.Sel.Name) {
			return true
		}
		if of, ok := s.X.(*ast.Ident); !ok || !imported[of.Name] {
			found = append(found, positions.Position(s.Pos()).String())
		}
		return true
	})
	return found, nil
}

// Only package needs skips a test: what is skipped elsewhere, MEDPROBE_SKIP=never
// would not see. There is no exception; needs.Time, needs.System and needs.Asked are
// those that no gate has to mind.
func TestNoTestIsSkippedByItself(t *testing.T) {
	t.Parallel()
	bare, err := bareSkips("x_test.go", []byte(`package x
import ("testing"; "needs")
func Test(t *testing.T) { needs.Skip(t, "well"); t.Skip("not") }
func Benchmark(b *testing.B) { b.Skipf("not") }
func use(t testing.TB) { defer t.SkipNow() }`))
	if err != nil || len(bare) != 3 {
		t.Fatalf("found %q, %v: want three of a source with three", bare, err)
	}
	files := 0
	err = fs.WalkDir(os.DirFS("."), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if strings.HasPrefix(entry.Name(), ".") && name != "." || entry.Name() == "testdata" || name == "internal/needs" {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		source, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		bare, err := bareSkips(name, source)
		for _, where := range bare {
			t.Errorf("%s: a test is skipped, and no gate would see it: say by package needs what it needs", where)
		}
		files++
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 500 {
		t.Errorf("read %d files: want all of the project's", files)
	}
}
