package evaluate

import (
	"fmt"
	"strings"
)

// Encoders compares encoders on the same test samples, with heads trained on the
// same training samples. The first encoder is the one that the rest of the report
// is about; every other one is held against it.
type Encoders struct {
	Encoders    []ComparedEncoder   `json:"encoders"`
	Comparisons []EncoderComparison `json:"comparisons"`
	// Means are over the findings that have both classes; empty with fewer than two.
	Means []EncoderComparison `json:"means"`
}

// ComparedEncoder is one encoder of a comparison.
type ComparedEncoder struct {
	EncoderFacts
	// Label is the name, with the profile where that is not the first one's.
	Label string `json:"label"`
	// Failed is how many samples it failed on that those before it did not; they
	// are left out for all.
	Failed int `json:"failed"`
	// NoZeroShot says why it has no zero-shot although there are prompts.
	NoZeroShot string `json:"no_zero_shot,omitempty"`
	// LeftOut are the heads that it cannot have for want of zero-shot.
	LeftOut []string `json:"left_out,omitempty"`
}

// EncoderComparison is one method of one finding on another encoder, beside the
// same method on the first. What cannot be estimated, or is not there, is nil.
type EncoderComparison struct {
	Encoder string `json:"encoder"`
	First   string `json:"first"`
	Method  string `json:"method"`
	// Finding is empty for a mean over findings.
	Finding  string    `json:"finding,omitempty"`
	AUC      *Estimate `json:"auc"`
	FirstAUC *Estimate `json:"first_auc"`
	// Difference is AUC − FirstAUC, paired; p is also given as adjusted over the
	// findings of the same encoder and method (Holm). It is not for a mean.
	Difference *Difference `json:"difference"`
}

// Add compares another encoder with the first. other and first hold the same
// findings with the same samples in the same order; their methods are paired by
// name. unit is what a group is. Figures and tests are those of [Compare] and
// [MacroCompare].
func (e *Encoders) Add(label string, other, first []Trial, unit string) error {
	if len(other) != len(first) || len(e.Encoders) == 0 {
		return fmt.Errorf("evaluate: encoders: %d findings against %d, after %d encoders: want as many, after the first", len(other), len(first), len(e.Encoders))
	}
	if len(other) == 0 {
		return nil
	}
	for k, method := range other[0].Methods {
		if err := e.addMethod(label, method.Method, k, other, first, unit); err != nil {
			return fmt.Errorf("encoder %q, %s: %w", label, method.Method, err)
		}
	}
	return nil
}

// addMethod compares the k-th method of the other encoder.
func (e *Encoders) addMethod(label, method string, k int, other, first []Trial, unit string) error {
	var theirs, ours []Column
	from := len(e.Comparisons)
	for t, trial := range other {
		c := EncoderComparison{Encoder: label, First: e.Encoders[0].Label, Method: method, Finding: trial.Name}
		_, _, oneClass := countClasses(trial.Labels)
		their := Column{Scores: trial.Methods[k].Scores, Labels: trial.Labels, Groups: trial.Groups}
		our, paired := first[t].column(method)
		switch {
		case oneClass != nil:
		case paired:
			compared, err := Compare(their.Scores, our.Scores, trial.Labels, trial.Groups)
			if err != nil {
				return fmt.Errorf("finding %q: %w", trial.Name, err)
			}
			c.set(compared, unit)
			theirs, ours = append(theirs, their), append(ours, our)
		default:
			auc, err := AUC(their.Scores, trial.Labels, trial.Groups)
			if err != nil {
				return fmt.Errorf("finding %q: %w", trial.Name, err)
			}
			c.AUC = named(auc, unit)
			theirs = append(theirs, their)
		}
		e.Comparisons = append(e.Comparisons, c)
	}
	e.adjust(from)
	if len(theirs) < 2 {
		return nil
	}
	mean := EncoderComparison{Encoder: label, First: e.Encoders[0].Label, Method: method}
	if len(ours) == 0 {
		auc, err := MacroAUC(theirs)
		if err != nil {
			return err
		}
		mean.AUC = named(auc, unit)
	} else {
		compared, err := MacroCompare(theirs, ours)
		if err != nil {
			return err
		}
		mean.set(compared, unit)
	}
	e.Means = append(e.Means, mean)
	return nil
}

// column returns the scores of a method, if the trial has it.
func (t Trial) column(method string) (Column, bool) {
	for _, m := range t.Methods {
		if m.Method == method {
			return Column{Scores: m.Scores, Labels: t.Labels, Groups: t.Groups}, true
		}
	}
	return Column{}, false
}

func (c *EncoderComparison) set(of Comparison, unit string) {
	c.AUC, c.FirstAUC = named(of.A, unit), named(of.B, unit)
	c.Difference = &Difference{A: MethodOn(c.Method, c.Encoder), B: MethodOn(c.Method, c.First), Difference: of.Difference.over(unit), P: of.P, AdjustedP: of.P}
}

// MethodOn names a method on an encoder that is not the first: "logistic@B".
func MethodOn(method, encoder string) string { return method + "@" + encoder }

// OnAnother says whether a method's name is that of one on another encoder.
func OnAnother(method string) bool { return strings.Contains(method, "@") }

// adjust sets Holm's p over the comparisons from one on, which are those of one
// encoder and method.
func (e *Encoders) adjust(from int) {
	var differences []*Difference
	var p []float64
	for k := from; k < len(e.Comparisons); k++ {
		if d := e.Comparisons[k].Difference; d != nil {
			differences, p = append(differences, d), append(p, d.P)
		}
	}
	for k, adjusted := range Holm(p) {
		differences[k].AdjustedP = adjusted
	}
}
