package texttab

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
)

const (
	// freeBytes may be unpacked from however few; beyond, not more than
	// maxRatio times what was packed.
	freeBytes = 64 << 20
	maxRatio  = 200
)

// unpack reads a gzip file that may be a decompression bomb.
func unpack(f *os.File) (io.ReadCloser, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("not a gzip file: %w", err)
	}
	return &unpacked{z, f, max(freeBytes, maxRatio*info.Size())}, nil
}

type unpacked struct {
	*gzip.Reader
	file *os.File
	left int64
}

func (u *unpacked) Read(p []byte) (int, error) {
	n, err := u.Reader.Read(p)
	if u.left -= int64(n); u.left < 0 {
		return 0, fmt.Errorf("grows to more than %d times its size, which looks like a decompression bomb", maxRatio)
	}
	return n, err
}

func (u *unpacked) Close() error { return u.file.Close() }
