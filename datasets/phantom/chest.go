package phantom

import (
	"image"
	"math"
)

// Chest coordinates: u runs from −1 at the image's left to 1 at its right, v
// from −1 at the top to 1 at the bottom, before the image is turned, shifted
// and scaled.

// anatomy is what all radiographs of a patient share.
type anatomy struct {
	width      float64 // half the width of the chest inside, at its widest
	top        float64 // v of the apex of the lungs
	base       float64 // v of the domes of the diaphragm
	lift       float64 // by how much the image's left dome stands higher
	heart      float64 // width of a healthy heart, as a part of the chest's
	large      float64 // the same when enlarged
	heartTall  float64
	middle     float64 // half the width of the mediastinum
	ribs       float64 // distance between ribs
	ribPhase   float64
	bone       float64 // how bright bones are
	fat        float64 // thickness of the chest wall
	markings   float64 // strength of the vessels in the lung
	airiness   float64 // how much darker than flesh a lung is
	shoulder   float64
	breast     float64
	breastSize float64
}

func newAnatomy(d dice) anatomy {
	return anatomy{
		width: d.around(0.76, 0.035), top: d.around(-0.80, 0.03), base: d.around(0.50, 0.05),
		lift: d.around(0.05, 0.02), heart: d.around(0.44, 0.025), large: d.around(0.60, 0.03),
		heartTall: d.around(0.36, 0.03), middle: d.around(0.13, 0.015), ribs: d.around(0.155, 0.012),
		ribPhase: d.between(0, 1), bone: d.around(0.07, 0.018), fat: d.around(0.14, 0.035),
		markings: d.around(0.11, 0.025), airiness: d.around(0.44, 0.04), shoulder: d.between(0.05, 0.3),
		breast: max(0, d.around(0.02, 0.035)), breastSize: d.between(0.25, 0.4),
	}
}

// view is how one radiograph was taken.
type view struct{ turn, scale, right, down float64 }

// body turns pixel coordinates into chest coordinates.
func (w view) body(x, y float64) (u, v float64) {
	u, v = (2*(x+0.5)/Size-1-w.right)/w.scale, (2*(y+0.5)/Size-1-w.down)/w.scale
	c, s := math.Cos(w.turn), math.Sin(w.turn)
	return u*c + v*s, v*c - u*s
}

// pixel is the inverse of body.
func (w view) pixel(u, v float64) (x, y float64) {
	c, s := math.Cos(w.turn), math.Sin(w.turn)
	u, v = u*c-v*s, v*c+u*s
	return (u*w.scale+w.right+1)*Size/2 - 0.5, (v*w.scale+w.down+1)*Size/2 - 0.5
}

// outer is the half width of the chest inside at height v.
func (a anatomy) outer(v float64) float64 {
	t := (v - a.top) / (a.base + 0.25 - a.top)
	if t <= 0 {
		return 0
	}
	t = min(1, t)
	return a.width * (0.30 + 0.70*math.Pow(1-math.Pow(1-t, 2.2), 0.8)) * math.Sqrt(smooth(t/0.12))
}

// dome is the height of the diaphragm at u.
func (a anatomy) dome(u float64) float64 {
	w := (math.Abs(u) - 0.40*a.width/0.76) / 0.40
	v := a.base + 0.20*w*w
	if u < 0 {
		v -= a.lift
	}
	return v
}

// lung is how much of the ray through (u, v) passes through lung, 0 to 1,
// before the heart and any finding. out is outer(v).
func (a anatomy) lung(u, v, out float64) float64 {
	within := edge(out-math.Abs(u), 0.05)
	if within == 0 {
		return 0
	}
	inner := a.middle + 0.05*bell((v+0.05)/0.12) // the roots of the lungs
	return within * edge(math.Abs(u)-inner, 0.07) * edge(a.dome(u)-v, 0.05)
}

