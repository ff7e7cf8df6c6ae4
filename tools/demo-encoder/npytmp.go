package main

import (
	"bytes"
	"fmt"
	"os"

	"github.com/medprobe/medprobe/datasets/phantom"
)

func writeImages(name string, count int, pixels []uint8) error {
	var b bytes.Buffer
	h := fmt.Sprintf("{'descr': '|u1', 'fortran_order': False, 'shape': (%d, %d, %d, 3), }", count, phantom.Size, phantom.Size)
	for (10+len(h)+1)%64 != 0 {
		h += " "
	}
	h += "\n"
	b.WriteString("\x93NUMPY\x01\x00")
	b.WriteByte(byte(len(h)))
	b.WriteByte(byte(len(h) >> 8))
	b.WriteString(h)
	b.Write(pixels)
	return os.WriteFile(name, b.Bytes(), 0o666)
}
