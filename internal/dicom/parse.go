package dicom

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	undefined = 0xffffffff
	// maxDepth bounds sequences within sequences; real files stay under ten.
	maxDepth = 32
	// maxInflated bounds a deflated file, freeInflated what of it may be made
	// of however few bytes, maxRatio how far deflate may have gone beyond.
	maxInflated  = 1 << 30
	freeInflated = 16 << 20
	maxRatio     = 200
	// maxElements bounds the elements of one data set that are remembered.
	maxElements = 1 << 16
)

// ErrShort says that the bytes end before the pixels do: of a whole file, that
// it is cut off; of the beginning of one, that more is needed.
var ErrShort = errors.New("the file ends early")

// ErrFormat says that the bytes are no DICOM file.
var ErrFormat = errors.New("not a DICOM file: no DICM after 128 bytes")

// Is reports whether the bytes begin as a DICOM file does: after 128 bytes of
// anything stands DICM; or, as files of old have it, with an element of the
// groups that files begin with.
func Is(data []byte) bool { return hasPreamble(data) || plausible(data) }

func hasPreamble(data []byte) bool { return len(data) >= 132 && string(data[128:132]) == "DICM" }

// Parse reads the elements of a file.
func Parse(data []byte) (*File, error) { return parse(data, false) }

// ParseHeader reads the elements before the pixels; data need not hold the rest
// of the file. It wraps [ErrShort] where data ends before the pixels begin.
func ParseHeader(data []byte) (*File, error) { return parse(data, true) }

func parse(data []byte, header bool) (*File, error) {
	f := &File{syntax: implicitLittle}
	f.order = binary.LittleEndian
	body := data
	if hasPreamble(data) {
		body = data[132:]
	} else if !plausible(data) {
		return nil, ErrFormat
	}
	p := &parser{data: body, elements: elements{values: map[Tag][]byte{}, order: binary.LittleEndian}}
	if err := p.readMeta(); err != nil {
		return nil, err
	}
	rest := body[p.at:]
	f.syntax = strings.Trim(string(p.values[transferSyntax]), " \x00")
	switch {
	case f.syntax == "":
		f.syntax = explicitLittle
		if !explicitAt(rest) {
			f.syntax = implicitLittle
		}
	case f.syntax == explicitBig:
		f.order = binary.BigEndian
	case f.syntax == deflated:
		var err error
		if rest, err = inflate(rest); err != nil {
			return nil, err
		}
	}
	q := &parser{data: rest, header: header, elements: elements{values: map[Tag][]byte{}, order: f.order, implicit: f.syntax == implicitLittle}}
	if err := q.readSet(); err != nil {
		return nil, err
	}
	f.elements, f.encapsulated = q.elements, q.fragments
	return f, nil
}

// plausible reports whether data begins with an element of the groups that
// files begin with.
func plausible(data []byte) bool {
	if len(data) < 8 {
		return false
	}
	group, element := binary.LittleEndian.Uint16(data), binary.LittleEndian.Uint16(data[2:])
	return (group == 2 || group == 8) && element <= 0x20 && (explicitAt(data) || binary.LittleEndian.Uint32(data[4:]) < 256)
}

// explicitAt reports whether the element at the beginning names its type.
func explicitAt(data []byte) bool {
	return len(data) >= 6 && isVR(data[4:6])
}

func isVR(b []byte) bool { return b[0] >= 'A' && b[0] <= 'Z' && b[1] >= 'A' && b[1] <= 'Z' }

func inflate(data []byte) ([]byte, error) {
	limit := min(maxInflated, max(freeInflated, maxRatio*len(data)))
	out, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(data)), int64(limit)+1))
	if len(out) > limit {
		return nil, fmt.Errorf("%d deflated bytes grow to more than %d, which looks like a decompression bomb", len(data), limit)
	}
	if err != nil && len(out) == 0 {
		return nil, fmt.Errorf("deflated data set: %w", err)
	}
	return out, nil // cut off: what is missing is missed when it is read
}

// parser walks over elements.
type parser struct {
	elements
	data      []byte
	at        int
	header    bool
	fragments [][]byte
}

// element is the beginning of a data element; the value follows at parser.at.
type element struct {
	tag    Tag
	vr     string
	length uint32
}

// readMeta reads the file's own group, which is explicit and little-endian in
// every transfer syntax.
func (p *parser) readMeta() error {
	for p.at+8 <= len(p.data) && binary.LittleEndian.Uint16(p.data[p.at:]) == 2 {
		e, err := p.next()
		if err != nil {
			return err
		}
		value, err := p.take(e)
		if err != nil {
			return err
		}
		p.values[e.tag] = value
	}
	return nil
}

// readSet reads elements until the pixels or the end.
func (p *parser) readSet() error {
	for p.at < len(p.data) {
		if len(p.data)-p.at < 8 {
			if p.header {
				return fmt.Errorf("%w: in the middle of an element", ErrShort)
			}
			return nil // trailing padding
		}
		e, err := p.next()
		if err != nil {
			return err
		}
		switch {
		case e.tag == pixelData && e.length == undefined:
			if p.header {
				p.fragments = [][]byte{}
				return nil
			}
			return p.readFragments()
		case e.tag == pixelData && p.header:
			p.values[pixelData] = []byte{}
			return nil
		case e.tag == pixelData:
			// What is cut off is missed when the frame is cut out.
			end := p.at + int(min(uint64(e.length), uint64(len(p.data)-p.at)))
			p.values[pixelData] = p.data[p.at:end]
			return nil
		}
		value, err := p.take(e)
		if err != nil {
			return err
		}
		if len(p.values) >= maxElements {
			return fmt.Errorf("more than %d elements", maxElements)
		}
		p.values[e.tag] = value
	}
	if p.header {
		return fmt.Errorf("%w: no pixels in the first %d bytes", ErrShort, len(p.data))
	}
	return nil
}

