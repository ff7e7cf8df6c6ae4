package encoder

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"image"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/medprobe/medprobe/internal/needs"
	"github.com/medprobe/medprobe/internal/npy"
	"github.com/medprobe/medprobe/internal/raster"
)

// likeSigLIP returns one whose configuration is like SigLIP's.
func likeSigLIP(t testing.TB, profile Profile, resample, size int) *preprocessor {
	t.Helper()
	return preprocessorOf(t, profile, size, fmt.Sprintf(`{"do_normalize": true, "do_rescale": true, "do_resize": true, "image_mean": [0.5, 0.5, 0.5],
		"image_std": [0.5, 0.5, 0.5], "resample": %d, "rescale_factor": 0.00392156862745098, "size": {"height": %d, "width": %d}}`, resample, size, size))
}

func preprocessorOf(t testing.TB, profile Profile, size int, config string) *preprocessor {
	t.Helper()
	path := filepath.Join(t.TempDir(), "preprocessor_config.json")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := loadPreprocessor(path, size, profile)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// drawn is the image of the same name in tools/reference/preprocess.py.
func drawn(width, height int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			p := img.Pix[img.PixOffset(x, y):]
			for c := range 3 {
				p[c] = uint8(x*x*31 + y*17 + x*y*7 + c*91)
				if (x/5+y/7)%4 == 0 {
					p[c] = uint8(255 * ((x + c) & 1))
				}
			}
			p[3] = 0xff
		}
	}
	return img
}

// bytesOf undoes the normalisation: [size, size, 3] as Pillow holds it.
func bytesOf(pixels []float32) []uint8 {
	n := len(pixels) / 3
	out := make([]uint8, len(pixels))
	for i, v := range pixels {
		out[i%n*3+i/n] = uint8(math.Round((float64(v) + 1) * 127.5))
	}
	return out
}

// Every byte of 500 resizes is that of Pillow, or of TensorFlow's rule.
func TestResizesAreThoseOfPillow(t *testing.T) {
	t.Parallel()
	var golden []struct {
		Profile                       Profile
		Resample, Width, Height, Size int
		SHA256                        string
	}
	readJSONFile(t, "testdata/preprocess/resize.json", &golden)
	preprocessors := map[string]*preprocessor{}
	for _, want := range golden {
		if testing.Short() && want.Size*max(want.Width, want.Height) > 64*1000 {
			continue
		}
		key := fmt.Sprint(want.Profile, want.Resample, want.Size)
		if preprocessors[key] == nil {
			preprocessors[key] = likeSigLIP(t, want.Profile, want.Resample, want.Size)
		}
		pixels, err := preprocessors[key].Pixels(drawn(want.Width, want.Height))
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(bytesOf(pixels)); hex.EncodeToString(sum[:]) != want.SHA256 {
			t.Errorf("%s, resample %d: %d×%d to %d: not the bytes of Pillow 9.4", want.Profile, want.Resample, want.Width, want.Height, want.Size)
		}
	}
}

func TestBytesBecomeTheFloatsOfTransformers(t *testing.T) {
	t.Parallel()
	golden, err := npy.OpenArchive("testdata/preprocess/values.npz")
	if err != nil {
		t.Fatal(err)
	}
	defer golden.Close()
	ramp := image.NewGray(image.Rect(0, 0, 16, 16))
	for i := range ramp.Pix {
		ramp.Pix[i] = uint8(i)
	}
	for name, config := range map[string]string{
		"half":     `{"resample": 2}`,
		"imagenet": `{"resample": 2, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}`,
	} {
		array, err := golden.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		want, err := array.Float32()
		if err != nil {
			t.Fatal(err)
		}
		got, err := preprocessorOf(t, ProfileHF, 16, config).Pixels(ramp)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: not the floats of transformers' rescale and normalize", name)
		}
	}
}

// lossy says how far the values of a lossy file may be from Pillow's: another
// inverse transform, by single steps.
var lossy = map[string]int{"444.jpg": 3, "422.jpg": 2, "420.jpg": 2, "progressive.jpg": 2, "grey.jpg": 2, "cmyk.jpg": 2, "two-wide.jpg": 2, "lossy.webp": 2}

