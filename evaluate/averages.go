package evaluate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Averages are the figures of one kind of scores over several labels.
type Averages struct {
	// Score is the prefix of the score columns.
	Score string `json:"score"`
	// Labels are those with both classes; LeftOut are the others, which no mean
	// of AUCs can count.
	Labels  []string `json:"labels"`
	LeftOut []string `json:"left_out"`
	// NotEstimable are those of Labels that have too few units of a class to be
	// relied on; see [ScoreSummary].
	NotEstimable []string `json:"not_estimable"`
	// MacroAUC is the plain mean of the labels' AUCs, WeightedAUC that weighted
	// with their positives, MicroAUC the AUC of all labels' samples in one heap.
	// They are nil for fewer than two labels.
	MacroAUC    *Estimate `json:"macro_auc"`
	WeightedAUC *Estimate `json:"weighted_auc"`
	MicroAUC    *Estimate `json:"micro_auc"`
	// MacroAP, WeightedAP and MicroAP are the same of average precision, with the
	// intervals of [MethodResult]'s; those of the AUCs are percentiles of a bootstrap
	// over units, where it is asked for and units are not few.
	MacroAP    *Estimate `json:"macro_average_precision"`
	WeightedAP *Estimate `json:"weighted_average_precision"`
	MicroAP    *Estimate `json:"micro_average_precision"`
	// HammingLoss is the share of wrong calls at the threshold among all known
	// pairs of a sample and a label; nil without a threshold.
	HammingLoss *Estimate `json:"hamming_loss"`
	// Classes is nil unless every sample has exactly one of the labels.
	Classes *ClassFigures `json:"classes"`
}

// ClassFigures are those of labels of which every sample has exactly one.
type ClassFigures struct {
	// HandTill is the mean over ordered pairs of classes of the AUC of the first
	// one's scores among the samples of the two: Hand and Till's M, one against
	// one. HandTillWeighted weighs a pair with its samples.
	HandTill         Estimate `json:"hand_till"`
	HandTillWeighted Estimate `json:"hand_till_weighted"`
	// Accuracy and BalancedAccuracy are of calling each sample the class with
	// the highest score, the first of equals. Confusion counts samples by class,
	// in the order of the labels: the row is the truth, the column the call.
	Accuracy         Estimate `json:"accuracy"`
	BalancedAccuracy Estimate `json:"balanced_accuracy"`
	Confusion        [][]int  `json:"confusion"`
}

// kinds is how many scores every label has; the k-th ones are of one kind.
func (s *Scores) kinds() int {
	if len(s.Labels) < 2 {
		return 0
	}
	n := len(s.Labels[0].Scores)
	for _, l := range s.Labels {
		n = min(n, len(l.Scores))
	}
	return n
}

// pool is the scores of one kind, label by label and in one heap.
type pool struct {
	labels  []pooled // those with both classes
	leftOut []string // the others
	all     pooled   // every known pair of a sample and a label
	unit    []int32  // of each row
	units   int
}

// pooled is a column with the number of the unit of each sample.
type pooled struct {
	Column
	name      string
	unit      []int32
	positives int
}

// pool gathers the k-th scores of all labels. Units are the groups or, without, the
// rows.
func (s *Scores) pool(k int) (*pool, error) {
	unit, units, err := unitsOf(s.Rows, s.Groups)
	if err != nil {
		return nil, err
	}
	p := &pool{unit: unit, units: units, leftOut: []string{}}
	for _, l := range s.Labels {
		known := s.known(l)
		one := pooled{name: l.Name, Column: Column{Scores: known.of(l.Scores[k]), Labels: known.labels, Groups: known.names()}}
		for _, i := range known.rows {
			one.unit = append(one.unit, unit[i])
		}
		p.all.Scores, p.all.Labels = append(p.all.Scores, one.Scores...), append(p.all.Labels, one.Labels...)
		p.all.Groups, p.all.unit = append(p.all.Groups, one.Groups...), append(p.all.unit, one.unit...)
		if one.positives, _, err = countClasses(one.Labels); err != nil {
			p.leftOut = append(p.leftOut, l.Name)
			continue
		}
		p.labels = append(p.labels, one)
	}
	return p, nil
}

// unitNames names the unit of each row: its group or, without, the row itself.
func (s *Scores) unitNames() []string {
	if s.Groups != nil {
		return s.Groups
	}
	names := make([]string, s.Rows)
	for i := range names {
		names[i] = strconv.Itoa(i)
	}
	return names
}

// averages returns the figures of the k-th scores of all labels. Intervals are
// over the groups or, without, the rows.
func (s *Scores) averages(ctx context.Context, k int, o SummaryOptions, unit string) (Averages, error) {
	first := s.Labels[0]
	out := Averages{Score: strings.TrimSuffix(first.Scores[k].Name, first.Name), Labels: []string{}, NotEstimable: []string{}}
	p, err := s.pool(k)
	if err != nil {
		return out, err
	}
	out.LeftOut = p.leftOut
	for _, l := range p.labels {
		out.Labels = append(out.Labels, l.name)
		if positives, negatives := l.lacking(cmp.Or(o.LeastUnits, FewUnits)); positives+negatives > 0 {
			out.NotEstimable = append(out.NotEstimable, l.name)
		}
	}
	if out.HammingLoss, err = p.hamming(o.Threshold, unit); err != nil {
		return out, err
	}
	if len(p.labels) < 2 {
		return out, nil
	}
	if err := p.averageAUCs(&out, unit); err != nil {
		return out, err
	}
	if err := s.resampleAverages(ctx, p, o, &out); err != nil {
		return out, err
	}
	if len(out.LeftOut) == 0 {
		out.Classes, err = s.classes(k, unit)
	}
	return out, err
}

