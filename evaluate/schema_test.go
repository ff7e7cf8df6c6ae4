package evaluate

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
)

var updateSchema = flag.Bool("update-schema", false, "rewrite report.schema.json")

// schemaMaker makes JSON Schemas of struct types as they stand in the source, with
// their comments.
type schemaMaker struct {
	t     *testing.T
	types map[string]*ast.TypeSpec
	docs  map[string]string
	defs  map[string]any
}

func newSchemaMaker(t *testing.T) *schemaMaker {
	t.Helper()
	m := &schemaMaker{t: t, types: map[string]*ast.TypeSpec{}, docs: map[string]string{}, defs: map[string]any{}}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			if g, ok := decl.(*ast.GenDecl); ok && g.Tok == token.TYPE {
				for _, spec := range g.Specs {
					ts := spec.(*ast.TypeSpec)
					m.types[ts.Name.Name], m.docs[ts.Name.Name] = ts, sentence(g.Doc.Text())
				}
			}
		}
	}
	return m
}

// sentence is a comment in one line, without the brackets of links.
func sentence(comment string) string {
	return strings.NewReplacer("[", "", "]", "").Replace(strings.Join(strings.Fields(comment), " "))
}

// define returns a reference to the schema of a struct.
func (m *schemaMaker) define(name string) any {
	if _, known := m.defs[name]; !known {
		m.defs[name] = nil // it may hold itself
		properties, required := map[string]any{}, []string{}
		m.fields(name, properties, &required)
		m.defs[name] = map[string]any{"type": "object", "description": m.docs[name], "properties": properties, "required": required}
	}
	return map[string]any{"$ref": "#/$defs/" + name}
}

func (m *schemaMaker) fields(name string, properties map[string]any, required *[]string) {
	structure, ok := m.types[name].Type.(*ast.StructType)
	if !ok {
		m.t.Fatalf("%s is no struct", name)
	}
	for _, f := range structure.Fields.List {
		if len(f.Names) == 0 { // embedded
			m.fields(f.Type.(*ast.Ident).Name, properties, required)
			continue
		}
		for _, ident := range f.Names {
			if f.Tag == nil {
				m.t.Fatalf("%s.%s has no name in JSON", name, ident.Name)
			}
			tag := reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("json")
			key, options, _ := strings.Cut(tag, ",")
			optional := strings.Contains(options, "omitempty")
			schema := m.of(f.Type, optional)
			if doc := sentence(f.Doc.Text() + f.Comment.Text()); doc != "" {
				schema = map[string]any{"description": doc, "allOf": []any{schema}}
			}
			properties[key] = schema
			if !optional {
				*required = append(*required, key)
			}
		}
	}
}

// of returns the schema of a type; what may be left out is never null.
func (m *schemaMaker) of(t ast.Expr, optional bool) any {
	orNull := func(schema any) any {
		if optional {
			return schema
		}
		return map[string]any{"anyOf": []any{schema, map[string]any{"type": "null"}}}
	}
	switch t := t.(type) {
	case *ast.StarExpr:
		return orNull(m.of(t.X, true))
	case *ast.ArrayType:
		if ident, ok := t.Elt.(*ast.Ident); ok && ident.Name == "byte" {
			return orNull(map[string]any{"type": "string", "contentEncoding": "base64"})
		}
		return orNull(map[string]any{"type": "array", "items": m.of(t.Elt, true)})
	case *ast.MapType:
		return orNull(map[string]any{"type": "object", "additionalProperties": m.of(t.Value, true)})
	case *ast.Ident:
		switch t.Name {
		case "string":
			return map[string]any{"type": "string"}
		case "bool":
			return map[string]any{"type": "boolean"}
		case "float64":
			return map[string]any{"type": "number"}
		case "int", "uint64":
			return map[string]any{"type": "integer"}
		}
		if of, ok := m.types[t.Name].Type.(*ast.Ident); ok { // a text with a name of its own
			return m.of(of, optional)
		}
		return m.define(t.Name)
	case *ast.SelectorExpr:
		if t.Sel.Name == "RawMessage" {
			return map[string]any{} // any document
		}
	}
	m.t.Fatalf("no schema for %T", t)
	return nil
}

// The schema is that of the types, so that a field is never added without it.
func TestSchemaIsThatOfTheTypes(t *testing.T) {
	t.Parallel()
	m := newSchemaMaker(t)
	root := m.define("Report").(map[string]any)
	report := m.defs["Report"].(map[string]any)
	report["properties"].(map[string]any)["schema"] = map[string]any{"const": Schema}
	document := map[string]any{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "urn:" + strings.ReplaceAll(strings.ReplaceAll(Schema, ".", ":"), "/", ":"),
		"title": Schema, "$ref": root["$ref"], "$defs": m.defs,
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(document); err != nil {
		t.Fatal(err)
	}
	if *updateSchema {
		if err := os.WriteFile("report.schema.json", b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(b.Bytes(), ReportSchema) {
		t.Error("report.schema.json is not that of the types: go test ./evaluate -run SchemaIs -update-schema")
	}
}

// A report as it is written is valid, and one that lacks a field or has another
// type is not.
func TestReportIsValidBySchema(t *testing.T) {
	t.Parallel()
	var document jsonschema.Schema
	if err := json.Unmarshal(ReportSchema, &document); err != nil {
		t.Fatal(err)
	}
	schema, err := document.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	full := drawnRun(t, "a", 1, nil).Report
	threshold := 0.5
	full.Subgroups = []Subgroup{{By: "sex", Group: "F", AtThreshold: &AtThreshold{Operating: Operating{Threshold: threshold}}}}
	full.Mistakes = &Mistakes{Findings: []FindingMistakes{{Positive: []Mistake{{Image: []byte("x"), Nearest: []Neighbour{{}}}}, Negative: []Mistake{}}}}
	full.NearDuplicates = &NearDuplicates{Shown: []Pair{{Train: []byte("x")}}}
	for name, r := range map[string]*Report{"full": full, "empty": {}} {
		var b bytes.Buffer
		if err := r.WriteJSON(&b); err != nil {
			t.Fatal(err)
		}
		var written any
		if err := json.Unmarshal(b.Bytes(), &written); err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(written); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		of := written.(map[string]any)
		for _, spoil := range []func(map[string]any){
			func(of map[string]any) { delete(of, "counts") },
			func(of map[string]any) { of["schema"] = "medprobe.report/2" },
			func(of map[string]any) { of["seed"] = "one" },
		} {
			bad := map[string]any{}
			for key, value := range of {
				bad[key] = value
			}
			spoil(bad)
			if err := schema.Validate(bad); err == nil {
				t.Errorf("%s: a spoiled report is valid", name)
			}
		}
	}
}
