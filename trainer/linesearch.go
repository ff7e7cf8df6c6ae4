package trainer

import (
	"math"

	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
)

// move takes each path to about the least point along its step.
func (b *descent) move(active []*path, steps blas64.General) error {
	along := part(b.spare, 0, steps.Rows)
	if err := b.forward(steps, along, b.precision == double); err != nil {
		return err
	}
	b.eachPath(active, func(p *path, at int) {
		d := part(steps, at, p.outputs)
		t := b.search(p, d, part(along, at, p.outputs))
		p.parked = t == 0
		p.iterations++
		floats.AddScaled(part(b.v, p.first, p.outputs).Data, t, d.Data)
		floats.AddScaled(part(b.z, p.first, p.outputs).Data, t, part(along, at, p.outputs).Data)
	})
	if b.precision > single {
		return b.place(active)
	}
	return nil
}

// search returns how far to go along d: to where the slope is small beside that
// at 0, by doubling, halving and secants; 0 where rounding allows no descent. It
// sets the path's value and probabilities to those found.
func (b *descent) search(p *path, d, along blas64.General) float64 {
	slope0, w0, w1 := floats.Dot(part(b.g, p.first, p.outputs).Data, d.Data), 0.0, 0.0
	v, half := part(b.v, p.first, p.outputs), 0.0
	for k := range p.outputs {
		w, dw := v.Data[k*v.Stride:][:b.dim], d.Data[k*d.Stride:][:b.dim]
		half, w0, w1 = half+floats.Dot(w, w)/2, w0+floats.Dot(w, dw), w1+floats.Dot(dw, dw)
	}
	rounding := []float64{1e-9, 1e-13, 1e-14}[b.precision] * math.Abs(p.value)
	low, high := 0.0, math.Inf(1)
	if slope0 < 0 {
		for t := 1.0; t > 1e-12 && t < 1e12; {
			loss, slope := b.trial(p, along, t)
			value := loss + half + t*w0 + t*t*w1/2
			slope += w0 + t*w1
			switch {
			case !(slope <= -0.5*slope0) || !(value <= p.value+rounding):
				high = t
				// Where the slope would be 0 if it were straight.
				next := low + (t-low)*slope0/(slope0-slope)
				t = min(max(next, low+(t-low)/10), low+(t-low)/2)
				if !(t > low) { // not a number
					t = low + (high-low)/2
				}
			case slope < 0.2*slope0 && !(value >= p.value-rounding) && high-t > 0.1*t:
				low = t
				t = min(2*t, t+(high-t)/2)
			default:
				if p.stalled++; p.value-value > rounding {
					p.stalled = 0
				}
				p.gain, p.value = p.value-value, value
				return t
			}
		}
	}
	b.trial(p, blas64.General{}, 0)
	return 0
}

// trial returns C·Σ s·loss at z + t·along and its slope along the line, and
// leaves the probabilities in prob. Without along it looks at z.
func (b *descent) trial(p *path, along blas64.General, t float64) (loss, slope float64) {
	z, prob := part(b.z, p.first, p.outputs), part(b.prob, p.first, p.outputs)
	if p.outputs > 1 {
		return b.softmaxTrial(p, along, t)
	}
	for i, s := range p.weight {
		if s == 0 {
			continue
		}
		logit, move := z.Data[i], 0.0
		if along.Data != nil {
			move = along.Data[i]
			logit += t * move
		}
		l, q := logLoss(logit, p.y[i])
		prob.Data[i] = q
		loss += s * l
		slope += s * (q - float64(p.y[i])) * move
	}
	return p.c * loss, p.c * slope
}

func (b *descent) softmaxTrial(p *path, along blas64.General, t float64) (loss, slope float64) {
	z, prob := part(b.z, p.first, p.outputs), part(b.prob, p.first, p.outputs)
	row, move := make([]float64, p.outputs), make([]float64, p.outputs)
	for i, s := range p.weight {
		if s == 0 {
			continue
		}
		for k := range row {
			row[k] = z.Data[k*z.Stride+i]
			if along.Data != nil {
				move[k] = along.Data[k*along.Stride+i]
				row[k] += t * move[k]
			}
		}
		own := row[p.y[i]]
		loss += s * (softmax(row) - own)
		for k, q := range row {
			prob.Data[k*prob.Stride+i] = q
		}
		slope += s * (floats.Dot(row, move) - move[p.y[i]])
	}
	return p.c * loss, p.c * slope
}
