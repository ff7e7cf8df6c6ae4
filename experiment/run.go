package experiment

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/embedcache"
	"github.com/medprobe/medprobe/trainer"
)

// Encoder is what an experiment needs of an encoder.
type Encoder interface {
	embedcache.ImageEncoder
	TextEncoder
	Name() string
	Source() string
	License() string
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
	// Note, if not nil, is told what was seen of images that were embedded now and
	// is worth a word, once a dataset.
	Note func(string)
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
	defer closing(d, &err)
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
	if err := w.askOthers(ctx); err != nil {
		return nil, err
	}
	if len(c.Prompts) > 0 {
		// Before the images are embedded, which may take long.
		if w.prior, _, err = newPrior(ctx, cachedTexts{o.Encoder, o.Cache}, d.Classes, d.Exclusive(), c.Prompts.of(d), ""); err != nil {
			return nil, err
		}
	}
	if err := w.embedForRun(ctx); err != nil {
		return nil, err
	}
	if err := w.embedOthers(ctx); err != nil {
		return nil, err
	}
	if err := w.closeLeaks(ctx); err != nil {
		return nil, err
	}
	if err := w.embedExternal(ctx); err != nil {
		return nil, err
	}
	return w.judge(ctx)
}

// closing closes the dataset, whose error is that of the run if it has no other.
func closing(d *datasets.Dataset, err *error) {
	if closed := d.Close(); *err == nil {
		*err = closed
	}
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
	keys   []embedcache.Key
	filled *embedcache.Filled
	// twins are samples of train and test whose vectors are nearly the same.
	twins    []twin
	warnings []string
	external []*externalSet
	others   []*otherEncoder
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

// embedForRun is embed where the file of an experiment says how many may fail.
func (w *work) embedForRun(ctx context.Context) error {
	err := w.embed(ctx)
	if stopped, ok := errors.AsType[*embedcache.TooManyFailuresError](err); ok {
		return &tooManyFailures{stopped}
	}
	return err
}

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
	if n := len(w.filled.OnTheirSide); n > 0 && w.options.Note != nil {
		w.options.Note(datasets.SayTurned(n, part.Samples[w.filled.OnTheirSide[0]].ID))
	}
	byID := map[string]embedcache.Failure{}
	for _, f := range w.filled.Failed {
		byID[f.ID] = f
	}
	w.keys = make([]embedcache.Key, len(w.data.Samples))
	for k, i := range rows {
		if f, ok := byID[w.data.Samples[i].ID]; ok {
			w.plan.leaveOut(i, failed, couldNotBe(f.Step))
			w.plan[i].detail = f.Reason
			continue
		}
		w.keys[i] = w.filled.Keys[k]
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
	warning, err := w.plan.closeLeaks(w.config, w.data, datasets.Contents{Bytes: contentsOf(w.keys), Pixels: pixels})
	if warning != "" {
		w.warnings = append(w.warnings, warning)
	}
	return err
}

// contentsOf are the digests of what the keys are of.
func contentsOf(keys []embedcache.Key) [][sha256.Size]byte {
	digests := make([][sha256.Size]byte, len(keys))
	for i := range keys {
		digests[i] = keys[i].Content
	}
	return digests
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