func TestEveryKindOfFileHasPillowsColors(t *testing.T) {
	t.Parallel()
	golden, err := npy.OpenArchive("testdata/preprocess/modes.npz")
	if err != nil {
		t.Fatal(err)
	}
	defer golden.Close()
	if len(golden.Names()) < 30 {
		t.Fatalf("%d files, want 30 and more", len(golden.Names()))
	}
	for _, name := range golden.Names() {
		array, err := golden.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		want, err := array.Uint8()
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile("testdata/preprocess/files/" + name)
		if err != nil {
			t.Fatal(err)
		}
		img, err := raster.Decode(data, 0)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := newRGB(img)
		if got.height != array.Shape[0] || got.width != array.Shape[1] {
			t.Errorf("%s: %d×%d, want %v", name, got.height, got.width, array.Shape)
			continue
		}
		if farthest, mean := apart(got.pix, want); farthest > lossy[name] {
			t.Errorf("%s: %d from Pillow's values at most, %.3f in the mean; want at most %d", name, farthest, mean, lossy[name])
		}
		// A part cut out has the colours that it has in the whole.
		part, ok := img.(interface {
			SubImage(image.Rectangle) image.Image
		})
		if !ok {
			t.Errorf("%s: %T has no SubImage", name, img)
			continue
		}
		b := img.Bounds()
		box := image.Rect(b.Min.X+b.Dx()/3, b.Min.Y+b.Dy()/4, b.Max.X-b.Dx()/5, b.Max.Y-b.Dy()/6)
		cut := newRGB(part.SubImage(box))
		for y := range cut.height {
			at := 3 * ((y+box.Min.Y-b.Min.Y)*got.width + box.Min.X - b.Min.X)
			if !slices.Equal(cut.pix[3*y*cut.width:3*(y+1)*cut.width], got.pix[at:at+3*cut.width]) {
				t.Errorf("%s: row %d of a part is not that of the whole", name, y)
				break
			}
		}
	}
}

func apart(a, b []uint8) (farthest int, mean float64) {
	for i := range a {
		d := int(a[i]) - int(b[i])
		farthest = max(farthest, d, -d)
		mean += math.Abs(float64(d)) / float64(len(a))
	}
	return farthest, mean
}

// Colour models that no file format here gives, and the ways around the
// interface: every type gives what its own At says.
func TestEveryImageTypeIsRead(t *testing.T) {
	t.Parallel()
	b := image.Rect(3, 5, 20, 18)
	grey16, rgba64, nrgba64, alpha := image.NewGray16(b), image.NewRGBA64(b), image.NewNRGBA64(b), image.NewAlpha(b)
	rgba, cmyk := image.NewRGBA(b), image.NewCMYK(b)
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			v := uint16(x*4001 + y*977)
			grey16.SetGray16(x, y, color.Gray16{Y: v})
			rgba64.SetRGBA64(x, y, color.RGBA64{R: v, G: v / 2, B: v / 3, A: 0xffff})
			nrgba64.SetNRGBA64(x, y, color.NRGBA64{R: v, G: v / 2, B: v / 3, A: 0xffff})
			alpha.SetAlpha(x, y, color.Alpha{A: uint8(v)})
			rgba.SetRGBA(x, y, color.RGBA{R: uint8(v) / 2, G: uint8(v) / 3, B: 1, A: uint8(v) | 0x80})
			cmyk.SetCMYK(x, y, color.CMYK{C: uint8(v), M: uint8(x), Y: uint8(y), K: 7})
		}
	}
	for _, img := range []image.Image{grey16, rgba64, nrgba64, alpha, rgba, cmyk} {
		got := newRGB(img)
		other := newRGB(struct{ image.Image }{img}) // hides the type
		if !slices.Equal(got.pix, other.pix) {
			t.Errorf("%T: the fast way gives other colours than At", img)
		}
	}
	white := color.NRGBA{255, 128, 1, 0} // wholly transparent, and still a colour
	if got := straight(white); got != [3]uint8{255, 128, 1} {
		t.Errorf("straight(%v) = %v", white, got)
	}
	for v, want := range map[uint16]uint8{0: 0, 128: 0, 129: 1, 257: 1, 32767: 127, 32768: 128, 65406: 254, 65407: 255, 65535: 255} {
		if got := byteOf(v); got != want {
			t.Errorf("byteOf(%d) = %d, want %d", v, got, want)
		}
	}
}

// The distance of JPEG decoding from libjpeg-turbo, on real photographs.
func TestPhotographsAreNearPillows(t *testing.T) {
	t.Parallel()
	dir := needs.Data(t, "blood-cells")
	golden, err := npy.OpenArchive("testdata/preprocess/photographs.npz")
	if err != nil {
		t.Fatal(err)
	}
	defer golden.Close()
	for _, name := range golden.Names() {
		array, err := golden.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		want, err := array.Uint8()
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(dir, "JPEGImages", name))
		if err != nil {
			t.Fatal(err)
		}
		img, err := raster.Decode(data, 0)
		if err != nil {
			t.Fatal(err)
		}
		part := newRGB(img.(*image.NRGBA).SubImage(image.Rect(300, 200, 364, 264)))
		if farthest, mean := apart(part.pix, want); farthest > 3 || mean > 0.04 {
			t.Errorf("%s: %d from Pillow's values at most, %.4f in the mean; want 3 and .04", name, farthest, mean)
		}
	}
}

