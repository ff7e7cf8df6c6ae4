package experiment

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/medprobe/medprobe/embedcache"
	"github.com/medprobe/medprobe/encoder"
	"github.com/medprobe/medprobe/evaluate"
	"github.com/medprobe/medprobe/internal/near"
	"github.com/medprobe/medprobe/trainer"
	"go.yaml.in/yaml/v4"
)

// EncoderChoice is one of several encoders of an experiment: its name alone, or
// with a preprocessing profile of its own.
type EncoderChoice struct {
	Name       string `yaml:"name"`
	Preprocess string `yaml:"preprocess"`
}

// UnmarshalYAML reads a name or the fields.
func (e *EncoderChoice) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		e.Name = node.Value
		return nil
	}
	type fields EncoderChoice
	return node.Load((*fields)(e), yaml.WithKnownFields())
}

// label tells the encoder from the others: its name, with the profile where that
// is not the first one's.
func (e EncoderChoice) label(c *Config) string {
	if e.Preprocess == c.Preprocess {
		return e.Name
	}
	return e.Name + "/" + e.Preprocess
}

// chooseEncoders makes Encoder the first and Encoders the others, each with its
// profile.
func (c *Config) chooseEncoders() {
	for k := range c.Encoders {
		c.Encoders[k].Preprocess = cmp.Or(c.Encoders[k].Preprocess, c.Preprocess)
	}
	if c.Encoder == "" && len(c.Encoders) > 0 {
		c.Encoder, c.Preprocess = c.Encoders[0].Name, c.Encoders[0].Preprocess
	}
	first := EncoderChoice{c.Encoder, c.Preprocess}
	if len(c.Encoders) > 0 && c.Encoders[0] == first {
		c.Encoders = c.Encoders[1:]
	}
}

func (c *Config) checkEncoders() error {
	var errs []error
	seen := []EncoderChoice{{c.Encoder, c.Preprocess}}
	for _, e := range c.Encoders {
		if err := near.Check("encoders: preprocess", e.Preprocess, encoder.Profiles()); err != nil {
			errs = append(errs, err)
		}
		switch {
		case e.Name == "":
			errs = append(errs, errors.New("encoders: one without a name: want names of imported encoders, or {name: NAME, preprocess: PROFILE}"))
		case slices.Contains(seen, e):
			errs = append(errs, fmt.Errorf("encoders: %q with %q twice: want each encoder once, or with another profile", e.Name, e.Preprocess))
		}
		seen = append(seen, e)
	}
	return errors.Join(errs...)
}

// otherEncoder is an encoder that is compared with the first, on its way.
type otherEncoder struct {
	EncoderChoice
	compared evaluate.ComparedEncoder
	// work has the plan of the first encoder's, and vectors of its own.
	work *work
}

// askOthers opens every other encoder once, to see that it is there and what it
// says of the prompts, before images are embedded, which may take long.
func (w *work) askOthers(ctx context.Context) error {
	if len(w.config.Encoders) > 0 && w.options.Another == nil {
		return errors.New("experiment: several encoders, and no way to open another than the first")
	}
	for _, choice := range w.config.Encoders {
		o := &otherEncoder{EncoderChoice: choice}
		err := w.options.Another(choice.Name, choice.Preprocess, func(e Encoder) error { return w.ask(ctx, o, e) })
		if err != nil {
			return fmt.Errorf("encoder %s: %w", choice.label(w.config), err)
		}
		w.others = append(w.others, o)
	}
	return nil
}

