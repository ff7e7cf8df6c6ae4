package phantom

import "math"

// lesions holds where the findings of one radiograph lie and how large they
// are. A finding that is absent has extent 0.
type lesions struct {
	effusion  [2]float64 // depth of the fluid at the image's left and right
	slope     float64    // rise of the fluid toward the chest wall
	air       [2]float64 // depth of free air
	clouds    [2]spot
	nodules   [2]spot
	nodStrong float64
	strong    float64
	ragged    float64
}

type spot struct{ u, v, width, height float64 }

// newLesions places the findings and notes their details as facts.
func newLesions(d dice, a anatomy, findings map[Finding]bool, sides map[Finding]float64, facts *[]Fact) *lesions {
	l := &lesions{
		slope: d.between(0.1, 0.5), strong: d.between(0.55, 0.85), ragged: d.between(0.2, 0.6),
		nodStrong: d.between(0.26, 0.38),
	}
	where := func(f Finding) int {
		side := sides[f]
		*facts = append(*facts, detail(f, sideOf(side)))
		return (int(side) + 1) / 2
	}
	if findings[Effusion] {
		k := where(Effusion)
		depth := d.between(0.16, 0.60)
		l.effusion[k] = depth
		if d.chance(0.2) {
			l.effusion[1-k] = d.between(0.16, 0.5)
			*facts = append(*facts, detail(Effusion, sideOf(-sides[Effusion])), detail(Effusion, "both"))
		}
		if depth > 0.4 {
			*facts = append(*facts, detail(Effusion, "large"))
		} else if depth < 0.3 {
			*facts = append(*facts, detail(Effusion, "small"))
		}
	}
	if findings[Pneumothorax] {
		l.air[where(Pneumothorax)] = d.between(0.28, 0.55)
	}
	if findings[Opacity] {
		where(Opacity)
		v := d.between(-0.4, 0.22)
		l.clouds[0] = spot{sides[Opacity] * d.between(0.32, 0.52), v, d.between(0.15, 0.26), d.between(0.15, 0.26)}
		if d.chance(0.35) {
			l.clouds[1] = spot{sides[Opacity] * d.between(0.3, 0.5), d.between(-0.4, 0.25), 0.14, 0.16}
		}
	}
	if findings[Nodule] {
		where(Nodule)
		v := d.between(-0.45, 0.15)
		r := d.between(0.06, 0.10)
		l.nodules[0] = spot{sides[Nodule] * d.between(0.28, 0.8*a.outer(v)), v, r, r * d.between(0.9, 1.1)}
	}
	return l
}

// fluid is how much of the lung at (u, v) is replaced by an effusion.
func (l *lesions) fluid(a anatomy, u, v float64) float64 {
	k := 0
	if u > 0 {
		k = 1
	}
	depth := l.effusion[k]
	if depth == 0 {
		return 0
	}
	w := math.Abs(u) / a.width
	level := a.base + 0.14 - depth - l.slope*0.4*w*w*w // a meniscus: higher at the wall
	return edge(v-level, 0.07)
}

// freeAir is how much of the lung at (u, v) is free air in its place, and how
// near the edge of the collapsed lung is. out is a.outer(v).
func (l *lesions) freeAir(a anatomy, u, v, out float64) (air, line float64) {
	k := 0
	if u > 0 {
		k = 1
	}
	depth := l.air[k]
	if depth == 0 {
		return 0, 0
	}
	low := a.top + 0.35 + 1.1*depth // the air rises to the top
	fade := edge(low+0.1-v, 0.35)
	apex := a.top + 0.12 + 0.75*depth
	rim := out * (1 - 0.75*depth*fade)
	d := max(math.Abs(u)-rim, apex-v)
	return edge(d, 0.05) * fade, bell(d/0.018) * fade
}

// cloud is how much an opacity fills the lung at (u, v); patch is the noise
// that makes its rim ragged.
func (l *lesions) cloud(u, v, patch float64) float64 {
	var c float64
	for _, s := range l.clouds {
		if s.width > 0 {
			r := math.Hypot((u-s.u)/s.width, (v-s.v)/s.height) + 0.5*l.ragged*patch
			c = max(c, l.strong*edge(1-r, 0.9))
		}
	}
	return c
}

