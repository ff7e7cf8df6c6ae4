package evaluate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/gonum/stat/distuv"
)

// Subgroup holds the figures of one score of one label among the samples that
// share a value of an attribute, such as a sex, beside those of all others.
// What cannot be estimated is nil.
type Subgroup struct {
	By        string `json:"by"`
	Group     string `json:"group"`
	Label     string `json:"label"`
	Score     string `json:"score"`
	N         int    `json:"n"`
	Positives int    `json:"positives"`
	Units     int    `json:"units"`
	// Estimable says that enough units hold positives, and enough negatives.
	// Otherwise there is no AUC, and MorePositives and MoreNegatives say how many
	// more units of each it would take.
	Estimable     bool      `json:"estimable"`
	MorePositives int       `json:"more_positives"`
	MoreNegatives int       `json:"more_negatives"`
	AUC           *Estimate `json:"auc"`
	// Difference is AUC less that of all other samples, which is RestAUC; nil
	// where either is not estimable. AdjustedP is Holm's over all the subgroups
	// of this score.
	RestAUC    *Estimate `json:"rest_auc"`
	Difference *Estimate `json:"difference"`
	P          *float64  `json:"p"`
	AdjustedP  *float64  `json:"p_adjusted"`
	// Observed is the share of positives, MeanPredicted the mean score, and
	// Excess the share less the mean; the last two and ECE are nil unless scores
	// are probabilities.
	Observed      *Estimate `json:"observed"`
	MeanPredicted *float64  `json:"mean_predicted"`
	Excess        *Estimate `json:"observed_minus_predicted"`
	ECE           *float64  `json:"ece"`
	// AtThreshold is at the threshold that all subgroups share.
	AtThreshold *AtThreshold `json:"at_threshold"`
}

// Attribute is a column whose values make subgroups.
type Attribute struct {
	Column string
	// Cuts make bands of numbers: under the first, from each to under the next,
	// from the last. They rise. Without any, each value is a subgroup.
	Cuts []float64
}

// MaxSubgroups is how many values an attribute may have.
const MaxSubgroups = 200

// group returns the subgroup of a cell. An empty cell is a subgroup too.
func (a Attribute) group(cell string) (string, error) {
	if len(a.Cuts) == 0 || cell == "" {
		return cell, nil
	}
	value, err := strconv.ParseFloat(cell, 64)
	if err != nil || math.IsNaN(value) {
		return "", errors.New("a number, for bands")
	}
	at, exact := slices.BinarySearch(a.Cuts, value)
	if exact {
		at++
	}
	return a.bands()[at], nil
}

func (a Attribute) bands() []string {
	text := func(k int) string { return strconv.FormatFloat(a.Cuts[k], 'g', -1, 64) }
	bands := []string{"under " + text(0)}
	for k := range a.Cuts[1:] {
		bands = append(bands, text(k)+" to under "+text(k+1))
	}
	return append(bands, text(len(a.Cuts)-1)+" and over")
}

// groups returns the distinct values in order: bands as they rise, others by name.
func (a Attribute) groups(values []string) []string {
	names := slices.Compact(slices.Sorted(slices.Values(values)))
	if len(a.Cuts) > 0 {
		bands := a.bands()
		slices.SortFunc(names, func(x, y string) int { return slices.Index(bands, x) - slices.Index(bands, y) })
	}
	return names
}

