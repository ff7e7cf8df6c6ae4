package raster

import (
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// What Pillow shows of files that say how they are to be turned, and what
// exif_transpose makes of them: testdata/orientation.
func TestOrientationIsPillows(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/orientation/turned.json")
	if err != nil {
		t.Fatal(err)
	}
	var said map[string]struct{ Stored, Upright [][]int }
	if err := json.Unmarshal(text, &said); err != nil {
		t.Fatal(err)
	}
	if len(said) != 4*8 {
		t.Fatalf("%d files, want four kinds of eight", len(said))
	}
	for name, pillow := range said {
		data, err := os.ReadFile(filepath.Join("testdata/orientation", name))
		if err != nil {
			t.Fatal(err)
		}
		img, err := Decode(data, 0)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		// Lossy files may differ by a step, and the drawn pixels by 16.
		tolerance := 0.0
		if filepath.Ext(name) == ".jpg" {
			tolerance = 3
		}
		same(t, name+" as stored", img, pillow.Stored, tolerance)
		stem, _, _ := strings.Cut(name, ".")
		want, _ := strconv.Atoi(stem)
		if filepath.Ext(name) == ".tiff" {
			want, pillow.Upright = 1, pillow.Stored // turned already
		}
		if got := Orientation(data); got != want {
			t.Errorf("%s: orientation %d, want %d", name, got, want)
		}
		same(t, name+" upright", Upright(img, Orientation(data)), pillow.Upright, tolerance)
	}
}

func same(t *testing.T, what string, img image.Image, want [][]int, tolerance float64) {
	t.Helper()
	b := img.Bounds()
	if b.Dy() != len(want) || b.Dx() != len(want[0]) {
		t.Errorf("%s: %d×%d, want %d×%d", what, b.Dx(), b.Dy(), len(want[0]), len(want))
		return
	}
	for y, row := range want {
		for x, v := range row {
			got := color.NRGBAModel.Convert(img.At(b.Min.X+x, b.Min.Y+y)).(color.NRGBA).R
			if math.Abs(float64(got)-float64(v)) > tolerance {
				t.Errorf("%s: pixel %d, %d is %d, want %d", what, x, y, got, v)
				return
			}
		}
	}
}

// Every kind of image keeps its kind and its colours, also where it is part of
// another; turned there and back it is the same.
func TestUprightKeepsColours(t *testing.T) {
	t.Parallel()
	r := image.Rect(2, 1, 7, 4)
	palette := color.Palette{color.Black, color.White, color.White, color.NRGBA{9, 8, 7, 6}}
	kinds := []interface {
		image.Image
		Set(x, y int, c color.Color)
	}{
		image.NewGray(r), image.NewGray16(r), image.NewPaletted(r, palette), image.NewRGBA(r), image.NewRGBA64(r),
		image.NewNRGBA(r), image.NewNRGBA64(r), image.NewCMYK(r),
	}
	back := map[int]int{2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}
	for _, m := range kinds {
		for y := r.Min.Y; y < r.Max.Y; y++ {
			for x := r.Min.X; x < r.Max.X; x++ {
				m.Set(x, y, color.NRGBA64{uint16(9000 * x), uint16(7000 * y), uint16(311 * x * y), 0x8000})
			}
		}
		for there, again := range back {
			turned := Upright(m, there)
			if got, want := fmt.Sprintf("%T", turned), fmt.Sprintf("%T", m); got != want {
				t.Errorf("%s: became %s", want, got)
			}
			restored := Upright(turned, again)
			for y := range r.Dy() {
				for x := range r.Dx() {
					if got, want := restored.At(x, y), m.At(r.Min.X+x, r.Min.Y+y); got != want {
						t.Fatalf("%T, %d and back: pixel %d, %d is %v, want %v", m, there, x, y, got, want)
					}
				}
			}
		}
	}
	chroma := image.NewYCbCr(image.Rect(0, 0, 4, 2), image.YCbCrSubsampleRatio420)
	if b := Upright(chroma, 6).Bounds(); b.Dx() != 2 || b.Dy() != 4 {
		t.Errorf("a colour JPEG on its side: %v", b)
	}
	if Upright(kinds[0], 1) != image.Image(kinds[0]) || Upright(kinds[0], 9) != image.Image(kinds[0]) {
		t.Error("an upright image is copied")
	}
}

// EXIF data of any bytes, cut anywhere, says upright or one of the eight.
func FuzzOrientation(f *testing.F) {
	files, err := filepath.Glob("testdata/orientation/*.*")
	if err != nil || len(files) < 32 {
		f.Fatal(files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add(data[:len(data)/2])
	}
	f.Add([]byte("\xff\xd8\xff\xe1\x00\x01"))
	f.Add([]byte("RIFF\x00\x00\x00\x00WEBPEXIF\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if o := Orientation(data); o < 1 || o > 8 {
			t.Errorf("orientation %d", o)
		}
	})
}
