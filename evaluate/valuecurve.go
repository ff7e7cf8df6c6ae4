package evaluate

import (
	"context"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// ValueCurve is a learning curve: how near one method comes to one continuous
// target with ever more labelled samples.
type ValueCurve struct {
	Target string            `json:"target"`
	Method string            `json:"method"`
	Points []ValueCurvePoint `json:"points"`
	// Enough says, for each baseline, from how many labels on the method is nearer
	// to the true values; empty for the baselines themselves.
	Enough []EnoughOver `json:"enough,omitempty"`
}

// EnoughOver is [Enough] over a baseline that is fitted on the same labels.
type EnoughOver struct {
	Baseline string `json:"baseline"`
	Enough
}

// ValueCurvePoint is one point of a [ValueCurve].
type ValueCurvePoint struct {
	// Shots is how many samples with a known value the method was fitted on, and
	// Patients how many different patients these are, where they are known.
	Shots    int `json:"shots"`
	Patients int `json:"patients,omitempty"`
	// Draws is how often the point was drawn.
	Draws int `json:"draws"`
	// The figures are means over the draws, and their intervals over the test units.
	R2       *Estimate `json:"r2"`
	MAE      *Estimate `json:"mae"`
	Spearman *Estimate `json:"spearman"`
	// DrawMAEs are the errors of the draws, in order, DrawLow and DrawHigh the
	// lowest and the highest.
	DrawMAEs []float64 `json:"draw_maes,omitempty"`
	DrawLow  *float64  `json:"draw_low"`
	DrawHigh *float64  `json:"draw_high"`
	// Over compares with each baseline; empty for the baselines themselves.
	Over []ValueGain `json:"over,omitempty"`
	// Unmet says why there is no figure.
	Unmet string `json:"unmet,omitempty"`
}

// ValueGain is how far the mean absolute error lies from that of a baseline which
// is fitted on the same labels; below 0 is nearer to the true values. Difference
// is nil with one draw, and with fewer than [FewUnits] test units.
type ValueGain struct {
	Baseline   string    `json:"baseline"`
	Difference *Estimate `json:"difference"`
	// DrawSD is the standard deviation of the draws' differences.
	DrawSD *float64 `json:"draw_sd,omitempty"`
}

// ValueDraws are what a method predicts for the test samples after each draw.
type ValueDraws struct {
	Method string
	Draws  [][]float64
}

// NewValueCurvePoint returns the point of a learning curve of a method and how it
// compares with the baselines, whose draws are the same. truth and groups are those
// of the test samples, unit is what a group is.
//
// Figures are means over the R draws of those of [Values], with percentile
// intervals from a bootstrap over the groups. The interval of a difference of mean
// absolute errors is for one more draw, as that of [CurvePoint.CompareWith]: ± t·√(V
// + s²·(1 + 1/R)), where V is the variance of the mean difference over the resamples,
// s² that of the draws' differences, and t has Satterthwaite's degrees of freedom.
func NewValueCurvePoint(ctx context.Context, shots int, own ValueDraws, baselines []ValueDraws, truth []float64, groups []string, unit string, b Bootstrap) (ValueCurvePoint, error) {
	b.setDefaults()
	p := ValueCurvePoint{Shots: shots, Draws: len(own.Draws)}
	if err := b.validate(len(truth)); err != nil {
		return p, err
	}
	of, units, err := unitsOf(len(truth), groups)
	if err != nil {
		return p, err
	}
	if units < 2 {
		p.Unmet = fmt.Sprintf("nothing can be estimated from %d test %ss with a known value", units, unit)
		return p, nil
	}
	sums, err := sumsOf(append([]ValueDraws{own}, baselines...), truth, of)
	if err != nil {
		return p, err
	}
	figures := []figure{meanOfDraws(sums[0], (*valueSums).r2), meanOfDraws(sums[0], (*valueSums).mae), meanOfDraws(sums[0], (*valueSums).spearman)}
	for k := range baselines {
		base := meanOfDraws(sums[1+k], (*valueSums).mae)
		figures = append(figures, figure{value: func(weights []int32) float64 { return figures[1].value(weights) - base.value(weights) }})
	}
	if err := b.resample(ctx, units, [][]int32{upToUnits(units)}, figures); err != nil {
		return p, err
	}
	all, target := slices.Repeat([]int32{1}, units), ValueTarget{N: len(truth), Units: units, Unit: unit}
	p.R2, p.MAE, p.Spearman = figures[0].percentile(all, b.Level, target), figures[1].percentile(all, b.Level, target), figures[2].percentile(all, b.Level, target)
	for _, v := range sums[0] {
		p.DrawMAEs = append(p.DrawMAEs, v.mae(all))
	}
	low, high := slices.Min(p.DrawMAEs), slices.Max(p.DrawMAEs)
	p.DrawLow, p.DrawHigh = &low, &high
	for k, m := range baselines {
		gain := ValueGain{Baseline: m.Method}
		differences := make([]float64, len(own.Draws))
		for draw, v := range sums[1+k] {
			differences[draw] = p.DrawMAEs[draw] - v.mae(all)
		}
		if e := figures[3+k].percentile(all, b.Level, target); e != nil && len(differences) > 1 && units >= FewUnits {
			sd := stat.StdDev(differences, nil)
			e.widen(sd, len(differences))
			gain.Difference, gain.DrawSD = e, &sd
		}
		p.Over = append(p.Over, gain)
	}
	return p, nil
}

// sumsOf gathers each draw of each method by units; all have as many draws as the
// first.
func sumsOf(methods []ValueDraws, truth []float64, units []int32) (sums [][]*valueSums, err error) {
	own := methods[0]
	for _, m := range methods {
		if len(m.Draws) != len(own.Draws) {
			return nil, fmt.Errorf("evaluate: %d draws of %s for %d of %s: want as many", len(m.Draws), m.Method, len(own.Draws), own.Method)
		}
		var of []*valueSums
		for _, predicted := range m.Draws {
			if err := checkValues(truth, predicted); err != nil {
				return nil, fmt.Errorf("evaluate: %s: %w", m.Method, err)
			}
			of = append(of, newValueSums(truth, predicted, units))
		}
		sums = append(sums, of)
	}
	return sums, nil
}

// meanOfDraws is the mean of a figure over draws.
func meanOfDraws(of []*valueSums, value func(v *valueSums, weights []int32) float64) figure {
	return figure{value: func(weights []int32) float64 {
		sum := 0.0
		for _, v := range of {
			sum += value(v, weights)
		}
		return sum / float64(len(of))
	}}
}

// widen makes the interval of a mean over draws one of one more draw, where sd is
// the deviation of the draws.
func (e *Estimate) widen(sd float64, draws int) {
	r := float64(draws)
	test, spread := e.StdErr*e.StdErr, sd*sd*(1+1/r)
	e.Method, e.StdErr = "bootstrap+draws", math.Sqrt(test+spread)
	e.Low, e.High = e.Point, e.Point
	if e.StdErr > 0 {
		freedom := (test + spread) * (test + spread) / (test*test/float64(e.Units-1) + spread*spread/(r-1))
		margin := distuv.StudentsT{Sigma: 1, Nu: freedom}.Quantile(0.5+e.Level/2) * e.StdErr
		e.Low, e.High = e.Point-margin, e.Point+margin
	}
}

// FindEnough sets Enough: for each baseline the smallest number of labels at which,
// and at every larger one drawn, the interval of the difference in mean absolute
// error lies below 0, as [Curve.FindEnough] has it.
func (c *ValueCurve) FindEnough() {
	c.Enough = nil
	names := []string{}
	for _, p := range c.Points {
		for _, g := range p.Over {
			if !slices.Contains(names, g.Baseline) {
				names = append(names, g.Baseline)
			}
		}
	}
	for _, name := range names {
		e := enoughOf(len(c.Points), func(k int) (at Enough, drawn bool, over *Estimate) {
			p := c.Points[k]
			if i := slices.IndexFunc(p.Over, func(g ValueGain) bool { return g.Baseline == name }); i >= 0 && p.Over[i].Difference != nil {
				d := *p.Over[i].Difference
				over = &Estimate{Point: -d.Point, Low: -d.High, High: -d.Low}
			}
			return Enough{Shots: p.Shots, Labels: p.Shots, Patients: p.Patients}, p.MAE != nil, over
		})
		if e.Unmet == notJudged {
			e.Unmet = fmt.Sprintf("%s: that takes two draws, and %d test units", notJudged, FewUnits)
		}
		c.Enough = append(c.Enough, EnoughOver{name, e})
	}
}
