package evaluate

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
)

// ReferenceSchema names the form of a [Reference].
const ReferenceSchema = "medprobe.reference/1"

// What a reference keeps at most.
const (
	// SketchRows is how many samples a reference keeps projected vectors of,
	// SketchDim of how many dimensions.
	SketchRows = 256
	SketchDim  = 32
	// ReferenceScores is how many samples it keeps the probabilities of.
	ReferenceScores = 1024
	// SketchPerUnit and ScoresPerUnit are how many of those may be of one unit, so
	// that 64 units are represented where there are as many: images of a patient
	// repeat one another, and a few patients with hundreds would fill the reference.
	SketchPerUnit = 4
	ScoresPerUnit = 16
)

// Reference is what a head keeps of the samples it was tested on, to tell later
// whether others look like them. It is made to leave the hospital: it names no
// sample, patient or file; vectors are kept as a random projection onto at most a
// quarter of their dimensions, rows are sorted by their numbers and not by whom
// they are of, those of vectors and of probabilities each for themselves, and
// units are numbered in that order. There is none of fewer than [FewDriftUnits]
// units.
type Reference struct {
	Schema  string       `json:"schema"`
	Head    string       `json:"head"`
	Encoder EncoderFacts `json:"encoder"`
	// Samples and Units are those of the test part, Unit what a unit is.
	Samples int    `json:"samples"`
	Units   int    `json:"units"`
	Unit    string `json:"unit"`
	// VectorsPerUnit and ScoresPerUnit bound how many of a unit's samples the
	// vectors and the probabilities are of. Of other samples no more may be compared
	// with it, or units of many samples would weigh more there. 0 means all of them:
	// so it was kept by an earlier medprobe.
	VectorsPerUnit int `json:"vectors_per_unit,omitempty"`
	ScoresPerUnit  int `json:"scores_per_unit,omitempty"`
	// Levels are those of the findings' quantiles.
	Levels   []float64          `json:"quantile_levels"`
	Findings []ReferenceFinding `json:"findings"`

	// Scores is [rows, findings], ScoreUnits the unit of each row.
	Scores     [][]float32 `json:"-"`
	ScoreUnits []int       `json:"-"`
	// Sketch is [rows, k], the vectors times the transpose of Projection, [k,
	// dim]; SketchUnits the unit of each row. They are nil where the run kept no
	// vectors, or an earlier medprobe kept those of too few units.
	Sketch      [][]float32 `json:"-"`
	SketchUnits []int       `json:"-"`
	Projection  [][]float32 `json:"-"`
	// Mean and Deviation are the moments of the unprojected vectors of those
	// rows, by dimension.
	Mean      []float32 `json:"-"`
	Deviation []float32 `json:"-"`
}

// ReferenceFinding is one finding of a reference. Its figures are over all of the
// test part.
type ReferenceFinding struct {
	Name string `json:"name"`
	// Mean, Deviation and Quantiles are of the probabilities.
	Mean      float64   `json:"mean"`
	Deviation float64   `json:"deviation"`
	Quantiles []float64 `json:"quantiles"`
	// Rate is the share of positives, AUC what the head reached; nil where labels
	// do not tell.
	Rate *Estimate `json:"rate"`
	AUC  *Estimate `json:"auc"`
}

// ErrTooFew says that there are too few units for a reference.
var ErrTooFew = errors.New("too few for a reference distribution")

// quantileLevels leave out the extremes, which are of one sample each.
func quantileLevels() []float64 {
	return []float64{0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99}
}

