package experiment

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/evaluate"
)

// ErrTestPart says that prompts were to be chosen on the test part.
var ErrTestPart = errors.New("prompts are not chosen on the test part: what is measured there afterwards would flatter itself; name another part, or none")

// Study ranks every wording of the prompts, and every ensemble of them, on
// development samples: those of the part named, or of every part but test. Data
// without parts is divided by patient as an experiment divides it by default,
// with the same seed, and the test half is not looked at. Samples whose patient
// stands in the test part as well are left out.
//
// A wording is a positive text with a negative one, or a positive text alone,
// by the score; the other findings of a softmax are asked for as they stand.
// The first of a finding's, with which others are compared, is what the prompts
// ask without any choice: their own ensemble, or the mean.
func (z ZeroShot) Study(ctx context.Context, o Options) (s *evaluate.PromptStudy, err error) {
	if isTest(z.Split) {
		return nil, fmt.Errorf("experiment: %w", ErrTestPart)
	}
	held, looked := 0, z.Split
	development := func(d *datasets.Dataset) (p plan, err error) {
		p, held, looked, err = z.development(d)
		return p, err
	}
	err = z.prepare(ctx, o, development, func(a *asking) error {
		s = &evaluate.PromptStudy{
			Data: z.Data.Name(), Part: looked, Samples: len(a.lab.data.Samples), HeldOut: held,
			Encoder: o.Encoder.Name(), Score: string(a.questions.score), Seed: z.Seed,
			Warnings: append(a.work.warnings, a.prompts.suspects(o.Encoder)...),
		}
		s.Warnings = append(s.Warnings, warnOfNoPatients(a.lab.data)...)
		for c, name := range a.lab.data.Classes {
			ranked, err := a.rank(ctx, cachedTexts{o.Encoder, o.Cache}, c)
			if err != nil {
				return err
			}
			s.Findings = append(s.Findings, ranked)
			if len(ranked.Ranked) > 0 {
				first := ranked.Ranked[slices.IndexFunc(ranked.Ranked, func(w evaluate.Wording) bool { return w.Difference == nil })]
				if text, ok := farBelow(name, &first.AUC, "the development samples"); ok {
					s.Warnings = append(s.Warnings, text)
				}
			}
		}
		return nil
	})
	return s, err
}

func isTest(part string) bool { return strings.EqualFold(part, testPart) }

// development uses the labelled samples that are not for the test, and counts
// those that are.
func (z ZeroShot) development(d *datasets.Dataset) (p plan, held int, looked string, err error) {
	if len(d.Classes) == 0 {
		return nil, 0, "", fmt.Errorf("experiment: %s: %w", d.Spec, errNoLabels)
	}
	c := &Config{Seed: z.Seed}
	c.setDefaults()
	looked = "every part but test"
	if !slices.ContainsFunc(d.Samples, func(s datasets.Sample) bool { return s.Split != "" }) {
		looked = fmt.Sprintf("a half by %s, drawn with seed %d; the other is for the test", d.Unit, z.Seed)
		if z.Split != "" {
			return nil, 0, "", fmt.Errorf("experiment: the data has no part %q, nor any other", z.Split)
		}
	}
	if z.Split != "" {
		looked = z.Split
	}
	parts, err := divide(c, d)
	if err != nil {
		return nil, 0, "", err
	}
	tested := map[string]bool{}
	for i, part := range parts {
		if isTest(part) {
			tested[d.Samples[i].Group()] = true
		}
	}
	p = make(plan, len(d.Samples))
	for i, part := range parts {
		p[i] = fate{part: testPart, outcome: used} // what is judged
		switch s := &d.Samples[i]; {
		case isTest(part):
			held++
			p.leaveOut(i, excluded, "held out for the test")
		case tested[s.Group()]:
			p.leaveOut(i, excluded, "of a patient who stands in the test part")
		case z.Split != "" && part != z.Split, part == unusedPart:
			p.leaveOut(i, excluded, "not in the part that was asked for")
		case !slices.ContainsFunc(s.Labels, known):
			p.leaveOut(i, excluded, noLabel)
		}
	}
	if len(p.used()) == 0 {
		return nil, 0, "", fmt.Errorf("experiment: no labelled sample to choose prompts on in %s; 'medprobe dataset inspect' lists the parts", looked)
	}
	return p, held, looked, nil
}

// rank asks for one class in every way that its texts allow.
func (a *asking) rank(ctx context.Context, enc TextEncoder, class int) (evaluate.WordingStudy, error) {
	name := a.lab.data.Classes[class]
	test := a.lab.finding(class)
	ways, err := a.prompts[name].ways(a.questions.score)
	if err != nil {
		return evaluate.WordingStudy{}, fmt.Errorf("experiment: prompts: %s: %w", name, err)
	}
	var wordings []evaluate.Wording
	for _, way := range ways {
		q := *a.questions
		q.positive, q.negative = slices.Clone(q.positive), slices.Clone(q.negative)
		if q.positive[class], err = sideOf(ctx, enc, way.Positive, Ensemble(way.Ensemble)); err != nil {
			return evaluate.WordingStudy{}, fmt.Errorf("experiment: prompts: %s: %w", name, err)
		}
		if q.negative != nil {
			if q.negative[class], err = sideOf(ctx, enc, way.Negative, Ensemble(way.Ensemble)); err != nil {
				return evaluate.WordingStudy{}, fmt.Errorf("experiment: prompts: %s: %w", name, err)
			}
		}
		if !a.lab.data.Exclusive() || q.score != ScoreSoftmax { // no class but this one matters
			q.classes, q.positive = q.classes[class:class+1], q.positive[class:class+1]
			if q.negative != nil {
				q.negative = q.negative[class : class+1]
			}
			way.Scores = pick(column(q.ask(a.images).odds, 0), test.rows)
		} else {
			way.Scores = pick(column(q.ask(a.images).odds, class), test.rows)
		}
		wordings = append(wordings, way)
	}
	return evaluate.RankWordings(name, wordings, test.labels, test.groups, a.lab.data.Unit)
}

// maxWordings bounds the ways to ask for a finding.
const maxWordings = 2000

// ways lists the ways to ask: the prompt's own ensemble, the other ensembles,
// and every single wording. A prompt of one wording has that one only.
func (p Prompt) ways(score Score) ([]evaluate.Wording, error) {
	negatives := p.Negative
	if score != ScorePair && score != ScoreDifference {
		negatives = []string{""}
	}
	if n := len(p.Positive) * len(negatives); n > maxWordings {
		return nil, fmt.Errorf("%d pairs of a positive and a negative text: at most %d can be ranked", n, maxWordings)
	}
	var single []evaluate.Wording
	for _, positive := range p.Positive {
		for _, negative := range negatives {
			w := evaluate.Wording{Positive: []string{positive}}
			if negative != "" {
				w.Negative = []string{negative}
			}
			single = append(single, w)
		}
	}
	if len(single) == 1 {
		return single, nil
	}
	own := p.Ensemble
	if own == "" {
		own = EnsembleMean
	}
	names := slices.DeleteFunc(ensembles(), func(e string) bool { return e == string(own) })
	var ways []evaluate.Wording
	for _, name := range append([]string{string(own)}, names...) {
		w := evaluate.Wording{Ensemble: name, Positive: p.Positive}
		if len(single[0].Negative) > 0 {
			w.Negative = p.Negative
		}
		ways = append(ways, w)
	}
	return append(ways, single...), nil
}