// bones is the brightness that ribs, collar bones and spine add at (u, v). out
// is outer(v).
func (a anatomy) bones(u, v, out float64) float64 {
	out += 0.05
	w := math.Abs(u)
	var b float64
	if in := edge(out-w, 0.04) * edge(w-0.06, 0.05); in > 0 && v < a.base+0.35 {
		back := (v-0.35*math.Pow(w, 1.6))/a.ribs + a.ribPhase
		back -= math.Round(back)
		front := (v+0.30*w)/(1.25*a.ribs) + a.ribPhase*1.7
		front -= math.Round(front)
		bright := bell(back / 0.17)
		if side := edge(w-0.35, 0.2); side > 0 {
			bright += 0.45 * bell(front/0.2) * side
		}
		b += in * a.bone * bright
	}
	if collar := v - (a.top + 0.20 - 0.20*(w-0.1)); math.Abs(collar) < 0.25 { // beyond, less than 1e-17
		b += 1.5 * a.bone * bell(collar/0.028) * edge(w-0.08, 0.05) * edge(0.85-w, 0.2)
	}
	if spine := edge(0.075-w, 0.03); spine > 0 {
		disc := v/0.11 + a.ribPhase
		b += 0.5 * a.bone * spine * (1 + 0.5*bell((disc-math.Round(disc))/0.2))
	}
	return b
}

// flesh is the brightness of the body at (u, v) without its lungs; outside the
// body it is 0. out is outer(v).
func (a anatomy) flesh(u, v, out float64) float64 {
	w := math.Abs(u)
	if v < a.top+0.15 {
		out = a.outer(a.top + 0.15)
	}
	wall := max(out, 0.36) + a.fat
	if v < a.top+0.55 { // shoulders and arms
		wall += a.shoulder * 2 * smooth((a.top+0.55-v)/0.5)
	}
	neck := edge(v-(a.top-0.02+0.35*max(0, w-0.28)), 0.08)
	neck = max(neck, edge(0.26-w, 0.06))
	in := edge(wall-w, 0.08) * neck
	if in == 0 {
		return 0
	}
	bright := 0.64 + 0.10*edge(v-a.dome(u), 0.12)
	if a.breast > 0 {
		bright += a.breast * 2 * bell((w-0.42)/a.breastSize) * bell((v-0.3)/0.22)
	}
	return in * bright * (0.78 + 0.22*edge(wall-w, 0.35))
}

// drawChest draws one radiograph with the given findings and returns what
// there is to say about it beyond which findings it has.
func drawChest(d dice, a anatomy, findings map[Finding]bool, sides map[Finding]float64) (*image.RGBA, []Fact) {
	w := view{d.around(0, 0.05), d.between(0.92, 1.14), d.around(0, 0.035), d.around(0, 0.035)}
	var facts []Fact
	ills := newLesions(d, a, findings, sides, &facts)
	marks := ills.vessels(d, a, w)
	film := newPlane()
	patch := clouds(d, 7)
	ratio := a.heart
	if findings[Cardiomegaly] {
		ratio = a.large
	}
	ratio = d.around(ratio, 0.012)
	for y := range Size {
		for x := range Size {
			i := y*Size + x
			u, v := w.body(float64(x), float64(y))
			film[i] = a.density(u, v, ratio, marks[i], patch[i], ills)
		}
	}
	if findings[Device] {
		facts = append(facts, drawDevice(d, film, w, sides[Device], a))
	}
	return expose(d, film, w, &facts), facts
}

// density is the brightness of the film at (u, v).
func (a anatomy) density(u, v, ratio, mark, patch float64, ills *lesions) float64 {
	out := a.outer(v)
	flesh := a.flesh(u, v, out)
	if flesh < 0.01 {
		return 0
	}
	lung := a.lung(u, v, out)
	heart := a.heartAt(u, v, ratio)
	air := lung * (1 - 0.95*heart)
	air *= 1 - 0.95*ills.fluid(a, u, v)
	free, line := ills.freeAir(a, u, v, out)
	cloud := ills.cloud(u, v, patch)
	dark := a.airiness*(1-cloud) + 0.20*free*(1-cloud)
	b := flesh - air*dark + a.bones(u, v, out)*(1-0.35*heart)
	b += air * (mark*(1-free) + 0.16*line)
	b += 0.05 * edge(a.middle-math.Abs(u), 0.08) * edge(a.base-v, 0.2)
	return b + 0.04*heart + max(air, 0.25*lung)*ills.nodule(u, v)
}

// heartAt is 1 within the heart's shadow, 0 outside. ratio is its width as a
// part of the chest's.
func (a anatomy) heartAt(u, v, ratio float64) float64 {
	half := ratio * a.width
	cu, cv := 0.38*half, a.base-0.22
	du, dv := (u-cu)/half, (v-cv-0.12*(u-cu))/a.heartTall
	if dv < 0 { // narrower toward the great vessels
		du /= 1 + 0.35*dv
	}
	r := math.Sqrt(du*du + dv*dv)
	return edge(1-r, 0.10)
}
