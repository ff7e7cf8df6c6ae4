package float16

import "golang.org/x/sys/cpu"

// block is how many numbers one turn of the loop takes.
const block = 32

// Every processor with AVX2 and FMA converts float16 too.
var fast = cpu.X86.HasAVX2 && cpu.X86.HasFMA

// dot returns the dot product of n numbers each, n a multiple of block.
//
//go:noescape
func dot(h *uint16, q *float32, n int) float32
