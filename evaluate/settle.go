package evaluate

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// SettlePower is the probability with which the number of units that [Settle]
// gives would settle the question.
const SettlePower = 0.8

// Settle returns how many units it would take until the interval of the
// difference d lies, with probability [SettlePower], wholly on one side of
// −margin, if d is what it seems to be. It takes the standard error to fall with
// the root of the units, those to come being like those that came:
//
//	n = I · ((z_level + z_power) · SE / |D + margin|)²
//
// margin is 0 or more, in the unit of d. The answer is at least 2, and may be
// below d.Units. It is 0 where nothing can be said: without a standard error, with a
// difference of exactly −margin, or beyond a billion.
//
// Source: Julious, Statistics in Medicine 23 (2004) 1921–1986, for
// non-inferiority, with the variance seen. Oracle: simulation (TestSettle).
func Settle(d Estimate, margin float64) int {
	return settle(d, math.Abs(d.Point+margin), SettlePower)
}

// SettleEquivalence is [Settle] for both limits: wholly within ±margin or wholly
// outside. Between the limits chance may fail at either, so the power of each is
// 1 − (1 − [SettlePower])/2, which is a little more than it takes.
func SettleEquivalence(d Estimate, margin float64) int {
	power := SettlePower
	if math.Abs(d.Point) < margin {
		power = (1 + power) / 2
	}
	return settle(d, math.Abs(math.Abs(d.Point)-margin), power)
}

func settle(d Estimate, distance, power float64) int {
	z := quantile(d.Level) + distuv.UnitNormal.Quantile(power)
	n := math.Ceil(float64(d.Units) * math.Pow(z*d.StdErr/distance, 2))
	if !(n >= 1) || n > 1e9 {
		return 0
	}
	return max(2, int(n))
}

// Judgement says what an interval of a difference A − B shows against a margin.
type Judgement struct {
	Margin float64 `json:"margin"`
	// NonInferior is "shown" where the whole interval is above −margin, "refuted"
	// where it is below, else "open".
	NonInferior string `json:"non_inferior"`
	// Equivalent is "shown" where the whole interval is within ±margin, "refuted"
	// where it is outside, else "open".
	Equivalent string `json:"equivalent"`
	// PNonInferior is the one-sided p of the difference being −margin or less,
	// PEquivalent the greater of the two of its being beyond a limit (TOST).
	PNonInferior float64 `json:"p_non_inferior"`
	PEquivalent  float64 `json:"p_equivalent"`
	// UnitsNonInferior and UnitsEquivalent are how many units would have settled
	// what is open; nil where it is not open or cannot be said.
	UnitsNonInferior *int `json:"units_non_inferior"`
	UnitsEquivalent  *int `json:"units_equivalent"`
	// Power is the probability that so many units settle it.
	Power float64 `json:"power"`
}

// Judge holds the interval of a difference against a margin above 0, in the
// unit of d. At level .95 it errs in at most 2.5 % where the truth is at a limit:
// the two one-sided tests of Schuirmann, Journal of Pharmacokinetics and
// Biopharmaceutics 15 (1987) 657–680, each at half of 1 − d.Level.
//
// The p values are a normal's with the standard error that each end of the
// interval implies: exact for DeLong's interval, and for all others such that p
// is below half of 1 − d.Level where, and only where, the interval says so.
func Judge(d Estimate, margin float64) Judgement {
	v := Judgement{Margin: margin, NonInferior: "open", Equivalent: "open", Power: SettlePower}
	v.PNonInferior = oneSided(d.Point+margin, d.Point-d.Low, d.Level)
	v.PEquivalent = max(v.PNonInferior, oneSided(margin-d.Point, d.High-d.Point, d.Level))
	switch {
	case d.Low > -margin:
		v.NonInferior = "shown"
	case d.High < -margin:
		v.NonInferior = "refuted"
	default:
		v.UnitsNonInferior = unlessZero(Settle(d, margin))
	}
	switch {
	case d.Low > -margin && d.High < margin:
		v.Equivalent = "shown"
	case d.High < -margin || d.Low > margin:
		v.Equivalent = "refuted"
	default:
		v.UnitsEquivalent = unlessZero(SettleEquivalence(d, margin))
	}
	return v
}

// oneSided is the probability beyond a distance, where half the level's interval
// reaches so far.
func oneSided(distance, reach, level float64) float64 {
	if !(reach > 0) {
		switch {
		case distance > 0:
			return 0
		case distance < 0:
			return 1
		}
		return 0.5
	}
	return distuv.UnitNormal.Survival(distance / (reach / quantile(level)))
}

func unlessZero(n int) *int {
	if n == 0 {
		return nil
	}
	return &n
}
