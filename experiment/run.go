package experiment

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/embedcache"
	"github.com/medprobe/medprobe/evaluate"
	"github.com/medprobe/medprobe/trainer"
)

// Encoder is what an experiment needs of an encoder.
type Encoder interface {
	embedcache.ImageEncoder
	TextEncoder
	Name() string
}

// Options says with what to run.
type Options struct {
	Encoder Encoder
	Cache   *embedcache.Cache
	// Another lets do use a further encoder of the experiment, with a profile. An
	// experiment with several cannot be run without it.
	Another func(name, profile string, do func(Encoder) error) error
	// Progress, if not nil, is told how far a step has come; the steps are
	// "embed" and "train". It is called from one goroutine at a time.
	Progress func(step string, done, total int)
	// Multiplier multiplies matrices for the heads; nil means pure Go.
	Multiplier trainer.Multiplier
	// Memory is how many bytes there are for a fit; 0 is not looked at.
	Memory int64
	// Failed, if not nil, is told of each sample that failed.
	Failed func(embedcache.Failure)
}

// Result is what an experiment found.
type Result struct {
	Report *evaluate.Report
	// Heads holds the trained heads and zero-shot.
	Heads []*trainer.Head
	// Embedded and Cached are the vectors computed and found.
	Embedded, Cached int

	config      *Config
	samples     []SampleRow
	predictions []evaluate.Prediction
	values      []evaluate.ValuePrediction // of continuous targets
	// external holds those of external test sets.
	external []ExternalRow
	// joined are heads with covariates, and of covariates alone.
	joined []namedHead
	// sample holds vectors of the test part.
	sample keptVectors
}

// Run does the experiment. The encoder must be the one the experiment names.
//
// Errors that wrap [ErrLeak] say that train and test are not apart; a
// *[embedcache.TooManyFailuresError] that too many samples failed.
func Run(ctx context.Context, c *Config, o Options) (result *Result, err error) {
	d, err := datasets.Open(ctx, c.Data)
	if err != nil {
		return nil, err
	}
	defer func() {
		if closed := d.Close(); err == nil {
			err = closed
		}
	}()
	texts := *c
	if texts.Prompts, err = c.Prompts.unpacked(d); err != nil {
		return nil, err
	}
	c = &texts
	w := newWork(c, o, d)
	if w.plan, err = newPlan(c, d); err != nil {
		return nil, err
	}
	defer w.closeExternal(&err)
	if err := w.openExternal(ctx); err != nil {
		return nil, err
	}
	others, err := w.askOthers(ctx)
	if err != nil {
		return nil, err
	}
	if len(c.Prompts) > 0 {
		// Before the images are embedded, which may take long.
		if w.prior, _, err = NewPrior(ctx, cachedTexts{o.Encoder, o.Cache}, d.Classes, d.Exclusive(), c.Prompts.of(d), ""); err != nil {
			return nil, err
		}
	}
	if err := w.embed(ctx); err != nil {
		if stopped, ok := errors.AsType[*embedcache.TooManyFailuresError](err); ok {
			err = &tooManyFailures{stopped}
		}
		return nil, err
	}
	if err := w.embedOthers(ctx, others); err != nil {
		return nil, err
	}
	if err := w.closeLeaks(ctx); err != nil {
		return nil, err
	}
	if err := w.embedExternal(ctx); err != nil {
		return nil, err
	}
	return w.judge(ctx, others)
}

// work is an experiment on its way.
type work struct {
	config  *Config
	options Options
	data    *datasets.Dataset
	space   embedcache.Space
	plan    plan
	prior   *trainer.Prior // nil without prompts
	// keys has one entry per sample; the zero key where there is no vector.
	keys []embedcache.Key
	// digests name the contents of the same samples.
	digests [][sha256.Size]byte
	filled  *embedcache.Filled
	// twins are samples of train and test whose vectors are nearly the same.
	twins    []twin
	warnings []string
	external []*externalSet
}

func newWork(c *Config, o Options, d *datasets.Dataset) *work {
	if o.Progress == nil {
		o.Progress = func(string, int, int) {}
	}
	return &work{config: c, options: o, data: d, space: embedcache.SpaceOf(o.Encoder)}
}

// tooManyFailures says it in the words of an experiment, whose key is not a flag.
type tooManyFailures struct {
	*embedcache.TooManyFailuresError
}

func (e *tooManyFailures) Error() string {
	return fmt.Sprintf("experiment: stopped after %d failed samples, %d allowed (max_failures); the first, %q: %s", e.Failed, e.Limit, e.First.ID, e.First.Reason)
}

func (e *tooManyFailures) Unwrap() error { return e.TooManyFailuresError }

