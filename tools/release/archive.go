package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/medprobe/medprobe/internal/atomicfile"
)

// platform is GOOS and GOARCH.
type platform struct{ os, arch string }

func parsePlatform(text string) (platform, error) {
	system, arch, ok := strings.Cut(text, "/")
	if !ok || system == "" || arch == "" {
		return platform{}, fmt.Errorf("platform %q: want GOOS/GOARCH, such as linux/arm64", text)
	}
	return platform{system, arch}, nil
}

func (p platform) native() bool { return p.os == runtime.GOOS && p.arch == runtime.GOARCH }

// compilers returns the C and the C++ compiler for the platform; the latter links,
// since golearn brings C++. Empty ones are go's own choice.
func (p platform) compilers() (cc, cxx string, err error) {
	name := p.os + "_" + p.arch
	if cc, cxx = os.Getenv("CC_"+name), os.Getenv("CXX_"+name); cc != "" && cxx != "" {
		return cc, cxx, nil
	}
	if p.native() {
		return os.Getenv("CC"), os.Getenv("CXX"), nil
	}
	if p == (platform{"linux", "arm64"}) {
		cc, err := exec.LookPath("aarch64-linux-gnu-gcc")
		cxx, err2 := exec.LookPath("aarch64-linux-gnu-g++")
		if err == nil && err2 == nil {
			return cc, cxx, nil
		}
		return "", "", errors.New("no C and C++ compiler for it; apt-get install gcc-aarch64-linux-gnu g++-aarch64-linux-gnu, or set CC_linux_arm64 and CXX_linux_arm64")
	}
	return "", "", fmt.Errorf("no C and C++ compiler for it; set CC_%[1]s and CXX_%[1]s, or make it on such a machine, as CONTRIBUTING.md shows", name)
}

// file is one member of an archive.
type file struct {
	data []byte
	mode int64
}

// release builds and packs one platform, and returns the archive's SHA-256.
func release(ctx context.Context, s source, p platform, archive string) (string, error) {
	tmp, err := os.MkdirTemp("", "medprobe-release-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	binary := filepath.Join(tmp, "medprobe")
	if err := build(ctx, s, p, binary); err != nil {
		return "", err
	}
	library, err := runtimeLibrary(ctx, p, tmp)
	if err != nil {
		return "", err
	}
	files := map[string]file{}
	for name, from := range map[string]string{
		"medprobe": binary, filepath.Base(library): library,
		"LICENSE": "LICENSE", "README.md": "README.md", "CHANGELOG.md": "CHANGELOG.md",
	} {
		data, err := os.ReadFile(from)
		if err != nil {
			return "", err
		}
		files[name] = file{data, 0o644}
	}
	files["medprobe"] = file{files["medprobe"].data, 0o755}
	parts, err := dependencies(ctx, binary)
	if err != nil {
		return "", err
	}
	files["THIRD-PARTY.txt"] = file{licenceTexts(parts), 0o644}
	bill, err := billOfMaterials(s, files, filepath.Base(library), parts)
	if err != nil {
		return "", err
	}
	files["sbom.cdx.json"] = file{bill, 0o644}
	if err := manuals(ctx, tmp, files); err != nil {
		return "", err
	}
	digest := sha256.New()
	err = atomicfile.Write(archive, func(w io.Writer) error {
		return pack(io.MultiWriter(w, digest), strings.TrimSuffix(filepath.Base(archive), ".tar.gz"), s, files)
	})
	return hex.EncodeToString(digest.Sum(nil)), err
}

// build compiles the program so that the folder and the machine leave no trace.
func build(ctx context.Context, s source, p platform, binary string) error {
	cc, cxx, err := p.compilers()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-o", binary,
		"-ldflags", "-s -w -buildid= -X main.version="+s.version, "./cmd/medprobe")
	cmd.Env = append(os.Environ(), "GOOS="+p.os, "GOARCH="+p.arch, "CGO_ENABLED=1", "GOFLAGS=")
	if cc != "" {
		cmd.Env = append(cmd.Env, "CC="+cc)
	}
	if cxx != "" {
		cmd.Env = append(cmd.Env, "CXX="+cxx)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go build: %w", err)
	}
	return nil
}

// runtimeLibrary returns the file of ONNX Runtime for the platform.
func runtimeLibrary(ctx context.Context, p platform, tmp string) (string, error) {
	dir := filepath.Join(tmp, "ort")
	cmd := exec.CommandContext(ctx, "go", "run", "./tools/setup", "-platform", p.os+"/"+p.arch, "-dir", dir)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("go run ./tools/setup: %w", err)
	}
	found, err := filepath.Glob(filepath.Join(dir, "*onnxruntime*"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("setup left %d libraries in %s: want one", len(found), dir)
	}
	return found[0], nil
}

// manuals adds manual pages and completions, as this machine's program writes
// them.
func manuals(ctx context.Context, tmp string, files map[string]file) error {
	pages := filepath.Join(tmp, "man")
	if _, err := output(ctx, "go", "run", "./cmd/medprobe", "man", pages); err != nil {
		return err
	}
	entries, err := os.ReadDir(pages)
	if err != nil {
		return err
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(pages, e.Name()))
		if err != nil {
			return err
		}
		files[path.Join("man", "man1", e.Name())] = file{data, 0o644}
	}
	for shell, name := range map[string]string{"bash": "medprobe.bash", "zsh": "_medprobe", "fish": "medprobe.fish"} {
		text, err := output(ctx, "go", "run", "./cmd/medprobe", "completion", shell)
		if err != nil {
			return err
		}
		files[path.Join("completions", name)] = file{[]byte(text + "\n"), 0o644}
	}
	return nil
}

// pack writes the files below one folder, in the order of their names, with the
// time of the commit.
func pack(w io.Writer, folder string, s source, files map[string]file) error {
	zipped, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	archive := tar.NewWriter(zipped)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f := files[name]
		header := &tar.Header{
			Typeflag: tar.TypeReg, Name: path.Join(folder, name), Mode: f.mode, Size: int64(len(f.data)), ModTime: s.when, Format: tar.FormatPAX,
		}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := archive.Write(f.data); err != nil {
			return err
		}
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return zipped.Close()
}
