package evaluate

import (
	"context"
	"fmt"
	"math"
)

// resampleAverages sets the means of average precision over labels, with the
// interval of [share.logits] for the label with the fewest units, and the
// intervals of those of AUC where the bootstrap is asked for. Every label is
// counted again on the same resampled units; a label that a resample leaves
// without positives or negatives is not in that resample's mean.
func (s *Scores) resampleAverages(ctx context.Context, p *pool, o SummaryOptions, out *Averages) error {
	b := o.resampling(len(p.all.Scores), s.Strata)
	b.setDefaults()
	if err := b.validate(s.Rows); err != nil {
		return err
	}
	figures, err := p.figures(o.Bootstrap != nil, out)
	if err != nil {
		return err
	}
	return b.over(ctx, p.units, b.unitStrata(p.unit, p.units), figures)
}

// figures are those to resample: the means of average precision, which it sets, and,
// if asked for, those of the AUCs.
func (p *pool) figures(aucs bool, out *Averages) ([]figure, error) {
	sweeps, weights := make([]*sweep, len(p.labels)), make([]float64, len(p.labels))
	rarest := share{1, p.units, p.units, true} // of the labels' units with positives, and without
	for i, l := range p.labels {
		var err error
		if sweeps[i], err = newSweep(l.Scores, l.Labels, l.unit); err != nil {
			return nil, err
		}
		weights[i] = float64(l.positives)
		with, without := sweeps[i].classUnits(p.units)
		rarest.units, rarest.others = min(rarest.units, with), min(rarest.others, without)
	}
	heap, err := newSweep(p.all.Scores, p.all.Labels, p.all.unit)
	if err != nil {
		return nil, err
	}
	mean := func(of func(*sweep, []int32) float64, weights []float64) func([]int32) float64 {
		return func(counts []int32) float64 { return meanOver(sweeps, weights, counts, of) }
	}
	var figures []figure
	add := func(into **Estimate, like *Estimate, value func([]int32) float64, of share) {
		e := *like
		e.StdErr, e.Method, e.Point, e.Warnings = 0, "percentile", value(nil), nil
		e.Low, e.High = e.Point, e.Point
		*into = &e
		figures = append(figures, figure{value: value, estimate: &e, share: of})
	}
	add(&out.MacroAP, out.MacroAUC, mean((*sweep).averagePrecision, nil), rarest)
	add(&out.WeightedAP, out.WeightedAUC, mean((*sweep).averagePrecision, weights), rarest)
	with, without := heap.classUnits(p.units)
	add(&out.MicroAP, out.MicroAUC, heap.averagePrecision, share{1, with, without, true})
	if !aucs {
		return figures, nil
	}
	for _, f := range []figure{
		{value: mean((*sweep).auc, nil), estimate: out.MacroAUC},
		{value: mean((*sweep).auc, weights), estimate: out.WeightedAUC},
		{value: heap.auc, estimate: out.MicroAUC},
	} {
		// Where units are few or the AUC is near 1, the bootstrap sees too little.
		if m := f.estimate.Method; m != "mean" && m != "newcombe" {
			figures = append(figures, f)
		}
	}
	return figures, nil
}

// meanOver is the mean of a figure over the columns that have both classes under
// the counts; weights nil weighs all alike. Without any it is not a number.
func meanOver(sweeps []*sweep, weights []float64, counts []int32, of func(*sweep, []int32) float64) float64 {
	sum, total := 0.0, 0.0
	for k, s := range sweeps {
		if counts != nil && !s.bothClasses(counts) {
			continue
		}
		weight := 1.0
		if weights != nil {
			weight = weights[k]
		}
		sum += float64(weight * of(s, counts))
		total += weight
	}
	if total == 0 {
		return math.NaN()
	}
	return sum / total
}

// classUnits returns how many of the units hold positives, and negatives.
func (s *sweep) classUnits(units int) (with, without int) {
	seen := make([][2]bool, units)
	for k, u := range s.unit {
		if s.positive[k] {
			seen[u][0] = true
		} else {
			seen[u][1] = true
		}
	}
	for _, of := range seen {
		if of[0] {
			with++
		}
		if of[1] {
			without++
		}
	}
	return with, without
}

// bothClasses says whether the counts leave a positive and a negative.
func (s *sweep) bothClasses(counts []int32) bool {
	positive, negative := false, false
	for k, u := range s.unit {
		if counts[u] > 0 {
			if s.positive[k] {
				positive = true
			} else {
				negative = true
			}
			if positive && negative {
				return true
			}
		}
	}
	return false
}

// unitStrata divides units by the caller's strata alone: each by its first
// sample.
func (b Bootstrap) unitStrata(unit []int32, units int) [][]int32 {
	of := make([]string, units)
	if b.Strata != nil {
		for i := len(unit) - 1; i >= 0; i-- {
			of[unit[i]] = b.Strata[i]
		}
	}
	return byKind(of)
}

// byKind puts the units of one kind together, in the order in which the kinds come.
func byKind[Kind comparable](of []Kind) (units [][]int32) {
	at := map[Kind]int{}
	for u, kind := range of {
		k, seen := at[kind]
		if !seen {
			k = len(units)
			at[kind] = k
			units = append(units, nil)
		}
		units[k] = append(units[k], int32(u))
	}
	return units
}

// resample sets the intervals of the subgroup's AUC and of that of the rest, BCa,
// and of their difference, percentiles, with its p. Units are drawn within those
// of the subgroup alone, the rest alone and both, and within the caller's strata
// and classes as in [Bootstrap].
func (g *Subgroup) resample(ctx context.Context, all Column, in func(int) bool, b Bootstrap) error {
	if g.AUC == nil {
		return nil
	}
	b.setDefaults()
	c, err := newContrast(all.Labels, all.Groups)
	if err != nil {
		return err
	}
	var sides [2]side
	member := make([][2]bool, c.units)
	for j, score := range all.Scores {
		k := 1
		if in(j) {
			k = 0
		}
		member[c.unit[j]][k] = true
		sides[k].add(score, all.Labels[j], all.Groups[j], c.unit[j])
	}
	var figures []figure
	for k, e := range []*Estimate{g.AUC, g.RestAUC} {
		if e == nil {
			continue
		}
		f, err := sides[k].figure(e)
		if err != nil {
			return err
		}
		figures = append(figures, f)
	}
	if g.Difference != nil {
		first, rest := figures[0].value, figures[1].value
		figures = append(figures, figure{value: func(w []int32) float64 { return first(w) - rest(w) }, estimate: g.Difference})
	}
	strata := make([]string, len(all.Labels))
	for j, unit := range c.unit {
		strata[j] = fmt.Sprint(member[unit])
		if b.Strata != nil {
			strata[j] += b.Strata[j]
		}
	}
	b.Strata = strata
	if err := b.intervals(ctx, c, figures); err != nil {
		return err
	}
	if g.Difference != nil {
		figures[2].p(g.P)
	}
	return nil
}

// side is the samples of a subgroup, or of the rest, with the units of both.
type side struct {
	Column
	unit []int32
}

func (s *side) add(score float64, positive bool, group string, unit int32) {
	s.Scores, s.Labels, s.Groups, s.unit = append(s.Scores, score), append(s.Labels, positive), append(s.Groups, group), append(s.unit, unit)
}

func (s *side) figure(e *Estimate) (figure, error) {
	sweep, err := newSweep(s.Scores, s.Labels, s.unit)
	if err != nil {
		return figure{}, err
	}
	c, err := s.contrast(s.Scores, nil)
	return figure{value: sweep.auc, estimate: e, contrast: c}, err
}
