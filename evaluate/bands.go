package evaluate

import (
	"context"
	"math"
	"slices"
)

// Drawn holds what the plots of one method show beside its ROC curve.
type Drawn struct {
	// ROCBand is over the false positive rate, PRBand over recall.
	ROCBand *Band `json:"roc_band,omitempty"`
	// PR is simplified for drawing, to within 0.0005.
	PR     []RecallPoint `json:"pr,omitempty"`
	PRBand *Band         `json:"pr_band,omitempty"`
	// Reliability is nil where there are no probabilities.
	Reliability []ReliabilityBin `json:"reliability,omitempty"`
}

// Band is a pointwise confidence band of a curve: at each of At, by itself, the
// curve lies between Low and High with the confidence Level. It is no band for
// the curve as a whole, which is wider.
type Band struct {
	Level float64   `json:"level"`
	At    []float64 `json:"at"`
	Low   []float64 `json:"low"`
	High  []float64 `json:"high"`
	// Units is what was drawn: of so many.
	Units int    `json:"units"`
	Unit  string `json:"unit"`
}

// bandSteps is in how many steps a band goes from 0 to 1.
const bandSteps = 50

// bands returns the ROC and the precision–recall curve's pointwise bands, at the
// false positive rates 0, 0.02, … 1 and at the recalls 0.02, … 1, by a bootstrap
// over the units within classes (percentiles of the resampled curves; vertical
// averaging, Fawcett, Pattern Recognition Letters 27 (2006) 861–874, and Macskassy
// and Provost, ROCAI 2004). A resampled curve is read where it is highest at a
// rate, and between the ends of a tie along its line.
//
// A bootstrap sees nothing of what its data do not show: under perfect separation
// all its curves are one. So no band is narrower than Wilson's interval of the
// share itself, over units: of the positives for ROC, of those called for
// precision. Values are rounded outwards to four decimals. Coverage by simulation:
// TestBandCoverage.
func (s *sweep) bands(ctx context.Context, c *contrast, b Bootstrap, unit string) (roc, pr *Band, err error) {
	if err := b.validate(len(c.labels)); err != nil {
		return nil, nil, err
	}
	roc, pr = newBand(0, b.Level, c.units, unit), newBand(1, b.Level, c.units, unit)
	wide := len(roc.At) + len(pr.At)
	drawn := make([]float64, wide*b.Resamples) // a column for each place
	at := make([]float64, wide)
	s.curves(nil, at[:len(roc.At)], at[len(roc.At):])
	columns := func(r int, values []float64) {
		for k, v := range values {
			drawn[k*b.Resamples+r] = v
		}
	}
	err = b.draw(ctx, c.units, b.strata(c), func(r int, weights []int32) {
		values := make([]float64, wide)
		s.curves(weights, values[:len(roc.At)], values[len(roc.At):])
		columns(r, values)
	})
	if err != nil {
		return nil, nil, err
	}
	positives, _ := classUnits(c.tallies())
	perSample := float64(c.units) / float64(len(c.labels))
	total := 0.0
	for _, positive := range c.labels {
		if positive {
			total++
		}
	}
	for k := range wide {
		column := drawn[k*b.Resamples : (k+1)*b.Resamples]
		slices.Sort(column)
		low, high := orderStatistic(column, (1-b.Level)/2), orderStatistic(column, (1+b.Level)/2)
		band, place, size := roc, k, float64(positives)
		if k >= len(roc.At) {
			band, place = pr, k-len(roc.At)
			size = max(1, pr.At[place]*total/at[k]*perSample)
		}
		l, h := Wilson(at[k]*size, size, b.Level)
		band.Low[place], band.High[place] = floor4(min(low, l)), ceil4(max(high, h))
	}
	roc.Low[bandSteps], roc.High[bandSteps] = 1, 1 // whatever the scores
	return roc, pr, nil
}

func newBand(from int, level float64, units int, unit string) *Band {
	n := bandSteps + 1 - from
	b := &Band{Level: level, At: make([]float64, n), Low: make([]float64, n), High: make([]float64, n), Units: units, Unit: unit}
	for k := range b.At {
		b.At[k] = float64(k+from) / bandSteps
	}
	return b
}

func floor4(x float64) float64 { return math.Floor(x*1e4+1e-6) / 1e4 }
func ceil4(x float64) float64  { return math.Ceil(x*1e4-1e-6) / 1e4 }

// curves reads the sensitivity at the false positive rates k/[bandSteps] from 0
// on into tpr, and the precision at the recalls k/bandSteps from 1/bandSteps on
// into precision.
func (s *sweep) curves(weights []int32, tpr, precision []float64) {
	var positives, negatives int64
	for k, positive := range s.positive {
		if w := s.weight(weights, k); positive {
			positives += w
		} else {
			negatives += w
		}
	}
	var tp, fp, tp0, fp0 int64 // now, and before the samples of one score
	rate, recall := 0, 1
	for k, positive := range s.positive {
		if w := s.weight(weights, k); positive {
			tp += w
		} else {
			fp += w
		}
		if !s.last[k] {
			continue
		}
		for ; rate < len(tpr) && fp*bandSteps > int64(rate)*negatives; rate++ {
			along := (float64(int64(rate)*negatives)/bandSteps - float64(fp0)) / float64(fp-fp0)
			tpr[rate] = share01(float64(tp0)+float64(along*float64(tp-tp0)), positives)
		}
		for ; recall <= len(precision) && tp > 0 && tp*bandSteps >= int64(recall)*positives; recall++ {
			found := float64(int64(recall)*positives) / bandSteps
			along := 1.0
			if tp > tp0 {
				along = (found - float64(tp0)) / float64(tp-tp0)
			}
			precision[recall-1] = found / (found + float64(fp0) + float64(along*float64(fp-fp0)))
		}
		tp0, fp0 = tp, fp
	}
	for ; rate < len(tpr); rate++ {
		tpr[rate] = 1
	}
}

// share01 is the share of a class, 1 of none.
func share01(part float64, of int64) float64 {
	if of == 0 {
		return 1
	}
	return part / float64(of)
}

// drawn gathers what the plots of a method show.
func (t Trial) drawn(ctx context.Context, m Scored, b Bootstrap, unit string) (d Drawn, err error) {
	b.setDefaults()
	c, err := newContrast(t.Labels, t.Groups)
	if err != nil {
		return d, err
	}
	s, err := newSweep(m.Scores, t.Labels, c.unit)
	if err != nil {
		return d, err
	}
	if d.ROCBand, d.PRBand, err = s.bands(ctx, c, b, unit); err != nil {
		return d, err
	}
	d.PR = simplifyRecall(s.precisionRecall(), drawingTolerance)
	if m.Probabilities != nil {
		d.Reliability, err = Reliability(m.Probabilities, t.Labels, t.Groups, unit)
	}
	return d, err
}