// ask makes the work of an encoder, with its own prior and the heads that it can
// have. Without a text tower it has no zero-shot, and no head that needs one.
func (w *work) ask(ctx context.Context, o *otherEncoder, e Encoder) error {
	config, options := *w.config, w.options
	config.Preprocess, options.Encoder = o.Preprocess, e
	o.work = newWork(&config, options, w.data)
	o.work.plan = w.plan
	o.compared = evaluate.ComparedEncoder{EncoderFacts: factsOf(e, o.Preprocess), Label: o.label(w.config)}
	if len(config.Prompts) == 0 {
		return nil
	}
	var err error
	o.work.prior, _, err = newPrior(ctx, cachedTexts{e, w.options.Cache}, w.data.Classes, w.data.Exclusive(), config.Prompts.of(w.data), "")
	switch {
	case err == nil:
		return nil
	case errors.Is(err, encoder.ErrNoText) || errors.Is(err, embedcache.ErrNotStored):
		o.compared.NoZeroShot = "it reads no texts"
	case errors.Is(err, errNoScale):
		o.compared.NoZeroShot = "its export does not say by what the cosine is scaled"
	default:
		return err
	}
	needs := func(kind string) bool {
		return trainer.NeedsPrior(kind) || kind == trainer.Ensemble && slices.ContainsFunc(config.Members, trainer.NeedsPrior)
	}
	config.Heads = slices.Clone(config.Heads)
	for _, head := range config.Heads {
		if needs(head) {
			o.compared.LeftOut = append(o.compared.LeftOut, head)
		}
	}
	config.Heads = slices.DeleteFunc(config.Heads, needs)
	return nil
}

func factsOf(e Encoder, profile string) evaluate.EncoderFacts {
	return evaluate.EncoderFacts{
		Name: e.Name(), Fingerprint: e.Fingerprint(), Preprocess: profile,
		PreprocessFingerprint: e.PreprocessFingerprint(), LogitScale: e.LogitScale(), Dim: e.Dim(),
		Source: e.Source(), License: e.License(),
	}
}

// embedOthers embeds what the plan still uses by each other encoder. What one
// fails on is left out for all.
func (w *work) embedOthers(ctx context.Context) error {
	for _, o := range w.others {
		before := w.plan.used()
		err := w.options.Another(o.Name, o.Preprocess, func(e Encoder) error {
			o.work.options.Encoder = e
			return o.work.embedForRun(ctx)
		})
		if err != nil {
			return fmt.Errorf("encoder %s: %w", o.compared.Label, err)
		}
		for _, i := range before {
			if w.plan[i].outcome == failed {
				o.compared.Failed++
				w.plan[i].reason += ", by encoder " + o.compared.Label
			}
		}
	}
	return nil
}

// compareEncoders trains and judges on every other encoder what was trained and
// judged on the first: the same samples, heads, draws and test. It returns the
// comparison, and the predictions under names such as "logistic@B".
func (w *work) compareEncoders(ctx context.Context, r *evaluate.Report, first *lab, methods []*method, tests []finding) (*evaluate.Encoders, []evaluate.Prediction, error) {
	if len(w.others) == 0 {
		return nil, nil, nil
	}
	out := &evaluate.Encoders{Encoders: []evaluate.ComparedEncoder{{EncoderFacts: factsOf(w.options.Encoder, w.config.Preprocess), Label: w.config.Encoder}}}
	base := first.trials(methods, tests)
	var predictions []evaluate.Prediction
	for _, o := range w.others {
		l, theirs, err := o.train(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("encoder %s: %w", o.compared.Label, err)
		}
		out.Encoders = append(out.Encoders, o.compared)
		if err := out.Add(o.compared.Label, l.trials(theirs, tests), base, l.data.Unit); err != nil {
			return nil, nil, fmt.Errorf("experiment: %w", err)
		}
		for _, text := range o.work.warnings {
			r.Warnings = append(r.Warnings, o.compared.Label+": "+text)
		}
		for _, m := range theirs {
			m.name = evaluate.MethodOn(m.name, o.compared.Label)
			for _, note := range m.head.Notes {
				r.Warnings = append(r.Warnings, m.name+": "+note)
			}
		}
		predictions = append(predictions, l.predictions(theirs)...)
	}
	return out, predictions, nil
}

// train returns the methods of the encoder, scored on the test samples.
func (o *otherEncoder) train(ctx context.Context) (*lab, []*method, error) {
	l, err := o.work.newLab(ctx)
	if err != nil {
		return nil, nil, err
	}
	o.work.warnings = nil // of the samples: the first encoder's work has said it
	methods, err := o.work.methods(ctx, l)
	return l, methods, err
}
