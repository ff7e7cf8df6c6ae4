package dicom

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"math"
)

// Window is a range of values to be shown: from Center−⌊Width/2⌋, black, to
// Center+⌊Width/2⌋, white.
type Window struct {
	Center float64 `yaml:"center"`
	Width  float64 `yaml:"width"`
}

// Check returns an error if nothing can be seen through the window.
func (w Window) Check() error {
	if math.IsNaN(w.Center) || math.IsInf(w.Center, 0) || !(w.Width >= 2) || w.Width > 1<<32 {
		return fmt.Errorf("window of width %v at %v: want a width of at least 2", w.Width, w.Center)
	}
	return nil
}

// display shows grey pixels as Google's serving container does
// (generic_dicom_handler.py, _norm_cxr_imaging and _norm_ct_imaging):
//
//   - CT: slope and intercept, both or neither; then the window that is asked
//     for, the file's first, or centre 100 and width 2500.
//   - GM, SM, XC: as they are.
//   - CR, DX and, where the container refuses them, all others: modality LUT;
//     the window asked for or the file's first; then what is not 8 bits wide is
//     stretched from its lowest to its highest value over all 16 bits. The
//     container stretches after a window too.
//
// A window gives 0…65535, rounded half to even; stretching rounds down.
// MONOCHROME1 is inverted last.
func (f *File) display(s shape, data []byte, order binary.ByteOrder, o Options) (image.Image, error) {
	if s.photometric != "MONOCHROME1" && s.photometric != "MONOCHROME2" {
		return nil, fmt.Errorf("photometric interpretation %q with 1 sample a pixel: want MONOCHROME1, MONOCHROME2 or PALETTE COLOR", s.photometric)
	}
	if o.Window != nil {
		if err := o.Window.Check(); err != nil {
			return nil, err
		}
	}
	modality := f.Text(Modality)
	switch modality {
	case "GM", "SM", "XC":
		return s.show(data, order, func(stored int) int { return stored }, s.allocated), nil
	}
	v, err := f.modalityValues(s, modality, o.Frame)
	if err != nil {
		return nil, err
	}
	window, err := f.window(o, modality)
	if err != nil {
		return nil, err
	}
	shown := make([]int, len(v.of))
	if window != nil {
		windowed(shown, v.of, *window)
		v.bits, v.signed = 16, false
	} else {
		for i, x := range v.of {
			shown[i] = int(x)
		}
	}
	if modality != "CT" && (v.bits == 16 || v.signed) {
		s.stretch(shown, s.present(data, order), 1<<v.bits-1)
	}
	if s.photometric == "MONOCHROME1" {
		for i := range shown {
			shown[i] = 1<<v.bits - 1 - shown[i]
		}
	}
	return s.show(data, order, func(stored int) int { return shown[stored] }, v.bits), nil
}

// values are what the patterns of stored bits stand for after the modality LUT.
// There are 65536 of them at most, so that every step is done once for each and
// looked up for every pixel.
type values struct {
	of     []float64
	bits   int
	signed bool
}

func (f *File) modalityValues(s shape, modality string, frame int) (values, error) {
	v := values{of: make([]float64, 1<<s.allocated), bits: s.allocated, signed: s.signed}
	for i := range v.of {
		v.of[i] = float64(s.value(i))
	}
	if modality != "CT" && f.values[modalityLUT] != nil {
		return v, f.modalityTable(&v, s)
	}
	in, err := f.ofFrame(pixelTransform, frame)
	if err != nil {
		return v, err
	}
	slope, hasSlope := in.number(rescaleSlope)
	intercept, hasIntercept := in.number(rescaleIntercept)
	if modality == "CT" && hasSlope != hasIntercept {
		return v, errors.New("RescaleSlope and RescaleIntercept: a CT wants both or neither")
	}
	if !hasSlope || !hasIntercept {
		return v, nil
	}
	for i, x := range v.of {
		v.of[i] = x*slope + intercept
		if s.allocated == 8 && !s.signed { // as the container casts it back, held within a byte
			v.of[i] = min(max(v.of[i], 0), 255)
		}
	}
	return v, nil
}

// modalityTable applies the modality LUT that is a table.
func (f *File) modalityTable(v *values, s shape) error {
	items, err := f.items(modalityLUT, 1)
	if err != nil || len(items) == 0 {
		return fmt.Errorf("modality LUT: %w", cmp.Or(err, errNoItem))
	}
	one := File{elements: items[0]}
	table, err := one.lookup(lutDescriptor, lutData, s.signed)
	if err != nil {
		return fmt.Errorf("modality LUT: %w", err)
	}
	for i, x := range v.of {
		v.of[i] = float64(table.at(int(x)))
	}
	if v.bits, v.signed = 16, false; table.bits <= 8 {
		v.bits = 8
	}
	return nil
}

var errNoItem = errors.New("want a sequence with an item")

// window returns the window to look through, or nil.
func (f *File) window(o Options, modality string) (*Window, error) {
	if o.Window != nil {
		return o.Window, nil
	}
	in, err := f.ofFrame(frameVOI, o.Frame)
	if err != nil {
		return nil, err
	}
	center, hasCenter := in.number(windowCenter)
	width, hasWidth := in.number(windowWidth)
	if hasCenter && hasWidth {
		w := Window{center, width}
		if err := w.Check(); err != nil {
			return nil, fmt.Errorf("WindowCenter %v, WindowWidth %v: %w; ask for a window", windowCenter, windowWidth, err)
		}
		return &w, nil
	}
	if modality == "CT" {
		return &Window{Center: 100, Width: 2500}, nil
	}
	return nil, nil
}

