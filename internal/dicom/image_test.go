package dicom

import (
	"image"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/internal/needs"
	"github.com/medprobe/medprobe/internal/npy"
)

// values lists what an image shows: grey of 8 or 16 bits, or red, green, blue.
func pixelsOf(img image.Image) []int64 {
	var all []int64
	switch m := img.(type) {
	case *image.Gray:
		for _, v := range m.Pix {
			all = append(all, int64(v))
		}
	case *image.Gray16:
		for i := 0; i < len(m.Pix); i += 2 {
			all = append(all, int64(m.Pix[i])<<8|int64(m.Pix[i+1]))
		}
	case *image.NRGBA:
		for i := range m.Pix {
			if i%4 != 3 {
				all = append(all, int64(m.Pix[i]))
			}
		}
	}
	return all
}

// compare holds every array of the archive, NAME or NAME:FRAME, against the
// file of that name; tolerance is the greatest difference allowed.
func compare(t *testing.T, golden, folder string, tolerance map[string]int64) {
	t.Helper()
	archive, err := npy.OpenArchive(golden)
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	for _, entry := range archive.Names() {
		name, number, _ := strings.Cut(entry, ":")
		frame, _ := strconv.Atoi(number)
		array, err := archive.Read(entry)
		if err != nil {
			t.Fatal(err)
		}
		want, err := array.Int64()
		if err != nil {
			t.Fatal(err)
		}
		t.Run(entry, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join(folder, name+".dcm"))
			if err != nil {
				t.Fatal(err)
			}
			img, err := imageOf(t, data, frame)
			if err != nil {
				t.Fatal(err)
			}
			if b := img.Bounds(); b.Dy() != array.Shape[0] || b.Dx() != array.Shape[1] {
				t.Fatalf("%v, want %v", b, array.Shape)
			}
			got := pixelsOf(img)
			if len(got) != len(want) {
				t.Fatalf("%T of %d values, want %d", img, len(got), len(want))
			}
			worst, differ := int64(0), 0
			for i := range got {
				if d := max(got[i]-want[i], want[i]-got[i]); d > 0 {
					worst = max(worst, d)
					differ++
				}
			}
			if worst > tolerance[name] {
				t.Errorf("%d of %d values differ, by %d at most", differ, len(got), worst)
			}
		})
	}
}

func imageOf(t *testing.T, data []byte, frame int) (image.Image, error) {
	t.Helper()
	f, err := Parse(data)
	if err != nil {
		return nil, err
	}
	return f.Image(t.Context(), Options{Frame: frame})
}

func TestShownAsTheServingContainerShowsIt(t *testing.T) {
	t.Parallel()
	compare(t, "testdata/cases.npz", "testdata", nil)
}

func TestRealFiles(t *testing.T) {
	t.Parallel()
	if _, err := lookConverter(); err != nil {
		needs.Skip(t, err.Error())
	}
	// Lossy pixels differ by the decoders' rounding.
	compare(t, "testdata/samples.npz", needs.Data(t, "dicom"), map[string]int64{
		"examples_ybr_color": 3, "cxr_jpeg": 2, "SC_rgb_jpeg": 3, "JPEG2000": 0,
	})
}

// MR_small is there in five codings, all without loss.
func TestCodingsOfOneImageAreEqual(t *testing.T) {
	t.Parallel()
	if _, err := lookConverter(); err != nil {
		needs.Skip(t, err.Error())
	}
	folder := needs.Data(t, "dicom")
	var want []int64
	for _, name := range []string{"MR_small", "MR_small_bigendian", "MR_small_RLE", "MR_small_jp2klossless", "MR_small_jpeg_ls_lossless"} {
		data, err := os.ReadFile(filepath.Join(folder, name+".dcm"))
		if err != nil {
			t.Fatal(err)
		}
		img, err := imageOf(t, data, 0)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := pixelsOf(img); want == nil {
			want = got
		} else if !slices.Equal(got, want) {
			t.Errorf("%s differs from MR_small", name)
		}
	}
}

func TestRefusalsSayWhy(t *testing.T) {
	t.Parallel()
	folder := needs.Data(t, "dicom")
	for name, want := range map[string]string{
		"MR_truncated": "ends at byte 8192",
		"badVR":        "32 bits per sample",
		"no_meta":      "not a DICOM file",
		"rtplan":       "no pixels in this file (modality RTPLAN)",
		"liver_1frame": "segmentation",
	} {
		data, err := os.ReadFile(filepath.Join(folder, name+".dcm"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := imageOf(t, data, 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

func TestFramesAreBounded(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/mr_frames.dcm")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := imageOf(t, data, 3); err == nil || err.Error() != "frame 4: the file has 3" {
		t.Errorf("fourth frame of three: %v", err)
	}
}
