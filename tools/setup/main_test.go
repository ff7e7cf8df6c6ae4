package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// pack writes an archive as npm pack does, with one member.
func pack(t *testing.T, member, content string) string {
	t.Helper()
	var b bytes.Buffer
	zipped := gzip.NewWriter(&b)
	members := tar.NewWriter(zipped)
	err := members.WriteHeader(&tar.Header{Name: member, Mode: 0o644, Size: int64(len(content))})
	if err == nil {
		_, err = members.Write([]byte(content))
	}
	if err = errors.Join(err, members.Close(), zipped.Close()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "package.tgz")
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOnlyThePinnedLibraryIsInstalled(t *testing.T) {
	t.Parallel()
	sum := sha256.Sum256([]byte("the library"))
	lib := library{member: "package/lib.so", file: "lib.so", sha256: hex.EncodeToString(sum[:])}
	target := filepath.Join(t.TempDir(), lib.file)
	for content, want := range map[string]string{"another library": "not installed", "the librar": "not installed"} {
		if err := extract(pack(t, lib.member, content), lib, target); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v: want %q", err, want)
		}
		if _, err := os.Stat(target); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("%q was installed, %v", content, err)
		}
	}
	if err := extract(pack(t, "package/other.so", "the library"), lib, target); err == nil || !strings.Contains(err.Error(), "holds no package/lib.so") {
		t.Errorf("error %v: want that the member is missing", err)
	}
	if err := extract(pack(t, lib.member, "the library"), lib, target); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(target); err != nil || string(got) != "the library" {
		t.Errorf("installed %q, %v", got, err)
	}
}

func TestEveryPlatformIsPinned(t *testing.T) {
	t.Parallel()
	for platform, lib := range libraries {
		if raw, err := hex.DecodeString(lib.sha256); err != nil || len(raw) != sha256.Size {
			t.Errorf("%s: SHA-256 %q", platform, lib.sha256)
		}
		if !strings.HasPrefix(lib.member, "package/bin/napi-v6/") || lib.file == "" {
			t.Errorf("%s: %+v", platform, lib)
		}
	}
}

// Not parallel: it changes the environment.
func TestWithoutNpmTheOtherWaysAreNamed(t *testing.T) {
	t.Setenv("MEDPROBE_ORT_LIB", filepath.Join(t.TempDir(), "nowhere.so"))
	t.Setenv("PATH", t.TempDir())
	err := run(t.Context(), filepath.Join(t.TempDir(), ".ort"))
	if err == nil || strings.Contains(err.Error(), "\n") {
		t.Fatalf("error %v: want one line", err)
	}
	for _, way := range []string{"install npm", "onnxruntime wheel", "release archive", "--ort-lib"} {
		if !strings.Contains(err.Error(), way) {
			t.Errorf("error %v: does not name %q", err, way)
		}
	}
}

// Not parallel: it changes the environment.
func TestFailingNpmLeavesNothing(t *testing.T) {
	bin, dir := t.TempDir(), filepath.Join(t.TempDir(), ".ort")
	if err := os.WriteFile(filepath.Join(bin, "npm"), []byte("#!/bin/sh\nexit 7\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("MEDPROBE_ORT_LIB", filepath.Join(t.TempDir(), "nowhere.so"))
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	if err := run(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "npm pack") {
		t.Fatalf("error %v: want what npm was asked for", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 0 {
		t.Errorf("%d files left, %v", len(entries), err)
	}
}