func TestFingerprintsNameWhatMovesAPixel(t *testing.T) {
	t.Parallel()
	all := map[string]string{}
	add := func(name string, p *preprocessor) {
		for other, print := range all {
			if print == p.Fingerprint() {
				t.Errorf("%s and %s have one fingerprint", name, other)
			}
		}
		all[name] = p.Fingerprint()
	}
	for _, profile := range []Profile{ProfileHF, ProfileBigVision, ProfilePadded} {
		add(string(profile), likeSigLIP(t, profile, 2, 448))
	}
	add("size", likeSigLIP(t, ProfileHF, 2, 384))
	add("filter", likeSigLIP(t, ProfileHF, 3, 448))
	add("mean", preprocessorOf(t, ProfileHF, 448, `{"resample": 2, "image_mean": [0.5, 0.5, 0.4]}`))
	add("std", preprocessorOf(t, ProfileHF, 448, `{"resample": 2, "image_std": [0.5, 0.5, 0.4]}`))
	if got := preprocessorOf(t, ProfileHF, 448, `{"resample": 2}`).Fingerprint(); got != all["hf"] {
		t.Errorf("defaults left out change the fingerprint")
	}
	if len(all["hf"]) != 64 {
		t.Errorf("fingerprint %q: want 64 hexadecimal digits", all["hf"])
	}
}

func TestPreprocessorConfigsAreChecked(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "preprocessor_config.json")
	for config, want := range map[string]string{
		`{"resample": 0}`:                            "want 2 (bilinear) or 3 (bicubic)",
		`{"do_resize": false}`:                       "must all be true",
		`{"size": {"height": 224, "width": 224}}`:    "the encoder sees 448×448",
		`{"image_std": [0.5, 0, 0.5]}`:               "want them above 0",
		`{"rescale_factor": 0}`:                      "want them above 0",
		`{`:                                          "preprocessor_config.json",
		`{"image_mean": [0.5, 0.5, 0.5], "size": 4}`: "preprocessor_config.json",
	} {
		if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := loadPreprocessor(path, 448, ProfileHF); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", config, err, want)
		}
	}
	_, err := loadPreprocessor(path, 448, "big_vision")
	if err == nil || !strings.Contains(err.Error(), "big-vision") {
		t.Errorf("a profile mistyped: %v, want the one that was meant", err)
	}
}

func TestOddImages(t *testing.T) {
	t.Parallel()
	needs.Time(t)
	for _, profile := range []Profile{ProfileHF, ProfileBigVision, ProfilePadded} {
		p := likeSigLIP(t, profile, 3, 8)
		if _, err := p.Pixels(image.NewGray(image.Rect(5, 5, 5, 9))); err == nil {
			t.Errorf("%s: an image without pixels is no error", profile)
		}
		// The padded square of these would take three terabytes.
		for _, b := range []image.Rectangle{image.Rect(0, 0, 1_000_000, 1), image.Rect(0, 0, 1, 1_000_000)} {
			if _, err := p.Pixels(image.NewGray(b)); err != nil {
				t.Errorf("%s: an image of %v: %v", profile, b, err)
			}
		}
		if _, err := p.Pixels(image.NewGray(image.Rect(0, 0, maxSide+1, 1))); err == nil {
			t.Errorf("%s: an image that is too long is no error", profile)
		}
		if _, err := p.Pixels(image.NewYCbCr(image.Rect(-3, -3, 2, 2), image.YCbCrSubsampleRatio420)); err != nil {
			t.Errorf("%s: a corner below zero: %v", profile, err)
		}
	}
}

func TestPreprocessorIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	p := likeSigLIP(t, ProfileHF, 3, 32)
	img := drawn(100, 70)
	want, err := p.Pixels(img)
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			if got, err := p.Pixels(img); err != nil || !slices.Equal(got, want) {
				t.Errorf("other pixels, or %v", err)
			}
		})
	}
	wait.Wait()
}

func BenchmarkPixels(b *testing.B) {
	for _, profile := range []Profile{ProfileHF, ProfileBigVision, ProfilePadded} {
		for _, size := range []int{512, 2048} {
			b.Run(fmt.Sprintf("%s/%d", profile, size), func(b *testing.B) {
				p := likeSigLIP(b, profile, 2, 448)
				img := drawn(size, size*3/4)
				for b.Loop() {
					if _, err := p.Pixels(img); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
