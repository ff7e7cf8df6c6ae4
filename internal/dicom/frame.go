package dicom

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// codedFrame returns the compressed bytes of a frame, counted from 0. Fragments
// belong to frames by the extended offset table, by the basic one, one to one,
// or, for JPEG, by the marker that ends an image.
func (f *File) codedFrame(frame, frames int) ([]byte, error) {
	if len(f.encapsulated) < 2 {
		return nil, fmt.Errorf("compressed pixels without a fragment")
	}
	table, fragments := f.encapsulated[0], f.encapsulated[1:]
	if frames == 1 {
		return join(fragments), nil
	}
	if starts := f.offsets(table, frames); starts != nil {
		return cutAt(fragments, starts, frame)
	}
	if len(fragments) == frames {
		return fragments[frame], nil
	}
	seen := 0
	var part [][]byte
	var tail []byte // of the frame so far: the marker may be cut in two
	for _, fragment := range fragments {
		if seen == frame {
			part = append(part, fragment)
		}
		tail = append(tail, fragment[max(0, len(fragment)-4):]...)
		if endsImage(tail) {
			seen++
			tail = nil
		}
	}
	if seen != frames {
		return nil, fmt.Errorf("%d frames in %d fragments, and no table says where each begins", frames, len(fragments))
	}
	return join(part), nil
}

// offsets returns where each frame begins, counted from the first fragment's
// item, or nil where no table says it.
func (f *File) offsets(basic []byte, frames int) []uint64 {
	var starts []uint64
	if table := f.values[extendedOffsets]; len(table) == 8*frames {
		for at := 0; at < len(table); at += 8 {
			starts = append(starts, binary.LittleEndian.Uint64(table[at:]))
		}
	} else if len(basic) == 4*frames {
		for at := 0; at < len(basic); at += 4 {
			starts = append(starts, uint64(binary.LittleEndian.Uint32(basic[at:])))
		}
	}
	return starts
}

// cutAt returns the fragments from the one that begins at the frame's offset to
// before the next frame's.
func cutAt(fragments [][]byte, starts []uint64, frame int) ([]byte, error) {
	var part [][]byte
	at := uint64(0)
	for _, fragment := range fragments {
		if at >= starts[frame] && (frame+1 == len(starts) || at < starts[frame+1]) {
			part = append(part, fragment)
		}
		at += 8 + uint64(len(fragment))
	}
	if len(part) == 0 {
		return nil, fmt.Errorf("frame %d begins at byte %d of the compressed pixels, which no fragment does", frame+1, starts[frame])
	}
	return join(part), nil
}

func join(fragments [][]byte) []byte {
	if len(fragments) == 1 {
		return fragments[0]
	}
	return bytes.Join(fragments, nil)
}

// endsImage reports whether a JPEG, JPEG-LS or JPEG 2000 image ends with these
// bytes, before the padding to an even length.
func endsImage(tail []byte) bool {
	tail = bytes.TrimRight(tail[max(0, len(tail)-4):], "\x00")
	return bytes.HasSuffix(tail, []byte{0xff, 0xd9})
}

// nativeFrame returns the bytes of an uncompressed frame, counted from 0.
func (f *File) nativeFrame(s shape, frame int) ([]byte, error) {
	size := s.width * s.height * s.samples * s.allocated / 8
	if s.photometric == "YBR_FULL_422" {
		size = s.height * ((s.width + 1) / 2) * 4
	}
	data := f.values[pixelData]
	if (frame+1)*size > len(data) {
		return nil, fmt.Errorf("%w: the pixels are %d bytes, and frame %d of %d×%d pixels ends at byte %d", ErrShort, len(data), frame+1, s.width, s.height, (frame+1)*size)
	}
	return data[frame*size : (frame+1)*size], nil
}

// unpackRLE returns the bytes of a frame of the RLE transfer syntax (PS3.5
// annex G) as a native frame with all samples of a pixel together, low byte
// first: there is a PackBits segment for each byte of each sample.
func unpackRLE(s shape, data []byte) ([]byte, error) {
	const header = 64
	planes, pixels := s.samples*s.allocated/8, s.width*s.height
	if len(data) < header || int(binary.LittleEndian.Uint32(data)) != planes {
		return nil, fmt.Errorf("RLE frame of %d bytes: want a header of %d segments", len(data), planes)
	}
	// A run of 128 takes two bytes: less cannot hold the pixels.
	if pixels/64 > len(data) {
		return nil, fmt.Errorf("%w: an RLE frame of %d bytes cannot hold %d×%d pixels", ErrShort, len(data), s.width, s.height)
	}
	out := make([]byte, planes*pixels)
	bytesPer := s.allocated / 8
	for segment := range planes {
		from := int(binary.LittleEndian.Uint32(data[4+4*segment:]))
		to := len(data)
		if segment+1 < planes {
			to = int(binary.LittleEndian.Uint32(data[8+4*segment:]))
		}
		if from < header || to < from || to > len(data) {
			return nil, fmt.Errorf("RLE segment %d from byte %d to %d of %d", segment+1, from, to, len(data))
		}
		sample, high := segment/bytesPer, segment%bytesPer
		first := sample*bytesPer + bytesPer - 1 - high
		if n := packBits(out[first:], planes, pixels, data[from:to]); n < pixels {
			return nil, fmt.Errorf("%w: RLE segment %d ends after %d of %d pixels", ErrShort, segment+1, n, pixels)
		}
	}
	return out, nil
}

// packBits unpacks n bytes to every step-th byte of out and returns how many
// there were.
func packBits(out []byte, step, n int, data []byte) int {
	done := 0
	for at := 0; at < len(data) && done < n; {
		head := int(int8(data[at]))
		at++
		switch {
		case head >= 0:
			for ; head >= 0 && at < len(data) && done < n; head-- {
				out[done*step] = data[at]
				at++
				done++
			}
		case head != -128 && at < len(data):
			for ; head <= 0 && done < n; head++ {
				out[done*step] = data[at]
				done++
			}
			at++
		}
	}
	return done
}
