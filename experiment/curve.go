package experiment

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/evaluate"
	"github.com/medprobe/medprobe/trainer"
	"golang.org/x/sync/errgroup"
)

// curvePoint is one point of the curves of a class set: a kind of head at a
// number of shots, drawn several times.
type curvePoint struct {
	kind  string
	set   classSet
	shots int
	// scores holds, for each draw and class of the set, the log-odds of the
	// test samples; supports the rows each draw was trained on.
	scores   [][][]float64
	supports [][]int
	// unmet says why the point cannot be drawn.
	unmet string
}

// curves returns a learning curve for each finding and kind of head, beside
// zero-shot, the first of the methods where there are prompts.
func (l *lab) curves(ctx context.Context, tests []finding, methods []*method, progress func(done, total int)) ([]evaluate.Curve, error) {
	var zero *method
	if l.prior != nil {
		zero = methods[0]
	}
	points, err := l.curvePoints(ctx, progress)
	if err != nil {
		return nil, err
	}
	var curves []evaluate.Curve
	for c, test := range tests {
		for _, kind := range l.config.Heads {
			curve := evaluate.Curve{Finding: l.data.Classes[c], Method: kind}
			for _, p := range points {
				for k, class := range p.set {
					if class != c || p.kind != kind {
						continue
					}
					point, err := l.point(p, k, test, zero)
					if err != nil {
						return nil, fmt.Errorf("experiment: curve of %q for %q at %d shots: %w", kind, l.data.Classes[c], p.shots, err)
					}
					curve.Points = append(curve.Points, point)
				}
			}
			if len(curve.Points) == 0 {
				continue
			}
			if zero != nil {
				curve.FindEnough()
			}
			if err := curve.FindTrend(); err != nil {
				return nil, fmt.Errorf("experiment: curve of %q for %q: %w", kind, curve.Finding, err)
			}
			curves = append(curves, curve)
		}
	}
	return curves, nil
}

// curvePoints trains every head of every curve, several at a time.
func (l *lab) curvePoints(ctx context.Context, progress func(done, total int)) ([]*curvePoint, error) {
	var points []*curvePoint
	for _, set := range l.classSets() {
		for _, kind := range l.config.Heads {
			for _, shots := range l.config.Curve.Shots {
				points = append(points, &curvePoint{kind: kind, set: set, shots: shots})
			}
		}
	}
	return points, eachPoint(ctx, points, progress, func(ctx context.Context, p *curvePoint) error {
		if err := l.trainDraws(ctx, p); err != nil {
			return fmt.Errorf("experiment: curve of %q at %d shots: %w", p.kind, p.shots, err)
		}
		return nil
	})
}

// eachPoint does the points of curves, several at a time, and tells how many are done.
func eachPoint[P any](ctx context.Context, points []P, progress func(done, total int), do func(context.Context, P) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	var mu sync.Mutex // progress is told from one goroutine at a time
	done := 0
	for _, p := range points {
		group.Go(func() error {
			if err := do(ctx, p); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			done++
			progress(done, len(points))
			return nil
		})
	}
	return group.Wait()
}

// trainDraws trains the draws of one point.
func (l *lab) trainDraws(ctx context.Context, p *curvePoint) error {
	for draw := range l.config.Curve.Draws {
		rows, err := l.draw(p.set, p.shots, draw)
		if short, ok := errors.AsType[*datasets.ShortError](err); ok {
			p.unmet = fmt.Sprintf("only %d %s samples to draw from", short.Have, short.Of)
			return nil
		} else if err != nil {
			return err
		}
		head, err := l.fitOrKeep(ctx, p, rows)
		if err != nil || p.unmet != "" {
			return err
		}
		odds, err := head.LogOdds(l.testX)
		if err != nil {
			return err
		}
		var scores [][]float64
		for k := range p.set {
			scores = append(scores, column(odds, k))
		}
		p.scores, p.supports = append(p.scores, scores), append(p.supports, rows)
	}
	return nil
}

// fitOrKeep trains a head. Where the draw lacks the positives or the negatives
// of a finding, as scenarios have it, the linear probe keeps the zero-shot score
// that it starts from; of other heads and classes the point is unmet.
func (l *lab) fitOrKeep(ctx context.Context, p *curvePoint, rows []int) (*trainer.Head, error) {
	for _, class := range p.set {
		positives, negatives := l.count(rows, class)
		if positives > 0 && negatives > 0 {
			continue
		}
		prior := l.priorOf(p.set)
		if p.kind == trainer.LinearProbe && prior != nil && len(p.set) == 1 {
			return trainer.ZeroShot(*prior, []string{l.data.Classes[class]}, false, l.space)
		}
		p.unmet = fmt.Sprintf("a draw has %d positives and %d negatives of %s, and the head wants both", positives, negatives, l.data.Classes[class])
		return nil, nil
	}
	return l.fit(ctx, p.kind, p.set, rows)
}

// point judges class k of the set on the test samples.
func (l *lab) point(p *curvePoint, k int, test finding, zero *method) (evaluate.CurvePoint, error) {
	if p.unmet != "" {
		return evaluate.CurvePoint{Shots: p.shots, Unmet: p.unmet}, nil
	}
	var draws [][]float64
	for _, scores := range p.scores {
		draws = append(draws, pick(scores[k], test.rows))
	}
	point, err := evaluate.NewCurvePoint(p.shots, draws, test.labels, test.groups, l.data.Unit)
	if err != nil {
		return point, err
	}
	point.Positives, point.Negatives = l.count(p.supports[0], p.set[k])
	point.Patients = l.patients(p.supports[0])
	if zero != nil {
		err = point.CompareWith(pick(column(zero.odds, p.set[k]), test.rows), draws, test.labels, test.groups, l.data.Unit)
	}
	return point, err
}

// count returns how many of the rows are positive and negative for the class.
func (l *lab) count(rows []int, class int) (positives, negatives int) {
	for _, i := range rows {
		switch l.data.Samples[i].Labels[class] {
		case datasets.Positive:
			positives++
		case datasets.Negative:
			negatives++
		}
	}
	return positives, negatives
}