// next reads the beginning of an element.
func (p *parser) next() (element, error) {
	if len(p.data)-p.at < 8 {
		return element{}, fmt.Errorf("%w: in an element at byte %d", ErrShort, p.at)
	}
	b := p.data[p.at:]
	e := element{tag: Tag(p.order.Uint16(b))<<16 | Tag(p.order.Uint16(b[2:]))}
	p.at += 8
	// Delimiters have no type, and a writer that broke off into the implicit
	// form is followed, as pydicom follows it.
	if p.implicit || uint32(e.tag)>>16 == 0xfffe || !isVR(b[4:6]) {
		e.length = p.order.Uint32(b[4:])
		return e, nil
	}
	e.vr = string(b[4:6])
	if !strings.Contains("OB OD OF OL OV OW SQ SV UC UN UR UT UV", e.vr) {
		e.length = uint32(p.order.Uint16(b[6:]))
		return e, nil
	}
	if len(b) < 12 {
		return e, fmt.Errorf("%w: in element %v", ErrShort, e.tag)
	}
	e.length = p.order.Uint32(b[8:])
	p.at += 4
	return e, nil
}

// take returns the value of the element and steps over it. The value of a
// sequence of undefined length includes its delimiter.
func (p *parser) take(e element) ([]byte, error) {
	from := p.at
	if e.length == undefined {
		if err := p.skipSequence(e, 0); err != nil {
			return nil, err
		}
		return p.data[from:p.at], nil
	}
	if uint64(e.length) > uint64(len(p.data)-p.at) {
		return nil, fmt.Errorf("%w: element %v promises %d bytes, %d are left", ErrShort, e.tag, e.length, len(p.data)-p.at)
	}
	p.at += int(e.length)
	return p.data[from:p.at], nil
}

// skipSequence steps over the items of a sequence of undefined length.
func (p *parser) skipSequence(sequence element, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("element %v: sequences deeper than %d", sequence.tag, maxDepth)
	}
	// Where the type is unknown, the standard says what is inside is implicit.
	was := p.implicit
	p.implicit = p.implicit || sequence.vr == "UN"
	defer func() { p.implicit = was }()
	for {
		e, err := p.next()
		switch {
		case err != nil:
			return err
		case e.tag == sequenceDelimiter:
			return nil
		case e.tag != item:
			return fmt.Errorf("element %v: %v where an item is due", sequence.tag, e.tag)
		case e.length != undefined:
			_, err = p.take(e)
		default:
			err = p.skipItem(depth)
		}
		if err != nil {
			return err
		}
	}
}

// skipItem steps over the elements of an item of undefined length.
func (p *parser) skipItem(depth int) error {
	for {
		e, err := p.next()
		switch {
		case err != nil:
			return err
		case e.tag == itemDelimiter:
			return nil
		case e.length == undefined:
			err = p.skipSequence(e, depth+1)
		default:
			_, err = p.take(e)
		}
		if err != nil {
			return err
		}
	}
}

// readFragments reads the items of compressed pixels, the offset table first.
func (p *parser) readFragments() error {
	p.fragments = [][]byte{}
	for {
		if p.at >= len(p.data) && len(p.fragments) > 1 {
			return nil // the delimiter is missing, the pixels are there
		}
		e, err := p.next()
		if err != nil {
			return err
		}
		if e.tag == sequenceDelimiter {
			return nil
		}
		if e.tag != item || e.length == undefined {
			return fmt.Errorf("compressed pixels: %v where a fragment is due", e.tag)
		}
		value, err := p.take(e)
		if err != nil {
			return fmt.Errorf("compressed pixels: %w", err)
		}
		p.fragments = append(p.fragments, value)
	}
}

// items returns the items of a sequence, up to most of them.
func (e elements) items(t Tag, most int) ([]elements, error) {
	value := e.values[t]
	p := &parser{data: value, elements: elements{order: e.order, implicit: e.implicit}}
	var all []elements
	for p.at < len(value) && len(all) < most {
		head, err := p.next()
		if err != nil {
			return nil, err
		}
		if head.tag != item {
			break
		}
		from := p.at
		if head.length == undefined {
			err = p.skipItem(0)
		} else {
			_, err = p.take(head)
		}
		if err != nil {
			return nil, fmt.Errorf("element %v: %w", t, err)
		}
		one := &parser{data: value[from:p.at], elements: elements{values: map[Tag][]byte{}, order: e.order, implicit: e.implicit}}
		if err := one.readItem(); err != nil {
			return nil, fmt.Errorf("element %v: %w", t, err)
		}
		all = append(all, one.elements)
	}
	return all, nil
}

// readItem reads the elements of an item, whose delimiter may be among them.
func (p *parser) readItem() error {
	for len(p.data)-p.at >= 8 {
		e, err := p.next()
		if err != nil || e.tag == itemDelimiter {
			return err
		}
		if p.values[e.tag], err = p.take(e); err != nil {
			return err
		}
	}
	return nil
}
