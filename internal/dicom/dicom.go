// Package dicom reads DICOM files that nobody vouches for: the few tags that
// say whose image it is and how to show it, and its pixels.
//
// [Parse] walks the elements without copying them; every length is judged
// against the bytes that are there before anything is allocated, and sequences
// are walked to a bounded depth. [File.Image] shows one frame as MedSigLIP's
// serving container does (Google-Health/medsiglip,
// local_file_handlers/generic_dicom_handler.py): modality LUT, window, inversion
// of MONOCHROME1. Native, deflated, RLE and baseline JPEG pixels are decoded
// here; JPEG lossless, JPEG-LS and JPEG 2000 by gdcmconv, where it is installed.
package dicom

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Tag is the group and the element of a data element.
type Tag uint32

// The tags that are read.
const (
	transferSyntax    Tag = 0x00020010
	SOPInstance       Tag = 0x00080018
	StudyDate         Tag = 0x00080020
	Modality          Tag = 0x00080060
	Manufacturer      Tag = 0x00080070
	PatientID         Tag = 0x00100020
	PatientSex        Tag = 0x00100040
	PatientAge        Tag = 0x00101010
	ViewPosition      Tag = 0x00185101
	Study             Tag = 0x0020000d
	Series            Tag = 0x0020000e
	Instance          Tag = 0x00200013
	samplesPerPixel   Tag = 0x00280002
	photometric       Tag = 0x00280004
	planar            Tag = 0x00280006
	NumberOfFrames    Tag = 0x00280008
	rows              Tag = 0x00280010
	columns           Tag = 0x00280011
	bitsAllocated     Tag = 0x00280100
	bitsStored        Tag = 0x00280101
	pixelSigned       Tag = 0x00280103
	windowCenter      Tag = 0x00281050
	windowWidth       Tag = 0x00281051
	rescaleIntercept  Tag = 0x00281052
	rescaleSlope      Tag = 0x00281053
	redDescriptor     Tag = 0x00281101
	redTable          Tag = 0x00281201
	redSegments       Tag = 0x00281221
	modalityLUT       Tag = 0x00283000
	lutDescriptor     Tag = 0x00283002
	lutData           Tag = 0x00283006
	frameVOI          Tag = 0x00289132
	pixelTransform    Tag = 0x00289145
	sharedGroups      Tag = 0x52009229
	perFrameGroups    Tag = 0x52009230
	extendedOffsets   Tag = 0x7fe00001
	extendedLengths   Tag = 0x7fe00002
	floatPixels       Tag = 0x7fe00008
	doublePixels      Tag = 0x7fe00009
	pixelData         Tag = 0x7fe00010
	item              Tag = 0xfffee000
	itemDelimiter     Tag = 0xfffee00d
	sequenceDelimiter Tag = 0xfffee0dd
)

func (t Tag) String() string { return fmt.Sprintf("(%04x,%04x)", uint32(t)>>16, uint32(t)&0xffff) }

// The transfer syntaxes that are decoded here.
const (
	implicitLittle = "1.2.840.10008.1.2"
	explicitLittle = "1.2.840.10008.1.2.1"
	deflated       = "1.2.840.10008.1.2.1.99"
	explicitBig    = "1.2.840.10008.1.2.2"
	jpegBaseline   = "1.2.840.10008.1.2.4.50"
	jpegExtended   = "1.2.840.10008.1.2.4.51"
	rleLossless    = "1.2.840.10008.1.2.5"
)

// File is a parsed file. It shares memory with the bytes it was parsed from.
type File struct {
	elements
	syntax string
	// encapsulated holds the fragments of compressed pixels, the offset table
	// first.
	encapsulated [][]byte
}

// elements are the data elements of a data set or of an item of a sequence.
type elements struct {
	values   map[Tag][]byte
	order    binary.ByteOrder
	implicit bool
}

