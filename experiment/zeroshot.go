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
	// Prompts is a YAML file, or a pack; see [LoadPrompts]. Of a pack, only the
	// findings that the data knows are asked for.
	Prompts string
	// Score is how a score is made of the vectors; empty: see [NewPrior].
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
	d, err := datasets.Open(ctx, z.Data)
	if err != nil {
		return nil, err
	}
	defer func() {
		if closed := d.Close(); err == nil {
			err = closed
		}
	}()
	prompts, err := LoadPrompts(z.Prompts)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(z.Prompts, packPrefix) {
		prompts = prompts.known(d)
	}
	prompts = prompts.of(d)
	c := &Config{Name: "Zero-shot", Data: z.Data, Prompts: prompts, Preprocess: z.Preprocess, MaxFailures: z.MaxFailures, Seed: z.Seed}
	w := newWork(c, o, d)
	if w.plan, err = z.plan(d); err != nil {
		return nil, err
	}
	// Ask before the images are embedded, which may take long.
	q, err := newQuestions(ctx, cachedTexts{o.Encoder, o.Cache}, d.Classes, d.Exclusive(), prompts, z.Score)
	if err != nil {
		return nil, err
	}
	if err := w.embed(ctx); err != nil {
		return nil, err
	}
	l, err := w.newLab(ctx)
	if err != nil {
		return nil, err
	}
	images, err := w.tokens(ctx, l)
	if err != nil {
		return nil, err
	}
	m := q.ask(images)
	r = w.report(l)
	r.Warnings = append(r.Warnings, prompts.suspects(o.Encoder)...)
	r.Findings, r.Macro, err = l.compare(ctx, []*method{m}, l.findings())
	if err != nil {
		return nil, err
	}
	for _, f := range r.Findings {
		if text, ok := farBelow(f.Name, f.Methods[0].AUC, "these samples"); ok {
			r.Warnings = append(r.Warnings, text)
		}
	}
	r.AddPublished()
	return r, r.Counts.Check()
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
