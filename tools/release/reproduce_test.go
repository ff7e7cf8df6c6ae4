package main

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/internal/needs"
)

var reproduce = flag.Bool("reproduce", false, "make the commit's archive twice, in two folders with compiler caches of their own")

// The same commit gives the same archive, byte for byte, in any folder and from an
// empty cache of the compiler.
func TestReproducible(t *testing.T) {
	needs.Asked(t, *reproduce, "make reproduce, which compiles everything twice")
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	var made [2]map[string][sha256.Size]byte
	for i, folder := range []string{"a", filepath.Join("another", "folder", "by name")} {
		clone, cache := filepath.Join(t.TempDir(), folder), t.TempDir()
		runIn(t, root, nil, "git", "clone", "--quiet", root, clone)
		runIn(t, clone, []string{"GOCACHE=" + cache}, "go", "run", "./tools/release", "-out", "dist")
		archives, err := filepath.Glob(filepath.Join(clone, "dist", "*.tar.gz"))
		if err != nil || len(archives) != 1 {
			t.Fatalf("%d archives: want one", len(archives))
		}
		if made[i], err = digests(archives[0]); err != nil {
			t.Fatal(err)
		}
		for name, sum := range made[i] {
			if name == "" || strings.HasSuffix(name, "/medprobe") {
				t.Logf("%q %s: %x", folder, name, sum)
			}
		}
	}
	if len(made[0]) != len(made[1]) {
		t.Errorf("%d and %d members", len(made[0]), len(made[1]))
	}
	for name, sum := range made[0] {
		if made[1][name] != sum {
			t.Errorf("%q differs between the folders; the empty name is the whole archive", name)
		}
	}
}

func runIn(t *testing.T, dir string, env []string, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// digests names the members of an archive by their SHA-256, and the archive itself
// by that of the empty name.
func digests(archive string) (map[string][sha256.Size]byte, error) {
	f, err := os.Open(archive)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	whole := sha256.New()
	unzipped, err := gzip.NewReader(io.TeeReader(f, whole))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", archive, err)
	}
	sums := map[string][sha256.Size]byte{}
	for members := tar.NewReader(unzipped); ; {
		header, err := members.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", archive, err)
		}
		sum := sha256.New()
		if _, err := io.Copy(sum, members); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", archive, header.Name, err)
		}
		sums[header.Name] = [sha256.Size]byte(sum.Sum(nil))
	}
	if _, err := io.Copy(whole, f); err != nil { // what follows the last member
		return nil, err
	}
	sums[""] = [sha256.Size]byte(whole.Sum(nil))
	return sums, nil
}

// What differs in one byte is told apart, the archive and the member.
func TestDigestsTellArchivesApart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	archive := func(name, words string) map[string][sha256.Size]byte {
		path := filepath.Join(dir, name)
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		files := map[string]file{"medprobe": {[]byte("program"), 0o755}, "LICENSE": {[]byte(words), 0o644}}
		if err := errors.Join(pack(f, "medprobe-v1", source{version: "v1"}, files), f.Close()); err != nil {
			t.Fatal(err)
		}
		sums, err := digests(path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if sums[""] != sha256.Sum256(text) {
			t.Error("the whole archive's digest is not that of its bytes")
		}
		return sums
	}
	a, b := archive("a.tar.gz", "words"), archive("b.tar.gz", "wordz")
	if a[""] == b[""] || a["medprobe-v1/LICENSE"] == b["medprobe-v1/LICENSE"] {
		t.Error("two licences have one digest")
	}
	if a["medprobe-v1/medprobe"] != b["medprobe-v1/medprobe"] {
		t.Error("one program has two digests")
	}
}
