package experiment

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/evaluate"
)

// External is a further dataset on all of which every head is tried.
type External struct {
	// Name heads its column of the report, such as "site-b".
	Name string `yaml:"name"`
	// Data is what to read, with findings of the same names.
	Data datasets.Spec `yaml:"data" example:"{format: csv, path: site-b.csv}"`
}

var externalName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._ -]{0,19}$`)

// checkExternal reports what is wrong with the external test sets.
func (c *Config) checkExternal() error {
	var errs []error
	for k, e := range c.External {
		if !externalName.MatchString(e.Name) {
			errs = append(errs, fmt.Errorf("external: name %q: want up to 20 letters, digits, blanks and .-_, such as site-b", e.Name))
		}
		if slices.ContainsFunc(c.External[:k], func(f External) bool { return f.Name == e.Name }) {
			errs = append(errs, fmt.Errorf("external: name %q stands twice", e.Name))
		}
		if e.Data.Path == "" {
			errs = append(errs, fmt.Errorf("external: %s: data: missing; want FORMAT:PATH, such as csv:site-b.csv", e.Name))
		}
	}
	return errors.Join(errs...)
}

// externalSet is an external dataset on its way.
type externalSet struct {
	name string
	work *work
	// shared is how many samples are also in train, near how many nearly so.
	shared, near int
	absent       []string
}

// openExternal opens the external test sets before anything is embedded. The
// caller closes them.
func (w *work) openExternal(ctx context.Context) error {
	for _, e := range w.config.External {
		d, err := datasets.Open(ctx, e.Data)
		if err != nil {
			return fmt.Errorf("external %s: %w", e.Name, err)
		}
		set := &externalSet{name: e.Name}
		w.external = append(w.external, set)
		if err := set.prepare(d, w, e.Data); err != nil {
			return fmt.Errorf("experiment: external %s: %w", e.Name, err)
		}
	}
	return nil
}

func (w *work) closeExternal(err *error) {
	for _, set := range w.external {
		*err = errors.Join(*err, set.work.data.Close())
	}
}

// prepare gives the data the experiment's findings and plans to use all of it.
func (set *externalSet) prepare(d *datasets.Dataset, w *work, spec datasets.Spec) error {
	c := *w.config
	c.Data, c.Name = spec, set.name
	set.work = newWork(&c, w.options, d)
	own := d.Classes
	d.Classes = w.data.Classes
	places := make([]int, len(d.Classes))
	for k, name := range d.Classes {
		if places[k] = slices.Index(own, name); places[k] < 0 {
			set.absent = append(set.absent, name)
		}
	}
	if len(set.absent) == len(d.Classes) {
		return fmt.Errorf("it knows none of the findings %q: it has %q; rename gives findings other names", d.Classes, own)
	}
	p := make(plan, len(d.Samples))
	for i := range d.Samples {
		s := &d.Samples[i]
		labels := make([]datasets.Label, len(places))
		for k, at := range places {
			if at >= 0 {
				labels[k] = s.Labels[at]
			}
		}
		s.Labels = labels
		p[i] = fate{part: testPart, outcome: used}
		if !slices.ContainsFunc(s.Labels, known) {
			p.leaveOut(i, excluded, noLabel)
		}
	}
	set.work.plan = p
	if len(p.used()) == 0 {
		return errors.New("no label says positive or negative")
	}
	return nil
}

// embedExternal fills the cache with the external test sets and looks for images
// of train among them.
func (w *work) embedExternal(ctx context.Context) error {
	for _, set := range w.external {
		if err := set.work.embedForRun(ctx); err != nil {
			return fmt.Errorf("external %s: %w", set.name, err)
		}
		if err := set.closeLeaks(ctx, w); err != nil {
			return err
		}
	}
	return nil
}

// closeLeaks finds images of train among the external ones, by their bytes, by
// their pixels where the vectors are the same, and by vectors that are nearly so.
// Names of patients mean nothing across datasets.
func (set *externalSet) closeLeaks(ctx context.Context, w *work) error {
	trained := map[[sha256.Size]byte]bool{}
	var train []int
	for i := range w.plan {
		if w.plan[i].part != testPart && w.plan[i].outcome == used {
			train = append(train, i)
			trained[w.keys[i].Content] = true
		}
	}
	e := set.work
	leaks := map[int]bool{}
	here := e.plan.used()
	for _, i := range here {
		if trained[e.keys[i].Content] {
			leaks[i] = true
		}
	}
	near, err := set.nearTrain(ctx, w, train, here, leaks)
	if err != nil {
		return err
	}
	set.shared, set.near = len(leaks), near
	switch {
	case len(leaks) == 0:
	case w.config.Leakage == "fail":
		return fmt.Errorf("experiment: external %s: %w: %d of its images stand in train; say leakage: drop to take them out of %s, or leakage: warn to go on", set.name, ErrLeak, len(leaks), set.name)
	case w.config.Leakage == "drop":
		for i := range leaks {
			e.plan.leaveOut(i, excluded, "its image in train too")
		}
		if len(e.plan.used()) == 0 {
			return fmt.Errorf("experiment: external %s: %w: all of its images stand in train", set.name, ErrLeak)
		}
	default:
		e.warnings = append(e.warnings, fmt.Sprintf("%d of its images stand in train too; figures may be too good", len(leaks)))
	}
	if near > 0 {
		e.warnings = append(e.warnings, fmt.Sprintf("%d more are nearly the same as one in train (cosine of at least %v): if they are the same patient, figures are too good", near, w.config.NearDuplicates.Cosine))
	}
	return nil
}

// nearTrain counts the samples with a vector that is nearly one of train's, adding
// to leaks those whose pixels are the same.
func (set *externalSet) nearTrain(ctx context.Context, w *work, train, here []int, leaks map[int]bool) (near int, err error) {
	x, err := w.options.Cache.Matrix(ctx, w.space, slices.Concat(pick(w.keys, train), pick(set.work.keys, here)))
	if err != nil {
		return 0, err
	}
	n := len(train)
	others := upTo(len(here))
	for k := range others {
		others[k] += n
	}
	pairs, err := twins(ctx, x, upTo(n), others, w.config.NearDuplicates.Cosine)
	if err != nil {
		return 0, err
	}
	found := map[int]bool{}
	for k, pair := range pairs {
		a, b := train[pair.train], here[pair.test-n]
		if leaks[b] {
			continue
		}
		found[b] = true
		if 2*(1-pair.cosine) <= sameVector && k < maxDecoded && samePixels(ctx, w.data, a, set.work.data, b) {
			leaks[b] = true
		}
	}
	for i := range found {
		if !leaks[i] {
			near++
		}
	}
	return near, nil
}

// samePixels says whether two images are, as far as they can still be read.
func samePixels(ctx context.Context, a *datasets.Dataset, i int, b *datasets.Dataset, j int) bool {
	one, err := a.Image(ctx, i)
	if err != nil {
		return false
	}
	other, err := b.Image(ctx, j)
	return err == nil && datasets.PixelDigest(one) == datasets.PixelDigest(other)
}

// judgeExternal tries the methods on the external test sets and compares these
// with the test part. It returns what every method says of every sample, by set.
func (w *work) judgeExternal(ctx context.Context, l *lab, methods []*method) (found []evaluate.External, rows []ExternalRow, err error) {
	if len(w.external) == 0 {
		return nil, nil, nil
	}
	methods = slices.DeleteFunc(slices.Clone(methods), func(m *method) bool { return m.name == classifier || m.name == withScores }) // not of these vectors alone
	lead := leadOf(methods)
	test, err := l.populationOf(lead, l.data.Classes, w.config.Seed, asKept())
	if err != nil {
		return nil, nil, err
	}
	for _, set := range w.external {
		e, predictions, err := set.judge(ctx, l, methods, lead.name, test)
		if err != nil {
			return nil, nil, fmt.Errorf("external %s: %w", set.name, err)
		}
		found = append(found, *e)
		for _, p := range predictions {
			rows = append(rows, ExternalRow{Dataset: set.name, ID: p.ID, Patient: p.Patient, Finding: p.Finding, Label: p.Label, Method: p.Method, Score: p.Score, Probability: p.Probability})
		}
	}
	return found, rows, nil
}

func (set *externalSet) judge(ctx context.Context, trained *lab, methods []*method, lead string, test evaluate.Population) (*evaluate.External, []evaluate.Prediction, error) {
	w := set.work
	l, err := w.newLab(ctx)
	if err != nil {
		return nil, nil, err
	}
	mine := make([]*method, len(methods))
	at := 0
	for k, m := range methods {
		mine[k] = &method{name: m.name, head: m.head, details: m.details}
		if err := mine[k].score(l.testX); err != nil {
			return nil, nil, err
		}
		if m.name == lead {
			at = k
		}
	}
	r := w.report(l)
	e := &evaluate.External{Name: set.name, Dataset: r.Dataset, Counts: r.Counts, Absent: append([]string{}, set.absent...), Shared: set.shared, NearTrain: set.near, Warnings: r.Warnings}
	// A list without entries is [], never null.
	e.Counts.Excluded, e.Counts.Failed = append([]evaluate.Tally{}, e.Counts.Excluded...), append([]evaluate.Tally{}, e.Counts.Failed...)
	tests := l.findings()
	findings, macro, err := l.compare(ctx, mine, tests)
	if err != nil {
		return nil, nil, err
	}
	for _, f := range findings {
		if slices.Contains(set.absent, f.Name) {
			continue
		}
		f.Prompts = evaluate.Prompts{} // they stand with the test part's
		for k := range f.Methods {
			f.Methods[k].ROC, f.Methods[k].Histogram = nil, nil
		}
		e.Findings = append(e.Findings, f)
	}
	e.Macro = macro
	now, err := l.populationOf(mine[at], l.data.Classes, trained.config.Seed, asKept())
	if err != nil {
		return nil, nil, err
	}
	if e.Drift, err = evaluate.CompareDrift(ctx, test, now, evaluate.DriftOptions{Seed: trained.config.Seed}); err != nil {
		return nil, nil, err
	}
	e.Drift.Head, e.Drift.Data = lead, w.config.Data.Name()
	return e, l.predictions(mine), e.Counts.Check()
}

// ExternalRow is one row of external.parquet: what a method says of a finding in a
// sample of an external test set. It is a table apart, so that no gate and no
// registry takes it for the test part.
type ExternalRow struct {
	Dataset     string  `parquet:"dataset"`
	ID          string  `parquet:"id"`
	Patient     string  `parquet:"patient"`
	Finding     string  `parquet:"finding"`
	Label       *int32  `parquet:"label"`
	Method      string  `parquet:"method"`
	Score       float64 `parquet:"score"`
	Probability float64 `parquet:"probability"`
}