// hamming is the share of wrong calls at the threshold, by default that of
// probabilities; nil where the scores are none.
func (p *pool) hamming(threshold *float64, unit string) (*Estimate, error) {
	least := DefaultThreshold
	switch {
	case len(p.all.Labels) == 0 || threshold == nil && !areProbabilities(p.all.Scores):
		return nil, nil
	case threshold != nil:
		least = *threshold
	}
	wrong := make([]bool, len(p.all.Scores))
	for i, score := range p.all.Scores {
		wrong[i] = (score >= least) != p.all.Labels[i]
	}
	e, err := Proportion(wrong, p.all.Groups)
	if err != nil {
		return nil, err
	}
	return named(e, unit), nil
}

// averageAUCs sets the means of the labels' AUCs, and that of the heap.
func (p *pool) averageAUCs(out *Averages, unit string) error {
	columns, weights := make([]Column, len(p.labels)), make([]float64, len(p.labels))
	for i, l := range p.labels {
		columns[i], weights[i] = l.Column, float64(l.positives)
	}
	macro, err := MacroAUC(columns)
	if err != nil {
		return err
	}
	weighted, err := WeightedAUC(columns, weights)
	if err != nil {
		return err
	}
	micro, err := AUC(p.all.Scores, p.all.Labels, p.all.Groups)
	if err != nil {
		return err
	}
	out.MacroAUC, out.WeightedAUC, out.MicroAUC = named(macro, unit), named(weighted, unit), named(micro, unit)
	return nil
}

// classes returns the figures of the k-th scores where each row has exactly one of
// the labels; otherwise nil.
func (s *Scores) classes(k int, unit string) (*ClassFigures, error) {
	truth, ok := s.exclusive()
	if !ok {
		return nil, nil
	}
	scores := make([][]float64, len(s.Labels))
	for c, l := range s.Labels {
		scores[c] = l.Scores[k].Values
	}
	f, err := Classify(scores, truth, s.unitNames())
	if err != nil {
		return nil, err
	}
	for _, e := range []*Estimate{&f.HandTill, &f.HandTillWeighted, &f.Accuracy, &f.BalancedAccuracy} {
		*e = *named(*e, unit)
	}
	return f, nil
}

func named(e Estimate, unit string) *Estimate {
	e = e.over(unit)
	return &e
}

// exclusive returns the label that each row has, if each has exactly one and
// none is unknown.
func (s *Scores) exclusive() (truth []int, ok bool) {
	truth = make([]int, s.Rows)
	for i := range truth {
		truth[i] = -1
		for c, l := range s.Labels {
			switch {
			case l.Values[i] == Negative:
			case l.Values[i] == Unknown || truth[i] >= 0:
				return nil, false
			default:
				truth[i] = c
			}
		}
		if truth[i] < 0 {
			return nil, false
		}
	}
	return truth, s.Rows > 0
}

// Classify returns the figures of scores of classes that exclude each other.
// scores has a column per class, each with an entry per sample; truth holds the
// class of each sample, from 0; groups holds the independent unit of each and
// must be given. There are two or more classes, and each must occur.
//
// Every figure has its interval at level .95: those of Hand and Till's M as in
// [MacroAUC], those of the others as in [Proportion] and [BalancedAccuracy].
// The weights of pairs are taken as fixed.
//
// Source: Hand and Till, Machine Learning 45 (2001) 171–186, eq. 7. Oracle:
// scikit-learn roc_auc_score with multi_class "ovo", accuracy_score,
// balanced_accuracy_score and confusion_matrix.
func Classify(scores [][]float64, truth []int, groups []string) (*ClassFigures, error) {
	classes := len(scores)
	if classes < 2 || len(groups) != len(truth) {
		return nil, fmt.Errorf("evaluate: %d classes, %d samples and %d groups: want two or more classes, and a group for each sample", classes, len(truth), len(groups))
	}
	for c, column := range scores {
		if len(column) != len(truth) {
			return nil, fmt.Errorf("evaluate: class %d: %d scores for %d samples: want as many", c, len(column), len(truth))
		}
	}
	out := &ClassFigures{Confusion: make([][]int, classes)}
	for c := range classes {
		out.Confusion[c] = make([]int, classes)
	}
	called, hits := make([]int, len(truth)), make([]bool, len(truth))
	for i, class := range truth {
		if class < 0 || class >= classes {
			return nil, fmt.Errorf("evaluate: sample %d: class %d: want 0 to %d", i, class, classes-1)
		}
		for c := range classes {
			if scores[c][i] > scores[called[i]][i] {
				called[i] = c
			}
		}
		hits[i] = called[i] == class
		out.Confusion[class][called[i]]++
	}
	var pairs []Column
	var weights []float64
	for a := range classes {
		for b := range classes {
			if a == b {
				continue
			}
			var c Column
			for i, class := range truth {
				if class == a || class == b {
					c.Scores, c.Labels, c.Groups = append(c.Scores, scores[a][i]), append(c.Labels, class == a), append(c.Groups, groups[i])
				}
			}
			pairs, weights = append(pairs, c), append(weights, float64(len(c.Labels)))
		}
	}
	var errs [4]error
	out.HandTill, errs[0] = MacroAUC(pairs)
	out.HandTillWeighted, errs[1] = WeightedAUC(pairs, weights)
	out.Accuracy, errs[2] = Proportion(hits, groups)
	out.BalancedAccuracy, errs[3] = BalancedAccuracy(truth, called, groups, classes)
	// Samples stand in several pairs, and are counted once.
	for _, e := range []*Estimate{&out.HandTill, &out.HandTillWeighted} {
		e.N, e.Positives = len(truth), 0
	}
	return out, errors.Join(errs[:]...)
}
