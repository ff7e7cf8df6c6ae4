package datasets

import (
	"errors"
	"fmt"
	"image"
	"math"
	"strconv"
)

// Box names the columns of a region in pixels, counted from 0: two corners, the
// second exclusive, or a corner and a size.
type Box struct {
	XMin   string `yaml:"xmin"`
	YMin   string `yaml:"ymin"`
	XMax   string `yaml:"xmax"`
	YMax   string `yaml:"ymax"`
	Width  string `yaml:"width"`
	Height string `yaml:"height"`
}

func (b Box) columns() []string {
	switch {
	case b == Box{}:
		return nil
	case b.Width != "":
		return []string{b.XMin, b.YMin, b.Width, b.Height}
	}
	return []string{b.XMin, b.YMin, b.XMax, b.YMax}
}

func (b Box) check() error {
	size, corner := b.Width != "" && b.Height != "", b.XMax != "" && b.YMax != ""
	if b != (Box{}) && (b.XMin == "" || b.YMin == "" || size == corner || (b.Width != "" || b.Height != "") && (b.XMax != "" || b.YMax != "")) {
		return errors.New("box: want the columns xmin, ymin, xmax, ymax, or xmin, ymin, width, height")
	}
	return nil
}

// region reads the four columns of a box; all of them empty mean the whole
// image.
func (t *rowReader) region(r row) (image.Rectangle, error) {
	if len(t.box) == 0 {
		return image.Rectangle{}, nil
	}
	var v [4]float64
	empty := 0
	for k, i := range t.box {
		text := t.get(r, i)
		if isNotKnown(text) {
			empty++
			continue
		}
		var err error
		if v[k], err = strconv.ParseFloat(text, 64); err != nil || math.IsNaN(v[k]) || math.Abs(v[k]) > 1<<30 {
			return image.Rectangle{}, fmt.Errorf("%s = %q: want a number of pixels", t.header[i], text)
		}
		if v[k] < 0 {
			return image.Rectangle{}, fmt.Errorf("%s = %s: a box cannot begin or end before the image", t.header[i], text)
		}
	}
	switch {
	case empty == 4:
		return image.Rectangle{}, nil
	case empty > 0:
		return image.Rectangle{}, fmt.Errorf("%d of the four columns of the box are empty", empty)
	case t.spec.Box.Width != "":
		v[2], v[3] = v[0]+v[2], v[1]+v[3]
	}
	return pixelBox(v[0], v[1], v[2], v[3])
}

// pixelBox returns the pixels that a box touches, its corners counted from 0,
// the second one exclusive.
func pixelBox(xmin, ymin, xmax, ymax float64) (image.Rectangle, error) {
	for _, v := range []float64{xmin, ymin, xmax, ymax} {
		if math.IsNaN(v) || math.Abs(v) > 1<<30 {
			return image.Rectangle{}, fmt.Errorf("box corner %v: want a pixel", v)
		}
	}
	if xmax <= xmin || ymax <= ymin {
		return image.Rectangle{}, fmt.Errorf("box (%v, %v)–(%v, %v) is empty", xmin, ymin, xmax, ymax)
	}
	return image.Rect(int(math.Floor(xmin)), int(math.Floor(ymin)), int(math.Ceil(xmax)), int(math.Ceil(ymax))), nil
}

// cutToImage returns the part of the box that lies within the image; of unknown
// size, 0, that is the box.
func (d *Dataset) cutToImage(id string, box image.Rectangle, width, height int) (image.Rectangle, error) {
	if width <= 0 || height <= 0 {
		return box, nil
	}
	inside := box.Intersect(image.Rect(0, 0, width, height))
	if inside.Empty() {
		return box, fmt.Errorf("box %v lies outside the photograph of %d×%d pixels", box, width, height)
	}
	if inside != box {
		d.problem(id, "box %v was cut to the photograph: %v", box, inside)
	}
	return inside, nil
}
