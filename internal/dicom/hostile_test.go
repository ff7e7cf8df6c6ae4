package dicom

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/internal/needs"
	"github.com/medprobe/medprobe/internal/raster"
)

var le = binary.LittleEndian

// explicit is an element of a type with a short length.
func explicit(t Tag, vr string, value []byte) []byte {
	out := le.AppendUint16(le.AppendUint16(nil, uint16(t>>16)), uint16(t))
	out = append(out, vr...)
	if strings.Contains("OB OW SQ UN", vr) {
		out = le.AppendUint32(append(out, 0, 0), uint32(len(value)))
	} else {
		out = le.AppendUint16(out, uint16(len(value)))
	}
	return append(out, value...)
}

func us(v int) []byte { return le.AppendUint16(nil, uint16(v)) }

// file is a DICOM file of the syntax with the elements.
func file(syntax string, elements ...[]byte) []byte {
	out := append(make([]byte, 128), "DICM"...)
	if len(syntax)%2 == 1 {
		syntax += "\x00"
	}
	out = append(out, explicit(transferSyntax, "UI", []byte(syntax))...)
	return append(out, bytes.Join(elements, nil)...)
}

// picture holds the elements of a grey image of the size.
func picture(width, height int, more ...[]byte) [][]byte {
	return append([][]byte{
		explicit(Modality, "CS", []byte("CR")),
		explicit(samplesPerPixel, "US", us(1)), explicit(photometric, "CS", []byte("MONOCHROME2 ")),
		explicit(rows, "US", us(height)), explicit(columns, "US", us(width)),
		explicit(bitsAllocated, "US", us(16)), explicit(bitsStored, "US", us(16)), explicit(pixelSigned, "US", us(0)),
	}, more...)
}

func undefinedLength(t Tag, vr string) []byte {
	out := explicit(t, vr, nil)
	le.PutUint32(out[8:], undefined)
	return out
}

func bare(t Tag, length uint32) []byte {
	return le.AppendUint32(le.AppendUint16(le.AppendUint16(nil, uint16(t>>16)), uint16(t)), length)
}

func TestHostileFilesAreRefusedBeforeMemoryIsTaken(t *testing.T) {
	bomb := func() []byte {
		var b bytes.Buffer
		w, _ := flate.NewWriter(&b, 9)
		zero := make([]byte, 1<<20)
		for range 100 {
			w.Write(zero)
		}
		w.Close()
		return b.Bytes()
	}()
	deep := bytes.Repeat(append(undefinedLength(0x00081140, "SQ"), bare(item, undefined)...), 10_000)
	liar := explicit(0x00091010, "OB", nil)
	le.PutUint32(liar[8:], 0xfffffff0)
	long := explicit(pixelData, "OW", make([]byte, 8))
	le.PutUint32(long[8:], 0x7ffffff0)
	jpeg := append(undefinedLength(pixelData, "OB"), append(bare(item, 0), bare(item, 0x7ffffff0)...)...)
	cases, most := 0, uint64(0)
	for _, tt := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "not a DICOM file"},
		{"only a beginning", make([]byte, 132), "not a DICOM file"},
		{"deflate bomb", file(deflated, bomb), "decompression bomb"},
		{"10,000 sequences deep", file(explicitLittle, deep), "sequences deeper than 32"},
		{"length of 4 GB", file(explicitLittle, liar), "promises 4294967280 bytes"},
		{"65535 rows", file(explicitLittle, picture(65535, 65535, long)...), "65535×65535"},
		{"pixels shorter than the size", file(explicitLittle, picture(60, 60, long)...), "the pixels are 8 bytes"},
		{"2^31 frames", file(explicitLittle, picture(4, 4, explicit(NumberOfFrames, "IS", []byte("2147483648")), long)...), "number of frames"},
		{"fragment of 2 GB", file(jpegBaseline, picture(4, 4, jpeg)...), "promises"},
		{"no rows", file(explicitLittle, long), "Rows (0028,0010)"},
		{"no pixels", file(explicitLittle, picture(4, 4)...), "no pixels"},
		{"pixels that are not compressed", file(jpegBaseline, picture(2, 2, explicit(pixelData, "OW", make([]byte, 8)))...), "and they are not"},
		{"RLE that cannot hold its pixels", file(rleLossless, picture(20_000, 8_000, undefinedLength(pixelData, "OB"), bare(item, 0), bare(item, 64), append(us(2), make([]byte, 62)...), bare(sequenceDelimiter, 0))...), "cannot hold"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := imageOf(t, tt.data, 0)
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
		taken := after.TotalAlloc - before.TotalAlloc
		if taken > 256<<20 {
			t.Errorf("%s: %d bytes were taken", tt.name, taken)
		}
		cases, most = cases+1, max(most, taken)
	}
	t.Logf("measured: %d of %d crafted files refused, with %d MB at most", cases, cases, most>>20)
	_, err := imageOf(t, file(explicitLittle, picture(65535, 65535, long)...), 0)
	if _, ok := errors.AsType[*raster.TooLargeError](err); !ok {
		t.Errorf("size: %v, want a TooLargeError", err)
	}
}

