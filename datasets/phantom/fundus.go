package phantom

import "math"

// drawFundus draws the back of an eye: disc, macula, vessels and, in some,
// spots.
func drawFundus(d dice) *Phantom {
	c := newCanvas(colour{0.02, 0.02, 0.02})
	cx, cy, radius := d.around(Size/2, 2), d.around(Size/2, 2), d.between(52, 66)
	ground := colour{0.80, 0.40, 0.18}.toward(colour{0.62, 0.24, 0.12}, d.Float64()).shifted(d, 0.04)
	mottle := clouds(d, 18)
	paint := func(i int, p colour, t float64) { c.mix(i, p, max(0, min(1, t))) }
	for i := range c[0] {
		r := math.Hypot(float64(i%Size)-cx, float64(i/Size)-cy) / radius
		shade := ground.toward(colour{0.35, 0.12, 0.05}, 0.5*r*r+0.08*mottle[i])
		paint(i, shade, edge(1-r, 0.05))
	}
	side := d.side()
	facts := []Fact{"disc: left"}
	if side > 0 {
		facts[0] = "disc: right"
	}
	dx, dy := cx+side*d.between(0.42, 0.56)*radius, cy+d.around(0, 3)
	macula := newOutline(d, cx-side*0.2*radius, cy+d.around(2, 2), 0.2*radius, 1, 0, 0)
	macula.within(1.6, func(i int, out float64) { paint(i, colour{0.35, 0.12, 0.06}, 0.55*bell(out/0.7)) })
	vessels := newPlane()
	for _, up := range []float64{-1, 1} {
		for _, out := range []float64{-1, 1} {
			vessel(d, vessels, dx, dy, math.Atan2(up, -side*out*d.between(0.3, 1.0)), -side*out*up, radius*d.between(1.0, 1.5), 1.5, 2)
		}
	}
	for i, t := range vessels {
		r := math.Hypot(float64(i%Size)-cx, float64(i/Size)-cy) / radius
		paint(i, colour{0.40, 0.08, 0.06}, 0.8*t*edge(1-r, 0.05))
	}
	head := newOutline(d, dx, dy, radius*d.between(0.14, 0.2), d.between(0.9, 1.1), 0.02, 3)
	head.within(1.4, func(i int, out float64) {
		paint(i, colour{0.97, 0.82, 0.50}.toward(colour{1, 0.94, 0.75}, edge(0.5-out, 0.3)), 0.9*edge(1-out, 0.25))
	})
	spots := func(fact string, shade colour, low, high, soft float64) {
		if !d.chance(0.45) {
			facts = append(facts, Fact(fact+": no"))
			return
		}
		facts = append(facts, Fact(fact+": yes"))
		for range 5 + d.IntN(12) {
			a, r := d.between(0, 2*math.Pi), radius*0.8*math.Sqrt(d.Float64())
			s := newOutline(d, cx+r*math.Cos(a), cy+r*math.Sin(a), d.between(low, high), 1, 0.15, 3)
			s.within(1.3, func(i int, out float64) { paint(i, shade, 0.9*edge(1-out, soft)) })
		}
	}
	spots("bright spots", colour{0.98, 0.90, 0.55}, 1.4, 3.4, 0.4)
	spots("dark spots", colour{0.28, 0.04, 0.03}, 1.8, 4.2, 0.5)
	return &Phantom{Image: c.photograph(d, 0.025), facts: facts}
}

// vessel draws a vessel that curves around the macula and forks.
func vessel(d dice, p plane, x, y, angle, curl, length, thick float64, forks int) {
	bend := curl * d.between(0.6, 1.6) / length
	for k := range int(length) {
		p.cover(x, y, thick*(1-0.4*float64(k)/length), 0.9)
		x, y, angle = x+math.Cos(angle), y+math.Sin(angle), angle+bend+d.between(-0.06, 0.06)
		if forks > 0 && k == int(length*0.45) {
			vessel(d, p, x, y, angle+d.between(0.4, 0.8)*float64(1-2*d.IntN(2)), curl, length*0.5, thick*0.7, forks-1)
		}
	}
}
