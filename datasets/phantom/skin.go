package phantom

import "math"

// drawSkin draws a pigmented lesion on skin.
func drawSkin(d dice) *Phantom {
	skin := colour{0.93, 0.76, 0.68}.toward(colour{0.56, 0.38, 0.28}, math.Pow(d.Float64(), 1.6)).shifted(d, 0.04)
	c := newCanvas(skin)
	coarse, fine := clouds(d, 30), clouds(d, 5)
	for i := range coarse {
		c.mix(i, colour{0.75, 0.42, 0.38}, 0.06*(1+coarse[i])+0.04*(1+fine[i]))
	}
	facts := []Fact{}
	say := func(yes bool, fact, otherwise Fact) {
		if yes {
			facts = append(facts, fact)
		} else {
			facts = append(facts, otherwise)
		}
	}
	large, dark, rough := d.chance(0.5), d.chance(0.5), d.chance(0.5)
	say(large, "lesion: large", "lesion: small")
	say(dark, "lesion: dark", "lesion: light")
	say(rough, "border: irregular", "border: smooth")
	radius, rim, waves := d.between(12, 22), d.between(0.01, 0.05), 3
	if large {
		radius = d.between(32, 46)
	}
	if rough {
		rim, waves = d.between(0.16, 0.26), 7
	}
	pigment := skin.toward(colour{0.45, 0.24, 0.16}, d.between(0.45, 0.65))
	if dark {
		pigment = skin.toward(colour{0.14, 0.08, 0.07}, d.between(0.8, 0.95))
	}
	second := pigment.toward(colour{0.36, 0.16, 0.14}, d.between(0, 0.5))
	o := newOutline(d, d.between(48, 80), d.between(48, 80), radius, d.between(0.85, 1.18), rim, waves)
	soft, mottle := d.between(0.08, 0.3), clouds(d, d.between(6, 16))
	o.within(1.3, func(i int, out float64) {
		c.mix(i, pigment.toward(second, 0.5+0.5*mottle[i]), edge(1-out, soft)*(0.85+0.1*mottle[i]))
	})
	hairy := d.chance(0.3)
	say(hairy, "hair: yes", "hair: no")
	if hairy {
		for range 4 + d.IntN(8) {
			hair(d, c)
		}
	}
	if d.chance(0.2) { // the dark corners of a dermatoscope
		rim := d.between(0.95, 1.2) * Size / 2
		for i := range c[0] {
			r := math.Hypot(float64(i%Size)-Size/2, float64(i/Size)-Size/2)
			c.mix(i, colour{0.04, 0.03, 0.03}, edge(r-rim, 5))
		}
	}
	return &Phantom{Image: c.photograph(d, 0.035), facts: facts}
}

// hair draws one dark hair across the patch.
func hair(d dice, c *canvas) {
	x, y := d.between(0, Size), d.between(0, Size)
	angle, bend := d.between(0, 2*math.Pi), d.between(-0.02, 0.02)
	shade := colour{0.12, 0.09, 0.08}.toward(colour{0.4, 0.28, 0.18}, d.Float64())
	line := newPlane()
	for range int(d.between(50, 110)) {
		line.cover(x, y, 0.6, 0.85)
		x, y, angle = x+math.Cos(angle), y+math.Sin(angle), angle+bend
	}
	for i, t := range line {
		if t > 0.01 {
			c.mix(i, shade, t)
		}
	}
}
