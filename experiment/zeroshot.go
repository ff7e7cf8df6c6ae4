package experiment

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/evaluate"
)

// ZeroShot asks what prompts alone tell of every labelled sample.
type ZeroShot struct {
	Data datasets.Spec
	// Prompts is a YAML file of prompts by finding, or pack:NAME for a pack that comes
	// with medprobe. Of a pack, only the findings that the data knows are asked for.
	Prompts string
	// Score is how a score is made of the vectors. Empty, it is ScoreSoftmax where the
	// classes exclude one another, ScorePair where there are negative texts, and
	// ScoreSigmoid otherwise.
	Score Score
	// Split is the part to look at; empty means every sample.
	Split string
	// Preprocess names the encoder's profile, for the report.
	Preprocess  string
	MaxFailures string
	Seed        uint64
}

// Run embeds the images and returns the report: one method, no heads. Findings
// of a dataset without a prompt are an error.
func (z ZeroShot) Run(ctx context.Context, o Options) (r *evaluate.Report, err error) {
	err = z.prepare(ctx, o, z.plan, func(a *asking) error {
		m := a.questions.ask(a.images)
		r = a.work.report(a.lab)
		r.Warnings = append(r.Warnings, a.prompts.suspects(o.Encoder)...)
		r.Findings, r.Macro, err = a.lab.compare(ctx, []*method{m}, a.lab.findings())
		if err != nil {
			return err
		}
		for _, f := range r.Findings {
			if text, ok := farBelow(f.Name, f.Methods[0].AUC, "these samples"); ok {
				r.Warnings = append(r.Warnings, text)
			}
		}
		r.AddPublished()
		return r.Counts.Check()
	})
	return r, err
}

// asking is all that is at hand once the images are embedded.
type asking struct {
	work      *work
	lab       *lab
	prompts   Prompts
	questions *questions
	images    [][][]float32
}

// prepare reads data and prompts, embeds what the plan uses and lets do ask.
func (z ZeroShot) prepare(ctx context.Context, o Options, plan func(*datasets.Dataset) (plan, error), do func(*asking) error) (err error) {
	d, err := datasets.Open(ctx, z.Data)
	if err != nil {
		return err
	}
	defer closing(d, &err)
	a := &asking{}
	if a.prompts, err = loadPrompts(z.Prompts); err != nil {
		return err
	}
	if strings.HasPrefix(z.Prompts, packPrefix) {
		a.prompts = a.prompts.known(d)
	}
	if a.prompts, err = a.prompts.unpacked(d); err != nil {
		return err
	}
	a.prompts = a.prompts.of(d)
	c := &Config{Name: "Zero-shot", Data: z.Data, Prompts: a.prompts, Preprocess: z.Preprocess, MaxFailures: z.MaxFailures, Seed: z.Seed}
	a.work = newWork(c, o, d)
	if a.work.plan, err = plan(d); err != nil {
		return err
	}
	// Ask before the images are embedded, which may take long.
	if a.questions, err = newQuestions(ctx, cachedTexts{o.Encoder, o.Cache}, d.Classes, d.Exclusive(), a.prompts, z.Score); err != nil {
		return err
	}
	if err := a.work.embed(ctx); err != nil {
		return err
	}
	if a.lab, err = a.work.newLab(ctx); err != nil {
		return err
	}
	if a.images, err = a.work.tokens(ctx, a.lab); err != nil {
		return err
	}
	return do(a)
}

// plan uses every labelled sample of the split.
func (z ZeroShot) plan(d *datasets.Dataset) (plan, error) {
	if len(d.Classes) == 0 {
		return nil, fmt.Errorf("experiment: %s: %w", d.Spec, errNoLabels)
	}
	p := make(plan, len(d.Samples))
	for i := range d.Samples {
		p[i] = fate{part: testPart, outcome: used}
		switch s := &d.Samples[i]; {
		case z.Split != "" && s.Split != z.Split:
			p.leaveOut(i, excluded, "not in the part that was asked for")
		case !slices.ContainsFunc(s.Labels, known):
			p.leaveOut(i, excluded, noLabel)
		}
	}
	if len(p.used()) == 0 {
		return nil, fmt.Errorf("experiment: no labelled sample in part %q; 'medprobe dataset inspect' lists the parts", z.Split)
	}
	return p, nil
}
