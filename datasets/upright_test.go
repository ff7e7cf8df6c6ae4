package datasets

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A photograph that is to be turned is another content once it is, whichever way it
// is stored; one that is upright keeps its name, and with it its vector.
func TestUprightIsPartOfTheContent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, from := range map[string]string{"a/upright.png": "1.png", "a/down.png": "3.png", "b/side.webp": "6.webp", "b/turned.tiff": "6.tiff"} {
		data, err := os.ReadFile(filepath.Join("../internal/raster/testdata/orientation", from))
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, name, string(data))
	}
	stored, upright := open(t, Spec{Format: "imagefolder", Path: dir}), open(t, Spec{Format: "imagefolder", Path: dir, Upright: true})
	for i := range stored.Samples {
		s := stored.Samples[i]
		before, err := stored.Content(s.Source)
		if err != nil {
			t.Fatal(err)
		}
		after, err := upright.Content(s.Source)
		if err != nil {
			t.Fatal(err)
		}
		lies := s.ID == "a/down.png" || s.ID == "b/side.webp"
		if before.OnItsSide() != lies || after.OnItsSide() {
			t.Errorf("%s: on its side %v, and %v once it is upright", s.ID, before.OnItsSide(), after.OnItsSide())
		}
		if (before.Digest() != after.Digest()) != lies {
			t.Errorf("%s: another content: %v, want %v", s.ID, before.Digest() != after.Digest(), lies)
		}
		one, err := stored.Image(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		other, err := upright.Image(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		if (PixelDigest(one) != PixelDigest(other)) != lies {
			t.Errorf("%s: other pixels: %v, want %v", s.ID, !lies, lies)
		}
		was, _ := stored.Stamp(s.Source)
		if is, ok := upright.Stamp(s.Source); ok && was == is {
			t.Errorf("%s: what was remembered of the stored pixels would be taken for the upright ones", s.ID)
		}
	}
	c, problems, err := ReadContents(t.Context(), stored, ContentOptions{})
	if err != nil || len(problems) > 0 || len(c.OnTheirSide) != 2 {
		t.Fatalf("%v, %v, problems %v: want two images on their side", err, c.OnTheirSide, problems)
	}
	in := Inspect(stored)
	in.AddContents(stored, c)
	if last := in.Problems[len(in.Problems)-1].What; !strings.Contains(last, `2 images lie on a side, upside down or mirrored, the first: "a/down.png"`) {
		t.Error(last)
	}
	if one := SayTurned(1, "a.png"); !strings.HasPrefix(one, `by its EXIF data the image "a.png" lies`) {
		t.Error(one)
	}
}
