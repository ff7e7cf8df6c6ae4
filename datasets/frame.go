package datasets

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/medprobe/medprobe/internal/dicom"
)

// checkFrame checks the word for frames.
func (s Spec) checkFrame() error {
	if s.Frame == "" || s.Frame == "all" || s.Frame == "middle" {
		return nil
	}
	if n, err := strconv.Atoi(s.Frame); err != nil || n < 1 {
		return fmt.Errorf("frame %q: want all, middle or a number from 1", s.Frame)
	}
	return nil
}

// frames lists, counted from 0, which of n frames are asked for: the first where
// nothing is said.
func (s Spec) frames(n int) ([]int, error) {
	switch s.Frame {
	case "":
		return []int{0}, nil
	case "middle":
		return []int{n / 2}, nil
	case "all":
		all := make([]int, n)
		for i := range all {
			all[i] = i
		}
		return all, nil
	}
	k, err := strconv.Atoi(s.Frame)
	if err != nil || k < 1 || k > n {
		return nil, fmt.Errorf("frame %s: the file has %d", s.Frame, n)
	}
	return []int{k - 1}, nil
}

// frames lists the frames of a row's file that the spec asks for. A row may name
// its frame, and a file that is not DICOM has one.
func (t *rowReader) frames(s Source) ([]int, error) {
	if t.spec.Frame == "" || t.root == nil {
		return []int{s.Frame}, nil
	}
	h, err := t.root.header(s.Path)
	switch {
	case errors.Is(err, dicom.ErrFormat):
		return t.spec.frames(1)
	case err != nil:
		return nil, fmt.Errorf("frames of %q: %w", s.Path, err)
	}
	n, err := h.Frames()
	if err != nil {
		return nil, fmt.Errorf("frames of %q: %w", s.Path, err)
	}
	return t.spec.frames(n)
}

// frameNumber reads the number of a frame, counted from 1 as DICOM does.
func (t *rowReader) frameNumber(r row) (int, error) {
	text := t.get(r, t.frame)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%s = %q: want a frame's number, from 1", t.header[t.frame], text)
	}
	return n - 1, nil
}
