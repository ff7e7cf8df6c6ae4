package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSameFilesSameArchive(t *testing.T) {
	t.Parallel()
	s := source{version: "v1", when: time.Unix(1_700_000_000, 0).UTC()}
	files := map[string]file{"medprobe": {[]byte("program"), 0o755}, "man/man1/medprobe.1": {[]byte("page"), 0o644}, "LICENSE": {[]byte("words"), 0o644}}
	var first, second bytes.Buffer
	if err := errors.Join(pack(&first, "medprobe-v1", s, files), pack(&second, "medprobe-v1", s, files)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("the same files gave two archives")
	}
	unzipped, err := gzip.NewReader(&first)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for archive := tar.NewReader(unzipped); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, header.Name)
		if !header.ModTime.Equal(s.when) || header.Uname != "" {
			t.Errorf("%s: time %v of %q: want the commit's, of nobody", header.Name, header.ModTime, header.Uname)
		}
		if executable := header.Mode&0o100 != 0; executable != (header.Name == "medprobe-v1/medprobe") {
			t.Errorf("%s: mode %o", header.Name, header.Mode)
		}
	}
	if want := []string{"medprobe-v1/LICENSE", "medprobe-v1/man/man1/medprobe.1", "medprobe-v1/medprobe"}; !slices.Equal(names, want) {
		t.Errorf("members %v, want %v", names, want)
	}
}

func TestBillOfMaterials(t *testing.T) {
	t.Parallel()
	files := map[string]file{"medprobe": {[]byte("program"), 0o755}, "lib.so": {[]byte("library"), 0o644}}
	parts := []part{{name: "example.org/a", version: "v1.2.3", licence: "MIT"}, {name: "onnxruntime", version: runtimeVersion, licence: "MIT"}}
	text, err := billOfMaterials(source{version: "v1", when: time.Unix(0, 0).UTC()}, files, "lib.so", parts)
	if err != nil {
		t.Fatal(err)
	}
	var bill struct {
		BOMFormat, SpecVersion string
		Metadata               struct{ Component component }
		Components             []component
	}
	if err := json.Unmarshal(text, &bill); err != nil {
		t.Fatal(err)
	}
	if bill.BOMFormat != "CycloneDX" || bill.SpecVersion != "1.6" || bill.Metadata.Component.Version != "v1" || len(bill.Components) != 2 {
		t.Errorf("bill of materials: %s", text)
	}
	if got := bill.Components[0].PURL; got != "pkg:golang/example.org/a@v1.2.3" {
		t.Errorf("purl %q", got)
	}
	// printf library | sha256sum
	if got := bill.Components[1].Hashes[0].Content; got != "b718f1354f7247312eca086d9a024afe5fa717ddea5adeddd6f12bcf945b2e8c" {
		t.Errorf("digest of the library %q", got)
	}
}

func TestPlatforms(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "linux", "/amd64", "linux/"} {
		if _, err := parsePlatform(text); err == nil {
			t.Errorf("platform %q: no error", text)
		}
	}
	p, err := parsePlatform("plan9/mips")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.compilers(); err == nil || !strings.Contains(err.Error(), "CC_plan9_mips and CXX_plan9_mips") {
		t.Errorf("compiler for plan9/mips: %v: want an error that names the variables", err)
	}
}

// The page of dependencies names every direct module of go.mod and no other,
// with the licence that lies in the module.
func TestDependenciesAreListed(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	module, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| ([^ ]+) \\|").FindAllStringSubmatch(string(page), -1) {
		listed[row[1]] = row[2]
	}
	folders, err := moduleFolders(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(module), "\n") {
		fields := strings.Fields(line)
		if len(fields) != 2 || !strings.HasPrefix(line, "\t") {
			continue // indirect ones have a comment
		}
		text, err := licenceIn(folders[fields[0]])
		if err != nil {
			t.Errorf("%s: %v", fields[0], err)
			continue
		}
		if want := spdx(text); listed[fields[0]] != want {
			t.Errorf("docs/dependencies.md: %s has licence %q, want %q", fields[0], listed[fields[0]], want)
		}
		delete(listed, fields[0])
	}
	for name := range listed {
		t.Errorf("docs/dependencies.md names %s, which go.mod does not", name)
	}
}
