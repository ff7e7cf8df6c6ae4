package evaluate

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// Level is the confidence level of every interval for which none is asked.
const Level = 0.95

// FewUnits is the number of units of a class below which a figure carries a
// warning and DeLong's interval is not used: with fewer, its coverage was seen
// to fall short (TestIntervalCoverage).
const FewUnits = 10

// ManyUnits is the number of units of each class from which on the interval of a
// clustered AUC is held to cover within a percent of its level; with fewer it is
// wider, to be safe, and carries a warning (TestClusteredCoverage).
const ManyUnits = 30

// ErrOneClass says that all labels are alike, so that nothing can be ranked.
var ErrOneClass = errors.New("only one class among the labels")

// ErrScore says that a score is not a number.
var ErrScore = errors.New("score is not a number")

// Estimate is a figure with its doubts.
type Estimate struct {
	Point float64 `json:"point"`
	Low   float64 `json:"ci_low"`
	High  float64 `json:"ci_high"`
	Level float64 `json:"level"`
	// StdErr is the standard error; 0 where it cannot be estimated.
	StdErr float64 `json:"std_err,omitempty"`
	// Method names how the interval was made: "delong", "clustered", "newcombe",
	// "mover", "percentile", "bca", "logit", "wilson" or, of means over findings,
	// "mean".
	Method string `json:"method"`
	// N is the number of samples, of which Positives are positive.
	N         int `json:"n"`
	Positives int `json:"positives"`
	// Units is the number of independent units, and Unit what they are: "sample"
	// or "group", or a better name such as "patient" where the caller has one.
	Units    int       `json:"units"`
	Unit     string    `json:"unit"`
	Warnings []Warning `json:"warnings,omitempty"`
}

// Warning is a doubt, with a code for machines and a sentence for people.
type Warning struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

// The codes of warnings.
const (
	WarnFewUnits   = "few-units"        // a class has fewer than FewUnits units
	WarnSmall      = "small-sample"     // a class has fewer than ManyUnits units
	WarnSeparation = "separation"       // AUC is 0 or 1: the classes do not overlap
	WarnConstant   = "constant-scores"  // every score is the same
	WarnIdentical  = "identical-scores" // two columns put all samples in one order
	WarnOneClass   = "one-class"        // not estimable: no positives, or no negatives
)

// String renders the estimate as "0.873 (0.821–0.925)".
func (e Estimate) String() string {
	return fmt.Sprintf("%.3f (%.3f–%.3f)", e.Point, e.Low, e.High)
}

// quantile returns z such that a standard normal lies within ±z with
// probability level.
func quantile(level float64) float64 {
	return distuv.UnitNormal.Quantile(0.5 + level/2)
}

// twoSided returns the probability that a standard normal lies beyond ±z.
func twoSided(z float64) float64 { return 2 * distuv.UnitNormal.Survival(math.Abs(z)) }
