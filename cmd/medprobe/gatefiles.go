package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// maxGateFile bounds a report or a table of predictions, in bytes.
const maxGateFile = 1 << 30

// gateFiles returns a function that reads the files of a run: a folder, the folder
// of a report.json, or git:REVISION:PATH of one of them.
func gateFiles(ctx context.Context, name string) (func(string) ([]byte, error), error) {
	if rest, ok := strings.CutPrefix(name, "git:"); ok {
		return gitFiles(ctx, rest)
	}
	dir := name
	if filepath.Base(name) == "report.json" {
		dir = filepath.Dir(name)
	} else if info, err := os.Stat(name); err == nil && !info.IsDir() {
		return nil, fmt.Errorf("%s: want the folder of a run, or its report.json", name)
	}
	return func(file string) ([]byte, error) {
		f, err := os.Open(filepath.Join(dir, file))
		if cause, ok := errors.AsType[*fs.PathError](err); ok && errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s holds no %s (%w): want the folder of a run, as 'medprobe run' leaves it", dir, file, cause.Err)
		}
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return readBounded(f, f.Name())
	}, nil
}

func readBounded(r io.Reader, name string) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxGateFile+1))
	if err == nil && len(b) > maxGateFile {
		err = fmt.Errorf("%s: more than %d bytes", name, maxGateFile)
	}
	return b, err
}

// gitFiles reads files as they were at a revision of the repository that the
// working directory is in.
func gitFiles(ctx context.Context, name string) (func(string) ([]byte, error), error) {
	revision, at, ok := strings.Cut(name, ":")
	if !ok || revision == "" || at == "" || strings.HasPrefix(revision, "-") {
		return nil, fmt.Errorf("git:%s: want git:REVISION:PATH, such as git:main:run", name)
	}
	if path.Base(at) == "report.json" {
		at = path.Dir(at)
	}
	return func(file string) ([]byte, error) {
		blob := revision + ":./" + path.Join(at, file)
		cmd := exec.CommandContext(ctx, "git", "cat-file", "blob", blob)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			return nil, err
		}
		if err := cmd.Start(); err != nil {
			return nil, fmt.Errorf("git: %w", err)
		}
		b, err := readBounded(stdout, blob)
		if waited := cmd.Wait(); err == nil && waited != nil {
			if _, exited := errors.AsType[*exec.ExitError](waited); exited {
				return nil, fmt.Errorf("git:%s: %s: %w", name, strings.TrimSpace(stderr.String()), fs.ErrNotExist)
			}
			err = waited
		}
		if bytes.HasPrefix(b, []byte("version https://git-lfs")) {
			return nil, fmt.Errorf("git:%s: %s is a pointer of Git LFS; check it out and name the file", name, file)
		}
		return b, err
	}, nil
}
