// Command release makes the archives that are handed out: for each platform the
// program, the ONNX Runtime library beside it, licences, manual pages, shell
// completions and a software bill of materials, and one file of checksums.
//
// The same commit gives the same bytes: nothing of the machine, the folder or
// the hour goes in, only the time of the commit.
//
//	go run ./tools/release [-out dist] [GOOS/GOARCH …]
//
// Another platform than this machine's needs a C and a C++ compiler for it:
// CC_linux_arm64 and CXX_linux_arm64 name those of linux/arm64; found by themselves
// are Debian's gcc-aarch64-linux-gnu and g++-aarch64-linux-gnu.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/medprobe/medprobe/internal/atomicfile"
)

func main() {
	out := flag.String("out", "dist", "folder of the archives")
	flag.Parse()
	targets := flag.Args()
	if len(targets) == 0 {
		targets = []string{runtime.GOOS + "/" + runtime.GOARCH}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *out, targets); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		stop()
		os.Exit(1)
	}
}

// run makes the archives of the targets and the file of their checksums.
func run(ctx context.Context, out string, targets []string) error {
	source, err := commit(ctx)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	sums := map[string]string{}
	for _, target := range targets {
		p, err := parsePlatform(target)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("medprobe-%s-%s-%s.tar.gz", source.version, p.os, p.arch)
		sum, err := release(ctx, source, p, filepath.Join(out, name))
		if err != nil {
			return fmt.Errorf("%s: %w", target, err)
		}
		sums[name] = sum
		fmt.Println(filepath.Join(out, name))
	}
	var lines strings.Builder
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		fmt.Fprintf(&lines, "%s  %s\n", sums[name], name)
	}
	return atomicfile.WriteBytes(filepath.Join(out, "SHA256SUMS"), []byte(lines.String()))
}

// source is what is released.
type source struct {
	version string
	when    time.Time // of the commit
}

// commit names the commit of the working folder; changes that are not committed
// are an error, since nobody could make the archive again.
func commit(ctx context.Context) (source, error) {
	version, err := output(ctx, "git", "describe", "--tags", "--always", "--dirty")
	if err != nil {
		return source{}, err
	}
	if strings.HasSuffix(version, "-dirty") {
		return source{}, errors.New("the tree holds changes that are not committed; commit or stash them, since a release is made of a commit")
	}
	seconds, err := output(ctx, "git", "show", "-s", "--format=%ct")
	if err != nil {
		return source{}, err
	}
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return source{}, fmt.Errorf("git show: time %q: %w", seconds, err)
	}
	return source{version: version, when: time.Unix(unix, 0).UTC()}, nil
}

func output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}
