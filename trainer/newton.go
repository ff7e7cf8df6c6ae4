package trainer

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
)

// system is the Newton system H·d = −g of one path, on its way to be solved; d,
// the residual r and the direction q are outputs × (dim+1).
type system struct {
	*path
	d, r, q   []float64
	rho, stop float64
	// curvature times the second moments is about the Hessian of each output;
	// intercept is that of its intercept.
	curvature, intercept []float64
}

// newton returns the Newton steps of the paths, side by side, to a residual that
// falls with the gradient, by preconditioned conjugate gradients.
func (b *descent) newton(active []*path) (blas64.General, error) {
	steps := matrix(rowsOf(active), b.dim+1)
	if err := b.factorize(active); err != nil {
		return steps, err
	}
	systems := make([]*system, len(active))
	b.eachPath(active, func(p *path, at int) {
		s := &system{path: p, d: part(steps, at, p.outputs).Data}
		s.r = make([]float64, len(s.d))
		floats.SubTo(s.r, s.d, part(b.g, p.first, p.outputs).Data)
		s.q = make([]float64, len(s.d))
		s.stop = p.norm * min(0.25, max(0.1, math.Sqrt(p.norm/p.reference)))
		if b.precision > single {
			s.stop = p.norm * min(0.1, max(1e-3, math.Sqrt(p.norm/p.reference)))
		}
		b.curvatures(s)
		p.solves = 0
		for i := range active {
			if active[i] == p {
				systems[i] = s
			}
		}
	})
	if err := b.direct(systems); err != nil {
		return steps, err
	}
	for range 10 * (b.dim + 1) {
		var left []*system
		for _, s := range systems {
			// What is hard is left as it is: the next step has a factor.
			hard := b.hard(s.path) && s.factor == nil && s.outputs == 1
			if s.rho > 0 && !hard && floats.Norm(s.r, 2) > s.stop {
				left = append(left, s)
			}
		}
		if systems = left; len(systems) == 0 {
			break
		}
		hq, err := b.hessianTimes(systems)
		if err != nil {
			return steps, err
		}
		for i, s := range systems {
			s.solves++
			curvature := floats.Dot(s.q, hq[i])
			if !(curvature > 0) {
				s.stop = math.Inf(1) // as far as the precision goes
				continue
			}
			alpha := s.rho / curvature
			floats.AddScaled(s.d, alpha, s.q)
			floats.AddScaled(s.r, -alpha, hq[i])
		}
		if err := b.direct(systems); err != nil {
			return steps, err
		}
	}
	return steps, nil
}

// curvatures sets how the losses bend, and how the system's Hessian compares to
// the second moments.
func (b *descent) curvatures(s *system) {
	prob := part(b.prob, s.first, s.outputs)
	most := 0.0
	for k := range s.outputs {
		sum := 0.0
		row := prob.Data[k*prob.Stride:][:b.rows]
		for i, w := range s.weight {
			if w != 0 {
				v := w * row[i] * (1 - row[i])
				sum, most = sum+v, max(most, v)
			}
		}
		s.curvature = append(s.curvature, s.c*sum/float64(b.rows))
		s.intercept = append(s.intercept, max(s.c*sum, math.SmallestNonzeroFloat64*0x1p60))
	}
	if s.outputs > 1 {
		return
	}
	s.bendScale = powerOfTwo(s.c * most)
	sized(&s.bend, b.rows)
	for i, w := range s.weight {
		s.bend[i] = float32(s.c * w * prob.Data[i] * (1 - prob.Data[i]) / s.bendScale)
	}
}

// sideBySide returns rows of the systems side by side.
func (b *descent) sideBySide(systems []*system, rows func(s *system) []float64) blas64.General {
	outputs := 0
	for _, s := range systems {
		outputs += s.outputs
	}
	m := b.wideRoom(1, outputs, b.dim+1)
	left := m.Data
	for _, s := range systems {
		left = left[copy(left, rows(s)):]
	}
	return m
}

// direct turns the directions of the systems to their residuals, as the factor
// of a Hessian nearby has them, or else the second moments.
func (b *descent) direct(systems []*system) error {
	var plain []*system
	for _, s := range systems {
		if s.factor == nil {
			plain = append(plain, s)
		}
	}
	r := b.sideBySide(plain, func(s *system) []float64 { return s.r })
	y := b.wideRoom(2, r.Rows, r.Cols)
	var curvature, intercept []float64
	for _, s := range plain {
		curvature, intercept = append(curvature, s.curvature...), append(intercept, s.intercept...)
	}
	if len(plain) > 0 {
		if err := b.spectrum.solve(b.design, r, y, curvature, intercept); err != nil {
			return err
		}
	}
	rest := y.Data
	for _, s := range plain {
		s.turn(rest[:len(s.r)])
		rest = rest[len(s.r):]
	}
	for len(systems) > 0 {
		var same, others []*system
		f := systems[0].factor
		for _, s := range systems {
			if s.factor == f {
				same = append(same, s)
			} else {
				others = append(others, s)
			}
		}
		if systems = others; f == nil {
			continue
		}
		r := b.sideBySide(same, func(s *system) []float64 { return s.r })
		if err := f.solve(b.design, r); err != nil {
			return err
		}
		for k, s := range same {
			s.turn(r.Data[k*r.Stride:][:r.Cols])
		}
	}
	return nil
}