// NewReference makes a reference of what a head says of the test part: report is
// that of the run, rows are the head's predictions, in the order in which the run
// lists the samples. vectors are those of samples that [DrawUnits] took,
// [SketchPerUnit] of a unit or more, and at says which by their number in that order;
// both may be nil. An error that wraps [ErrTooFew] says that there are too few units.
func NewReference(report *Report, head string, rows []Prediction, vectors [][]float32, at []int) (*Reference, error) {
	t, err := newTested(rows)
	if err != nil {
		return nil, err
	}
	_, units, err := unitsOf(len(t.groups), t.groups)
	if err != nil {
		return nil, err
	}
	r := &Reference{
		Schema: ReferenceSchema, Head: head, Encoder: report.Encoder, Samples: len(t.groups), Units: units,
		Unit: cmp.Or(report.Dataset.Unit, "sample"), ScoresPerUnit: ScoresPerUnit, Levels: quantileLevels(),
	}
	if units < FewDriftUnits {
		return nil, fmt.Errorf("evaluate: %d %ss: want at least %d: %w", units, r.Unit, FewDriftUnits, ErrTooFew)
	}
	for k, name := range t.findings {
		f, err := t.finding(k, name, r.Unit)
		if err != nil {
			return nil, err
		}
		r.Findings = append(r.Findings, f)
	}
	kept := DrawUnits(t.groups, ReferenceScores, ScoresPerUnit, 0)
	scores := make([][]float32, len(kept))
	for i, s := range kept {
		for k := range t.findings {
			scores[i] = append(scores[i], float32(t.probabilities[k][s]))
		}
	}
	r.Scores, r.ScoreUnits = nameless(scores, pickGroups(t.groups, kept))
	if len(vectors) == 0 {
		return r, nil
	}
	return r, r.sketch(vectors, at, t.groups)
}

// sketch keeps projected vectors.
func (r *Reference) sketch(vectors [][]float32, at []int, groups []string) error {
	if len(at) != len(vectors) {
		return fmt.Errorf("evaluate: reference: %d vectors of %d samples: want as many", len(vectors), len(at))
	}
	for _, i := range at {
		if i < 0 || i >= len(groups) {
			return fmt.Errorf("evaluate: reference: a vector of sample %d: there are %d", i, len(groups))
		}
	}
	of := pickGroups(groups, at)
	kept := DrawUnits(of, SketchRows, SketchPerUnit, 0)
	of, vectors = pickGroups(of, kept), pickRows(vectors, kept)
	if _, units, err := unitsOf(len(of), of); err != nil || units < FewDriftUnits {
		return err // too few to hide among: an earlier medprobe kept whole units
	}
	r.VectorsPerUnit, r.Projection = SketchPerUnit, projection(len(vectors[0]))
	projected, err := r.Project(vectors)
	if err != nil {
		return err
	}
	r.Sketch, r.SketchUnits = nameless(projected, of)
	r.Mean, r.Deviation = columnMoments(vectors)
	return nil
}

// tested is what a head says of each sample of the test part.
type tested struct {
	findings []string
	// groups has one entry per sample, probabilities, scores and labels one per
	// finding and sample.
	groups                []string
	probabilities, scores [][]float64
	labels                [][]*int32
}

func newTested(rows []Prediction) (*tested, error) {
	t := &tested{}
	sample, finding := map[string]int{}, map[string]int{}
	for i := range rows {
		p := &rows[i]
		if _, known := sample[p.ID]; !known {
			sample[p.ID] = len(t.groups)
			t.groups = append(t.groups, cmp.Or(p.Patient, "sample "+p.ID))
		}
		if _, known := finding[p.Finding]; !known {
			finding[p.Finding] = len(t.findings)
			t.findings = append(t.findings, p.Finding)
		}
	}
	if len(rows) != len(sample)*len(finding) {
		return nil, fmt.Errorf("evaluate: reference: %d predictions of %d samples and %d findings: want one of each", len(rows), len(sample), len(finding))
	}
	n := len(t.groups)
	for range t.findings {
		t.probabilities, t.scores, t.labels = append(t.probabilities, make([]float64, n)), append(t.scores, make([]float64, n)), append(t.labels, make([]*int32, n))
	}
	for i := range rows {
		p := &rows[i]
		if !(p.Probability >= 0 && p.Probability <= 1) {
			return nil, fmt.Errorf("evaluate: reference: a probability of %v: want 0 to 1", p.Probability)
		}
		f, s := finding[p.Finding], sample[p.ID]
		t.probabilities[f][s], t.scores[f][s], t.labels[f][s] = p.Probability, p.Score, p.Label
	}
	return t, nil
}