// Text returns the value of a text element without the padding, or "". Of
// several values it is the first.
func (e elements) Text(t Tag) string {
	value, _, _ := strings.Cut(string(e.values[t]), `\`)
	return strings.Trim(value, " \x00")
}

// integer returns the first value of an element of type US or SS, or, for the
// two that are texts, of type IS.
func (e elements) integer(t Tag) (int, bool) {
	if t == NumberOfFrames || t == Instance {
		n, err := strconv.Atoi(e.Text(t))
		return n, err == nil
	}
	if len(e.values[t]) < 2 {
		return 0, false
	}
	return int(e.order.Uint16(e.values[t])), true
}

// number returns the first value of a decimal text.
func (e elements) number(t Tag) (float64, bool) {
	text := e.Text(t)
	if text == "" {
		return 0, false
	}
	v, err := strconv.ParseFloat(text, 64)
	return v, err == nil && !math.IsInf(v, 0) && !math.IsNaN(v)
}

// Frames returns how many images the file holds, at least 1.
func (f *File) Frames() (int, error) {
	if len(f.values[NumberOfFrames]) == 0 {
		return 1, nil
	}
	n, ok := f.integer(NumberOfFrames)
	if !ok || n < 1 || n > 1<<24 {
		return 0, fmt.Errorf("number of frames %q: want 1 or more", f.Text(NumberOfFrames))
	}
	return n, nil
}

// Only returns a file of nothing but these elements, which shares no memory with
// the bytes it was read from.
func (f *File) Only(tags ...Tag) *File {
	only := &File{syntax: strings.Clone(f.syntax), elements: elements{values: map[Tag][]byte{}, order: f.order, implicit: f.implicit}}
	for _, t := range tags {
		if value, ok := f.values[t]; ok {
			only.values[t] = bytes.Clone(value)
		}
	}
	return only
}

// hasPixels reports whether there are pixels of any kind.
func (f *File) hasPixels() bool {
	return f.encapsulated != nil || f.values[pixelData] != nil || f.values[floatPixels] != nil || f.values[doublePixels] != nil
}

// shape is how the pixels of one frame lie.
type shape struct {
	width, height, samples int
	allocated, stored      int
	signed, planar         bool
	photometric            string
}

func (f *File) shape() (shape, error) {
	s := shape{samples: 1, photometric: f.Text(photometric)}
	var stored, signed, planes int
	for _, field := range []struct {
		tag      Tag
		name     string
		to       *int
		required bool
	}{
		{rows, "Rows", &s.height, true}, {columns, "Columns", &s.width, true},
		{samplesPerPixel, "SamplesPerPixel", &s.samples, false},
		{bitsAllocated, "BitsAllocated", &s.allocated, true}, {bitsStored, "BitsStored", &stored, false},
		{pixelSigned, "PixelRepresentation", &signed, false}, {planar, "PlanarConfiguration", &planes, false},
	} {
		v, ok := f.integer(field.tag)
		if !ok && (field.required || len(f.values[field.tag]) > 0) {
			return s, fmt.Errorf("%s %v = %q: want a number", field.name, field.tag, f.Text(field.tag))
		}
		if ok {
			*field.to = v
		}
	}
	s.stored, s.signed, s.planar = stored, signed == 1, planes == 1
	if s.stored == 0 || s.stored > s.allocated {
		s.stored = s.allocated
	}
	switch {
	case s.width < 1 || s.height < 1:
		return s, fmt.Errorf("an image of %d×%d pixels: want at least one", s.width, s.height)
	case s.samples != 1 && s.samples != 3:
		return s, fmt.Errorf("%d samples per pixel: want 1 or 3", s.samples)
	case s.allocated == 1:
		return s, fmt.Errorf("1 bit per pixel: a segmentation, not an image")
	case s.allocated != 8 && s.allocated != 16:
		return s, fmt.Errorf("%d bits per sample: want 8 or 16", s.allocated)
	}
	return s, nil
}

// Size returns width and height in pixels, from the header alone.
func (f *File) Size() (width, height int, err error) {
	if f.values[floatPixels] != nil || f.values[doublePixels] != nil {
		return 0, 0, fmt.Errorf("pixels in floating point (%v or %v) are not read", floatPixels, doublePixels)
	}
	if !f.hasPixels() {
		return 0, 0, fmt.Errorf("no pixels in this file (%s)", f.kind())
	}
	s, err := f.shape()
	return s.width, s.height, err
}

// kind says what the file holds, for messages.
func (f *File) kind() string {
	if m := f.Text(Modality); m != "" {
		return "modality " + m
	}
	return "no modality named"
}
