package datasets

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var numberRange = regexp.MustCompile(`\{(\d+)\.\.(\d+)\}`)

// shards lists the files that a path means: itself, what lies in the folder, or
// what its number range or its stars say.
func shards(pattern string, endings ...string) ([]string, error) {
	hasEnding := func(name string) bool {
		return slices.ContainsFunc(endings, func(e string) bool { return strings.HasSuffix(strings.ToLower(name), e) })
	}
	if found := numberRange.FindStringSubmatchIndex(pattern); found != nil {
		first, last := pattern[found[2]:found[3]], pattern[found[4]:found[5]]
		from, _ := strconv.Atoi(first)
		to, err := strconv.Atoi(last)
		if err != nil || to < from || to-from > 100_000 {
			return nil, fmt.Errorf("range {%s..%s}: want ascending numbers", first, last)
		}
		var names []string
		for n := from; n <= to; n++ {
			names = append(names, fmt.Sprintf("%s%0*d%s", pattern[:found[0]], len(first), n, pattern[found[1]:]))
		}
		return names, nil
	}
	info, err := os.Stat(pattern)
	switch {
	case err == nil && !info.IsDir():
		return []string{pattern}, nil
	case err != nil:
		names, globErr := filepath.Glob(pattern)
		if globErr != nil || len(names) == 0 {
			return nil, cause(err)
		}
		return names, nil
	}
	var names []string
	err = filepath.WalkDir(pattern, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && hasEnding(name) && !strings.HasPrefix(entry.Name(), ".") {
			names = append(names, name)
		}
		return err
	})
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("the folder holds no file with %s", strings.Join(endings, ", "))
	}
	return names, err
}

var firstWord = regexp.MustCompile(`^[A-Za-z]+`)

// partNamed returns the part that a file's name begins with, or "".
func partNamed(name string) string {
	return splitNames[strings.ToLower(firstWord.FindString(name))]
}
