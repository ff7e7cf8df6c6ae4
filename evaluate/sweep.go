package evaluate

// sweep is the samples of one column by falling score, positives first among
// those with one score, ready to be counted again and again with other weights
// of their units. Its figures do not depend on the order the samples came in.
type sweep struct {
	score    []float64
	positive []bool
	last     []bool // the last sample with its score
	unit     []int32
	// counted is all that an AUC takes, close together: twice the unit, and 1
	// more for a positive. ties says that any two samples share a score.
	counted []uint32
	ties    bool
}

// newSweep orders the samples; unit nil means that each is its own.
func newSweep(scores []float64, labels []bool, unit []int32) (*sweep, error) {
	order, err := ascending(scores, labels)
	if err != nil {
		return nil, err
	}
	n := len(order)
	s := &sweep{score: make([]float64, n), positive: make([]bool, n), last: make([]bool, n), unit: make([]int32, n), counted: make([]uint32, n)}
	for k := range order {
		o := order[n-1-k]
		s.score[k], s.positive[k] = o.score, labels[o.sample]
		s.last[k] = k == n-1 || order[n-2-k].score != o.score
		if s.unit[k] = o.sample; unit != nil {
			s.unit[k] = unit[o.sample]
		}
		if s.counted[k] = uint32(s.unit[k]) << 1; s.positive[k] {
			s.counted[k]++
		}
		s.ties = s.ties || !s.last[k]
	}
	return s, nil
}

// weight returns the weight of the k-th sample; nil weights are all 1.
func (s *sweep) weight(weights []int32, k int) int64 {
	if weights == nil {
		return 1
	}
	return int64(weights[s.unit[k]])
}

// runs calls visit for each score and label with the weight of all the samples
// that have them, so that their order does not matter.
func (s *sweep) runs(weights []int32, visit func(score float64, positive bool, weight int64)) {
	weight := int64(0)
	for k, score := range s.score {
		weight += s.weight(weights, k)
		if s.last[k] || s.positive[k+1] != s.positive[k] {
			if weight > 0 {
				visit(score, s.positive[k], weight)
			}
			weight = 0
		}
	}
}

// auc is one half if the weights leave one class only.
func (s *sweep) auc(weights []int32) float64 {
	if weights == nil {
		weights = make([]int32, len(s.counted)) // there are at most as many units
		for k := range weights {
			weights[k] = 1
		}
	}
	twice, positives, negatives := int64(0), int64(0), int64(0)
	if s.ties {
		twice, positives, negatives = s.wonWithTies(weights)
	} else {
		for _, u := range s.counted {
			w := int64(weights[u>>1])
			positive := w & -int64(u&1) // w or 0: a branch would be guessed wrong half the time
			positives += positive
			twice += (w - positive) * positives
			negatives += w - positive
		}
		twice *= 2
	}
	if positives == 0 || negatives == 0 {
		return 0.5
	}
	return float64(twice) / (2 * float64(positives) * float64(negatives))
}

// wonWithTies counts the pairs in the right order twice, and the ties once.
func (s *sweep) wonWithTies(weights []int32) (twice, positives, negatives int64) {
	var tied1, tied0 int64
	for k, u := range s.counted {
		w := int64(weights[u>>1])
		positive := w & -int64(u&1)
		tied1 += positive
		tied0 += w - positive
		if s.last[k] {
			twice += tied0 * (2*positives + tied1)
			positives, negatives = positives+tied1, negatives+tied0
			tied1, tied0 = 0, 0
		}
	}
	return twice, positives, negatives
}
