package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// freeMemory returns what the machine says it has available, and what the control
// groups of this process (version 2, and of version 1 the mounted one) may still take,
// page cache that can be dropped counted as free. root is "/", but in tests.
func freeMemory(root string) (found []int64) {
	for line := range strings.Lines(read(root, "proc/meminfo")) {
		if rest, ok := strings.CutPrefix(line, "MemAvailable:"); ok {
			if kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64); err == nil {
				found = append(found, kb<<10)
			}
		}
	}
	groups := []string{"sys/fs/cgroup/memory"}
	for line := range strings.Lines(read(root, "proc/self/cgroup")) {
		if own, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			for dir := filepath.Join("/", own); ; dir = filepath.Dir(dir) { // a parent's limit holds too
				groups = append(groups, filepath.Join("sys/fs/cgroup", dir))
				if dir == "/" {
					break
				}
			}
		}
	}
	for _, group := range groups {
		for _, names := range [][3]string{{"memory.max", "memory.current", "inactive_file"}, {"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"}} {
			limit, err := strconv.ParseInt(strings.TrimSpace(read(root, group, names[0])), 10, 64) // "max" is no limit
			if err != nil {
				continue
			}
			used, err := strconv.ParseInt(strings.TrimSpace(read(root, group, names[1])), 10, 64)
			if err != nil {
				continue
			}
			for line := range strings.Lines(read(root, group, "memory.stat")) {
				if fields := strings.Fields(line); len(fields) == 2 && fields[0] == names[2] {
					if cached, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
						used -= cached
					}
				}
			}
			found = append(found, max(limit-used, 0))
		}
	}
	return found
}

// read returns the text of a file, "" if there is none.
func read(names ...string) string {
	text, err := os.ReadFile(filepath.Join(names...))
	if err != nil {
		return ""
	}
	return string(text)
}
