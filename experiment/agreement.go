package experiment

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/evaluate"
	"github.com/medprobe/medprobe/trainer"
	"gonum.org/v1/gonum/blas/blas32"
)

// agreementFolds is the number of parts that take turns at being held out.
const agreementFolds = 5

// SpaceDifference is how well the vectors of two encoders tell a finding apart.
type SpaceDifference struct {
	Finding string `json:"finding"`
	// AUC compares held-out scores: A of the first encoder, B of the second.
	// nil where Reason says why there is none.
	AUC    *evaluate.Comparison `json:"auc,omitempty"`
	Reason string               `json:"reason,omitempty"`
}

// CompareSpaces compares two encoders on labelled samples: for each finding a
// logistic head (C = 1) is trained on the vectors of either, a and b, [n, D] and
// [n, D′] of length one, and scores the patients it has not seen, in five parts
// that never divide a patient. The AUCs of those scores are compared as
// [evaluate.Compare] does. A finding with fewer than five patients of either side
// has a reason instead.
func CompareSpaces(ctx context.Context, a, b blas32.General, d *datasets.Dataset) ([]SpaceDifference, error) {
	if a.Rows != len(d.Samples) || b.Rows != len(d.Samples) {
		return nil, fmt.Errorf("experiment: %d and %d vectors of %d samples: want one of each", a.Rows, b.Rows, len(d.Samples))
	}
	all := make([]SpaceDifference, len(d.Classes))
	for c, name := range d.Classes {
		all[c].Finding = name
		rows := slices.DeleteFunc(upTo(len(d.Samples)), func(i int) bool { return !known(d.Samples[i].Labels[c]) })
		y, groups := Targets(d, []int{c}, rows)
		y.Exclusive = false // one class against the rest
		folds, reason := heldOut(y, groups)
		if reason != "" {
			all[c].Reason = reason
			continue
		}
		var scores [2][]float64
		for k, x := range []blas32.General{a, b} {
			var err error
			if scores[k], err = heldOutScores(ctx, gather(x, rows), y, groups, folds); err != nil {
				return nil, fmt.Errorf("experiment: %s: %w", name, err)
			}
		}
		labels := make([]bool, len(rows))
		for r := range rows {
			labels[r] = y.Values[r][0] == trainer.Positive
		}
		comparison, err := evaluate.Compare(scores[0], scores[1], labels, groups)
		if err != nil {
			return nil, fmt.Errorf("experiment: %s: %w", name, err)
		}
		all[c].AUC = &comparison
	}
	return all, nil
}

// heldOut returns the part in which each row is held out, or why there are none.
// Patients with rows of one side, of both and of the other are dealt out one
// after another, so that no part takes all of a kind.
func heldOut(y trainer.Targets, groups []string) (folds []int, reason string) {
	type patient struct {
		name, place        string
		positive, negative bool
	}
	byName := map[string]*patient{}
	for r, group := range groups {
		p := byName[group]
		if p == nil {
			sum := sha256.Sum256([]byte(group)) // a place that no order of rows changes
			p = &patient{name: group, place: hex.EncodeToString(sum[:])}
			byName[group] = p
		}
		is := y.Values[r][0] == trainer.Positive
		p.positive, p.negative = p.positive || is, p.negative || !is
	}
	with, without := 0, 0
	kind := func(p *patient) int {
		switch {
		case p.positive && p.negative:
			return 1
		case p.positive:
			return 0
		}
		return 2
	}
	patients := slices.SortedFunc(maps.Values(byName), func(p, q *patient) int {
		return cmp.Or(cmp.Compare(kind(p), kind(q)), cmp.Compare(p.place, q.place))
	})
	part := map[string]int{}
	for i, p := range patients {
		part[p.name] = i % agreementFolds
		if p.positive {
			with++
		}
		if p.negative {
			without++
		}
	}
	if min(with, without) < agreementFolds {
		return nil, fmt.Sprintf("%d with it and %d without: want at least %d of each", with, without, agreementFolds)
	}
	folds = make([]int, len(groups))
	for r, group := range groups {
		folds[r] = part[group]
	}
	return folds, ""
}

// heldOutScores returns the log-odds of each row by the head that did not see it.
func heldOutScores(ctx context.Context, x blas32.General, y trainer.Targets, groups []string, folds []int) ([]float64, error) {
	scores := make([]float64, x.Rows)
	for fold := range agreementFolds {
		var seen, unseen []int
		for r := range folds {
			if folds[r] == fold {
				unseen = append(unseen, r)
			} else {
				seen = append(seen, r)
			}
		}
		some := trainer.Targets{Classes: y.Classes}
		var of []string
		for _, r := range seen {
			some.Values, of = append(some.Values, y.Values[r]), append(of, groups[r])
		}
		head, err := trainer.Fit(ctx, gather(x, seen), some, of, trainer.Options{Head: trainer.Logistic, C: 1})
		if err != nil {
			return nil, err
		}
		odds, err := head.LogOdds(gather(x, unseen))
		if err != nil {
			return nil, err
		}
		for k, r := range unseen {
			scores[r] = odds.Data[k*odds.Stride]
		}
	}
	return scores, nil
}
