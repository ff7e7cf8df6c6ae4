package evaluate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// DriftSchema names the form of a [Drift]'s JSON.
const DriftSchema = "medprobe.drift/1"

// FewDriftUnits is the number of units in either set below which nothing is
// concluded from finding no drift: with 30 against 100, KS tells a shift of 0.8
// standard deviations in 9 of 10 cases, and lesser ones more seldom
// (TestShiftIsFound).
const FewDriftUnits = 30

// DriftVerdict is what a comparison with a reference comes to.
type DriftVerdict string

// The verdicts.
const (
	NoDrift    DriftVerdict = "no-drift-found"
	Drifted    DriftVerdict = "drift"
	CannotTell DriftVerdict = "cannot-tell"
)

// Population is a set of samples as one head sees them.
type Population struct {
	// Samples and Units are how many there are, Unit what a unit is.
	Samples int
	Units   int
	Unit    string
	// Vectors are those of all samples, or of some of the units drawn from them;
	// VectorGroups names the unit of each.
	Vectors      [][]float32
	VectorGroups []string
	// ScoreGroups names the unit of each of the findings' probabilities, which
	// may be of other samples than the vectors.
	ScoreGroups []string
	Findings    []PopulationFinding
}

// PopulationFinding is one finding in a population.
type PopulationFinding struct {
	Name string
	// Probabilities has one entry for each of the population's ScoreGroups.
	Probabilities []float64
	// Rate is the share of positives among the samples whose label is known, AUC
	// what the head reaches on them; nil where nothing is known.
	Rate *Estimate
	AUC  *Estimate
}

