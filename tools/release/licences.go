package main

import (
	"bytes"
	"cmp"
	"context"
	"debug/buildinfo"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// part is something that is handed out with the program.
type part struct {
	name, version string
	sum           string // of go.sum; empty for others than Go modules
	licence       string // SPDX
	text          []byte
}

// onnxRuntimeLicence is that of the library, whose npm package holds no file of it.
//
//go:embed onnxruntime-LICENSE.txt
var onnxRuntimeLicence []byte

// unlicensed are modules without a file of their licence, and the module that
// holds it: gonum's old repositories, whose files name the licence of gonum.
var unlicensed = map[string]string{
	"github.com/gonum/blas": "gonum.org/v1/gonum", "github.com/gonum/lapack": "gonum.org/v1/gonum",
	"github.com/gonum/matrix": "gonum.org/v1/gonum", "github.com/gonum/internal": "gonum.org/v1/gonum",
	"github.com/gonum/floats": "gonum.org/v1/gonum",
}

// dependencies returns what the program is made of besides its own code: Go, the
// modules that are linked, and ONNX Runtime, by name. A licence that is not
// found or not known is an error.
func dependencies(ctx context.Context, binary string) ([]part, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	folders, err := moduleFolders(ctx)
	if err != nil {
		return nil, err
	}
	goroot, err := output(ctx, "go", "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	parts := []part{
		{name: "std", version: strings.TrimPrefix(info.GoVersion, "go")},
		{name: "onnxruntime", version: runtimeVersion, text: onnxRuntimeLicence},
	}
	if parts[0].text, err = licenceIn(goroot); err != nil {
		return nil, err
	}
	for _, m := range info.Deps {
		p := part{name: m.Path, version: m.Version, sum: m.Sum}
		from := m.Path
		if other, ok := unlicensed[m.Path]; ok {
			from = other
		}
		if p.text, err = licenceIn(folders[from]); err != nil {
			return nil, fmt.Errorf("%s %s: %w", m.Path, m.Version, err)
		}
		parts = append(parts, p)
	}
	for i := range parts {
		p := &parts[i]
		if p.licence = spdx(p.text); p.licence == "" {
			return nil, fmt.Errorf("%s %s: a licence that is not known; read it, and add it to spdx in tools/release", p.name, p.version)
		}
	}
	slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(a.name, b.name) })
	return parts, nil
}

// moduleFolders returns the folder of every module's source.
func moduleFolders(ctx context.Context) (map[string]string, error) {
	text, err := output(ctx, "go", "list", "-m", "-json", "all")
	if err != nil {
		return nil, err
	}
	folders := map[string]string{}
	for d := json.NewDecoder(strings.NewReader(text)); d.More(); {
		var m struct{ Path, Dir string }
		if err := d.Decode(&m); err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		folders[m.Path] = m.Dir
	}
	return folders, nil
}

// licenceIn returns the licence files of a folder, one after another.
func licenceIn(dir string) ([]byte, error) {
	if dir == "" {
		return nil, fmt.Errorf("its source is not in the module cache; run go mod download")
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var text []byte
	for _, e := range entries {
		name := strings.ToUpper(e.Name())
		if e.IsDir() || !regexp.MustCompile(`^(UNLICENSE|LICEN[CS]E|COPYING|NOTICE)(\.TXT|\.MD)?$`).MatchString(name) {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		text = append(append(text, bytes.TrimSpace(data)...), '\n')
	}
	if text == nil {
		return nil, fmt.Errorf("no file of a licence in %s", filepath.Base(dir))
	}
	return text, nil
}

// spdx names a licence by the words that only it has; "" for one not known.
func spdx(text []byte) string {
	words := strings.Join(strings.Fields(string(text)), " ")
	for _, known := range []struct{ id, words string }{
		{"FTL", "The FreeType License, which is similar to the original BSD"}, // or the GPL, as one likes
		{"Apache-2.0", "Apache License Version 2.0"},
		{"CC-BY-4.0", "Creative Commons Attribution 4.0"},
		{"MPL-2.0", "Mozilla Public License Version 2.0"},
		{"Unlicense", "free and unencumbered software released into the public domain"},
		{"BSD-3-Clause", "may be used to endorse or promote products derived"},
		{"BSD-2-Clause", "Redistributions in binary form must reproduce"},
		{"ISC", "Permission to use, copy, modify, and/or distribute this software"},
		{"MIT", "Permission is hereby granted, free of charge"},
	} {
		if strings.Contains(strings.ToLower(words), strings.ToLower(known.words)) {
			return known.id
		}
	}
	return ""
}

// licenceTexts is the file of all licences.
func licenceTexts(parts []part) []byte {
	var b bytes.Buffer
	b.WriteString("medprobe contains the following software of others.\n")
	for _, p := range parts {
		fmt.Fprintf(&b, "\n%s\n%s %s (%s)\n\n%s", strings.Repeat("-", 72), p.name, p.version, p.licence, p.text)
	}
	return b.Bytes()
}
