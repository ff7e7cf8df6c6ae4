// Command setup puts the ONNX Runtime library where medprobe finds it.
//
// Where an acceptable library is found already, nothing is done. Otherwise the
// library is taken out of the npm package onnxruntime-node, whose scripts are
// not run, checked against the digest below and written to the folder .ort of
// the project.
package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"

	"github.com/medprobe/medprobe/encoder"
	"github.com/medprobe/medprobe/internal/atomicfile"
)

// npmPackage is where the library comes from.
const npmPackage = "onnxruntime-node@1.30.0"

// library is one platform's file in the package.
type library struct {
	member, file, sha256 string
}

// libraries holds the digests of onnxruntime-node 1.30.0 by GOOS/GOARCH.
var libraries = map[string]library{
	"linux/amd64":   {"package/bin/napi-v6/linux/x64/libonnxruntime.so.1", "libonnxruntime.so.1", "ffb75a925ba05e47b235bb66e3e3911714a80b328a9c9425539feb204aa32a23"},
	"linux/arm64":   {"package/bin/napi-v6/linux/arm64/libonnxruntime.so.1", "libonnxruntime.so.1", "1f549d46250b005580b597f4164984aaf75b3bcb9f3aeb07c7f8a8fe60b23c76"},
	"darwin/arm64":  {"package/bin/napi-v6/darwin/arm64/libonnxruntime.1.30.0.dylib", "libonnxruntime.dylib", "685d2be5dba1309c89d3a5324b7fd06a5c42f1a61bfea32d14c4cc28d072121d"},
	"windows/amd64": {"package/bin/napi-v6/win32/x64/onnxruntime.dll", "onnxruntime.dll", "508c362f5673483dd3a086379c392795b2e42d10d5e6f3f90ebd7ac21c97af67"},
	"windows/arm64": {"package/bin/napi-v6/win32/arm64/onnxruntime.dll", "onnxruntime.dll", "6c3a2abf5c6aca11c48a0d338a91af309f2266f25ce2e4084e6a87bbcb0fbfd0"},
}

const otherWays = "install an onnxruntime wheel (1.24 or newer) into the active virtual environment, or unpack the official ONNX Runtime release archive, and name the library with --ort-lib or MEDPROBE_ORT_LIB"

func main() {
	platform := flag.String("platform", "", "GOOS/GOARCH whose library is wanted as a file, even where this machine has one")
	dir := flag.String("dir", ".ort", "folder to write it to")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	do := run
	if *platform != "" {
		do = func(ctx context.Context, dir string) error { return get(ctx, dir, *platform) }
	}
	if err := do(ctx, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "setup:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, dir string) error {
	if rt, _, err := encoder.FindRuntime(""); err == nil {
		fmt.Printf("ONNX Runtime %s: %s\n", rt.Version, rt.Path)
		return nil
	}
	platform := runtime.GOOS + "/" + runtime.GOARCH
	if err := get(ctx, dir, platform); err != nil {
		return err
	}
	rt, _, err := encoder.FindRuntime(filepath.Join(dir, libraries[platform].file))
	if err != nil {
		return err
	}
	fmt.Printf("ONNX Runtime %s: %s\n", rt.Version, rt.Path)
	return nil
}

// get writes a platform's library into the folder.
func get(ctx context.Context, dir, platform string) error {
	lib, ok := libraries[platform]
	if !ok {
		return fmt.Errorf("%s has no library for %s; %s", npmPackage, platform, otherWays)
	}
	if _, err := exec.LookPath("npm"); err != nil {
		return fmt.Errorf("no ONNX Runtime and no npm to get it with; install npm and run make setup again, or %s", otherWays)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return fetch(ctx, dir, lib, filepath.Join(dir, lib.file))
}

// fetch packs the npm package into a folder of its own inside dir, npm's cache
// included, so that nothing is left elsewhere.
func fetch(ctx context.Context, dir string, lib library, target string) error {
	tmp, err := os.MkdirTemp(dir, "npm-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	cache, err := filepath.Abs(filepath.Join(tmp, "cache"))
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "getting %s (114 MB)\n", npmPackage)
	npm := exec.CommandContext(ctx, "npm", "pack", npmPackage, "--ignore-scripts", "--silent", "--cache", cache)
	npm.Dir, npm.Stderr = tmp, os.Stderr
	if err := npm.Run(); err != nil {
		return fmt.Errorf("npm pack %s: %w; is the npm registry reachable? or %s", npmPackage, err, otherWays)
	}
	archives, err := filepath.Glob(filepath.Join(tmp, "*.tgz"))
	if err != nil || len(archives) != 1 {
		return fmt.Errorf("npm pack %s left %d archives: want one", npmPackage, len(archives))
	}
	if info, err := os.Stat(archives[0]); err == nil {
		fmt.Fprintf(os.Stderr, "got %s: %d bytes\n", npmPackage, info.Size())
	}
	return extract(archives[0], lib, target)
}

// extract writes the library to target if its digest is the pinned one.
func extract(archive string, lib library, target string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	zipped, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("%s: %w", archive, err)
	}
	members := tar.NewReader(zipped)
	for {
		header, err := members.Next()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%s holds no %s", npmPackage, lib.member)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", archive, err)
		}
		if header.Name == lib.member {
			break
		}
	}
	return atomicfile.Write(target, func(w io.Writer) error {
		digest := sha256.New()
		if _, err := io.Copy(io.MultiWriter(w, digest), members); err != nil {
			return err
		}
		if got := hex.EncodeToString(digest.Sum(nil)); got != lib.sha256 {
			return fmt.Errorf("%s has SHA-256 %s: want %s; not installed", lib.member, got, lib.sha256)
		}
		return nil
	})
}