// nodule is the brightness that a nodule adds at (u, v).
func (l *lesions) nodule(u, v float64) float64 {
	var b float64
	for _, s := range l.nodules {
		if s.width > 0 {
			b += l.nodStrong * edge(1-math.Hypot((u-s.u)/s.width, (v-s.v)/s.height), 0.35)
		}
	}
	return b
}

// vessels draws the branching vessels of both lungs.
func (l *lesions) vessels(d dice, a anatomy, w view) plane {
	marks := newPlane()
	for _, side := range []float64{-1, 1} {
		for range 9 {
			branch(d, marks, w, side*0.17, d.between(-0.12, 0.08), side, d.between(-1.25, 1.25), 0.42, a.markings, 2)
		}
	}
	return marks
}

// branch draws one vessel outward from (u, v) and then what it forks into.
func branch(d dice, marks plane, w view, u, v, side, angle, length, height float64, forks int) {
	bend := d.between(-1.2, 1.2)
	const step = 0.012
	for t := 0.0; t < length; t += step {
		angle += bend * step
		u += side * math.Cos(angle) * step
		v += math.Sin(angle) * step
		x, y := w.pixel(u, v)
		marks.cover(x, y, 0.55+0.5*float64(forks)/2, height*(1-0.4*t/length))
	}
	if forks > 0 {
		for _, turn := range []float64{-0.4, 0.4} {
			branch(d, marks, w, u, v, side, angle+turn*d.between(0.5, 1.3), length*0.6, height*0.7, forks-1)
		}
	}
}

// drawDevice draws a pacemaker with its lead, or a catheter from below the
// collar bone: in both cases a thin bright line that crosses the lung and ends
// at the heart.
func drawDevice(d dice, film plane, w view, side float64, a anatomy) Fact {
	height, thick := d.between(0.36, 0.5), d.between(1.1, 1.5)
	kind := "catheter"
	from := spot{u: side * d.between(0.68, 0.8), v: a.top + d.between(0.02, 0.25)}
	bend := spot{u: side * d.between(0, 0.2), v: from.v - d.between(-0.1, 0.2)}
	if d.chance(0.5) {
		kind = "pacemaker"
		from = spot{u: side * d.between(0.5, 0.62), v: a.top + d.between(0.24, 0.36)}
		bend = spot{u: side * d.between(0, 0.12), v: from.v - d.between(0, 0.2)}
		box(d, film, w, from, height)
	}
	end := spot{u: d.between(0.0, 0.22), v: d.between(0.1, 0.36)}
	const steps = 200
	for k := range steps + 1 { // a quadratic Bézier curve
		t := float64(k) / steps
		p, q, r := (1-t)*(1-t), 2*t*(1-t), t*t
		x, y := w.pixel(p*from.u+q*bend.u+r*end.u, p*from.v+q*bend.v+r*end.v)
		stroke(film, x, y, thick, height)
	}
	return detail(Device, kind)
}

// stroke brightens film toward white under a round pen; passing over a pixel
// again adds nothing more than the pen's own height.
func stroke(film plane, x, y, thick, height float64) {
	for j := int(y) - 3; j <= int(y)+4; j++ {
		for i := int(x) - 3; i <= int(x)+4; i++ {
			if i < 0 || j < 0 || i >= Size || j >= Size {
				continue
			}
			ink := edge(thick-math.Hypot(float64(i)-x, float64(j)-y), 1.2)
			film[j*Size+i] = max(film[j*Size+i], (0.55+height)*ink)
		}
	}
}

// box draws the can of a pacemaker.
func box(d dice, film plane, w view, at spot, height float64) {
	hu, hv := d.between(0.075, 0.1), d.between(0.06, 0.08)
	x, y := w.pixel(at.u, at.v)
	reach := Size / 5
	for j := max(0, int(y)-reach); j < min(Size, int(y)+reach); j++ {
		for i := max(0, int(x)-reach); i < min(Size, int(x)+reach); i++ {
			u, v := w.body(float64(i), float64(j))
			in := edge(1-math.Hypot(math.Pow(math.Abs(u-at.u)/hu, 2), math.Pow(math.Abs(v-at.v)/hv, 2)), 0.3)
			film[j*Size+i] = max(film[j*Size+i], (0.5+height)*in)
		}
	}
}
