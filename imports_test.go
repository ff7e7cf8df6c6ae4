package medprobe

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/medprobe/medprobe/"

// mayImport says which packages of this module each package may import.
// Packages under internal are open to all. The order is the way of the data;
// an edge against it is a design decision and is made here.
var mayImport = map[string][]string{
	"datasets":         {},
	"datasets/phantom": {},
	"encoder":          {},
	"embedcache":       {"datasets"},
	"trainer":          {},
	"evaluate":         {},
	"registry":         {"trainer", "evaluate"},
	"report":           {"evaluate"},
	"experiment":       {"datasets", "encoder", "embedcache", "trainer", "evaluate", "report"},
	"examples":         {},
	"bench":            {"encoder"},
	"cmd/medprobe":     {"datasets", "datasets/phantom", "encoder", "embedcache", "trainer", "evaluate", "registry", "report", "experiment", "examples"},
}

// onlyIn says which packages may import a costly or foreign dependency.
var onlyIn = map[string][]string{
	"database/sql":                    {"embedcache", "registry", "internal/postgresdb", "internal/sqldb", "internal/sqlitedb"},
	"image":                           {"datasets", "datasets/phantom", "encoder", "embedcache", "cmd/medprobe", "internal/raster", "internal/dicom", "internal/layouts", "report"},
	"github.com/yalue/onnxruntime_go": {"encoder"},
	"github.com/spf13/cobra":          {"cmd/medprobe"},
	"github.com/sjwhitworth/golearn":  {"trainer"},
	"github.com/mattn/go-sqlite3":     {"internal/sqlitedb"},
	"github.com/jackc/pgx":            {"internal/postgresdb"},
	"oras.land/oras-go":               {"registry"},
	// Servers for tests.
	"github.com/google/go-containerregistry":                  {},
	"github.com/medprobe/medprobe/internal/mlflow/mlflowtest": {},
}

func TestImportsFollowTheData(t *testing.T) {
	t.Parallel()
	err := fs.WalkDir(os.DirFS("."), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if strings.HasPrefix(entry.Name(), ".") && name != "." || entry.Name() == "testdata" || name == "tools" {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.FromSlash(name), nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		pkg := path.Dir(name)
		allowed, known := mayImport[pkg]
		if !known && pkg != "." && !strings.HasPrefix(pkg, "internal/") {
			t.Errorf("%s: new package: say in mayImport what it may import", pkg)
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if inside, ok := strings.CutPrefix(imported, module); ok && !strings.HasPrefix(inside, "internal/") && !slices.Contains(allowed, inside) {
				t.Errorf("%s imports %s: against the way of the data", name, inside)
			}
			for dependency, packages := range onlyIn {
				if (imported == dependency || strings.HasPrefix(imported, dependency+"/")) && !slices.Contains(packages, pkg) {
					t.Errorf("%s imports %s: only %s may", name, imported, strings.Join(packages, ", "))
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