func (t *tested) finding(k int, name, unit string) (f ReferenceFinding, err error) {
	sorted := slices.Sorted(slices.Values(t.probabilities[k]))
	f = ReferenceFinding{Name: name, Mean: mean(sorted)}
	for _, v := range sorted {
		f.Deviation += float64((v - f.Mean) * (v - f.Mean))
	}
	f.Deviation = math.Sqrt(f.Deviation / float64(max(1, len(sorted)-1)))
	for _, q := range quantileLevels() {
		f.Quantiles = append(f.Quantiles, linearQuantile(sorted, q))
	}
	var scores []float64
	var labels []bool
	var groups []string
	for s, label := range t.labels[k] {
		if label != nil {
			scores, labels, groups = append(scores, t.scores[k][s]), append(labels, *label == 1), append(groups, t.groups[s])
		}
	}
	if f.Rate, err = Rate(labels, groups, unit); err != nil {
		return f, err
	}
	f.AUC, err = KnownAUC(scores, labels, groups, unit)
	return f, err
}

// nameless sorts rows by their numbers and numbers their groups in that order.
func nameless(rows [][]float32, groups []string) (sorted [][]float32, units []int) {
	order := make([]int, len(rows))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return slices.Compare(rows[i], rows[j]) })
	number := map[string]int{}
	for _, i := range order {
		if _, known := number[groups[i]]; !known {
			number[groups[i]] = len(number)
		}
		sorted, units = append(sorted, rows[i]), append(units, number[groups[i]])
	}
	return sorted, units
}

// projection returns k×dim random signs, divided by √k, k being [SketchDim] or a
// quarter of dim if that is less. The same for all heads: what hides a vector is
// that three quarters of it are gone.
//
// Source: Achlioptas, Journal of Computer and System Sciences 66 (2003) 671–687:
// distances are kept to within √(2/k) of themselves, one standard deviation.
func projection(dim int) [][]float32 {
	k := max(1, min(SketchDim, dim/4))
	random := rand.New(rand.NewPCG(0x6d70_736b_6574_6368, uint64(dim))) //nolint:gosec // not secret
	p := make([][]float32, k)
	for i := range p {
		p[i] = make([]float32, dim)
		for j := range p[i] {
			p[i][j] = float32(1 / math.Sqrt(float64(k)))
			if random.Uint64()&1 == 0 {
				p[i][j] = -p[i][j]
			}
		}
	}
	return p
}

// Project returns the vectors as the sketch has them. Vectors of another length
// are an error.
func (r *Reference) Project(vectors [][]float32) ([][]float32, error) {
	projected := make([][]float32, len(vectors))
	for i, v := range vectors {
		projected[i] = make([]float32, len(r.Projection))
		for k, axis := range r.Projection {
			if len(axis) != len(v) {
				return nil, fmt.Errorf("evaluate: reference: vector %d has %d dimensions, the reference is of %d", i, len(v), len(axis))
			}
			sum := 0.0
			for j, w := range axis {
				sum += float64(float64(w) * float64(v[j]))
			}
			projected[i][k] = float32(sum)
		}
	}
	return projected, nil
}

// columnMoments returns mean and standard deviation of each dimension.
func columnMoments(vectors [][]float32) (means, deviations []float32) {
	dim := len(vectors[0])
	means, deviations = make([]float32, dim), make([]float32, dim)
	values := make([]float64, len(vectors))
	for j := range dim {
		for i, v := range vectors {
			values[i] = float64(v[j])
		}
		m, sum := mean(values), 0.0
		for _, v := range values {
			sum += float64((v - m) * (v - m))
		}
		means[j], deviations[j] = float32(m), float32(math.Sqrt(sum/float64(max(1, len(values)-1))))
	}
	return means, deviations
}

// Population returns the reference as [CompareDrift] wants it; vectors of the
// other population go through [Reference.Project].
func (r *Reference) Population() Population {
	p := Population{Samples: r.Samples, Units: r.Units, Unit: r.Unit, Vectors: r.Sketch, VectorGroups: numbered(r.SketchUnits), ScoreGroups: numbered(r.ScoreUnits)}
	for k, f := range r.Findings {
		g := PopulationFinding{Name: f.Name, Rate: f.Rate, AUC: f.AUC, Probabilities: make([]float64, len(r.Scores))}
		for i, row := range r.Scores {
			g.Probabilities[i] = float64(row[k])
		}
		p.Findings = append(p.Findings, g)
	}
	return p
}