// CompareApart returns the difference between the AUCs of two sets of samples,
// such as a subgroup and the rest, with its interval at level .95 and p value.
// A sample stands in one set only, a group may stand in both.
//
// The variance is the sum of both AUCs' (see [AUC]), less twice the covariance
// that the shared groups give: I/(I−1)·Σᵢuᵢvᵢ, uᵢ and vᵢ being what group i adds
// to each AUC's deviation and I the number of all groups. The interval is
// D ± z·SE, p that of D/SE, unless a class has fewer than [FewUnits] units in
// either set or the variance is zero: then they are MOVER's, as in [Compare].
// Groups must be given; errors are those of [AUC].
//
// Sources: DeLong et al. (1988) for independent sets; Obuchowski (1997).
// Oracle: the sum of pROC's variances; with shared groups by simulation
// (TestSubgroupCoverage).
func CompareApart(a, b Column) (Comparison, error) {
	ca, err := a.contrast(a.Scores, nil)
	if err != nil {
		return Comparison{}, err
	}
	cb, err := b.contrast(b.Scores, nil)
	if err != nil {
		return Comparison{}, err
	}
	unitsA, unitsB := ca.tallies(), cb.tallies()
	va, vb := ca.variance(unitsA), cb.variance(unitsB)
	influence := map[string]float64{}
	for name, u := range ca.named(a.Groups, unitsA) {
		influence[name] = ca.influence(u)
	}
	covariance, units := 0.0, len(influence)
	inB := cb.named(b.Groups, unitsB)
	for _, name := range sortedNames(inB) {
		if u, shared := influence[name]; shared {
			covariance += float64(u * cb.influence(inB[name]))
		} else {
			units++
		}
	}
	covariance *= float64(units) / float64(max(1, units-1))
	c := Comparison{A: ca.auc(Level), B: cb.auc(Level)}
	variance := max(0, va+vb-2*covariance)
	e := Estimate{
		Point: ca.point() - cb.point(), Level: Level, Method: "delong", StdErr: math.Sqrt(variance),
		N: c.A.N + c.B.N, Positives: c.A.Positives + c.B.Positives, Units: units, Unit: c.A.Unit,
	}
	a1, a0 := classUnits(unitsA)
	b1, b0 := classUnits(unitsB)
	e.Warnings = fewUnits(min(a1, b1), min(a0, b0), e.Unit)
	if va > 0 && vb > 0 && variance > 0 && min(a1, a0, b1, b0) >= FewUnits {
		margin := quantile(Level) * e.StdErr
		e.Low, e.High = max(-1, e.Point-margin), min(1, e.Point+margin)
		c.Difference, c.P = e, twoSided(e.Point/e.StdErr)
		return c, nil
	}
	m := mover{a: ca.point(), b: cb.point()}
	m.sizesA[0], m.sizesA[1] = ca.effective(unitsA)
	m.sizesB[0], m.sizesB[1] = cb.effective(unitsB)
	if va > 0 && vb > 0 {
		m.correlation = max(-1, min(1, covariance/math.Sqrt(va*vb)))
	}
	e.Method = "mover"
	e.Low, e.High = m.interval(quantile(Level))
	c.Difference, c.P = e, m.p()
	return c, nil
}

// named returns the tallies by the name of their group.
func (c *contrast) named(groups []string, units []tally) map[string]tally {
	of := make(map[string]tally, len(units))
	for i, unit := range c.unit {
		of[groups[i]] = units[unit]
	}
	return of
}

