package trainer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"

	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/blas/blas64"
)

// The ways to make probabilities of scores.
const (
	Platt       = "platt"
	Temperature = "temperature"
	Isotonic    = "isotonic"
)

// Calibrations lists the ways to make probabilities of scores.
func Calibrations() []string { return []string{Platt, Temperature, Isotonic} }

// Calibration turns the logits of a class into probabilities.
type Calibration struct {
	Kind string `json:"kind"`
	// Slope and Intercept: the probability is 1/(1+exp(−(Slope·z + Intercept)));
	// for a temperature T, Slope is 1/T and Intercept 0.
	Slope     float64 `json:"slope,omitempty"`
	Intercept float64 `json:"intercept,omitempty"`
	// Logits, ascending, and Probabilities are the corners of a rising curve,
	// straight between them and flat beyond.
	Logits        []float64 `json:"logits,omitempty"`
	Probabilities []float64 `json:"probabilities,omitempty"`
}

// probability returns that of a logit.
func (c *Calibration) probability(z float64) float64 {
	if c.Kind != Isotonic {
		return sigmoid(c.Slope*z + c.Intercept)
	}
	k := sort.SearchFloat64s(c.Logits, z)
	switch {
	case k == 0:
		return c.Probabilities[0]
	case k == len(c.Logits):
		return c.Probabilities[k-1]
	}
	share := (z - c.Logits[k-1]) / (c.Logits[k] - c.Logits[k-1])
	return c.Probabilities[k-1] + share*(c.Probabilities[k]-c.Probabilities[k-1])
}

// validate checks what a file says.
func (c *Calibration) validate() error {
	if !slices.Contains(Calibrations(), c.Kind) {
		return fmt.Errorf("calibration %q: want one of %q", c.Kind, Calibrations())
	}
	for _, v := range append([]float64{c.Slope, c.Intercept}, append(slices.Clone(c.Logits), c.Probabilities...)...) {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("calibration %s holds %v: want finite numbers", c.Kind, v)
		}
	}
	if c.Kind == Isotonic && (len(c.Logits) == 0 || len(c.Logits) != len(c.Probabilities) || !slices.IsSorted(c.Logits)) {
		return fmt.Errorf("calibration %s with %d logits and %d probabilities: want as many, ascending", c.Kind, len(c.Logits), len(c.Probabilities))
	}
	return nil
}

// crossValidated returns the logits of each row of x, n×C, by heads that were
// fitted without its patient, and how often each class of a row was held out; it
// is the mean over repeats. What a head chooses, it chooses within its folds.
func crossValidated(ctx context.Context, x blas32.General, y Targets, groups []string, o Options) (z blas64.General, times []float64, err error) {
	o.Calibrate, o.Thresholds = "", nil
	z = matrix(x.Rows, len(y.Classes))
	times = make([]float64, len(z.Data))
	tasks, err := shotTasks(x, y, groups, o)
	if err != nil {
		return z, nil, err
	}
	for _, t := range tasks {
		folds := t.folds()
		if folds == nil {
			return z, nil, fmt.Errorf("%s: too few patients for cross-validated scores: want at least two of each class", t.title())
		}
		for _, fold := range folds {
			h, err := t.fitOn(ctx, t.without(fold), x, y, groups)
			if err != nil {
				return z, nil, err
			}
			held, _, _ := t.subset(fold, x, y, groups)
			some, err := h.Logits(held)
			if err != nil {
				return z, nil, err
			}
			for i, r := range fold {
				for k, c := range t.classes {
					at := t.rows[r]*z.Stride + c
					z.Data[at] += some.Data[i*some.Stride+k]
					times[at]++
				}
			}
		}
	}
	for at, n := range times {
		if n > 0 {
			z.Data[at] /= n
		}
	}
	return z, times, nil
}

