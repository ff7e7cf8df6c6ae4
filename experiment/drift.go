package experiment

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/embedcache"
	"github.com/medprobe/medprobe/evaluate"
	"github.com/medprobe/medprobe/trainer"
)

// What is compared at most of new samples; patients are drawn.
const (
	driftVectors = 512
	driftScores  = 4096
)

// Drift asks whether samples look like those that a head was tested on.
type Drift struct {
	Data datasets.Spec
	Head *trainer.Head
	// Reference is what the head keeps of its test part.
	Reference *evaluate.Reference
	// Split is the part to look at; empty means every sample.
	Split       string
	Preprocess  string
	MaxFailures string
	// Alpha is the chance of a false alarm; 0 means .05.
	Alpha float64
	Seed  uint64
}

// Run embeds the samples, lets the head score them and compares. Labels need not
// be there; where they are, they are compared too.
func (q Drift) Run(ctx context.Context, o Options) (found *evaluate.Drift, err error) {
	if err := q.fits(o.Encoder); err != nil {
		return nil, fmt.Errorf("experiment: drift: %w", err)
	}
	d, err := datasets.Open(ctx, q.Data)
	if err != nil {
		return nil, err
	}
	defer closing(d, &err)
	w := newWork(&Config{Data: q.Data, MaxFailures: q.MaxFailures, Seed: q.Seed}, o, d)
	if w.plan, err = q.plan(d); err != nil {
		return nil, err
	}
	if err := w.embed(ctx); err != nil {
		return nil, err
	}
	l, err := w.newLab(ctx)
	if err != nil {
		return nil, err
	}
	now, err := l.population(q.Head, q.Seed, perUnit{q.Reference.VectorsPerUnit, q.Reference.ScoresPerUnit})
	if err != nil {
		return nil, err
	}
	if len(q.Reference.Projection) > 0 {
		if now.Vectors, err = q.Reference.Project(now.Vectors); err != nil {
			return nil, err
		}
	}
	found, err = evaluate.CompareDrift(ctx, q.Reference.Population(), now, evaluate.DriftOptions{Alpha: q.Alpha, Seed: q.Seed})
	if err != nil {
		return nil, fmt.Errorf("experiment: drift: %w", err)
	}
	counts := w.plan.counts(w.data)
	found.Counts, found.Warnings = &counts, w.warnings
	found.Head, found.Encoder, found.Data = q.Head.Kind, o.Encoder.Name(), q.Data.Name()
	switch {
	case len(q.Reference.Sketch) == 0:
		found.Warnings = append(found.Warnings, "the reference holds no vectors: embeddings are not compared; run the experiment again and add its head, if an earlier medprobe kept it")
	case len(now.Vectors) == 0:
		found.Warnings = append(found.Warnings, fmt.Sprintf("the reference holds all images of its %ss, and one %s has more than %d here: embeddings are not compared; run the experiment again and add its head", q.Reference.Unit, d.Unit, driftVectors))
	}
	if !d.HasPatients() && q.Reference.Unit != d.Unit {
		found.Warnings = append(found.Warnings, fmt.Sprintf("the data names no %ss, and the reference does: where one has several %ss, differences look surer than they are", q.Reference.Unit, d.Unit))
	}
	return found, counts.Check()
}

// fits returns an error unless encoder, head and reference are of one another.
func (q Drift) fits(e Encoder) error {
	space := headSpace(embedcache.SpaceOf(e))
	was := q.Reference.Encoder
	if err := q.Head.Check(trainer.Space{Encoder: was.Fingerprint, Preprocess: was.PreprocessFingerprint}); err != nil {
		return fmt.Errorf("the reference is not of this head: %w", err)
	}
	var names []string
	for _, f := range q.Reference.Findings {
		names = append(names, f.Name)
	}
	if !slices.Equal(names, q.Head.Classes) {
		return fmt.Errorf("the reference is of the findings %q, the head of %q: want those of one version", names, q.Head.Classes)
	}
	var differs []string
	if was.Fingerprint != space.Encoder {
		differs = append(differs, fmt.Sprintf("encoder %q (%.12s) instead of %q (%.12s)", e.Name(), space.Encoder, was.Name, was.Fingerprint))
	}
	if was.PreprocessFingerprint != space.Preprocess {
		differs = append(differs, fmt.Sprintf("preprocessing %q (%.12s) instead of %q (%.12s)", q.Preprocess, space.Preprocess, was.Preprocess, was.PreprocessFingerprint))
	}
	if differs != nil {
		return fmt.Errorf("vectors of another kind than the head was tested on, which would differ without any drift: %s", strings.Join(differs, "; "))
	}
	return nil
}

// plan uses every sample of the split, labelled or not.
func (q Drift) plan(d *datasets.Dataset) (plan, error) {
	p := make(plan, len(d.Samples))
	for i := range d.Samples {
		p[i] = fate{part: testPart, outcome: used}
		if q.Split != "" && d.Samples[i].Split != q.Split {
			p.leaveOut(i, excluded, "not in the part that was asked for")
		}
	}
	if len(p.used()) == 0 {
		return nil, fmt.Errorf("experiment: drift: no sample in part %q; 'medprobe dataset inspect' lists the parts", q.Split)
	}
	return p, nil
}

// perUnit bounds how many vectors and probabilities of a patient are compared: as
// many as on the other side, or patients of many images would weigh more here. 0
// means all.
type perUnit struct{ vectors, scores int }

// asKept is as many as references keep.
func asKept() perUnit { return perUnit{evaluate.SketchPerUnit, evaluate.ScoresPerUnit} }

// population is the test samples as a head sees them: vectors and probabilities of
// patients drawn by the seed, figures on all of them.
func (l *lab) population(h *trainer.Head, seed uint64, each perUnit) (evaluate.Population, error) {
	m := &method{name: h.Kind, head: h}
	if err := m.score(l.testX); err != nil {
		return evaluate.Population{}, err
	}
	return l.populationOf(m, h.Classes, seed, each)
}

// populationOf is [lab.population] of a method that has scored them; classes
// names the columns of its scores.
func (l *lab) populationOf(m *method, classes []string, seed uint64, each perUnit) (p evaluate.Population, err error) {
	groups := groupsOf(l.data, l.test)
	p = evaluate.Population{Samples: len(groups), Units: distinct(groups), Unit: l.data.Unit}
	drawn := evaluate.DrawUnits(groups, driftVectors, each.vectors, seed)
	p.Vectors, p.VectorGroups = vectorsOf(gather(l.testX, drawn)), pick(groups, drawn)
	if drawn = evaluate.DrawUnits(groups, driftScores, each.scores, seed); len(drawn) == 0 {
		drawn = upTo(len(groups)) // of a patient with more than that
	}
	p.ScoreGroups = pick(groups, drawn)
	for c, name := range classes {
		f := evaluate.PopulationFinding{Name: name, Probabilities: pick(column(m.probabilities, c), drawn)}
		if at := slices.Index(l.data.Classes, name); at >= 0 {
			test := l.finding(at)
			if f.Rate, err = evaluate.Rate(test.labels, test.groups, l.data.Unit); err != nil {
				return p, err
			}
			if f.AUC, err = evaluate.KnownAUC(pick(column(m.odds, c), test.rows), test.labels, test.groups, l.data.Unit); err != nil {
				return p, err
			}
		}
		p.Findings = append(p.Findings, f)
	}
	return p, nil
}
