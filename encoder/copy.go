package encoder

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"

	"github.com/medprobe/medprobe/internal/atomicfile"
)

// maxSmallFile bounds the files that are copied as they are.
const maxSmallFile = 64 << 20

func copyFile(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return fmt.Errorf("%s is missing: %w", from, err)
	}
	if info.Size() > maxSmallFile {
		return fmt.Errorf("%s: %d bytes, more than %d", from, info.Size(), maxSmallFile)
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return atomicfile.WriteBytes(to, data)
}

// copyLarge copies a file of any size, a piece in memory at a time, and returns the
// SHA-256 of what it wrote, in hex. The end of the context ends it.
func copyLarge(ctx context.Context, from, to string) (digest string, err error) {
	f, err := os.Open(from)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	err = atomicfile.Write(to, func(w io.Writer) error {
		_, err := io.Copy(io.MultiWriter(w, h), reading{ctx, f})
		return err
	})
	return hex.EncodeToString(h.Sum(nil)), err
}

// reading reads until the context ends.
type reading struct {
	ctx context.Context
	io.Reader
}

func (r reading) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}
