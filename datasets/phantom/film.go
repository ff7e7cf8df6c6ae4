package phantom

import (
	"image"
	"math"
)

// expose ends a radiograph: exposure, contrast, scatter, blur, noise, the
// collimator's border and the letter that marks a side.
func expose(d dice, film plane, w view, facts *[]Fact) *image.RGBA {
	film.blur(d.between(0.2, 1.1))
	gain, lift, gamma := d.between(0.85, 1.15), d.between(-0.05, 0.07), d.between(0.8, 1.25)
	scatter, angle := d.between(0, 0.1), d.between(0, 2*math.Pi)
	noise := d.between(0.006, 0.035)
	if gain*math.Pow(0.6, gamma)+lift > 0.62 {
		*facts = append(*facts, "exposure: bright")
	} else if gain*math.Pow(0.6, gamma)+lift < 0.5 {
		*facts = append(*facts, "exposure: dark")
	}
	if noise > 0.027 {
		*facts = append(*facts, "noise: much")
	} else if noise < 0.014 {
		*facts = append(*facts, "noise: little")
	}
	c, s := math.Cos(angle), math.Sin(angle)
	for i, v := range film {
		x, y := float64(i%Size)/Size-0.5, float64(i/Size)/Size-0.5
		light := 1 + scatter*2*(x*c+y*s)
		film[i] = gain*math.Pow(max(0, v), gamma)*light + lift*edge(v-0.02, 0.02)
	}
	if d.chance(0.45) {
		letter := "R"
		x, y := w.pixel(-0.82, -0.78)
		if d.chance(0.5) {
			letter = "L"
			x, y = w.pixel(0.82, -0.78)
		}
		stamp(film, letter, int(x)+int(d.between(-4, 4)), int(y)+int(d.between(-4, 10)), 1+d.IntN(2))
		*facts = append(*facts, Fact("marker: "+letter))
	}
	if d.chance(0.3) {
		collimate(film, int(d.between(0, 8)), int(d.between(0, 8)), int(d.between(0, 8)), int(d.between(0, 8)))
	}
	img := image.NewRGBA(image.Rect(0, 0, Size, Size))
	for i, v := range film {
		g := level(v + noise*d.NormFloat64())
		copy(img.Pix[4*i:], []uint8{g, g, g, 255})
	}
	return img
}

// collimate blacks out a border of the given widths in pixels.
func collimate(film plane, left, top, right, bottom int) {
	for i := range film {
		x, y := i%Size, i/Size
		if x < left || y < top || x >= Size-right || y >= Size-bottom {
			film[i] = 0
		}
	}
}

// letters holds the side markers, five pixels wide and seven high.
var letters = map[string][7]string{
	"L": {"#....", "#....", "#....", "#....", "#....", "#....", "#####"},
	"R": {"####.", "#...#", "#...#", "####.", "#.#..", "#..#.", "#...#"},
}

// stamp sets a lead letter centred on (x, y), every dot scale pixels wide.
func stamp(film plane, letter string, x, y, scale int) {
	for j, row := range letters[letter] {
		for i, dot := range row {
			if dot != '#' {
				continue
			}
			for dy := range scale {
				for dx := range scale {
					px, py := x+(i-2)*scale+dx, y+(j-3)*scale+dy
					if px >= 0 && py >= 0 && px < Size && py < Size {
						film[py*Size+px] = 0.95
					}
				}
			}
		}
	}
}
