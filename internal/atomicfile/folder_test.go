package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestTemporaryFolderSweepsWhatKilledWritesLeft(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	yesterday := time.Now().Add(-25 * time.Hour)
	for name, c := range map[string]struct{ old, gone bool }{
		".import-123":         {old: true, gone: true},
		".import-124.old":     {old: true, gone: true},
		".import-125":         {}, // under way
		".import-of-the-user": {old: true},
		".import-":            {old: true},
		"import-126":          {old: true},
	} {
		folder := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Join(folder, "inner"), 0o700); err != nil {
			t.Fatal(err)
		}
		if c.old {
			if err := os.Chtimes(folder, yesterday, yesterday); err != nil {
				t.Fatal(err)
			}
		}
		made, err := TemporaryFolder(dir, ".import-")
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(made); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("made %s, %v, %v: want a folder for its owner", made, info, err)
		}
		if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) != c.gone {
			t.Errorf("%s: %v: want it gone: %v", name, err, c.gone)
		}
	}
	file := filepath.Join(dir, ".import-127")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, yesterday, yesterday); err != nil {
		t.Fatal(err)
	}
	if _, err := TemporaryFolder(dir, ".import-"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Errorf("a file is swept: %v", err)
	}
}
