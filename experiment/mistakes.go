package experiment

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/evaluate"
)

const (
	// mostMistakes is how many of a kind a report shows for a finding, and
	// allMistakes about how many for all findings, but one of each at least.
	mostMistakes = 3
	allMistakes  = 24
	// neighbours is how many samples of train stand beside each.
	neighbours = 2
)

// mistakes shows where the report's head was most sure and wrong, with the nearest
// of the samples that it learnt the finding from. It is nil without probabilities.
func (l *lab) mistakes(ctx context.Context, methods []*method, tests []finding, findings []evaluate.Finding) (*evaluate.Mistakes, error) {
	m := leadOf(methods)
	k := slices.Index(methods, m)
	if m.probabilities.Data == nil {
		return nil, nil
	}
	pictures := &thumbnails{lab: l, made: map[int][]byte{}}
	all := &evaluate.Mistakes{Method: m.name}
	shown := max(1, min(mostMistakes, allMistakes/len(tests)/2))
	for c, test := range tests {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		f := evaluate.FindingMistakes{Finding: l.data.Classes[c], Positive: []evaluate.Mistake{}, Negative: []evaluate.Mistake{}}
		f.Threshold, f.Rule = findings[c].Methods[k].SharedThreshold()
		probabilities := column(m.probabilities, c)
		var positive, negative []int // places in l.test, called so and wrong
		for j, r := range test.rows {
			switch called := probabilities[r] >= f.Threshold; {
			case called && !test.labels[j]:
				positive = append(positive, r)
			case !called && test.labels[j]:
				negative = append(negative, r)
			}
		}
		f.FalsePositives, f.FalseNegatives = len(positive), len(negative)
		slices.SortStableFunc(positive, func(a, b int) int { return -cmp.Compare(probabilities[a], probabilities[b]) })
		slices.SortStableFunc(negative, func(a, b int) int { return cmp.Compare(probabilities[a], probabilities[b]) })
		support, err := l.support(c)
		if err != nil {
			return nil, err
		}
		for _, r := range positive[:min(shown, len(positive))] {
			f.Positive = append(f.Positive, l.mistake(ctx, c, r, probabilities[r], support, pictures))
		}
		for _, r := range negative[:min(shown, len(negative))] {
			f.Negative = append(f.Negative, l.mistake(ctx, c, r, probabilities[r], support, pictures))
		}
		all.Findings = append(all.Findings, f)
	}
	return all, nil
}

// support returns the samples that the heads learnt a class from.
func (l *lab) support(class int) ([]int, error) {
	set := classSet{class}
	if l.data.Exclusive() {
		set = upTo(len(l.data.Classes))
	}
	rows, err := l.draw(set, l.config.Train.Shots, 0)
	if err != nil {
		return nil, fmt.Errorf("experiment: %w", err)
	}
	return slices.DeleteFunc(slices.Clone(rows), func(i int) bool { return !known(l.data.Samples[i].Labels[class]) }), nil
}

func (l *lab) mistake(ctx context.Context, class, at int, probability float64, support []int, pictures *thumbnails) evaluate.Mistake {
	m := evaluate.Mistake{Probability: probability, Image: pictures.of(ctx, l.test[at]), Nearest: []evaluate.Neighbour{}}
	v := row(l.testX, at)
	type near struct {
		index  int
		cosine float64
	}
	nearest := make([]near, len(support))
	for k, i := range support {
		nearest[k] = near{i, likeness(v, row(l.x, i))}
	}
	slices.SortStableFunc(nearest, func(a, b near) int { return -cmp.Compare(a.cosine, b.cosine) })
	for _, n := range nearest[:min(neighbours, len(nearest))] {
		m.Nearest = append(m.Nearest, evaluate.Neighbour{
			Cosine: n.cosine, Positive: l.data.Samples[n.index].Labels[class] == datasets.Positive, Image: pictures.of(ctx, n.index),
		})
	}
	return m
}

// likeness is the cosine of two vectors, 0 where one has no length.
func likeness(a, b []float32) float64 {
	ab, aa, bb := 0.0, 0.0, 0.0
	for k := range a {
		x, y := float64(a[k]), float64(b[k])
		ab += float64(x * y)
		aa += float64(x * x)
		bb += float64(y * y)
	}
	if aa == 0 || bb == 0 {
		return 0
	}
	return ab / math.Sqrt(aa*bb)
}

// thumbnails makes each small picture once, and none where the experiment shows
// none.
type thumbnails struct {
	lab  *lab
	made map[int][]byte
}

func (t *thumbnails) of(ctx context.Context, i int) []byte {
	if t.lab.config.NearDuplicates.Thumbnails == "no" {
		return nil
	}
	if png, ok := t.made[i]; ok {
		return png
	}
	t.made[i] = thumbnail(ctx, t.lab.data, i)
	return t.made[i]
}