func TestHeaderAsksForMoreUntilThePixels(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/cr_table.dcm")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseHeader(data[:600]); !errors.Is(err, ErrShort) {
		t.Errorf("600 bytes: %v, want ErrShort", err)
	}
	f, err := ParseHeader(data[:len(data)-200])
	if err != nil || f.Text(PatientID) != "case-7" || f.Text(Study) != "2.25.5" || !f.hasPixels() {
		t.Errorf("%v, %v", f, err)
	}
}

// Fragments are put together by what the file says of them.
func TestFramesOfFragments(t *testing.T) {
	t.Parallel()
	fragments := [][]byte{[]byte("aa\xff\xd9"), []byte("bb"), []byte("bbb\xff\xd9\x00"), []byte("cc\xff\xd9")}
	offsets := func(starts ...uint32) []byte {
		var b []byte
		for _, s := range starts {
			b = le.AppendUint32(b, s)
		}
		return b
	}
	extended := func(starts ...uint64) []byte {
		var b []byte
		for _, s := range starts {
			b = le.AppendUint64(b, s)
		}
		return b
	}
	for name, f := range map[string]File{
		"basic table":    {encapsulated: append([][]byte{offsets(0, 12, 36)}, fragments...)},
		"extended table": {elements: elements{values: map[Tag][]byte{extendedOffsets: extended(0, 12, 36)}}, encapsulated: append([][]byte{nil}, fragments...)},
		"end markers":    {encapsulated: append([][]byte{nil}, fragments...)},
	} {
		for frame, want := range []string{"aa\xff\xd9", "bbbbb\xff\xd9\x00", "cc\xff\xd9"} {
			got, err := f.codedFrame(frame, 3)
			if err != nil || string(got) != want {
				t.Errorf("%s, frame %d: %q, %v, want %q", name, frame, got, err, want)
			}
		}
	}
	parted := File{encapsulated: [][]byte{nil, []byte("aa\xff"), []byte("\xd9\x00"), []byte("bb\xff\xd9"), []byte("cc"), []byte("\xff\xd9")}}
	if got, err := parted.codedFrame(1, 3); err != nil || string(got) != "bb\xff\xd9" {
		t.Errorf("a marker in two fragments: %q, %v", got, err)
	}
	f := File{encapsulated: append([][]byte{nil}, fragments...)}
	if _, err := f.codedFrame(1, 5); err == nil {
		t.Error("5 frames of 3 images: no error")
	}
	if got, err := f.codedFrame(0, 1); err != nil || len(got) != 16 {
		t.Errorf("one frame of all fragments: %q, %v", got, err)
	}
}

// mutate changes some bytes, or cuts the end off.
func mutate(r *rand.Rand, data []byte) []byte {
	out := slices.Clone(data)
	for range 1 + r.IntN(8) {
		at := r.IntN(len(out))
		if r.IntN(3) > 0 { // most of what matters stands at the beginning
			at = r.IntN(min(len(out), 1500))
		}
		out[at] = byte(r.Uint32())
	}
	if r.IntN(8) == 0 {
		out = out[:r.IntN(len(out))]
	}
	return out
}

func TestMutatedFilesNeverPanic(t *testing.T) {
	n := 20_000
	if testing.Short() {
		n = 400
	}
	paths, err := filepath.Glob("testdata/*.dcm")
	if err != nil {
		t.Fatal(err)
	}
	if real, _ := filepath.Glob(filepath.Join(needs.Root(t), "..", "shared", "data", "dicom", "*.dcm")); len(real) > 0 {
		paths = append(paths, real...)
	}
	var files [][]byte
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) < 45_000 {
			files = append(files, data)
		}
	}
	r := rand.New(rand.NewPCG(3, 9))
	shown := 0
	for i := range n {
		if img, err := inGo(t, mutate(r, files[i%len(files)])); err == nil && img {
			shown++
		}
	}
	t.Logf("measured: %d mutations of %d files: 0 panics, %d still show an image", n, len(files), shown)
	if shown == 0 {
		t.Error("none shows an image: the mutations test nothing")
	}
}

// inGo decodes what is decoded without another program.
func inGo(t *testing.T, data []byte) (bool, error) {
	t.Helper()
	f, err := Parse(data)
	if err != nil || !slices.Contains([]string{implicitLittle, explicitLittle, explicitBig, deflated, jpegBaseline, rleLossless}, f.syntax) {
		return false, err
	}
	_, err = f.Image(t.Context(), Options{MaxPixels: 1 << 22})
	if err != nil && strings.Contains(err.Error(), "broken DICOM pixels") {
		t.Errorf("a panic was caught: %v", err)
	}
	return err == nil, err
}

func FuzzImage(f *testing.F) {
	paths, err := filepath.Glob("testdata/*.dcm")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) { _, _ = inGo(t, data) })
}