func sortedNames(of map[string]tally) []string {
	names := make([]string, 0, len(of))
	for name := range of {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// subgroups returns the subgroups of every attribute for one label and score.
func (s *Scores) subgroups(ctx context.Context, l LabelScores, score ScoreColumn, o SummaryOptions, unit string) ([]Subgroup, error) {
	known := s.known(l)
	known.unit = unit
	all := Column{Scores: known.of(score), Labels: known.labels, Groups: known.names()}
	probabilities := areProbabilities(all.Scores)
	if o.Threshold == nil && probabilities {
		threshold := DefaultThreshold
		o.Threshold = &threshold
	}
	var out []Subgroup
	for _, by := range s.By {
		values := make([]string, len(known.rows))
		for j, i := range known.rows {
			values[j] = by.Values[i]
		}
		for _, name := range by.groups(by.Values) {
			in, rest := all.divide(func(j int) bool { return values[j] == name })
			g, err := newSubgroup(in, rest, probabilities, o, unit)
			if err == nil && o.Bootstrap != nil {
				err = g.resample(ctx, all, func(j int) bool { return values[j] == name }, o.resampling(len(values), known.strata))
			}
			if err != nil {
				return nil, fmt.Errorf("%s %q: %w", by.Column, name, err)
			}
			g.By, g.Group, g.Label, g.Score = by.Column, name, l.Name, score.Name
			out = append(out, g)
		}
	}
	adjustSubgroups(out)
	return out, nil
}

func (c Column) divide(first func(int) bool) (in, rest Column) {
	for j, score := range c.Scores {
		into := &rest
		if first(j) {
			into = &in
		}
		into.Scores, into.Labels, into.Groups = append(into.Scores, score), append(into.Labels, c.Labels[j]), append(into.Groups, c.Groups[j])
	}
	return in, rest
}

// lacking returns how many more units with positives and with negatives it
// would take to have least of each.
func (c Column) lacking(least int) (positives, negatives int) {
	have := map[bool]map[string]bool{true: {}, false: {}}
	for j, positive := range c.Labels {
		have[positive][c.Groups[j]] = true
	}
	return max(0, least-len(have[true])), max(0, least-len(have[false]))
}

func newSubgroup(in, rest Column, probabilities bool, o SummaryOptions, unit string) (Subgroup, error) {
	least := o.LeastUnits
	if least == 0 {
		least = FewUnits
	}
	g := Subgroup{N: len(in.Scores)}
	g.MorePositives, g.MoreNegatives = in.lacking(least)
	g.Estimable = g.MorePositives+g.MoreNegatives == 0
	if g.N == 0 {
		return g, nil
	}
	observed, err := Proportion(in.Labels, in.Groups)
	if err != nil {
		return g, err
	}
	g.Observed, g.Units = named(observed, unit), observed.Units
	for _, positive := range in.Labels {
		if positive {
			g.Positives++
		}
	}
	g.Observed.Positives = g.Positives
	if probabilities {
		if err := g.calibration(in, unit); err != nil {
			return g, err
		}
	}
	if o.Threshold != nil {
		at, err := Confuse(in.Scores, in.Labels, in.Groups, *o.Threshold, unit)
		if err != nil {
			return g, err
		}
		g.AtThreshold = &at
	}
	if !g.Estimable {
		return g, nil
	}
	if p, n := rest.lacking(least); p+n > 0 {
		auc, err := AUC(in.Scores, in.Labels, in.Groups)
		if err != nil {
			return g, err
		}
		g.AUC = named(auc, unit)
		return g, nil
	}
	c, err := CompareApart(in, rest)
	if err != nil {
		return g, err
	}
	g.AUC, g.RestAUC, g.Difference, g.P = named(c.A, unit), named(c.B, unit), named(c.Difference, unit), &c.P
	return g, nil
}

// calibration sets the figures of probabilities. The interval of the excess is
// Student's over the units' sums, and absent where those have no spread. Where no label
// lies on the other side of ½ than its probability, as none may in a few samples of
// which the head is sure, it also holds what the share of units would do that may
// surprise although none did, by Wilson's interval.
func (g *Subgroup) calibration(in Column, unit string) error {
	ece, err := ECE(in.Scores, in.Labels)
	if err != nil {
		return err
	}
	mean := 0.0
	for _, p := range slices.Sorted(slices.Values(in.Scores)) {
		mean += p
	}
	n := float64(g.N)
	mean /= n
	g.ECE, g.MeanPredicted = &ece, &mean
	of, units, err := unitsOf(g.N, in.Groups)
	if err != nil || units < 2 {
		return err
	}
	e := Estimate{Point: g.Observed.Point - mean, Level: Level, Method: "student", N: g.N, Positives: g.Positives, Units: units, Unit: unit}
	sums, surprised := make([]float64, units), false
	for i, p := range in.Scores {
		surprised = surprised || in.Labels[i] != (p >= 0.5)
		d := -p - e.Point
		if in.Labels[i] {
			d++
		}
		sums[of[i]] += d
	}
	squares := 0.0
	for _, d := range sums {
		squares += float64(d * d)
	}
	if squares == 0 {
		return nil
	}
	e.StdErr = math.Sqrt(float64(units)/float64(units-1)*squares) / n
	t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: float64(units - 1)}.Quantile(0.5 + Level/2)
	reach := t * e.StdErr
	if !surprised {
		reach = max(reach, unseen(units, Level))
	}
	e.Low, e.High = max(-1, e.Point-reach), min(1, e.Point+reach)
	g.Excess = &e
	return nil
}

// adjustSubgroups sets Holm's p over the subgroups of one score. Of an attribute
// with two subgroups both tests are one and the same, which counts once.
func adjustSubgroups(all []Subgroup) {
	type family struct{ label, by string }
	sizes := map[family]int{}
	for _, g := range all {
		sizes[family{g.Label, g.By}]++
	}
	var p []float64
	at := make([]int, len(all))
	for k, g := range all {
		at[k] = -1
		if g.P == nil {
			continue
		}
		if k > 0 && sizes[family{g.Label, g.By}] == 2 && all[k-1].By == g.By && all[k-1].Label == g.Label && at[k-1] >= 0 {
			at[k] = at[k-1]
			continue
		}
		at[k] = len(p)
		p = append(p, *g.P)
	}
	adjusted := Holm(p)
	for k := range all {
		if at[k] >= 0 {
			all[k].AdjustedP = &adjusted[at[k]]
		}
	}
}
