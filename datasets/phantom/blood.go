package phantom

import (
	"math"
	"strconv"
)

// smear is the stain and light of one slide.
type smear struct {
	ground, red, rim, plasm, nucleus, granule colour
	pallor                                    float64 // how clear the middle of a red cell is
}

func newSmear(d dice) smear {
	warm := d.between(0, 1)
	return smear{
		ground:  colour{0.86, 0.86, 0.80}.toward(colour{0.90, 0.84, 0.86}, warm).shifted(d, 0.05),
		red:     colour{0.72, 0.56, 0.52}.toward(colour{0.84, 0.62, 0.66}, d.between(0, 1)).shifted(d, 0.05),
		rim:     colour{0.66, 0.50, 0.49}.shifted(d, 0.05),
		plasm:   colour{0.80, 0.74, 0.84}.shifted(d, 0.05),
		nucleus: colour{0.42, 0.34, 0.72}.toward(colour{0.36, 0.20, 0.52}, d.between(0, 1)).shifted(d, 0.05),
		granule: colour{0.56, 0.46, 0.76}.toward(colour{0.54, 0.38, 0.62}, d.between(0, 1)).shifted(d, 0.05),
		pallor:  d.between(0.1, 0.9),
	}
}

// redCell paints a pale disc, clearer in the middle.
func (s smear) redCell(d dice, c *canvas, x, y, radius float64) {
	o := newOutline(d, x, y, radius, d.between(0.88, 1.14), 0.05, 4)
	pallor := s.pallor * d.between(0.3, 1.1)
	if d.chance(0.25) {
		pallor = 0
	}
	size := d.between(0.3, 0.6)
	body := s.red.shifted(d, 0.03)
	soft := max(0.06, 1.2/radius)
	o.within(1.15, func(i int, out float64) {
		paint := body.toward(s.rim, 0.6*bell((out-0.86)/0.12))
		paint = paint.toward(s.ground, min(0.95, pallor)*edge(size-out, 0.3))
		c.mix(i, paint, edge(1-out, soft)*0.94)
	})
}

// whiteCell paints a large cell whose nucleus has one to four lobes.
func (s smear) whiteCell(d dice, c *canvas, x, y, radius float64) (lobes int) {
	o := newOutline(d, x, y, radius, d.between(0.9, 1.1), 0.05, 4)
	plasm := s.plasm.toward(colour{0.82, 0.62, 0.70}, d.between(0, 0.6))
	o.within(1.1, func(i int, out float64) { c.mix(i, plasm, edge(1-out, 0.08)*0.9) })
	for range int(d.between(10, 60)) { // granules
		a, r := d.between(0, 2*math.Pi), radius*math.Sqrt(d.Float64())*0.85
		g := newOutline(d, x+r*math.Cos(a), y+r*math.Sin(a), max(1, radius*0.05), 1, 0, 0)
		g.within(1.2, func(i int, out float64) { c.mix(i, s.granule, 0.35*edge(1-out, 0.5)) })
	}
	lobes = 1 + d.IntN(4)
	grain := clouds(d, max(3, radius*0.16))
	turn := d.between(0, 2*math.Pi)
	for k := range lobes {
		at, r := 0.0, radius*d.between(0.62, 0.85)
		if lobes > 1 {
			at, r = radius*d.between(0.36, 0.5), radius*d.between(0.32, 0.42)
		}
		a := turn + float64(k)*d.between(1.1, 2*math.Pi/float64(lobes))
		lobe := newOutline(d, x+at*math.Cos(a), y+at*math.Sin(a), r, d.between(0.85, 1.25), 0.08, 3)
		lobe.within(1.2, func(i int, out float64) {
			c.mix(i, s.nucleus.toward(s.plasm, 0.12+0.16*grain[i]), edge(1-out, 0.16)*0.95)
		})
	}
	return lobes
}

// platelet paints a small granular body without a nucleus.
func (s smear) platelet(d dice, c *canvas, x, y, radius float64) {
	o := newOutline(d, x, y, radius, d.between(0.75, 1.3), 0.12, 4)
	grain := clouds(d, max(3, radius*0.35))
	strength := d.between(0.5, 1)
	o.within(1.5, func(i int, out float64) {
		paint := s.granule.toward(s.nucleus, 0.5*edge(0.6-out, 0.6)+0.2*grain[i])
		c.mix(i, paint, strength*edge(1-out, d.between(0.5, 0.52)))
	})
}

// drawBlood draws a field of cells, or more often one cell cropped from it.
func drawBlood(d dice) *Phantom {
	s := newSmear(d)
	c := newCanvas(s.ground)
	dust := clouds(d, 24)
	for i, v := range dust {
		c.mix(i, s.rim, 0.04*(1+v))
	}
	var facts []Fact
	if d.chance(0.3) {
		facts = s.field(d, c)
	} else {
		facts = s.crop(d, c)
	}
	return &Phantom{Image: c.photograph(d, 0.03), facts: facts}
}

// field draws many cells at the scale of a microscope's field of view.
func (s smear) field(d dice, c *canvas) []Fact {
	radius := d.between(8, 15)
	facts := []Fact{"blood: field"}
	many := int(d.between(4, 60*(9/radius)*(9/radius)))
	if many > 26 {
		facts = append(facts, "blood: many cells")
	} else if many < 12 {
		facts = append(facts, "blood: few cells")
	}
	for range many {
		s.redCell(d, c, d.between(0, Size), d.between(0, Size), radius*d.between(0.85, 1.15))
	}
	if d.chance(0.5) {
		facts = append(facts, "blood: white cell in the field")
		s.whiteCell(d, c, d.between(20, Size-20), d.between(20, Size-20), radius*d.between(1.5, 2.3))
	} else {
		facts = append(facts, "blood: no white cell in the field")
	}
	if d.chance(0.5) {
		for range 1 + d.IntN(6) {
			s.platelet(d, c, d.between(4, Size-4), d.between(4, Size-4), radius*d.between(0.22, 0.4))
		}
	}
	return facts
}

// crop draws one cell as a box drawn tightly around it shows it, with parts of
// its neighbours.
func (s smear) crop(d dice, c *canvas) []Fact {
	x, y := d.around(Size/2, 4), d.around(Size/2, 4)
	kind := []string{"red", "white", "platelet"}[d.IntN(3)]
	fill := d.between(46, 70)
	neighbour := fill // a red cell at the scale of this crop
	switch kind {
	case "white":
		neighbour = fill / d.between(1.5, 2.3)
	case "platelet":
		neighbour = fill * d.between(2, 4)
		fill = d.between(26, 58)
	}
	for range d.IntN(4) {
		a, far := d.between(0, 2*math.Pi), fill*d.between(0.95, 1.3)+neighbour
		s.redCell(d, c, x+far*math.Cos(a), y+far*math.Sin(a), neighbour*d.between(0.9, 1.1))
	}
	facts := []Fact{"blood: crop", Fact("cell: " + kind)}
	switch kind {
	case "red":
		s.redCell(d, c, x, y, fill)
		if d.chance(0.15) {
			s.platelet(d, c, d.between(20, 108), d.between(20, 108), fill*d.between(0.08, 0.2))
		}
	case "white":
		facts = append(facts, Fact("lobes: "+strconv.Itoa(s.whiteCell(d, c, x, y, fill))))
	case "platelet":
		s.platelet(d, c, x, y, fill)
		for k := range c { // so small a thing is never sharp
			c[k].blur(d.between(0, 5))
		}
	}
	return facts
}
