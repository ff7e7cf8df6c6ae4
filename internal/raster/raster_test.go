package raster

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/medprobe/medprobe/internal/needs"
)

// chunk is a chunk of a PNG.
func chunk(kind string, data []byte) []byte {
	out := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	out = append(append(out, kind...), data...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out[4:]))
}

const pngHead = "\x89PNG\r\n\x1a\n"

// pngOf is a PNG whose header claims the size, with the chunks before its end.
func pngOf(width, height uint32, depth, kind, interlace byte, chunks ...[]byte) []byte {
	head := binary.BigEndian.AppendUint32(nil, width)
	head = append(binary.BigEndian.AppendUint32(head, height), depth, kind, 0, 0, interlace)
	out := append([]byte(pngHead), chunk("IHDR", head)...)
	for _, c := range chunks {
		out = append(out, c...)
	}
	return append(out, chunk("IEND", nil)...)
}

// zeros is n zero bytes in zlib's format.
func zeros(n int) []byte {
	var out bytes.Buffer
	z := zlib.NewWriter(&out)
	block := make([]byte, 1<<20)
	for ; n > 0; n -= len(block) {
		z.Write(block[:min(n, len(block))])
	}
	z.Close()
	return out.Bytes()
}

func bmpOf(width, height int32, bits uint16) []byte {
	out := append([]byte("BM"), make([]byte, 52)...)
	le := binary.LittleEndian
	le.PutUint32(out[10:], 54)
	le.PutUint32(out[14:], 40)
	le.PutUint32(out[18:], uint32(width))
	le.PutUint32(out[22:], uint32(height))
	le.PutUint16(out[26:], 1)
	le.PutUint16(out[28:], bits)
	return append(out, make([]byte, 64)...)
}

// tiffOf is a TIFF of the tags, followed by the data, which begins at byte 1000.
func tiffOf(data []byte, tags ...[3]uint32) []byte {
	le := binary.LittleEndian
	out := append([]byte("II*\x00\x08\x00\x00\x00"), byte(len(tags)), 0)
	for _, t := range tags { // number, count, value; all of them LONG
		out = le.AppendUint16(out, uint16(t[0]))
		out = le.AppendUint16(out, 4)
		out = le.AppendUint32(out, t[1])
		out = le.AppendUint32(out, t[2])
	}
	out = append(out, make([]byte, 1000-len(out))...)
	return append(out, data...)
}

func gifOf(width, height, left, top, frameWidth, frameHeight uint16) []byte {
	le := binary.LittleEndian
	out := le.AppendUint16([]byte("GIF89a"), width)
	out = append(le.AppendUint16(out, height), 0x80, 0, 0, 0, 0, 0, 255, 255, 255, ',')
	for _, v := range []uint16{left, top, frameWidth, frameHeight} {
		out = le.AppendUint16(out, v)
	}
	return append(out, 0, 2, 2, 0x4c, 1, 0, ';')
}

// jpegOf is a small JPEG whose header is changed to claim the size.
func jpegOf(t testing.TB, width, height uint16) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := jpeg.Encode(&out, image.NewRGBA(image.Rect(0, 0, 16, 16)), nil); err != nil {
		t.Fatal(err)
	}
	data := out.Bytes()
	at := bytes.Index(data, []byte{0xff, 0xc0})
	binary.BigEndian.PutUint16(data[at+5:], height)
	binary.BigEndian.PutUint16(data[at+7:], width)
	return data
}

// progressive turns the baseline marker into that of a progressive JPEG.
func progressive(data []byte) []byte {
	at := bytes.Index(data, []byte{0xff, 0xc0})
	data[at+1] = 0xc2
	return data
}