// ofFrame returns the elements that a functional group of an enhanced
// multi-frame file holds for the frame, or those of the file itself.
func (f *File) ofFrame(group Tag, frame int) (elements, error) {
	for _, place := range []struct {
		tag   Tag
		index int
	}{{perFrameGroups, frame}, {sharedGroups, 0}} {
		groups, err := f.items(place.tag, place.index+1)
		if err != nil {
			return elements{}, err
		}
		if len(groups) <= place.index || groups[place.index].values[group] == nil {
			continue
		}
		in, err := groups[place.index].items(group, 1)
		if err != nil || len(in) == 0 {
			return elements{}, fmt.Errorf("element %v: %w", group, cmp.Or(err, errNoItem))
		}
		return in[0], nil
	}
	return f.elements, nil
}

// windowed is the container's _window: clipped, interpolated, rounded half to
// even.
func windowed(shown []int, v []float64, w Window) {
	half := math.Floor(w.Width / 2)
	low, high := w.Center-half, w.Center+half
	slope := 65535 / (high - low)
	for i, x := range v {
		shown[i] = int(math.RoundToEven((min(max(x, low), high) - low) * slope))
	}
}

// stretch is the container's rescale_dynamic_range: the values that occur, from
// the lowest to the highest, over 0…top, rounded down. All are top where only
// one occurs, as numpy's interp has it.
func (s shape) stretch(shown []int, present []bool, top int) {
	low, high := math.MaxInt, math.MinInt
	for stored, there := range present {
		if there {
			low, high = min(low, shown[stored]), max(high, shown[stored])
		}
	}
	slope := float64(top) / float64(high-low)
	for i, x := range shown {
		if shown[i] = top; x < high {
			shown[i] = int(float64(max(x, low)-low) * slope)
		}
	}
}

// value is what the stored bits stand for: a number of s.stored bits, with a
// sign where the file says so.
func (s shape) value(stored int) int {
	v := stored & (1<<s.stored - 1)
	if s.signed && v>>(s.stored-1) == 1 {
		v -= 1 << s.stored
	}
	return v
}

// present says which patterns of bits occur.
func (s shape) present(data []byte, order binary.ByteOrder) []bool {
	there := make([]bool, 1<<s.allocated)
	if s.allocated == 8 {
		for _, b := range data {
			there[b] = true
		}
		return there
	}
	low, high := 0, 1
	if order == binary.BigEndian {
		low, high = 1, 0
	}
	for i := 0; i+1 < len(data); i += 2 {
		there[int(data[i+low])|int(data[i+high])<<8] = true
	}
	return there
}

// show looks every pixel up and returns grey of 8 or 16 bits.
func (s shape) show(data []byte, order binary.ByteOrder, of func(stored int) int, bits int) image.Image {
	table := make([]uint16, 1<<s.allocated)
	for i := range table {
		table[i] = uint16(of(i))
	}
	step, low, high := s.allocated/8, 0, s.allocated/8-1
	if order == binary.BigEndian {
		low, high = high, low
	}
	at := func(i int) uint16 { // of 8 bits there is one byte
		return table[int(data[i*step+low])|int(data[i*step+high])<<8&(len(table)-1)]
	}
	frame := image.Rect(0, 0, s.width, s.height)
	if bits == 8 {
		out := image.NewGray(frame)
		for i := range out.Pix {
			out.Pix[i] = uint8(at(i))
		}
		return out
	}
	out := image.NewGray16(frame)
	for i := range s.width * s.height {
		v := at(i)
		out.Pix[2*i], out.Pix[2*i+1] = uint8(v>>8), uint8(v)
	}
	return out
}

// lut is a look-up table: values for the inputs from first on.
type lut struct {
	first, bits int
	values      []uint16
}

// at returns the entry for an input; inputs beyond the table have the nearest.
func (l lut) at(input int) uint16 {
	return l.values[min(max(input-l.first, 0), len(l.values)-1)]
}

// lookup reads a table of PS3.3 C.11.1.1: its descriptor holds the number of
// entries (0 for 65536), the first input and the bits of an entry.
func (f *File) lookup(descriptor, data Tag, signed bool) (lut, error) {
	d, raw := f.values[descriptor], f.values[data]
	if len(d) < 6 {
		return lut{}, fmt.Errorf("descriptor %v of %d bytes: want 6", descriptor, len(d))
	}
	n, first, bits := int(f.order.Uint16(d)), int(f.order.Uint16(d[2:])), int(f.order.Uint16(d[4:]))
	if n == 0 {
		n = 1 << 16
	}
	if signed {
		first = int(int16(first))
	}
	l := lut{first: first, bits: bits, values: make([]uint16, n)}
	switch {
	case bits <= 8 && len(raw) >= n && len(raw) < 2*n:
		for i := range l.values {
			l.values[i] = uint16(raw[i])
		}
	case bits <= 16 && len(raw) >= 2*n:
		for i := range l.values {
			l.values[i] = f.order.Uint16(raw[2*i:])
		}
	default:
		return lut{}, fmt.Errorf("table %v of %d bytes: want %d entries of %d bits", data, len(raw), n, bits)
	}
	return l, nil
}
