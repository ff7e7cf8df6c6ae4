package atomicfile

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// abandoned is how old a folder is that no write is taken to be under way in.
const abandoned = 24 * time.Hour

// TemporaryFolder makes a folder, for its owner only, named by a prefix and a number,
// to be filled and given its name by rename. It removes those of the prefix that
// writes left behind which were killed: younger ones may be under way, and what cannot
// be removed is in nobody's way.
func TemporaryFolder(parent, prefix string) (string, error) {
	entries, _ := os.ReadDir(parent)
	for _, e := range entries {
		rest, ours := strings.CutPrefix(e.Name(), prefix)
		number, _, _ := strings.Cut(rest, ".") // an ending is what was moved aside
		if _, err := strconv.ParseUint(number, 10, 64); !ours || err != nil || !e.IsDir() {
			continue
		}
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > abandoned {
			os.RemoveAll(filepath.Join(parent, e.Name()))
		}
	}
	return os.MkdirTemp(parent, prefix+"*")
}