// Files of a few kilobytes that claim gigabytes: each is refused, or decoded, in
// less than a second and 256 MB. Not parallel, since it counts memory.
func TestBombsAreRefused(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	gray := chunk("IDAT", zeros(50_001*64))
	deflated := zeros(1 << 28)
	le := func(v ...uint32) []byte {
		var out []byte
		for _, x := range v {
			out = binary.LittleEndian.AppendUint32(out, x)
		}
		return out
	}
	animation := make([][]byte, 0, 20_001)
	for i := range 10_000 {
		control := append(binary.BigEndian.AppendUint32(nil, uint32(i)), make([]byte, 22)...)
		animation = append(animation, chunk("fcTL", control), chunk("fdAT", make([]byte, 20)))
	}
	lossless := []byte("RIFF\x1c\x00\x00\x00WEBPVP8L\x10\x00\x00\x00\x2f\xff\xff\xff\x0f\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	bombs, longest, most := 0, time.Duration(0), uint64(0)
	for name, c := range map[string]struct {
		data []byte
		fine bool // decodes, within the same bounds
	}{
		"png grey 50000×50000":              {data: pngOf(50_000, 50_000, 8, 0, 0, gray)},
		"png palette 50000×50000":           {data: pngOf(50_000, 50_000, 8, 3, 0, chunk("PLTE", make([]byte, 6)), gray)},
		"png 16 bits 50000×50000":           {data: pngOf(50_000, 50_000, 16, 2, 0, gray)},
		"png interlaced 30000×30000":        {data: pngOf(30_000, 30_000, 8, 6, 1, gray)},
		"png 2³¹−1×2³¹−1":                   {data: pngOf(1<<31-1, 1<<31-1, 8, 0, 0, gray)},
		"png 13000×13000 that is not there": {data: pngOf(13_000, 13_000, 16, 6, 0, chunk("IDAT", zeros(100)))},
		"png with a text of 256 MB":         {data: pngOf(1, 1, 8, 0, 0, chunk("zTXt", append([]byte("Comment\x00\x00"), deflated...)), chunk("IDAT", zeros(2))), fine: true},
		"png with a profile of 256 MB":      {data: pngOf(1, 1, 8, 0, 0, chunk("iCCP", append([]byte("p\x00\x00"), deflated...)), chunk("IDAT", zeros(2))), fine: true},
		"png with too much data":            {data: pngOf(1, 1, 8, 0, 0, chunk("IDAT", deflated))},
		"png of 10000 frames":               {data: pngOf(1, 1, 8, 0, 0, append([][]byte{chunk("IDAT", zeros(2))}, animation...)...), fine: true},
		"gif 65535×65535":                   {data: gifOf(65535, 65535, 0, 0, 65535, 65535)},
		"gif with a frame outside":          {data: gifOf(10, 10, 5, 5, 60_000, 60_000)},
		"bmp 2³¹−1×6":                       {data: bmpOf(1<<31-1, 6, 24)},
		"bmp top-down":                      {data: bmpOf(1<<31-1, -6, 24)},
		"bmp −2³¹ high":                     {data: bmpOf(1, -1<<31, 24)},
		"bmp −1 wide":                       {data: bmpOf(-1, 10, 24)},
		"bmp 13000×13000 that is not there": {data: bmpOf(13_000, 13_000, 24)},
		"jpeg 65535×65535":                  {data: jpegOf(t, 65535, 65535)},
		"jpeg progressive 16000×11000":      {data: progressive(jpegOf(t, 16_000, 11_000))},
		"webp 16383×16383":                  {data: lossless},
		"tiff 2³²−1×2³²−1":                  {data: tiffOf(nil, [3]uint32{256, 1, 1<<32 - 1}, [3]uint32{257, 1, 1<<32 - 1}, [3]uint32{258, 1, 8}, [3]uint32{262, 1, 1})},
		"tiff with huge tiles":              {data: tiffOf(deflated, [3]uint32{256, 1, 100}, [3]uint32{257, 1, 100}, [3]uint32{258, 1, 8}, [3]uint32{259, 1, 8}, [3]uint32{262, 1, 1}, [3]uint32{322, 1, 60_000}, [3]uint32{323, 1, 60_000}, [3]uint32{324, 1, 1000}, [3]uint32{325, 1, uint32(len(deflated))})},
		"tiff with a huge strip":            {data: tiffOf(deflated, [3]uint32{256, 1, 1}, [3]uint32{257, 1, 1}, [3]uint32{258, 1, 8}, [3]uint32{259, 1, 8}, [3]uint32{262, 1, 1}, [3]uint32{273, 1, 1000}, [3]uint32{279, 1, uint32(len(deflated))}), fine: true},
		"tiff packed":                       {data: tiffOf(bytes.Repeat([]byte{0x81, 0}, 1<<20), [3]uint32{256, 1, 10}, [3]uint32{257, 1, 10}, [3]uint32{258, 1, 8}, [3]uint32{259, 1, 32773}, [3]uint32{262, 1, 1}, [3]uint32{273, 1, 1000}, [3]uint32{279, 1, 2 << 20})},
		"tiff with a lie about samples":     {data: tiffOf(le(8, 8, 8, 8), [3]uint32{256, 1, 10}, [3]uint32{257, 1, 10}, [3]uint32{258, 1 << 30, 1000}, [3]uint32{262, 1, 2}, [3]uint32{277, 1, 65535})},
		"nothing":                           {data: nil},
		"text":                              {data: []byte("this is not an image")},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := worked(t)
		_, err := Decode(c.data, 0)
		took := worked(t) - start
		runtime.ReadMemStats(&after)
		if (err == nil) != c.fine {
			t.Errorf("%s: error %v, want one: %v", name, err, !c.fine)
		}
		if took > time.Second {
			t.Errorf("%s: took %v", name, took)
		}
		grown := after.TotalAlloc - before.TotalAlloc
		if grown > 256<<20 {
			t.Errorf("%s: took %d MB", name, grown>>20)
		}
		bombs, longest, most = bombs+1, max(longest, took), max(most, grown)
	}
	t.Logf("measured: %d bombs: %d ms and %d MB at most", bombs, longest.Milliseconds(), most>>20)
}

func TestTooManyPixelsAreATypedError(t *testing.T) {
	t.Parallel()
	data := pngOf(50_000, 50_000, 8, 0, 0)
	var large *TooLargeError
	if _, err := Decode(data, 0); !errors.As(err, &large) || large.Width != 50_000 || large.Max != DefaultMaxPixels || !strings.Contains(err.Error(), "--max-pixels") {
		t.Errorf("Decode: %v, want a *TooLargeError", err)
	}
	small := encoded(t)["png"]
	if _, err := Decode(small, 30*20); err != nil {
		t.Errorf("an image of just as many pixels as allowed: %v", err)
	}
	if _, err := Decode(small, 30*20-1); !errors.As(err, &large) {
		t.Errorf("one pixel too many: %v", err)
	}
	if w, h, format, err := Size(data); w != 50_000 || h != 50_000 || format != "png" || err != nil {
		t.Errorf("Size = %d, %d, %q, %v", w, h, format, err)
	}
}

// encoded is a picture of 30×20 in several formats.
func encoded(t testing.TB) map[string][]byte {
	t.Helper()
	img := image.NewPaletted(image.Rect(0, 0, 30, 20), color.Palette{color.Black, color.White, color.Gray{90}, color.RGBA{200, 20, 20, 255}})
	for i := range img.Pix {
		img.Pix[i] = uint8(i * i / 7 % 4)
	}
	out := map[string][]byte{}
	for format, encode := range map[string]func(*bytes.Buffer) error{
		"png":  func(b *bytes.Buffer) error { return png.Encode(b, img) },
		"gif":  func(b *bytes.Buffer) error { return gif.Encode(b, img, nil) },
		"jpeg": func(b *bytes.Buffer) error { return jpeg.Encode(b, img, nil) },
	} {
		var b bytes.Buffer
		if err := encode(&b); err != nil {
			t.Fatal(err)
		}
		out[format] = b.Bytes()
	}
	return out
}

func TestWhatFollowsTheImageDoesNotMatter(t *testing.T) {
	t.Parallel()
	for format, data := range encoded(t) {
		img, err := Decode(append(bytes.Clone(data), "and then something else"...), 0)
		if err != nil || img.Bounds() != image.Rect(0, 0, 30, 20) {
			t.Errorf("%s: %v", format, err)
		}
	}
}

func TestAFrameStandsOnItsScreen(t *testing.T) {
	t.Parallel()
	frame := image.NewPaletted(image.Rect(3, 2, 7, 5), color.Palette{color.Black, color.White})
	for i := range frame.Pix {
		frame.Pix[i] = 1
	}
	var b bytes.Buffer
	if err := gif.EncodeAll(&b, &gif.GIF{Image: []*image.Paletted{frame}, Delay: []int{0}, Config: image.Config{Width: 10, Height: 8, ColorModel: frame.Palette}}); err != nil {
		t.Fatal(err)
	}
	img, err := Decode(b.Bytes(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if img.Bounds() != image.Rect(0, 0, 10, 8) {
		t.Fatalf("bounds %v, want those of the screen", img.Bounds())
	}
	for y := range 8 {
		for x := range 10 {
			r, _, _, _ := img.At(x, y).RGBA()
			if white := image.Pt(x, y).In(frame.Rect); white != (r == 0xffff) {
				t.Errorf("pixel %d, %d: %x", x, y, r)
			}
		}
	}
}

// watch decodes and fails the test if that takes more than five seconds of work,
// however long the machine has others to wait for.
func watch(t *testing.T, name string, data []byte) error {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start := worked(t)
	_, err := Decode(data, 0)
	if took := worked(t) - start; took > 5*time.Second {
		t.Errorf("%s: took %v", name, took)
	}
	return err
}

// Malformed files that once broke other decoders give an image or an error.
func TestHostileFilesDoNoHarm(t *testing.T) {
	t.Parallel()
	files := 0
	err := filepath.WalkDir(needs.Data(t, "hostile-images"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		err = watch(t, path, data)
		t.Logf("%s: %v", entry.Name(), err)
		files++
		return nil
	})
	if err != nil || files < 29 {
		t.Errorf("%d files, %v; want 29 or more", files, err)
	}
	t.Logf("measured: %d hostile files: 0 panics, none took 5 s", files)
}

// kinds returns a small file of every kind that the encoder's tests decode.
func kinds(t testing.TB) map[string][]byte {
	t.Helper()
	out := encoded(t)
	paths, err := filepath.Glob("../../encoder/testdata/preprocess/files/*")
	if err != nil || len(paths) < 30 {
		t.Fatalf("%d files: %v", len(paths), err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(path)] = data
	}
	return out
}

// Files with bytes changed, cut out, doubled or missing give an image or an
// error.
func TestDamagedFilesDoNoHarm(t *testing.T) {
	t.Parallel()
	rounds := 300
	if testing.Short() {
		rounds = 20
	}
	rng := rand.New(rand.NewPCG(8, 1))
	all := kinds(t)
	for name, data := range all {
		for range rounds {
			watch(t, name, damaged(rng, data))
		}
	}
	t.Logf("measured: %d damaged files of %d kinds: 0 panics, none took 5 s", rounds*len(all), len(all))
}

func damaged(rng *rand.Rand, data []byte) []byte {
	out := bytes.Clone(data)
	for range 1 + rng.IntN(4) {
		at := rng.IntN(len(out))
		if rng.IntN(2) == 0 {
			at = min(at, rng.IntN(60)) // headers are where it hurts
		}
		switch rng.IntN(6) {
		case 0:
			out = out[:max(at, 1)]
		case 1:
			out = append(out[:at:at], out[min(at+rng.IntN(20), len(out)-1):]...)
		case 2:
			out = append(out[:at:at], append(bytes.Clone(out[at:min(at+rng.IntN(40), len(out))]), out[at:]...)...)
		case 3:
			out[at] = []byte{0, 1, 0x7f, 0x80, 0xff}[rng.IntN(5)]
		default:
			out[at] ^= 1 << rng.IntN(8)
		}
		if len(out) == 0 {
			return out
		}
	}
	return out
}

func TestBudgetBoundsWhatIsInFlight(t *testing.T) {
	t.Parallel()
	budget := NewBudget(100)
	ctx := context.Background()
	if err := budget.Acquire(ctx, 101); err == nil || !strings.Contains(err.Error(), "at most 100") {
		t.Errorf("more than the whole: %v", err)
	}
	var lock sync.Mutex
	var inFlight, most int64
	var wait sync.WaitGroup
	for i := range 50 {
		pixels := int64(1 + i*7%60)
		wait.Go(func() {
			if err := budget.Acquire(ctx, pixels); err != nil {
				t.Error(err)
				return
			}
			lock.Lock()
			inFlight += pixels
			most = max(most, inFlight)
			lock.Unlock()
			runtime.Gosched()
			lock.Lock()
			inFlight -= pixels
			lock.Unlock()
			budget.Release(pixels)
		})
	}
	wait.Wait()
	if most > 100 {
		t.Errorf("%d pixels in flight, want at most 100", most)
	}
	t.Logf("measured: 50 at once: %d pixels in flight of the 100 that may", most)
	if err := budget.Acquire(ctx, 100); err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if err := budget.Acquire(cancelled, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting when cancelled: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, data := range kinds(f) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		img, err := Decode(data, 1<<22)
		if err != nil {
			return
		}
		if b := img.Bounds(); b.Empty() || int64(b.Dx())*int64(b.Dy()) > 1<<22 {
			t.Fatalf("image of %v", b)
		}
		width, height, _, err := Size(data)
		if err != nil || img.Bounds().Dx() != width || img.Bounds().Dy() != height {
			t.Fatalf("an image of %v whose header says %d×%d, %v", img.Bounds(), width, height, err)
		}
	})
}

func BenchmarkDecodeJPEG(b *testing.B) {
	img := image.NewRGBA(image.Rect(0, 0, 640, 480))
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range img.Pix {
		img.Pix[i] = uint8(i>>9) + uint8(rng.IntN(8))
	}
	var data bytes.Buffer
	if err := jpeg.Encode(&data, img, nil); err != nil {
		b.Fatal(err)
	}
	b.Run("decoder", func(b *testing.B) {
		for b.Loop() {
			if _, err := jpeg.Decode(bytes.NewReader(data.Bytes())); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("with colours", func(b *testing.B) {
		for b.Loop() {
			if _, err := Decode(data.Bytes(), 0); err != nil {
				b.Fatal(err)
			}
		}
	})
}