// Drift says whether samples look like those of a reference. Its JSON form is a
// promise: fields are added, never changed.
type Drift struct {
	Schema  string       `json:"schema"`
	Verdict DriftVerdict `json:"verdict"`
	// Reason says the verdict in words.
	Reason string `json:"reason"`
	// Head, Data and Encoder are what was compared, as far as the caller says.
	Head    string `json:"head,omitempty"`
	Data    string `json:"data,omitempty"`
	Encoder string `json:"encoder,omitempty"`
	// Alpha is the chance of any false alarm, over all the tests together.
	Alpha        float64 `json:"alpha"`
	Permutations int     `json:"permutations"`
	Seed         uint64  `json:"seed"`
	// Reference and Now are the sizes of the two sets.
	Reference DriftSide `json:"reference"`
	Now       DriftSide `json:"now"`
	// Embedding is nil where the reference holds no vectors.
	Embedding *Apart         `json:"embedding"`
	Findings  []FindingDrift `json:"findings"`
	// Counts says what became of every sample; nil where the caller says it
	// elsewhere.
	Counts   *Counts  `json:"counts,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

// DriftSide is the size of a set.
type DriftSide struct {
	Samples int    `json:"samples"`
	Units   int    `json:"units"`
	Unit    string `json:"unit"`
}

// FindingDrift is what changed for one finding.
type FindingDrift struct {
	Name string `json:"name"`
	// Scores compares the probabilities that the head gives.
	Scores *Shift `json:"scores"`
	// Rate and AUC are nil where either set has no labels.
	Rate *Change `json:"rate"`
	AUC  *Change `json:"auc"`
}

// Change is a figure in the reference and now.
type Change struct {
	Reference Estimate `json:"reference"`
	Now       Estimate `json:"now"`
	// Difference is now less reference, the sets being independent.
	Difference Estimate `json:"difference"`
	P          float64  `json:"p"`
	AdjustedP  float64  `json:"p_adjusted"`
}

// DriftOptions say how to compare. The zero value is the default.
type DriftOptions struct {
	// Alpha is the chance of any false alarm; 0 means .05.
	Alpha float64
	// Permutations is how often units change sides; 0 means 1,999, and up to 9,999
	// where many tests are adjusted for.
	Permutations int
	Seed         uint64
}

const (
	leastPermutations = 1999
	mostPermutations  = 9999
)

// CompareDrift tests whether the samples of now look like those of the reference:
// their vectors (newApart), for each finding the probabilities (newShift) and,
// where labels are known in both, the rate of positives and the AUC (see
// [Change]). All p values are adjusted together (Holm), so that without any shift
// the chance of the verdict [Drifted] is at most Alpha. With fewer than
// [FewDriftUnits] units in a set only the first two, whose p are exact, are
// judged, and where they show nothing the verdict is [CannotTell].
//
// Findings of now that the reference lacks, and the other way round, are passed
// over. Probabilities are compared as float32, which is how they are stored.
func CompareDrift(ctx context.Context, reference, now Population, o DriftOptions) (*Drift, error) {
	if o.Alpha == 0 {
		o.Alpha = 0.05
	}
	if !(o.Alpha > 0 && o.Alpha <= 0.5) {
		return nil, fmt.Errorf("evaluate: alpha %v: want above 0, at most 0.5", o.Alpha)
	}
	d := &Drift{
		Schema: DriftSchema, Alpha: o.Alpha, Seed: o.Seed, Findings: []FindingDrift{},
		Reference: DriftSide{reference.Samples, reference.Units, reference.Unit}, Now: DriftSide{now.Samples, now.Units, now.Unit},
	}
	shared := sharedFindings(reference, now)
	if d.Permutations = o.Permutations; d.Permutations == 0 {
		// The least p there can be must stay below α when it is adjusted.
		tests := 1 + 3*len(shared)
		d.Permutations = min(max(leastPermutations, int(math.Ceil(2*float64(tests)/o.Alpha))-1), mostPermutations)
	}
	if min(reference.Units, now.Units) < 2 {
		d.judge()
		return d, nil
	}
	if len(reference.Vectors) > 0 && len(now.Vectors) > 0 {
		apart, err := newApart(reference.Vectors, now.Vectors, reference.VectorGroups, now.VectorGroups, d.Permutations, o.Seed)
		if err != nil {
			return nil, err
		}
		d.Embedding = &apart
	}
	for _, pair := range shared {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		f, err := findingDrift(pair[0], pair[1], reference.ScoreGroups, now.ScoreGroups, d.Permutations, o.Seed)
		if err != nil {
			return nil, fmt.Errorf("finding %q: %w", f.Name, err)
		}
		d.Findings = append(d.Findings, f)
	}
	d.judge()
	return d, nil
}

// sharedFindings pairs the findings that both know, in the reference's order.
func sharedFindings(reference, now Population) (pairs [][2]PopulationFinding) {
	for _, f := range reference.Findings {
		at := slices.IndexFunc(now.Findings, func(g PopulationFinding) bool { return g.Name == f.Name })
		if at >= 0 {
			pairs = append(pairs, [2]PopulationFinding{f, now.Findings[at]})
		}
	}
	return pairs
}

func findingDrift(reference, now PopulationFinding, groupsA, groupsB []string, permutations int, seed uint64) (FindingDrift, error) {
	f := FindingDrift{Name: reference.Name}
	scores, err := newShift(asStored(reference.Probabilities), asStored(now.Probabilities), groupsA, groupsB, permutations, seed)
	if err != nil {
		return f, err
	}
	f.Scores = &scores
	f.Rate = newChange(reference.Rate, now.Rate)
	f.AUC = newChange(reference.AUC, now.AUC)
	return f, nil
}

func asStored(values []float64) []float64 {
	stored := make([]float64, len(values))
	for i, v := range values {
		stored[i] = float64(float32(v))
	}
	return stored
}

// newChange compares two estimates of independent sets, or returns nil without
// both. The interval is MOVER's: with the estimates' own intervals [l, u],
//
//	D = now − reference,  L = D − √((now−l)² + (u_r−r)²),  U = D + √((u−now)² + (r−l_r)²)
//
// and p is that of D against the half width on the side of zero, as if that were
// z standard errors: below .05 just where the interval at level .95 leaves zero.
//
// Source: Zou and Donner, Statistics in Medicine 27 (2008) 1693–1702, eq. 5, for
// uncorrelated estimates; of proportions with Wilson's intervals it is Newcombe's
// method 10 (Statistics in Medicine 17 (1998) 873–890).
func newChange(reference, now *Estimate) *Change {
	if reference == nil || now == nil {
		return nil
	}
	d := now.Point - reference.Point
	down := math.Hypot(now.Point-now.Low, reference.High-reference.Point)
	up := math.Hypot(now.High-now.Point, reference.Point-reference.Low)
	toZero := down
	if d < 0 {
		toZero = up
	}
	c := &Change{
		Reference: *reference, Now: *now, P: 1,
		Difference: Estimate{
			Point: d, Low: max(-1, d-down), High: min(1, d+up), Level: Level, Method: "mover",
			N: reference.N + now.N, Positives: reference.Positives + now.Positives, Units: reference.Units + now.Units, Unit: now.Unit,
		},
	}
	switch {
	case toZero > 0:
		c.P = twoSided(d / toZero * quantile(Level))
	case d != 0:
		c.P = 0
	}
	c.AdjustedP = c.P
	return c
}

// tests lists the p values that the verdict rests on, each with what it says.
func (d *Drift) tests() []driftTest {
	var all []driftTest
	if e := d.Embedding; e != nil {
		all = append(all, driftTest{&e.AdjustedP, e.P, true, "the embeddings lie apart"})
	}
	for k := range d.Findings {
		f := &d.Findings[k]
		if s := f.Scores; s != nil {
			way := "otherwise distributed"
			if gap := s.MeanB - s.MeanA; math.Abs(gap) >= 0.005 {
				way = fmt.Sprintf("%s, on average %.2f instead of %.2f", map[bool]string{true: "higher", false: "lower"}[gap > 0], s.MeanB, s.MeanA)
			}
			all = append(all, driftTest{&s.AdjustedP, s.P, true, fmt.Sprintf("the scores of %s are %s", f.Name, way)})
		}
		if c := f.Rate; c != nil {
			all = append(all, driftTest{&c.AdjustedP, c.P, !d.few(), fmt.Sprintf("%s is positive in %.0f %% instead of %.0f %%", f.Name, 100*c.Now.Point, 100*c.Reference.Point)})
		}
		if c := f.AUC; c != nil {
			all = append(all, driftTest{&c.AdjustedP, c.P, !d.few(), fmt.Sprintf("the AUC of %s is %.3f instead of %.3f", f.Name, c.Now.Point, c.Reference.Point)})
		}
	}
	return all
}

type driftTest struct {
	adjusted *float64
	p        float64
	// judged says that p is good enough to be judged by: exact, or of enough units.
	judged bool
	says   string
}

// few says that one of the sets is too small for a conclusion from finding
// nothing.
func (d *Drift) few() bool { return min(d.Reference.Units, d.Now.Units) < FewDriftUnits }

// judge adjusts the p values and says what they come to.
func (d *Drift) judge() {
	tests := d.tests()
	p := make([]float64, len(tests))
	for k, t := range tests {
		p[k] = t.p
	}
	var found []string
	for k, adjusted := range Holm(p) {
		*tests[k].adjusted = adjusted
		if adjusted <= d.Alpha && tests[k].judged {
			found = append(found, tests[k].says)
		}
	}
	switch {
	case len(found) > 0:
		d.Verdict, d.Reason = Drifted, strings.Join(found, "; ")
	case d.few():
		d.Verdict = CannotTell
		d.Reason = fmt.Sprintf("%s now and %s in the reference: at least %d of each are needed to say that nothing has changed", d.Now.size(), d.Reference.size(), FewDriftUnits)
	case len(tests) == 0:
		d.Verdict, d.Reason = CannotTell, "the reference and the data have no finding in common, and the reference no vectors"
	default:
		d.Verdict = NoDrift
		d.Reason = "nothing differs by more than chance would have it in " + d.Now.size()
	}
}

func (s DriftSide) size() string {
	if s.Units == 1 {
		return "1 " + s.Unit
	}
	return fmt.Sprintf("%d %ss", s.Units, s.Unit)
}

// Rate returns the share of positives among samples of known labels, or nil
// without one. See [Proportion]; unit is what a group is.
func Rate(labels []bool, groups []string, unit string) (*Estimate, error) {
	if len(labels) == 0 {
		return nil, nil
	}
	e, err := Proportion(labels, groups)
	if err != nil {
		return nil, err
	}
	for _, positive := range labels {
		if positive {
			e.Positives++
		}
	}
	e.Unit = unit
	return &e, nil
}

// KnownAUC is [AUC] of samples of known labels, or nil where they are all alike.
// unit is what a group is.
func KnownAUC(scores []float64, labels []bool, groups []string, unit string) (*Estimate, error) {
	e, err := AUC(scores, labels, groups)
	if errors.Is(err, ErrOneClass) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	e = e.over(unit)
	return &e, nil
}
