package datasets

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// isDrive reports whether a path begins with a drive of Windows, C:\ or C:/.
func isDrive(file string) bool {
	return len(file) > 2 && file[1] == ':' && (file[2] == '\\' || file[2] == '/')
}

// guessFormat says what a path probably is: by its ending, or that it is a folder.
func guessFormat(file string) (format string, sure bool) {
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		return "imagefolder", true
	}
	ending := strings.TrimPrefix(strings.ToLower(filepath.Ext(file)), ".")
	if slices.Contains([]string{"csv", "tsv", "jsonl", "parquet", "npz"}, ending) {
		return ending, true
	}
	return "csv", false
}

// guessRows is how many rows of a table a guess looks at.
const guessRows = 200

// perhaps returns the first of the columns whose cells, as far as they are looked at,
// are such as like says, quoted and after a space; "" where there is none. It is for
// messages: what is guessed is never taken.
func (t *table) perhaps(ctx context.Context, columns []int, like func(cells []string) bool) string {
	cells := make([][]string, len(t.header))
	n := 0
	for r, err := range t.rows(ctx) {
		if err != nil || n == guessRows {
			break
		}
		n++
		for _, i := range columns {
			if cell := strings.TrimSpace(r.fields[i]); cell != "" {
				cells[i] = append(cells[i], cell)
			}
		}
	}
	for _, i := range columns {
		if len(cells[i]) > 0 && like(cells[i]) {
			return " " + strconv.Quote(t.header[i]) + ", perhaps"
		}
	}
	return ""
}

// namesImages reports whether cells are files of images.
func namesImages(cells []string) bool {
	return !slices.ContainsFunc(cells, func(cell string) bool { return !isImageFile(cell) })
}

// namesClasses reports whether cells are a few words, each of them there several
// times.
func namesClasses(cells []string) bool {
	times := map[string]int{}
	for _, cell := range cells {
		if _, err := strconv.ParseFloat(strings.ReplaceAll(cell, ",", "."), 64); err == nil {
			return false
		}
		times[cell]++
	}
	return len(times) > 1 && len(times) <= 20 && len(cells) >= 4*len(times)
}