// turn makes the next direction conjugate to those before; own is the residual
// as the preconditioner has it.
func (s *system) turn(own []float64) {
	rho := floats.Dot(s.r, own)
	if s.rho > 0 {
		floats.AddScaledTo(s.q, own, rho/s.rho, s.q)
	} else {
		copy(s.q, own)
	}
	s.rho = rho
}

// hessianTimes returns H·q of each system. The intercepts of a softmax may be
// moved together without effect; along that direction H gets a curvature of its
// own, which changes no step since no gradient lies along it.
func (b *descent) hessianTimes(systems []*system) ([][]float64, error) {
	q := b.sideBySide(systems, func(s *system) []float64 { return s.q })
	out := b.wideRoom(2, q.Rows, q.Cols)
	if err := b.curved(systems, q, out); err != nil {
		return nil, err
	}
	addPenalty(out, q)
	hq, at := make([][]float64, len(systems)), 0
	for i, s := range systems {
		hq[i] = out.Data[at*out.Stride:][:len(s.q)]
		at += s.outputs
		if s.outputs > 1 {
			shift := 0.0
			for k := range s.outputs {
				shift += s.q[(k+1)*out.Stride-1]
			}
			for k := range s.outputs {
				hq[i][(k+1)*out.Stride-1] += shift
			}
		}
	}
	return hq, nil
}

// curved sets out to (q·X̃ᵀ)·B·X̃, where B holds the curvature of the losses. But
// in double precision, the logits stay in float32 between the two products.
func (b *descent) curved(systems []*system, q, out blas64.General) error {
	if b.precision == double {
		t := part(b.spare, 0, q.Rows)
		if err := b.forward(q, t, true); err != nil {
			return err
		}
		b.eachSystem(systems, func(s *system, at int) {
			rows := part(t, at, s.outputs).Data
			if s.outputs > 1 {
				bendSoftmax(b, s.path, rows, s.c)
				return
			}
			prob := part(b.prob, s.first, 1).Data
			for i, w := range s.weight {
				rows[i] *= s.c * w * prob[i] * (1 - prob[i])
			}
		})
		return b.backward(t, out, true)
	}
	logits, scales, shift, err := b.fastForward(q)
	if err != nil {
		return err
	}
	b.eachSystem(systems, func(s *system, at int) {
		rows := logits.Data[at*logits.Cols : (at+s.outputs)*logits.Cols]
		if s.outputs > 1 {
			addShifts(rows, scales[at:at+s.outputs], shift[at:at+s.outputs])
			most := powerOfTwo(s.c * floats.Max(s.weight))
			bendSoftmax(b, s.path, rows, s.c/most)
			floats.Scale(most, scales[at:at+s.outputs])
			return
		}
		// A shift too great for float32 comes of weights too small to matter.
		scale := max(scales[at], powerOfTwo(shift[at])*0x1p-64)
		factor, constant := float32(scales[at]/scale), float32(shift[at]/scale)
		for i, w := range s.bend {
			rows[i] = w * (rows[i]*factor + constant)
		}
		scales[at] = scale * s.bendScale
	})
	return b.fastBackward(logits, scales, out)
}

// addShifts adds their shifts to rows of logits, and brings them to one scale.
func addShifts(rows []float32, scales, shift []float64) {
	n, most := len(rows)/len(scales), slices.Max(scales)
	for _, v := range shift {
		most = max(most, powerOfTwo(v))
	}
	for k, s := range scales {
		factor, constant := float32(s/most), float32(shift[k]/most)
		for i := range n {
			rows[k*n+i] = rows[k*n+i]*factor + constant
		}
		scales[k] = most
	}
}

// bendSoftmax multiplies changes of the logits by the curvature of the losses.
func bendSoftmax[T float32 | float64](b *descent, p *path, t []T, c float64) {
	prob, n := part(b.prob, p.first, p.outputs), b.rows
	for i, s := range p.weight {
		mean := 0.0
		for k := range p.outputs {
			mean += float64(t[k*n+i]) * prob.Data[k*prob.Stride+i]
		}
		for k := range p.outputs {
			t[k*n+i] = T(c * s * prob.Data[k*prob.Stride+i] * (float64(t[k*n+i]) - mean))
		}
	}
}

// eachSystem is eachPath for systems.
func (b *descent) eachSystem(systems []*system, do func(s *system, at int)) {
	at := make([]int, len(systems)+1)
	for i, s := range systems {
		at[i+1] = at[i] + s.outputs
	}
	b.each(len(systems), func(i int) { do(systems[i], at[i]) })
}
