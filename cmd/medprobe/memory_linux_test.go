package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// What the kernel says is read: the machine's, and that of the process's groups and
// their parents, of either version.
func TestFreeMemoryIsRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files map[string]string
		want  []int64
	}{
		"machine alone": {map[string]string{"proc/meminfo": "MemTotal:  100 kB\nMemAvailable:     2048 kB\n"}, []int64{2 << 20}},
		"group within a group": {map[string]string{
			"proc/self/cgroup":                  "0::/job/step\n",
			"sys/fs/cgroup/job/memory.max":      "1000\n",
			"sys/fs/cgroup/job/memory.current":  "900\n",
			"sys/fs/cgroup/job/memory.stat":     "anon 5\ninactive_file 300\n",
			"sys/fs/cgroup/job/step/memory.max": "max\n",
		}, []int64{400}},
		"the older version": {map[string]string{
			"proc/self/cgroup":                           "5:memory:/docker/abc\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "5000\n",
			"sys/fs/cgroup/memory/memory.usage_in_bytes": "6000\n",
		}, []int64{0}},
		"nothing": {nil, nil},
	} {
		root := t.TempDir()
		for file, text := range c.files {
			path := filepath.Join(root, file)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := freeMemory(root); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
