package trainer

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Rule says where a finding begins.
type Rule struct {
	// Name is "youden", which has no Value; "sensitivity", "specificity" or
	// "ppv", with the least that is wanted; or "cost", with what a missed finding
	// costs in false alarms.
	Name  string
	Value float64
}

func (r Rule) String() string {
	if r.Name == "youden" {
		return r.Name
	}
	return r.Name + "=" + strconv.FormatFloat(r.Value, 'g', -1, 64)
}

// ParseRule reads "youden", "sensitivity=0.95", "specificity=0.9", "ppv=0.8" or
// "cost=5".
func ParseRule(text string) (Rule, error) {
	name, value, given := strings.Cut(text, "=")
	r := Rule{Name: name}
	wrong := fmt.Errorf("threshold %q: want youden, or sensitivity, specificity or ppv with a share such as sensitivity=0.95, or cost with a ratio such as cost=5", text)
	if name == "youden" {
		if given {
			return r, wrong
		}
		return r, nil
	}
	v, err := strconv.ParseFloat(value, 64)
	if r.Value = v; err != nil || r.validate() != nil {
		return r, wrong
	}
	return r, nil
}

func (r Rule) validate() error {
	switch r.Name {
	case "youden":
		return nil
	case "sensitivity", "specificity", "ppv":
		if r.Value > 0 && r.Value <= 1 {
			return nil
		}
	case "cost":
		if r.Value > 0 && !math.IsInf(r.Value, 0) {
			return nil
		}
	}
	return fmt.Errorf("threshold %s: want youden, or sensitivity, specificity or ppv from 0 to 1, or a positive cost", r)
}

// Threshold is a probability from which a finding counts as present, and what it
// reaches on the scores that it was chosen on: those of ChosenOn, which is
// "cross-validation" or "validation".
type Threshold struct {
	Class       string  `json:"class"`
	Rule        string  `json:"rule"`
	ChosenOn    string  `json:"chosen_on,omitempty"`
	Probability float64 `json:"probability"`
	Sensitivity float64 `json:"sensitivity"`
	Specificity float64 `json:"specificity"`
	// PPV is the share of findings among what is called one; 0 of none.
	PPV float64 `json:"ppv"`
}

// choose returns the threshold that the rule asks for, among the scores
// themselves; false if none reaches it.
//
// youden has the greatest sensitivity + specificity − 1; sensitivity the
// greatest specificity with that sensitivity; specificity and ppv the greatest
// sensitivity with theirs; cost the least Value·misses + false alarms. Of equal
// ones it is the greatest threshold.
func (r Rule) choose(scores []float64, labels []int8) (Threshold, bool) {
	order := upTo(len(scores))
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
	positives, negatives := 0.0, 0.0
	for _, v := range labels {
		if v == Positive {
			positives++
		} else {
			negatives++
		}
	}
	best, merit, found := Threshold{Rule: r.String()}, 0.0, false
	hits, alarms := 0.0, 0.0
	for k, i := range order {
		if labels[i] == Positive {
			hits++
		} else {
			alarms++
		}
		if k+1 < len(order) && scores[order[k+1]] == scores[i] {
			continue
		}
		t := Threshold{Rule: r.String(), Probability: scores[i], Sensitivity: hits / positives, Specificity: 1 - alarms/negatives, PPV: hits / (hits + alarms)}
		m, ok := r.merit(t, positives-hits, alarms)
		if ok && (!found || m > merit) {
			best, merit, found = t, m, true
		}
	}
	return best, found
}

// merit is what the rule has most of, and whether its wish is met.
func (r Rule) merit(t Threshold, misses, alarms float64) (merit float64, ok bool) {
	const rounding = 1e-12
	switch r.Name {
	case "sensitivity":
		return t.Specificity, t.Sensitivity >= r.Value-rounding
	case "specificity":
		return t.Sensitivity, t.Specificity >= r.Value-rounding
	case "ppv":
		return t.Sensitivity, t.PPV >= r.Value-rounding
	case "cost":
		return -(r.Value*misses + alarms), true
	}
	return t.Sensitivity + t.Specificity, true
}

// Decide returns, for each row of probabilities, n×C, whether each class counts
// as present by the thresholds of a rule.
func (h *Head) Decide(probabilities []float64, rule Rule) ([]bool, error) {
	limits := make([]float64, len(h.Classes))
	for c, name := range h.Classes {
		k := slices.IndexFunc(h.Thresholds, func(t Threshold) bool { return t.Class == name && t.Rule == rule.String() })
		if k < 0 {
			return nil, fmt.Errorf("trainer: the head has no threshold %s of %q: fit it with one", rule, name)
		}
		limits[c] = h.Thresholds[k].Probability
	}
	out := make([]bool, len(probabilities))
	for i, p := range probabilities {
		out[i] = p >= limits[i%len(limits)]
	}
	return out, nil
}