// subset returns rows of the task with the labels of its classes.
func (t *task) subset(rows []int, x blas32.General, y Targets, groups []string) (blas32.General, Targets, []string) {
	some := blas32.General{Rows: len(rows), Cols: x.Cols, Stride: x.Cols, Data: make([]float32, 0, len(rows)*x.Cols)}
	labels := Targets{Exclusive: y.Exclusive}
	for _, c := range t.classes {
		labels.Classes = append(labels.Classes, y.Classes[c])
	}
	var patients []string
	for _, r := range rows {
		i := t.rows[r]
		some.Data = append(some.Data, x.Data[i*x.Stride:i*x.Stride+x.Cols]...)
		values := make([]int8, len(t.classes))
		for k, c := range t.classes {
			values[k] = y.Values[i][c]
		}
		labels.Values = append(labels.Values, values)
		if groups != nil {
			patients = append(patients, groups[i])
		}
	}
	return some, labels, patients
}

// fitOn fits the head of the task's classes on some of its rows.
func (t *task) fitOn(ctx context.Context, rows []int, x blas32.General, y Targets, groups []string) (*Head, error) {
	o := t.o
	some, labels, patients := t.subset(rows, x, y, groups)
	if o.Weights != nil {
		o.Weights = make([]float64, len(rows))
		for k, r := range rows {
			o.Weights[k] = t.o.Weights[t.rows[r]]
		}
	}
	if p := o.Prior; p != nil && len(t.classes) < len(y.Classes) {
		own := *p
		own.T = blas32.General{Rows: len(t.classes), Cols: p.T.Cols, Stride: p.T.Cols}
		for _, c := range t.classes {
			own.T.Data = append(own.T.Data, p.T.Data[c*p.T.Stride:c*p.T.Stride+p.T.Cols]...)
		}
		o.Prior = &own
	}
	o.Folds = min(o.Folds, patientsOf(patients, some.Rows)) // as many as are left
	if o.Folds < 2 {
		o.Folds = 0
	}
	return Fit(ctx, some, labels, patients, o)
}

// finish calibrates the head and chooses its thresholds, both on cross-validated
// scores of the rows that it was fitted on.
func (h *Head) finish(ctx context.Context, x blas32.General, y Targets, groups []string, o Options) error {
	if o.Calibrate == "" && len(o.Thresholds) == 0 {
		return nil
	}
	z, times, err := crossValidated(ctx, x, y, groups, o)
	if err != nil {
		return err
	}
	h.tune(z, times, y, o, "cross-validation")
	return nil
}

