package phantom

import (
	"image"
	"math"
)

// plane is one channel of Size×Size values, 0 black to 1 white, row by row.
type plane []float64

func newPlane() plane { return make(plane, Size*Size) }

// cover raises values to those of a Gaussian spot: spots along a path make a
// line of even height however closely they lie.
func (p plane) cover(x, y, deviation, height float64) {
	r := int(math.Ceil(3 * deviation))
	cx, cy := int(math.Round(x)), int(math.Round(y))
	for j := max(0, cy-r); j <= min(Size-1, cy+r); j++ {
		for i := max(0, cx-r); i <= min(Size-1, cx+r); i++ {
			dx, dy := float64(i)-x, float64(j)-y
			far := (dx*dx + dy*dy) / (2 * deviation * deviation)
			if p[j*Size+i] <= height/(1+far+far*far/2) { // eᶠᵃʳ is more
				p[j*Size+i] = max(p[j*Size+i], height*math.Exp(-far))
			}
		}
	}
}

// blur smooths with a Gaussian of the given deviation in pixels.
func (p plane) blur(deviation float64) {
	if deviation < 0.2 {
		return
	}
	r := int(math.Ceil(3 * deviation))
	kernel := make([]float64, 2*r+1)
	var sum float64
	for i := range kernel {
		d := float64(i - r)
		kernel[i] = math.Exp(-d * d / (2 * deviation * deviation))
		sum += kernel[i]
	}
	line := make([]float64, Size)
	pass := func(start, step int) {
		for i := range line {
			var v float64
			for k, w := range kernel {
				v += w * p[start+step*max(0, min(Size-1, i+k-r))]
			}
			line[i] = v / sum
		}
		for i, v := range line {
			p[start+step*i] = v
		}
	}
	for i := range Size {
		pass(i*Size, 1)
	}
	for i := range Size {
		pass(i, Size)
	}
}

// clouds is smooth noise between about −1 and 1 with features of the given
// size in pixels: a coarse lattice of random values, interpolated.
func clouds(d dice, feature float64) plane {
	n := int(Size/feature) + 3
	lattice := make([]float64, n*n)
	for i := range lattice {
		lattice[i] = d.between(-1, 1)
	}
	out := newPlane()
	for y := range Size {
		fy := float64(y) / feature
		j := int(fy)
		ty := smooth(fy - float64(j))
		for x := range Size {
			fx := float64(x) / feature
			i := int(fx)
			tx := smooth(fx - float64(i))
			a := lattice[j*n+i]*(1-tx) + lattice[j*n+i+1]*tx
			b := lattice[(j+1)*n+i]*(1-tx) + lattice[(j+1)*n+i+1]*tx
			out[y*Size+x] = a*(1-ty) + b*ty
		}
	}
	return out
}

// colour is red, green, blue, each 0 to 1.
type colour [3]float64

// toward moves c the fraction t of the way to o.
func (c colour) toward(o colour, t float64) colour {
	for k := range c {
		c[k] += (o[k] - c[k]) * t
	}
	return c
}

// shifted moves every channel by its own small random amount.
func (c colour) shifted(d dice, by float64) colour {
	for k := range c {
		c[k] += d.between(-by, by)
	}
	return c
}

// canvas is a colour picture under way.
type canvas [3]plane

func newCanvas(paint colour) *canvas {
	var c canvas
	for k := range c {
		c[k] = newPlane()
		for i := range c[k] {
			c[k][i] = paint[k]
		}
	}
	return &c
}

// mix moves the pixel at index i the fraction t of the way to paint.
func (c *canvas) mix(i int, paint colour, t float64) {
	for k := range c {
		c[k][i] += (paint[k] - c[k][i]) * t
	}
}

// photograph ends a colour picture as a camera does: uneven light, a cast,
// contrast, blur and noise, all drawn from d.
func (c *canvas) photograph(d dice, noise float64) *image.RGBA {
	gain, lift := d.between(0.85, 1.12), d.between(-0.05, 0.05)
	tilt, angle := d.between(0, 0.12), d.between(0, 2*math.Pi)
	blur := d.between(0, 1.6)
	grain := d.between(0.2, 1) * noise
	img := image.NewRGBA(image.Rect(0, 0, Size, Size))
	cos, sin := math.Cos(angle), math.Sin(angle)
	for k := range c {
		c[k].blur(blur)
		channel := gain * d.between(0.95, 1.05)
		for i, v := range c[k] {
			x, y := float64(i%Size)/Size-0.5, float64(i/Size)/Size-0.5
			light := 1 + tilt*(x*cos+y*sin)*2
			img.Pix[4*i+k] = level((v*channel*light + lift) + grain*d.NormFloat64())
			img.Pix[4*i+3] = 255
		}
	}
	return img
}

// level turns 0…1 into 0…255, cut off at both ends.
func level(v float64) uint8 { return uint8(math.Round(255 * max(0, min(1, v)))) }

// smooth is the cubic that runs from 0 at 0 to 1 at 1 with level ends.
func smooth(t float64) float64 {
	t = max(0, min(1, t))
	return t * t * (3 - 2*t)
}

// edge is 0 well below x = 0, 1 well above, and crosses over within width.
func edge(x, width float64) float64 { return smooth(x/width + 0.5) }

// bell is a Gaussian of height 1 and deviation 1.
func bell(x float64) float64 { return math.Exp(-x * x / 2) }

// outline is a closed curve around a centre: radius·(1 + waves), where the
// wave of k periods has its amplitude and phase in its k-th place from 2 on.
type outline struct {
	x, y, radius, stretch, turn float64
	amplitude, phase            []float64
}

// newOutline draws an outline that departs from an ellipse by about rough.
func newOutline(d dice, x, y, radius, stretch, rough float64, waves int) outline {
	o := outline{x: x, y: y, radius: radius, stretch: stretch, turn: d.between(0, 2*math.Pi)}
	for k := range waves {
		o.amplitude = append(o.amplitude, rough*d.between(0.4, 1)/math.Sqrt(float64(k+1)))
		o.phase = append(o.phase, d.between(0, 2*math.Pi))
	}
	return o
}

// at returns how far out (x, y) lies: 0 at the centre, 1 on the curve.
func (o outline) at(x, y float64) float64 {
	dx, dy := x-o.x, y-o.y
	c, s := math.Cos(o.turn), math.Sin(o.turn)
	dx, dy = (dx*c+dy*s)/o.stretch, (dy*c-dx*s)*o.stretch
	angle := math.Atan2(dy, dx)
	r := 1.0
	for k, a := range o.amplitude {
		r += a * math.Cos(float64(k+2)*angle+o.phase[k])
	}
	return math.Hypot(dx, dy) / (o.radius * max(0.3, r))
}

// within calls paint for every pixel inside reach times the outline, with how
// far out it lies.
func (o outline) within(reach float64, paint func(i int, out float64)) {
	r := o.radius * reach * 1.6 * max(o.stretch, 1/o.stretch)
	for y := max(0, int(o.y-r)); y <= min(Size-1, int(o.y+r)); y++ {
		for x := max(0, int(o.x-r)); x <= min(Size-1, int(o.x+r)); x++ {
			if out := o.at(float64(x), float64(y)); out < reach {
				paint(y*Size+x, out)
			}
		}
	}
}