// embed fills the cache with what the plan uses, and takes out of the plan what
// failed or leaks.
func (w *work) embed(ctx context.Context) error {
	rows := w.plan.used()
	part := subset(w.data, rows)
	limit, err := embedcache.ParseMaxFailures(w.config.MaxFailures, len(rows))
	if err != nil {
		return fmt.Errorf("experiment: %w", err)
	}
	w.filled, err = w.options.Cache.Fill(ctx, part, w.options.Encoder, embedcache.FillOptions{
		MaxFailures: limit,
		Progress:    func(done, total int) { w.options.Progress("embed", done, total) },
	})
	if w.filled != nil && w.options.Failed != nil {
		for _, f := range w.filled.Failed {
			w.options.Failed(f)
		}
	}
	if err != nil {
		return err
	}
	byID := map[string]embedcache.Failure{}
	for _, f := range w.filled.Failed {
		byID[f.ID] = f
	}
	w.keys = make([]embedcache.Key, len(w.data.Samples))
	w.digests = make([][sha256.Size]byte, len(w.data.Samples))
	for k, i := range rows {
		if f, ok := byID[w.data.Samples[i].ID]; ok {
			w.plan.leaveOut(i, failed, couldNotBe(f.Step))
			w.plan[i].detail = f.Reason
			continue
		}
		w.keys[i], w.digests[i] = w.filled.Keys[k], w.filled.Keys[k].Content
	}
	return nil
}

// closeLeaks makes sure that train and test are apart, and that both are there.
func (w *work) closeLeaks(ctx context.Context) error {
	if err := w.plan.check(); err != nil {
		return err
	}
	pixels, err := w.lookForTwins(ctx)
	if err != nil {
		return err
	}
	warning, err := w.plan.closeLeaks(w.config, w.data, datasets.Contents{Bytes: w.digests, Pixels: pixels})
	if warning != "" {
		w.warnings = append(w.warnings, warning)
	}
	return err
}

func couldNotBe(step string) string {
	participle := map[string]string{embedcache.StepRead: "read", embedcache.StepDecode: "decoded", embedcache.StepEncode: "encoded"}
	return "could not be " + participle[step]
}

// subset returns the dataset with the rows alone.
func subset(d *datasets.Dataset, rows []int) *datasets.Dataset {
	part := *d
	part.Samples = make([]datasets.Sample, len(rows))
	for k, i := range rows {
		part.Samples[k] = d.Samples[i]
	}
	return &part
}

// newLab gathers the vectors of what is used.
func (w *work) newLab(ctx context.Context) (*lab, error) {
	rows := w.plan.used()
	l := &lab{config: w.config, multiplier: w.options.Multiplier, memory: w.options.Memory, data: subset(w.data, rows), space: trainer.Space{Encoder: w.space.Encoder, Preprocess: w.space.Preprocess}}
	keys := make([]embedcache.Key, len(rows))
	for k, i := range rows {
		keys[k] = w.keys[i]
		switch w.plan[i].part {
		case trainPart:
			l.train = append(l.train, k)
		case validationPart:
			l.validation = append(l.validation, k)
		default:
			l.test = append(l.test, k)
		}
	}
	var err error
	if l.x, err = w.options.Cache.Matrix(ctx, w.space, keys); err != nil {
		return nil, err
	}
	warning, err := l.aggregate()
	if err != nil {
		return nil, err
	}
	if warning != "" {
		w.warnings = append(w.warnings, warning)
	}
	l.testX = gather(l.x, l.test)
	return l, nil
}

