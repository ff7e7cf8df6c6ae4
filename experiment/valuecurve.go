package experiment

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/evaluate"
)

// valueTest is what is known of one target in the test part.
type valueTest struct {
	places  []int // of the test samples whose value is known
	truth   []float64
	groups  []string
	missing int
}

func (l *lab) valueTest(target int) (t valueTest) {
	for r, i := range l.test {
		s := &l.data.Samples[i]
		if math.IsNaN(s.Values[target]) {
			t.missing++
			continue
		}
		t.places, t.truth, t.groups = append(t.places, r), append(t.truth, s.Values[target]), append(t.groups, s.Group())
	}
	return t
}

// valuePoint is one point of the curves of a target: every method at a number of
// labelled samples, drawn several times.
type valuePoint struct {
	target, shots int
	patients      int // of the first draw
	methods       []evaluate.ValueDraws
	// unmet says why the point cannot be drawn.
	unmet string
}

// valueCurves returns a learning curve for each target and method, the baselines
// among them: they are fitted on the same labels as the heads.
func (l *lab) valueCurves(ctx context.Context, progress func(done, total int)) ([]evaluate.ValueCurve, error) {
	points, err := l.valuePoints(ctx, progress)
	if err != nil {
		return nil, err
	}
	baselines := 1
	if l.prior != nil {
		baselines = 2
	}
	var curves []evaluate.ValueCurve
	for c, name := range l.data.Classes {
		test, of := l.valueTest(c), map[string]*evaluate.ValueCurve{}
		var order []string
		for _, p := range points {
			for k, m := range p.methods {
				if p.target != c {
					continue
				}
				if of[m.Method] == nil {
					order, of[m.Method] = append(order, m.Method), &evaluate.ValueCurve{Target: name, Method: m.Method}
				}
				point := evaluate.ValueCurvePoint{Shots: p.shots, Unmet: p.unmet}
				if p.unmet == "" {
					var against []evaluate.ValueDraws
					if k >= baselines {
						against = p.methods[:baselines]
					}
					point, err = evaluate.NewValueCurvePoint(ctx, p.shots, m, against, test.truth, test.groups, l.data.Unit, evaluate.Bootstrap{Seed: l.config.Seed})
					if err != nil {
						return nil, fmt.Errorf("experiment: curve of %q for %q at %d labels: %w", m.Method, name, p.shots, err)
					}
					point.Patients = p.patients
				}
				of[m.Method].Points = append(of[m.Method].Points, point)
			}
		}
		for _, method := range order {
			of[method].FindEnough()
			curves = append(curves, *of[method])
		}
	}
	return curves, nil
}

// valuePoints trains every method of every curve, several points at a time.
func (l *lab) valuePoints(ctx context.Context, progress func(done, total int)) ([]*valuePoint, error) {
	var points []*valuePoint
	for c := range l.data.Classes {
		for _, shots := range l.config.Curve.Shots {
			points = append(points, &valuePoint{target: c, shots: shots})
		}
	}
	return points, eachPoint(ctx, points, progress, func(ctx context.Context, p *valuePoint) error {
		if err := l.drawValues(ctx, p); err != nil {
			return fmt.Errorf("experiment: curve of %q at %d labels: %w", l.data.Classes[p.target], p.shots, err)
		}
		return nil
	})
}

// drawValues trains the draws of one point.
func (l *lab) drawValues(ctx context.Context, p *valuePoint) error {
	test := l.valueTest(p.target)
	for draw := range l.config.Curve.Draws {
		rows, err := datasets.DrawValues(l.data, l.train, p.target, datasets.Shots{K: p.shots, Seed: l.config.Seed, Draw: draw})
		if short, ok := errors.AsType[*datasets.ShortError](err); ok {
			l.leaveOut(p, fmt.Sprintf("only %d samples with a known value to draw from", short.Have))
			return nil
		} else if err != nil {
			return err
		}
		if len(rows) < 2 {
			l.leaveOut(p, "a value is fitted from 2 samples or more")
			return nil
		}
		methods, err := l.valueMethods(ctx, rows, classSet{p.target}, func(int, int) {})
		if err != nil {
			return err
		}
		if draw == 0 {
			p.patients = l.patients(rows)
		}
		for k, m := range methods {
			if draw == 0 {
				p.methods = append(p.methods, evaluate.ValueDraws{Method: m.name})
			}
			p.methods[k].Draws = append(p.methods[k].Draws, pick(column(m.predicted, 0), test.places))
		}
	}
	return nil
}

// leaveOut makes of a point one that says why it has no figure.
func (l *lab) leaveOut(p *valuePoint, why string) {
	p.unmet, p.methods = why, nil
	names := []string{meanOfTrain}
	if l.prior != nil {
		names = append(names, zeroShotAxis)
	}
	for _, name := range append(names, l.config.Heads...) {
		p.methods = append(p.methods, evaluate.ValueDraws{Method: name})
	}
}
