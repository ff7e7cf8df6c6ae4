package trainer

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/medprobe/medprobe/internal/near"
)

// Options says how to fit. The zero value asks for a linear probe with a
// penalty chosen by cross-validation.
type Options struct {
	// Head is one of [Kinds]; [LinearProbe] is the default.
	Head string
	// C is scikit-learn's inverse penalty, 1/λ. If C is 0 it is chosen by
	// cross-validation over CGrid.
	C float64
	// CGrid holds the values to choose from; default: every half decade of
	// 1e-4…1e4 for logistic, and of λ = 1e-3…1e4 and λ = ∞ for the linear probe.
	CGrid []float64
	// L1Ratio makes the penalty of [Logistic] an elastic net, from 0, which is
	// ½‖w‖² alone, to 1, ‖w‖₁ alone, as scikit-learn's l1_ratio.
	L1Ratio float64
	// ClassWeight is "none", the default, or "balanced": n/(K·n_c) for each
	// sample of class c, as in scikit-learn.
	ClassWeight string
	// Weights holds a weight of each row, as scikit-learn's sample_weight; nil
	// stands for 1.
	Weights []float64
	// Standardize scales every dimension to mean 0 and variance 1 before
	// fitting; the head applies to vectors as given.
	Standardize bool
	// Prior is the zero-shot classifier that the linear probe starts from.
	Prior *Prior
	// Alpha and Beta are those of [TipAdapter], [TipAdapterF] and, Alpha, of
	// [GDA], and of [Ridge] and [RidgePrior]; Neighbours is k of [KNN]. 0 means: chosen by cross-validation.
	Alpha, Beta float64
	Neighbours  int
	// Members are the heads of an [Ensemble], at least two; nil stands for
	// linear-probe, logistic and gda. Validation, if not nil, is what their weights
	// are chosen on.
	Members    []string
	Validation *Validation
	scores     *Scores // see FitWithScores
	// Calibrate is one of [Calibrations], for exclusive classes [Temperature];
	// empty leaves the probabilities as they are. Thresholds are chosen for each
	// finding. Both are fitted to cross-validated scores.
	Calibrate  string
	Thresholds []Rule
	// Folds of the cross-validation; 0 means 5. Up to ten patients are a fold
	// each; below 40 rows of more patients, the folds are drawn four times.
	Folds int
	// Seed decides which patients share a fold.
	Seed uint64
	// Space is noted in the head.
	Space Space
	// Memory is how many bytes there are; a fit that is estimated to take more
	// ([Peak]) is a *[MemoryError] before it begins. 0 means: not looked at.
	Memory int64
	// Multiplier multiplies matrices; nil means pure Go.
	Multiplier Multiplier
}

func (o *Options) setDefaults() {
	if o.Head == "" {
		o.Head = LinearProbe
	}
	if o.ClassWeight == "" {
		o.ClassWeight = "none"
	}
	if o.Folds == 0 {
		o.Folds = 5
	}
}

func (o *Options) validate(classes, dim int) error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if err := near.Check("head", o.Head, Kinds()); err != nil {
		return err
	}
	if err := near.Check("class weight", o.ClassWeight, []string{"none", "balanced"}); err != nil {
		errs = append(errs, err)
	}
	for _, c := range append([]float64{o.C}, o.CGrid...) {
		if c < 0 || math.IsNaN(c) || math.IsInf(c, 0) {
			wrong("C = %v: want a positive number", c)
		}
	}
	if slices.Contains(o.CGrid, 0) {
		wrong("C = 0 in the grid: want positive numbers")
	}
	if !(o.L1Ratio >= 0 && o.L1Ratio <= 1) {
		wrong("l1 ratio %v: want a number from 0 to 1", o.L1Ratio)
	}
	for _, v := range []float64{o.Alpha, o.Beta} {
		if !(v >= 0) || math.IsInf(v, 0) {
			wrong("alpha %v and beta %v: want positive numbers", o.Alpha, o.Beta)
			break
		}
	}
	if o.Folds < 2 {
		wrong("%d folds: want at least 2", o.Folds)
	}
	if o.Calibrate != "" {
		if err := near.Check("calibration", o.Calibrate, Calibrations()); err != nil {
			errs = append(errs, err)
		}
	}
	for _, r := range o.Thresholds {
		if err := r.validate(); err != nil {
			errs = append(errs, err)
		}
	}
	errs = append(errs, o.validateKind(), o.validateMembers())
	if o.Prior != nil {
		errs = append(errs, o.Prior.of(o.Space), o.Prior.validate(classes, dim))
	}
	return errors.Join(errs...)
}

// validateKind checks that the head takes what is set, and has what it needs.
func (o *Options) validateKind() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	k := kindOf(o.Head)
	switch set := o.C != 0 || len(o.CGrid) > 0; {
	case set && !k.has(takesC):
		wrong("%s has no C; leave it out", o.Head)
	case len(o.CGrid) > 0 && !k.has(takesGrid):
		wrong("%s has no grid of C; leave it out", o.Head)
	}
	if !k.has(takesWeights) && (o.ClassWeight != "none" || o.Standardize || o.Weights != nil) {
		wrong("%s has no class weights, sample weights or standardisation; leave them out", o.Head)
	}
	if o.L1Ratio > 0 && !k.has(takesL1) {
		wrong("%s has no l1 ratio; leave it out, or take %s", o.Head, Logistic)
	}
	if o.Alpha != 0 && !k.has(takesAlpha) || o.Beta != 0 && !k.has(takesBeta) {
		wrong("%s has no alpha %v and beta %v; leave them out", o.Head, o.Alpha, o.Beta)
	}
	if o.Neighbours < 0 || o.Neighbours > 0 && !k.has(takesNeighbours) {
		wrong("%d neighbours for %s: want a positive number for %s, none for others", o.Neighbours, o.Head, KNN)
	}
	if o.Prior == nil && k.has(needsPrior) {
		wrong("%s starts from zero-shot: want a prior", o.Head)
	}
	return errors.Join(errs...)
}

// checkWeights returns an error unless there is a weight for each of n rows.
func (o *Options) checkWeights(n int) error {
	if o.Weights == nil {
		return nil
	}
	if len(o.Weights) != n {
		return fmt.Errorf("%d weights for %d vectors: want as many", len(o.Weights), n)
	}
	for i, w := range o.Weights {
		if !(w >= 0) || math.IsInf(w, 0) {
			return fmt.Errorf("row %d: weight %v: want a number from 0", i, w)
		}
	}
	return nil
}

// candidates returns the values of C to choose from, the strongest penalty
// first; 0 stands for λ = ∞.
func (o *Options) candidates(prior bool) []float64 {
	if len(o.CGrid) > 0 {
		grid := slices.Compact(slices.Sorted(slices.Values(o.CGrid)))
		if prior {
			grid = append([]float64{0}, grid...)
		}
		return grid
	}
	var grid []float64
	if prior {
		grid = append(grid, 0)
	}
	for e := -8; e <= 8; e++ {
		if prior && e > 6 {
			break
		}
		grid = append(grid, math.Pow(10, float64(e)/2))
	}
	return grid
}
