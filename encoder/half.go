package encoder

import (
	"encoding/binary"
	"fmt"

	"github.com/medprobe/medprobe/internal/float16"
)

// writeHalves appends values as float16.
func (w *weights) writeHalves(values []float32) error {
	if err := float16.Check(values); err != nil {
		return fmt.Errorf("%w; import with --precision fp32", err)
	}
	var b [2]byte
	for _, v := range values {
		binary.LittleEndian.PutUint16(b[:], float16.From(v))
		if _, err := w.out.Write(b[:]); err != nil {
			return err
		}
	}
	w.offset += int64(2 * len(values))
	return nil
}