// Calibrate calibrates the head, and chooses thresholds by the rules, on vectors
// that it was not fitted on, such as a validation part: x, n×D, with labels y of
// the head's classes. kind is one of [Calibrations], or empty for none. Findings
// of which only one side is known are an error that names them all.
func (h *Head) Calibrate(x blas32.General, y Targets, kind string, rules []Rule) error {
	o := Options{Calibrate: kind, Thresholds: rules}
	o.setDefaults()
	faults := errors.Join(finite(x), o.validate(len(y.Classes), x.Cols), y.validate(x.Rows), y.tunable(o))
	if !slices.Equal(y.Classes, h.Classes) || y.Exclusive != h.Exclusive {
		faults = errors.Join(faults, fmt.Errorf("labels of %q for a head of %q: want the same classes", y.Classes, h.Classes))
	}
	if faults != nil {
		return fmt.Errorf("trainer: calibrate: %w", faults)
	}
	z, err := h.Logits(x)
	if err != nil {
		return err
	}
	times := make([]float64, len(z.Data))
	var errs []error
	for c, name := range y.Classes {
		positives, negatives := 0, 0
		for i, row := range y.Values {
			switch row[c] {
			case Positive:
				positives++
			case Negative:
				negatives++
			default:
				continue
			}
			times[i*z.Stride+c] = 1
		}
		if positives == 0 || negatives == 0 {
			errs = append(errs, oneSided(name, positives, negatives))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("trainer: calibrate: %w", err)
	}
	h.Calibration, h.Thresholds = nil, nil
	h.tune(z, times, y, o, "validation")
	return nil
}

// tunable returns an error if exclusive classes are to have what they cannot.
func (y Targets) tunable(o Options) error {
	if y.Exclusive && (len(o.Thresholds) > 0 || o.Calibrate != "" && o.Calibrate != Temperature) {
		return fmt.Errorf("classes that exclude one another are calibrated by a %s, and have no thresholds", Temperature)
	}
	return nil
}

// tune sets calibration and thresholds by logits z, n×C, of rows that were held
// out so many times; on says how they came to be.
func (h *Head) tune(z blas64.General, times []float64, y Targets, o Options, on string) {
	if y.Exclusive {
		if o.Calibrate != "" {
			h.Calibration = []Calibration{softmaxTemperature(z, times, y)}
		}
		return
	}
	for c, name := range y.Classes {
		var scores []float64
		var labels []int8
		for i, row := range y.Values {
			if times[i*z.Stride+c] > 0 {
				scores, labels = append(scores, z.Data[i*z.Stride+c]), append(labels, row[c])
			}
		}
		probability := sigmoid
		if o.Calibrate != "" {
			h.Calibration = append(h.Calibration, calibrate(o.Calibrate, scores, labels))
			probability = h.Calibration[c].probability
		}
		for i, v := range scores {
			scores[i] = probability(v)
		}
		for _, rule := range o.Thresholds {
			t, ok := rule.choose(scores, labels)
			if t.Class, t.ChosenOn = name, on; !ok {
				h.Notes = append(h.Notes, fmt.Sprintf("%s: no threshold reaches %s in %s", name, rule, on))
				continue
			}
			h.Thresholds = append(h.Thresholds, t)
		}
	}
}

// calibrate fits a calibration of a finding's logits to its labels, 1 or 0.
//
// Sources: Platt, Advances in Large Margin Classifiers (1999), with targets of
// (n₊+1)/(n₊+2) and 1/(n₋+2); Guo et al., ICML 2017, for temperature; Zadrozny
// and Elkan, KDD 2002, for isotonic regression by pooled adjacent violators.
// Oracles: scikit-learn's CalibratedClassifierCV and IsotonicRegression
// (testdata/calibration).
func calibrate(kind string, z []float64, labels []int8) Calibration {
	switch kind {
	case Isotonic:
		return isotonic(z, labels)
	case Temperature:
		t := &temperatureFit{}
		for i, v := range z {
			t.add(v, float64(labels[i]))
		}
		slope, _ := t.minimize(false)
		return Calibration{Kind: Temperature, Slope: slope}
	}
	positives := 0.0
	for _, v := range labels {
		positives += float64(v)
	}
	t, negatives := &temperatureFit{}, float64(len(labels))-positives
	for i, v := range z {
		target := 1 / (negatives + 2)
		if labels[i] == Positive {
			target = (positives + 1) / (positives + 2)
		}
		t.add(v, target)
	}
	slope, intercept := t.minimize(true)
	return Calibration{Kind: Platt, Slope: slope, Intercept: intercept}
}

// temperatureFit is the cross-entropy of targets and σ(a·z + b).
type temperatureFit struct{ z, target []float64 }

func (t *temperatureFit) add(z, target float64) {
	t.z, t.target = append(t.z, z), append(t.target, target)
}

// cost returns the cross-entropy with gradient and Hessian in (a, b).
func (t *temperatureFit) cost(a, b float64) (cost, ga, gb, haa, hab, hbb float64) {
	for i, z := range t.z {
		one, p := logLoss(a*z+b, 1)
		none, _ := logLoss(a*z+b, 0)
		y := t.target[i]
		cost += y*one + (1-y)*none
		d := p * (1 - p)
		ga, gb = ga+(p-y)*z, gb+p-y
		haa, hab, hbb = haa+d*z*z, hab+d*z, hbb+d
	}
	return cost, ga, gb, haa, hab, hbb
}

// minimize returns a and, if it is free, b, by damped Newton steps; a stays
// within 1e-6 and 1e6, which separable scores would leave.
func (t *temperatureFit) minimize(free bool) (a, b float64) {
	a = 1
	cost, ga, gb, haa, hab, hbb := t.cost(a, b)
	for damping := 1e-9; damping < 1e12; {
		p, q := haa*(1+damping)+1e-300, hbb*(1+damping)+1e-300
		da, db := -ga/p, 0.0
		if free {
			det := p*q - hab*hab
			da, db = -(q*ga-hab*gb)/det, -(p*gb-hab*ga)/det
		}
		nextA := min(a+da, 1e6)
		if !free {
			nextA = max(nextA, 1e-6, a/10)
		}
		after, na, nb, naa, nab, nbb := t.cost(nextA, b+db)
		if !(after < cost) {
			damping *= 10
			continue
		}
		gain := cost - after
		a, b, cost, ga, gb, haa, hab, hbb = nextA, b+db, after, na, nb, naa, nab, nbb
		if gain < 1e-14*(1+cost) {
			break
		}
		damping = max(damping/10, 1e-9)
	}
	return a, b
}

// isotonic pools adjacent violators; equal logits count as one.
func isotonic(z []float64, labels []int8) Calibration {
	order := upTo(len(z))
	slices.SortFunc(order, func(a, b int) int {
		switch {
		case z[a] < z[b]:
			return -1
		case z[a] > z[b]:
			return 1
		}
		return 0
	})
	type block struct{ low, high, sum, n float64 }
	var blocks []block
	for _, i := range order {
		if last := len(blocks) - 1; last >= 0 && blocks[last].high == z[i] && blocks[last].low == z[i] {
			blocks[last].sum, blocks[last].n = blocks[last].sum+float64(labels[i]), blocks[last].n+1
			continue
		}
		blocks = append(blocks, block{z[i], z[i], float64(labels[i]), 1})
	}
	var pooled []block
	for _, b := range blocks {
		for len(pooled) > 0 {
			last := pooled[len(pooled)-1]
			if last.sum*b.n < b.sum*last.n {
				break
			}
			b = block{last.low, b.high, last.sum + b.sum, last.n + b.n}
			pooled = pooled[:len(pooled)-1]
		}
		pooled = append(pooled, b)
	}
	c := Calibration{Kind: Isotonic}
	for _, b := range pooled {
		c.Logits, c.Probabilities = append(c.Logits, b.low), append(c.Probabilities, b.sum/b.n)
		if b.high > b.low {
			c.Logits, c.Probabilities = append(c.Logits, b.high), append(c.Probabilities, b.sum/b.n)
		}
	}
	return c
}

// softmaxTemperature fits the temperature of exclusive classes by golden
// section in log T; the cross-entropy has one minimum in 1/T.
func softmaxTemperature(z blas64.General, times []float64, y Targets) Calibration {
	row := make([]float64, z.Cols)
	cost := func(log float64) (sum float64) {
		for i, values := range y.Values {
			own := slices.Index(values, Positive)
			if own < 0 || times[i*z.Stride] == 0 {
				continue
			}
			for k, v := range z.Data[i*z.Stride : (i+1)*z.Stride] {
				row[k] = math.Exp(log) * v
			}
			sum += rowLoss(row, own)
		}
		return sum
	}
	ratio := (math.Sqrt(5) - 1) / 2
	low, high := math.Log(1e-6), math.Log(1e6)
	for high-low > 1e-10 {
		a, b := high-ratio*(high-low), low+ratio*(high-low)
		if cost(a) <= cost(b) {
			high = b
		} else {
			low = a
		}
	}
	return Calibration{Kind: Temperature, Slope: math.Exp((low + high) / 2)}
}
