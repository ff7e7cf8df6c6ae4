package experiment

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/trainer"
	"gonum.org/v1/gonum/blas/blas64"
)

// Suggest names the unlabelled samples whose labels would teach most.
type Suggest struct {
	Data datasets.Spec
	// Head, if not nil, says what is uncertain; without one, samples are chosen to
	// be unlike one another only.
	Head *trainer.Head
	// K is how many samples to name.
	K int
	// Finding is the one to be labelled; empty: a sample counts as unlabelled
	// where none of its findings is known.
	Finding     string
	MaxFailures string
	Seed        uint64
}

// suggestSchema names the form of the JSON of Suggestions.
const suggestSchema = "medprobe.suggest/1"

// Suggestions are the samples to label next, the most telling first.
type Suggestions struct {
	Schema  string `json:"schema"`
	Data    string `json:"data"`
	Encoder string `json:"encoder"`
	// Method is "uncertainty and diversity", or "diversity" without a head.
	Method  string `json:"method"`
	Finding string `json:"finding,omitempty"`
	Seed    uint64 `json:"seed"`
	// Labelled samples have a label; ForTest are left out because their part is
	// test; Failed could not be embedded; Candidates are the rest.
	Labelled   int    `json:"labelled"`
	ForTest    int    `json:"for_test"`
	Failed     int    `json:"failed"`
	Candidates int    `json:"candidates"`
	Unit       string `json:"unit"`
	Samples    []Pick `json:"samples"`
	// Warnings say what a reader should know, such as patients named twice.
	Warnings []string `json:"warnings,omitempty"`
}

// Pick is one sample to label.
type Pick struct {
	Rank    int    `json:"rank"`
	ID      string `json:"id"`
	Patient string `json:"patient,omitempty"`
	// Uncertainty is 0 to 1: the entropy of what the head says; nil without one.
	Uncertainty *float64 `json:"uncertainty"`
	// StandsFor is how many of the candidates looked at are nearest to it.
	StandsFor int `json:"stands_for"`
}

// Run embeds the candidates and chooses among them, the most uncertain and least alike.
func (s Suggest) Run(ctx context.Context, o Options) (found *Suggestions, err error) {
	d, err := datasets.Open(ctx, s.Data)
	if err != nil {
		return nil, err
	}
	defer closing(d, &err)
	found = &Suggestions{
		Schema: suggestSchema, Data: s.Data.Name(), Encoder: o.Encoder.Name(),
		Method: "diversity", Finding: s.Finding, Seed: s.Seed, Unit: d.Unit,
	}
	w := newWork(&Config{Data: s.Data, MaxFailures: s.MaxFailures, Seed: s.Seed}, o, d)
	taught, err := s.candidates(d, w, found)
	if err != nil {
		return nil, err
	}
	if s.Head != nil {
		found.Method = "uncertainty and diversity"
		if err := s.Head.Check(headSpace(w.space)); err != nil {
			return nil, fmt.Errorf("experiment: suggest: %w", err)
		}
	}
	if err := w.embed(ctx); err != nil {
		return nil, err
	}
	found.Failed = len(w.filled.Failed)
	l, err := w.newLab(ctx)
	if err != nil {
		return nil, err
	}
	found.Candidates, found.Warnings = len(l.test), w.warnings
	return found, s.choose(l, taught, found)
}

// choose names samples of the test part of the lab, which are the candidates.
func (s Suggest) choose(l *lab, taught map[string]bool, found *Suggestions) error {
	var uncertainty []float64
	if s.Head != nil {
		p, err := s.Head.Probabilities(l.testX)
		if err != nil {
			return fmt.Errorf("experiment: suggest: %w", err)
		}
		if uncertainty, err = entropies(p, s.Head, s.Finding); err != nil {
			return err
		}
	}
	chosen := choose(vectorsOf(l.testX), uncertainty, groupsOf(l.data, l.test), taught, s.K, s.Seed)
	seen := map[string]bool{}
	repeated := 0
	for rank, c := range chosen {
		sample := &l.data.Samples[l.test[c.Index]]
		pick := Pick{Rank: rank + 1, ID: sample.ID, Patient: sample.Patient, StandsFor: c.StandsFor}
		if uncertainty != nil {
			pick.Uncertainty = &uncertainty[c.Index]
		}
		if group := sample.Group(); taught[group] || seen[group] {
			repeated++
		}
		seen[sample.Group()] = true
		found.Samples = append(found.Samples, pick)
	}
	if repeated > 0 {
		found.Warnings = append(found.Warnings, fmt.Sprintf("%d of them are of a %s that has a label or was named before: there are too few others, and a second image of one teaches less", repeated, l.data.Unit))
	}
	if len(chosen) < s.K {
		found.Warnings = append(found.Warnings, fmt.Sprintf("%d asked for, %d unlabelled", s.K, len(chosen)))
	}
	return nil
}

// candidates plans to embed what is unlabelled and not for the test, and returns
// the patients that have a label.
func (s Suggest) candidates(d *datasets.Dataset, w *work, found *Suggestions) (taught map[string]bool, err error) {
	class := slices.Index(d.Classes, s.Finding)
	if s.Finding != "" && class < 0 {
		return nil, fmt.Errorf("experiment: suggest: no finding %q in the data; it has %q", s.Finding, d.Classes)
	}
	taught = map[string]bool{}
	w.plan = make(plan, len(d.Samples))
	for i := range d.Samples {
		sample := &d.Samples[i]
		labels := sample.Labels
		if class >= 0 {
			labels = labels[class : class+1]
		}
		w.plan[i] = fate{part: testPart, outcome: used} // what is judged
		switch {
		case isTest(sample.Split):
			found.ForTest++
			w.plan.leaveOut(i, excluded, "for the test")
		case slices.ContainsFunc(labels, known):
			found.Labelled++
			taught[sample.Group()] = true
			w.plan.leaveOut(i, excluded, "labelled already")
		}
	}
	if len(w.plan.used()) == 0 {
		return nil, fmt.Errorf("experiment: suggest: all of %d samples are labelled or for the test (%d): nothing is left to label", len(d.Samples), found.ForTest)
	}
	return taught, nil
}

// entropies says how unsure the head is of each row of p, from 0 to 1: the
// entropy over exclusive classes, or the mean of those of the findings, or that
// of one finding.
func entropies(p blas64.General, head *trainer.Head, finding string) ([]float64, error) {
	column := -1
	if finding != "" {
		if column = slices.Index(head.Classes, finding); column < 0 {
			return nil, fmt.Errorf("experiment: suggest: the head knows no finding %q; it knows %q", finding, head.Classes)
		}
	}
	u := make([]float64, p.Rows)
	for i := range u {
		row := p.Data[i*p.Stride : i*p.Stride+p.Cols]
		switch {
		case column >= 0:
			u[i] = bits(row[column]) + bits(1-row[column])
		case head.Exclusive && p.Cols > 1:
			for _, v := range row {
				u[i] += bits(v) / math.Log2(float64(p.Cols))
			}
		default:
			for _, v := range row {
				u[i] += (bits(v) + bits(1-v)) / float64(p.Cols)
			}
		}
	}
	return u, nil
}

// bits is −p·log₂ p.
func bits(p float64) float64 {
	if p <= 0 {
		return 0
	}
	return -p * math.Log2(p)
}