// judge trains the heads and compares them on the test part.
func (w *work) judge(ctx context.Context, others []*otherEncoder) (*Result, error) {
	l, err := w.newLab(ctx)
	if err != nil {
		return nil, err
	}
	l.prior = w.prior
	if w.data.Task == datasets.Regression {
		return w.judgeValues(ctx, l)
	}
	methods, err := l.methods(ctx)
	if err != nil {
		return nil, err
	}
	tuned, err := w.fineTune(ctx, l)
	if err != nil {
		return nil, err
	}
	if tuned != nil { // beside zero-shot, before what was trained here
		methods = slices.Insert(methods, len(methods)-len(w.config.Heads), tuned)
	}
	outside, err := l.withOutside(ctx)
	if err != nil {
		return nil, err
	}
	if outside != nil {
		methods = append(methods, outside)
	}
	tests := l.findings()
	near := w.nearDuplicates(ctx)
	r := w.report(l)
	r.NearDuplicates = near
	if r.Findings, r.Macro, err = l.compare(ctx, methods, tests); err != nil {
		return nil, err
	}
	if r.Subgroups, err = l.subgroups(methods, tests, r.Findings); err != nil {
		return nil, err
	}
	if r.Mistakes, err = l.mistakes(ctx, methods, tests, r.Findings); err != nil {
		return nil, err
	}
	gains, joined, err := l.covariateGains(ctx, methods, tests)
	if err != nil {
		return nil, err
	}
	r.Covariates = gains
	var external []ExternalRow
	if r.External, external, err = w.judgeExternal(ctx, l, methods); err != nil {
		return nil, err
	}
	var theirs []evaluate.Prediction
	if r.Encoders, theirs, err = w.compareEncoders(ctx, others, r, l, methods, tests); err != nil {
		return nil, err
	}
	if err := w.warnOfPrompts(l, methods, r); err != nil {
		return nil, err
	}
	var zero *method
	if l.prior != nil {
		zero = methods[0]
	}
	if r.Curves, err = l.curves(ctx, tests, zero, func(done, total int) { w.options.Progress("train", done, total) }); err != nil {
		return nil, err
	}
	result := &Result{
		Report: r, Embedded: w.filled.Embedded, Cached: w.filled.Cached,
		config: w.config, samples: w.samples(), predictions: append(l.predictions(methods), theirs...), sample: l.sample(), joined: joined, external: external,
	}
	for _, set := range w.external {
		result.Embedded, result.Cached = result.Embedded+set.work.filled.Embedded, result.Cached+set.work.filled.Cached
	}
	for _, j := range joined {
		for _, note := range j.head.Notes {
			r.Warnings = append(r.Warnings, j.name+": "+note)
		}
	}
	for _, o := range others {
		result.Embedded, result.Cached = result.Embedded+o.work.filled.Embedded, result.Cached+o.work.filled.Cached
	}
	for _, m := range methods {
		if m == tuned {
			continue // the encoder's own, and not for vectors of length one
		}
		if m == outside {
			result.joined = append(result.joined, namedHead{m.name, m.head})
		} else {
			result.Heads = append(result.Heads, m.head)
		}
		for _, note := range m.head.Notes {
			r.Warnings = append(r.Warnings, m.name+": "+note)
		}
	}
	r.AddPublished()
	return result, r.Counts.Check()
}

// report says what is known before anything is trained.
func (w *work) report(l *lab) *evaluate.Report {
	d, e := l.data, w.options.Encoder
	digests := make([][sha256.Size]byte, 0, len(d.Samples))
	for _, i := range w.plan.used() {
		digests = append(digests, w.keys[i].Content)
	}
	in := datasets.Inspect(d)
	r := &evaluate.Report{
		Name: w.config.Name, Description: w.config.Description, Synthetic: w.config.Synthetic, Seed: w.config.Seed,
		Dataset: evaluate.DatasetFacts{
			Spec: w.config.Data.Format + ":" + filepath.Base(w.config.Data.Path), Digest: datasets.Digest(d, digests), Task: string(d.Task),
			Samples: in.Samples, Images: in.Images, Patients: in.Patients, Unit: d.Unit,
		},
		Counts:   w.plan.counts(w.data),
		Splits:   map[string]evaluate.Part{testPart: l.part(l.test)},
		Encoder:  factsOf(e, w.config.Preprocess),
		Warnings: w.warnings,
	}
	if len(l.train) > 0 {
		r.Splits[trainPart] = l.part(l.train)
	}
	if len(l.validation) > 0 {
		r.Splits[validationPart] = l.part(l.validation)
	}
	if name := w.data.Contaminated; name != "" {
		r.Warnings = append(r.Warnings, fmt.Sprintf("the data seems to be of %s, which MedSigLIP was pre-trained on: figures may be too good, zero-shot's above all", name))
	}
	if n := len(w.data.Problems); n == 1 {
		r.Warnings = append(r.Warnings, "'medprobe dataset inspect' lists one thing that is odd about the data")
	} else if n > 1 {
		r.Warnings = append(r.Warnings, fmt.Sprintf("'medprobe dataset inspect' lists %d things that are odd about the data", n))
	}
	if n := uncertain(d); n > 0 {
		r.Warnings = append(r.Warnings, fmt.Sprintf("%d labels are uncertain; they are neither trained nor tested on", n))
	}
	if !d.HasPatients() {
		r.Warnings = append(r.Warnings, fmt.Sprintf("the data names no patients: every %s counts as independent, and intervals are too narrow where a patient has several", d.Unit))
	}
	return r
}

func uncertain(d *datasets.Dataset) int {
	n := 0
	for i := range d.Samples {
		for _, label := range d.Samples[i].Labels {
			if label == datasets.Uncertain {
				n++
			}
		}
	}
	return n
}

// part counts one side of the split.
func (l *lab) part(rows []int) evaluate.Part {
	p := evaluate.Part{Samples: len(rows)}
	if !l.data.HasPatients() {
		return p
	}
	var groups []string
	for _, i := range rows {
		groups = append(groups, l.data.Samples[i].Group())
	}
	slices.Sort(groups)
	patients := len(slices.Compact(groups))
	p.Patients = &patients
	return p
}
