package main

import (
	"fmt"
	"syscall"
)

// limitMemory bounds the address space of this process for a model of so many
// bytes: twice over for weights that are packed anew, and room for the library,
// its threads and two images.
func limitMemory(model int64) error {
	const room = 6 << 30
	limit := uint64(3*model) + room
	if err := syscall.Setrlimit(syscall.RLIMIT_AS, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
		return fmt.Errorf("limit memory to %d bytes: %w", limit, err)
	}
	return nil
}
