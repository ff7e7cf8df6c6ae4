package dicom

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const converter = "gdcmconv"

// errNoConverter says that pixels are compressed in a way that is decoded by a
// program that is not installed.
var errNoConverter = errors.New(converter + " is not installed: it is in the package libgdcm-tools (Debian, Ubuntu), gdcm (conda-forge, Homebrew)")

// convertTime bounds one frame.
const convertTime = time.Minute

// convert has gdcmconv decode one compressed frame. The program is given a file
// of its own with the frame and how its pixels lie, and nothing of the patient.
func (f *File) convert(ctx context.Context, s *shape, coded []byte) ([]byte, error) {
	program, err := lookConverter()
	if err != nil {
		return nil, fmt.Errorf("transfer syntax %s: %w", f.syntax, err)
	}
	dir, err := os.MkdirTemp("", "medprobe-dicom-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	in, out := filepath.Join(dir, "in.dcm"), filepath.Join(dir, "out.dcm")
	if err := os.WriteFile(in, f.alone(*s, coded), 0o600); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, convertTime)
	defer cancel()
	said, err := exec.CommandContext(ctx, program, "--raw", in, out).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("transfer syntax %s: %s: %w: %s", f.syntax, converter, err, firstLine(said))
	}
	data, err := os.ReadFile(out)
	if err != nil {
		return nil, fmt.Errorf("transfer syntax %s: %s left no image: %s", f.syntax, converter, firstLine(said))
	}
	raw, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", converter, err)
	}
	got, err := raw.shape()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", converter, err)
	}
	if got.width != s.width || got.height != s.height || got.samples != s.samples {
		return nil, fmt.Errorf("%s made %d×%d pixels of %d samples, and the header says %d×%d of %d", converter, got.width, got.height, got.samples, s.width, s.height, s.samples)
	}
	if strings.HasPrefix(got.photometric, "MONOCHROME") {
		got.photometric = s.photometric
	}
	*s = got
	s.planar = false
	native, err := raw.nativeFrame(got, 0)
	if err == nil && got.planar {
		native = interleaved(native, got)
	}
	return native, err
}

// interleaved brings the samples of a pixel together.
func interleaved(data []byte, s shape) []byte {
	size, plane := s.allocated/8, s.width*s.height*s.allocated/8
	out := make([]byte, 0, len(data))
	for i := 0; i < plane; i += size {
		for c := range s.samples {
			out = append(out, data[c*plane+i:c*plane+i+size]...)
		}
	}
	return out
}

func firstLine(said []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(said)), "\n")
	return line
}

// alone is a file with nothing but one frame.
func (f *File) alone(s shape, coded []byte) []byte {
	le := binary.LittleEndian
	short := func(to []byte, t Tag, vr string, value []byte) []byte {
		if len(value)%2 == 1 {
			pad := byte(' ')
			if vr == "UI" {
				pad = 0
			}
			value = append(value, pad)
		}
		to = le.AppendUint16(le.AppendUint16(to, uint16(t>>16)), uint16(t))
		to = append(to, vr...)
		return append(le.AppendUint16(to, uint16(len(value))), value...)
	}
	us := func(v int) []byte { return le.AppendUint16(nil, uint16(v)) }
	const capture = "1.2.840.10008.5.1.4.1.1.7" // Secondary Capture
	meta := short(nil, 0x00020002, "UI", []byte(capture))
	meta = short(meta, 0x00020003, "UI", []byte("2.25.1"))
	meta = short(meta, transferSyntax, "UI", []byte(f.syntax))
	out := append(make([]byte, 128), "DICM"...)
	out = short(out, 0x00020000, "UL", le.AppendUint32(nil, uint32(len(meta))))
	out = append(out, meta...)
	out = short(out, 0x00080016, "UI", []byte(capture))
	out = short(out, SOPInstance, "UI", []byte("2.25.1"))
	out = short(out, samplesPerPixel, "US", us(s.samples))
	out = short(out, photometric, "CS", []byte(s.photometric))
	if s.samples > 1 {
		out = short(out, planar, "US", us(0))
	}
	out = short(out, rows, "US", us(s.height))
	out = short(out, columns, "US", us(s.width))
	out = short(out, bitsAllocated, "US", us(s.allocated))
	out = short(out, bitsStored, "US", us(s.stored))
	out = short(out, 0x00280102, "US", us(s.stored-1))
	sign := 0
	if s.signed {
		sign = 1
	}
	out = short(out, pixelSigned, "US", us(sign))
	itemOf := func(to []byte, t Tag, value []byte) []byte {
		to = le.AppendUint16(le.AppendUint16(to, uint16(t>>16)), uint16(t))
		return append(le.AppendUint32(to, uint32(len(value))), value...)
	}
	out = le.AppendUint16(le.AppendUint16(out, uint16(pixelData>>16)), uint16(pixelData&0xffff))
	out = append(out, 'O', 'B', 0, 0, 0xff, 0xff, 0xff, 0xff)
	out = itemOf(out, item, nil)
	if len(coded)%2 == 1 {
		coded = append(coded[:len(coded):len(coded)], 0)
	}
	out = itemOf(out, item, coded)
	return itemOf(out, sequenceDelimiter, nil)
}

func lookConverter() (string, error) {
	program, err := exec.LookPath(converter)
	if err != nil {
		return "", errNoConverter
	}
	return program, nil
}
