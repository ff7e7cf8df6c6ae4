package evaluate

import "slices"

// Mistakes shows where a method was most sure of itself and wrong.
type Mistakes struct {
	Method   string            `json:"method"`
	Findings []FindingMistakes `json:"findings"`
}

// FindingMistakes are those of one finding at one threshold, the most confident
// first. The numbers are of all that there are.
type FindingMistakes struct {
	Finding string `json:"finding"`
	// Threshold is the least probability that counts as positive, Rule what chose
	// it; empty for [DefaultThreshold].
	Threshold      float64   `json:"threshold"`
	Rule           string    `json:"rule,omitempty"`
	FalsePositives int       `json:"false_positives"`
	FalseNegatives int       `json:"false_negatives"`
	Positive       []Mistake `json:"shown_false_positives"`
	Negative       []Mistake `json:"shown_false_negatives"`
}

// Mistake is one sample of test. It has no name: whoever may see names finds it by
// its probability among the run's predictions.
type Mistake struct {
	Probability float64 `json:"probability"`
	// Image is a small PNG; nil where it is not to be shown.
	Image []byte `json:"image,omitempty"`
	// Nearest are the samples of train with the nearest vectors, the nearest first.
	Nearest []Neighbour `json:"nearest"`
}

// Neighbour is a sample of train with its label.
type Neighbour struct {
	Cosine   float64 `json:"cosine"`
	Positive bool    `json:"positive"`
	Image    []byte  `json:"image,omitempty"`
}

// ShowsImages says whether the report holds an image of anybody.
func (r *Report) ShowsImages() bool {
	if n := r.NearDuplicates; n != nil {
		for _, pair := range n.Shown {
			if pair.Train != nil || pair.Test != nil {
				return true
			}
		}
	}
	if r.Mistakes == nil {
		return false
	}
	for _, f := range r.Mistakes.Findings {
		for _, m := range slices.Concat(f.Positive, f.Negative) {
			if m.Image != nil || slices.ContainsFunc(m.Nearest, func(n Neighbour) bool { return n.Image != nil }) {
				return true
			}
		}
	}
	return false
}

// WithoutImages returns a copy of the report that shows no image of anybody.
func (r *Report) WithoutImages() *Report {
	out := *r
	if n := r.NearDuplicates; n != nil {
		bare := *n
		bare.Shown = append([]Pair(nil), n.Shown...)
		for k := range bare.Shown {
			bare.Shown[k].Train, bare.Shown[k].Test = nil, nil
		}
		out.NearDuplicates = &bare
	}
	if m := r.Mistakes; m != nil {
		bare := Mistakes{Method: m.Method}
		for _, f := range m.Findings {
			f.Positive, f.Negative = withoutImages(f.Positive), withoutImages(f.Negative)
			bare.Findings = append(bare.Findings, f)
		}
		out.Mistakes = &bare
	}
	return &out
}

func withoutImages(mistakes []Mistake) []Mistake {
	out := append([]Mistake{}, mistakes...)
	for k := range out {
		out[k].Image = nil
		out[k].Nearest = append([]Neighbour{}, out[k].Nearest...)
		for j := range out[k].Nearest {
			out[k].Nearest[j].Image = nil
		}
	}
	return out
}

// SharedThreshold returns the first threshold that was chosen for the method, with
// its rule, or [DefaultThreshold] and "".
func (m *MethodResult) SharedThreshold() (threshold float64, rule string) {
	if len(m.Cuts) > 0 {
		return m.Cuts[0].Threshold, m.Cuts[0].Rule
	}
	return DefaultThreshold, ""
}
