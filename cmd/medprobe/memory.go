package main

import (
	"fmt"
	"math"
	"os"
	"runtime/debug"
)

// memory is how many bytes there are for a fit: what MEDPROBE_MEMORY says or, without
// it, the least of what the machine has free, what its container may still take and
// what GOMEMLIMIT leaves; 0 where nothing is known.
func memory() (int64, error) {
	if text := os.Getenv("MEDPROBE_MEMORY"); text != "" {
		n, err := parseSize(text)
		if err != nil {
			return 0, fmt.Errorf("MEDPROBE_MEMORY %q: %w", text, err)
		}
		return n, nil
	}
	least := int64(math.MaxInt64)
	if limit := debug.SetMemoryLimit(-1); limit > 0 {
		least = limit
	}
	for _, n := range freeMemory("/") {
		least = min(least, n)
	}
	if least == math.MaxInt64 {
		return 0, nil
	}
	return max(least, 1), nil
}
