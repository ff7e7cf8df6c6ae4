// Package hfhub finds and fetches repositories of the Hugging Face hub in the
// cache that Python's huggingface_hub keeps, so that both share one copy.
//
// A repository OWNER/NAME lies in models--OWNER--NAME: refs/REVISION holds a
// commit, snapshots/COMMIT the files by name, as links to blobs/ETAG.
package hfhub

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// ErrAbsent says that the cache does not hold a repository.
var ErrAbsent = errors.New("not in the cache of Hugging Face")

var repoName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}$`)

// IsRepo reports whether a name has the form OWNER/NAME.
func IsRepo(name string) bool { return repoName.MatchString(name) && !strings.Contains(name, "..") }

// cacheDir returns the folder of the cache: $HF_HUB_CACHE, hub in $HF_HOME, or
// huggingface/hub in ~/.cache ($XDG_CACHE_HOME).
func cacheDir() (string, error) {
	if dir := os.Getenv("HF_HUB_CACHE"); dir != "" {
		return dir, nil
	}
	home, err := homeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, "hub"), nil
}

// homeDir returns $HF_HOME or its default.
func homeDir() (string, error) {
	if dir := os.Getenv("HF_HOME"); dir != "" {
		return dir, nil
	}
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(dir, "huggingface"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("hfhub: %w; name the cache with HF_HUB_CACHE", err)
	}
	return filepath.Join(home, ".cache", "huggingface"), nil
}

// Find returns the folder of the files of a repository in the cache. The error
// wraps [ErrAbsent] where it is not there.
func Find(repo, revision string) (string, error) {
	dir, err := cacheDir()
	if err != nil {
		return "", err
	}
	folder := repoDir(dir, repo)
	commit, err := os.ReadFile(filepath.Join(folder, "refs", cmp.Or(revision, "main")))
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("hfhub: %s: %w (%s)", repo, ErrAbsent, dir)
	}
	if err != nil {
		return "", fmt.Errorf("hfhub: %s: %w", repo, err)
	}
	name := strings.TrimSpace(string(commit))
	if !commitHash.MatchString(name) {
		return "", fmt.Errorf("hfhub: %s: refs/%s holds %q: want a commit", repo, cmp.Or(revision, "main"), name)
	}
	snapshot := filepath.Join(folder, "snapshots", name)
	if _, err := os.Stat(snapshot); err != nil {
		return "", fmt.Errorf("hfhub: %s: %w (%s)", repo, ErrAbsent, dir)
	}
	return snapshot, nil
}

var commitHash = regexp.MustCompile(`^[0-9a-f]{40}$`)

func repoDir(cache, repo string) string {
	return filepath.Join(cache, "models--"+strings.ReplaceAll(repo, "/", "--"))
}
