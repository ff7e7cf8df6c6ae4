package evaluate

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// Enough says from how many labels on a method is better than zero-shot.
type Enough struct {
	// Shots is the number of a point, Labels and Patients are what a head was
	// trained on there.
	Shots    int     `json:"shots"`
	Labels   int     `json:"labels"`
	Patients int     `json:"patients,omitempty"`
	Level    float64 `json:"level"`
	// Unmet says why there is no such number; the others are then 0.
	Unmet string `json:"unmet,omitempty"`
}

// CompareWith sets OverZeroShot: how far the point's heads are above zero-shot on
// the same test samples. draws, labels, groups and unit are those that the point
// was made of, zero the scores of zero-shot.
//
// The figure is the mean over the R draws of the paired differences in AUC. Its
// interval is for one more draw as they come, since a user will have one, and so
// holds two variances: V, DeLong's of the mean difference, paired and clustered,
// and s²·(1 + 1/R), where s² is the variance of the draws' differences. It is
// ± t·√(V + s²·(1 + 1/R)) with Satterthwaite's degrees of freedom. With one draw
// s² is not known, and with fewer than [FewUnits] units of a class V is not to be
// trusted: then there is no figure.
func (p *CurvePoint) CompareWith(zero []float64, draws [][]float64, labels []bool, groups []string, unit string) error {
	if p.AUC == nil || len(draws) < 2 {
		return nil
	}
	c, err := newContrast(labels, groups)
	if err != nil {
		return err
	}
	c.columns = len(draws)
	var differences []float64
	base, err := newSweep(zero, labels, nil)
	if err != nil {
		return fmt.Errorf("zero-shot: %w", err)
	}
	for _, scores := range draws {
		if err := c.add(scores, 1); err != nil {
			return err
		}
		if err := c.add(zero, -1); err != nil {
			return fmt.Errorf("zero-shot: %w", err)
		}
		s, err := newSweep(scores, labels, nil)
		if err != nil {
			return err
		}
		differences = append(differences, s.auc(nil)-base.auc(nil))
	}
	units := c.tallies()
	units1, units0 := classUnits(units)
	if min(units1, units0) < FewUnits {
		return nil
	}
	r := float64(len(draws))
	sd := stat.StdDev(differences, nil)
	test, spread := c.variance(units), sd*sd*(1+1/r)
	e := Estimate{
		Point: c.point(), Level: Level, Method: "delong+draws", StdErr: math.Sqrt(test + spread),
		N: len(labels), Positives: c.n1, Units: c.units, Unit: c.unitName,
	}
	if e.StdErr > 0 {
		freedom := (test + spread) * (test + spread) / (test*test/float64(c.units-1) + spread*spread/(r-1))
		margin := distuv.StudentsT{Sigma: 1, Nu: freedom}.Quantile(0.5+Level/2) * e.StdErr
		e.Low, e.High = max(-1, e.Point-margin), min(1, e.Point+margin)
	} else {
		e.Low, e.High = e.Point, e.Point
	}
	e = e.over(unit)
	p.OverZeroShot, p.DrawSD = &e, &sd
	return nil
}

// FindEnough sets Enough: the smallest number of shots at which, and at every
// larger one drawn, the interval over zero-shot lies above 0. Looked at from the
// largest number down and ended at the first that is not better, the points need
// no correction for their number (a fixed sequence; Maurer, Hothorn and Lehmacher
// 1995): with a method no better than zero-shot anywhere, a number is named in at
// most 2.5 % of experiments.
func (c *Curve) FindEnough() {
	e := enoughOf(len(c.Points), func(k int) (at Enough, drawn bool, over *Estimate) {
		p := c.Points[k]
		return Enough{Shots: p.Shots, Labels: p.Positives + p.Negatives, Patients: p.Patients}, p.AUC != nil, p.OverZeroShot
	})
	if c.Enough = &e; e.Unmet == notJudged {
		c.Enough.Unmet = fmt.Sprintf("no point could be judged: that takes two draws, and %d test units of each class", FewUnits)
	}
}

const notJudged = "no point could be judged"

// enoughOf looks at n points in ascending order, each with its number of labels,
// whether it could be drawn, and how far it is above what it is compared with.
func enoughOf(n int, point func(k int) (at Enough, drawn bool, over *Estimate)) Enough {
	enough, judged := Enough{Level: Level}, 0
	for k := n - 1; k >= 0; k-- {
		at, drawn, over := point(k)
		if !drawn {
			continue // too few samples to draw from: there is no larger number
		}
		if over == nil {
			break
		}
		judged++
		if over.Low <= 0 {
			break
		}
		enough.Shots, enough.Labels, enough.Patients = at.Shots, at.Labels, at.Patients
	}
	switch {
	case enough.Shots > 0:
	case judged == 0:
		enough.Unmet = notJudged
	default:
		enough.Unmet = "not better at the largest number drawn"
	}
	return enough
}

// FindTrend sets Trend from the points that have a figure.
func (c *Curve) FindTrend() error {
	var labels []int
	var aucs [][]float64
	for _, p := range c.Points {
		n := p.Positives + p.Negatives
		if p.AUC == nil || len(labels) > 0 && n <= labels[len(labels)-1] {
			continue
		}
		labels, aucs = append(labels, n), append(aucs, p.DrawAUCs)
	}
	trend, err := NewTrend(labels, aucs)
	if len(labels) == 0 {
		trend, err = Trend{Unmet: "no point has a figure"}, nil
	}
	c.Trend = &trend
	return err
}