func numbered(units []int) []string {
	groups := make([]string, len(units))
	for i, u := range units {
		groups[i] = strconv.Itoa(u)
	}
	return groups
}

// Check returns an error unless the parts of a reference that was read fit one
// another.
func (r *Reference) Check() error {
	if r.Schema != ReferenceSchema {
		return fmt.Errorf("evaluate: reference of schema %q: this medprobe knows %q; upgrade medprobe, or keep the head anew", r.Schema, ReferenceSchema)
	}
	if r.Units < FewDriftUnits || r.Samples < r.Units || r.Unit == "" || len(r.Findings) == 0 {
		return fmt.Errorf("evaluate: reference of %d samples, %d units %q and %d findings: want at least %d units and one finding", r.Samples, r.Units, r.Unit, len(r.Findings), FewDriftUnits)
	}
	if err := checkRows("scores", r.Scores, r.ScoreUnits, len(r.Findings), r.ScoresPerUnit); err != nil {
		return err
	}
	for _, row := range r.Scores {
		for _, p := range row {
			if !(p >= 0 && p <= 1) {
				return fmt.Errorf("evaluate: reference: a probability of %v: want 0 to 1", p)
			}
		}
	}
	if len(r.Scores) == 0 {
		return errors.New("evaluate: reference without scores")
	}
	for _, f := range r.Findings {
		for _, e := range []*Estimate{f.Rate, f.AUC} {
			if e != nil && !(0 <= e.Low && e.Low <= e.Point && e.Point <= e.High && e.High <= 1) {
				return fmt.Errorf("evaluate: reference: %q: %v: want an estimate within its interval, of 0 to 1", f.Name, e)
			}
		}
	}
	if (len(r.Sketch) == 0) != (len(r.Projection) == 0) || len(r.Sketch) == 0 && len(r.Mean)+len(r.Deviation) > 0 {
		return fmt.Errorf("evaluate: reference: %d projected vectors and %d axes: want both or neither", len(r.Sketch), len(r.Projection))
	}
	for _, values := range append([][]float32{r.Mean, r.Deviation}, r.Projection...) {
		for _, v := range values {
			if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
				return fmt.Errorf("evaluate: reference: projection or moments hold %v: want finite values", f)
			}
		}
	}
	for _, axis := range r.Projection {
		if len(axis) != len(r.Projection[0]) || len(axis) != len(r.Mean) || len(axis) != len(r.Deviation) {
			return fmt.Errorf("evaluate: reference: projection of %d dimensions, moments of %d and %d: want as many", len(axis), len(r.Mean), len(r.Deviation))
		}
	}
	return checkRows("sketch", r.Sketch, r.SketchUnits, len(r.Projection), r.VectorsPerUnit)
}

func checkRows(what string, rows [][]float32, units []int, columns, perUnit int) error {
	if len(rows) != len(units) {
		return fmt.Errorf("evaluate: reference: %d rows of %s and %d units: want as many", len(rows), what, len(units))
	}
	if perUnit < 0 {
		return fmt.Errorf("evaluate: reference: %d rows of %s of a unit at most: want 0 or more", perUnit, what)
	}
	next, count := 0, map[int]int{}
	for i, row := range rows {
		if len(row) != columns {
			return fmt.Errorf("evaluate: reference: row %d of %s has %d values: want %d", i, what, len(row), columns)
		}
		for _, v := range row {
			if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
				return fmt.Errorf("evaluate: reference: row %d of %s holds %v: want finite values", i, what, f)
			}
		}
		if units[i] < 0 || units[i] > next {
			return fmt.Errorf("evaluate: reference: row %d of %s is of unit %d: want units numbered in order", i, what, units[i])
		}
		next = max(next, units[i]+1)
		if count[units[i]]++; perUnit > 0 && count[units[i]] > perUnit {
			return fmt.Errorf("evaluate: reference: unit %d has more than %d rows of %s, which is said to be the most", units[i], perUnit, what)
		}
	}
	return nil
}
