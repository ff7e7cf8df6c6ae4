package trainer

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
)

// Space names the vectors that a head was trained on: the fingerprints of
// encoder and preprocessing. Empty strings stand for vectors of unknown origin.
type Space struct {
	Encoder    string `json:"encoder"`
	Preprocess string `json:"preprocess"`
}

// FingerprintError says that a head was shown vectors of another space.
type FingerprintError struct {
	Head      string
	Want, Got Space
}

func (e *FingerprintError) Error() string {
	return fmt.Sprintf("trainer: head %q was fitted on encoder %.12s with preprocessing %.12s, the vectors are of %.12s with %.12s: re-embed or load the matching head",
		e.Head, e.Want.Encoder, e.Want.Preprocess, e.Got.Encoder, e.Got.Preprocess)
}

// Head is a classifier over embeddings: a linear one, to which a cache or
// networks may add.
type Head struct {
	// Kind is how it was trained: one of [Kinds] or [ValueKinds], or "zero-shot".
	Kind      string
	Classes   []string
	Exclusive bool
	// W is C×D and B has length C: the logits of x are W·x + B, and what Cache
	// and Networks add.
	W blas32.General
	B []float32
	// Cache, if not nil, adds what samples say that are like x.
	Cache *Cache
	// Networks, if any, add their outputs, those of the first classes first.
	Networks []*Network
	// Votes, if not nil, adds the votes of golearn's classifiers.
	Votes *Votes
	// Parts, if any, are the members of an ensemble that are not linear.
	Parts []*Part
	// Calibration, if any, turns the logits into probabilities: one for each
	// finding, or one temperature for exclusive classes.
	Calibration []Calibration
	// Thresholds are those chosen for the findings, by class and rule.
	Thresholds []Threshold
	// Covariates, if not nil, joins clinical attributes to vectors; x is both.
	Covariates *Encoding
	// Space is what it was trained on.
	Space Space
	// Fits says how each class was fitted; one entry for all exclusive classes
	// together.
	Fits []ClassFit
	// Notes are things that a user should know, such as a fallback.
	Notes []string
}

// Check returns a *[FingerprintError] if vectors of the space are not those the
// head was trained on.
func (h *Head) Check(s Space) error {
	if h.Space != s && h.Space != (Space{}) {
		return &FingerprintError{Head: h.Kind, Want: h.Space, Got: s}
	}
	return nil
}

// Linear reports whether the logits are W·x + B and nothing more.
func (h *Head) Linear() bool {
	return h.Cache == nil && len(h.Networks) == 0 && h.Votes == nil && len(h.Parts) == 0
}

// Logits returns the n×C logits of the rows of x, n×D: W·x + B, summed in
// float64, and what cache and networks add. A value that is not finite is an
// error that names its row.
func (h *Head) Logits(x blas32.General) (blas64.General, error) {
	if h.GivesValues() {
		return blas64.General{}, fmt.Errorf("trainer: %s gives values and no probabilities", h.Kind)
	}
	return h.outputs(x)
}

// outputs returns what stands before any link.
func (h *Head) outputs(x blas32.General) (blas64.General, error) {
	if err := whole(x); err != nil {
		return blas64.General{}, fmt.Errorf("trainer: %w", err)
	}
	c := len(h.Classes)
	z := blas64.General{Rows: x.Rows, Cols: c, Stride: c, Data: make([]float64, x.Rows*c)}
	if x.Cols != h.W.Cols {
		return z, h.wanted(x.Cols)
	}
	for i := range x.Rows {
		row := x.Data[i*x.Stride : i*x.Stride+x.Cols]
		for k := range c {
			sum := float64(h.B[k])
			for j, w := range h.W.Data[k*h.W.Stride : k*h.W.Stride+h.W.Cols] {
				sum += float64(float64(w) * float64(row[j]))
			}
			z.Data[i*c+k] = sum
		}
	}
	if err := h.addRest(x, z); err != nil {
		return z, fmt.Errorf("trainer: %w", err)
	}
	for at, v := range z.Data {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return z, fmt.Errorf("trainer: row %d: the logit of %q is %v: want finite vectors and weights", at/c, h.Classes[at%c], v)
		}
	}
	return z, nil
}

// addRest adds to the logits what is not linear.
func (h *Head) addRest(x blas32.General, z blas64.General) error {
	if h.Linear() {
		return nil
	}
	if err := finite(x); err != nil {
		return err
	}
	if h.Cache != nil {
		if err := h.Cache.add(x, z, h.Exclusive); err != nil {
			return err
		}
	}
	if h.Votes != nil {
		if err := h.Votes.add(x, z, h.Exclusive); err != nil {
			return err
		}
	}
	for _, p := range h.Parts {
		if err := p.add(x, z); err != nil {
			return err
		}
	}
	first := 0
	for _, n := range h.Networks {
		if err := n.add(x, z, first); err != nil {
			return err
		}
		first += n.outputs()
	}
	return nil
}

// Probabilities returns the n×C probabilities of the rows of x: the softmax of
// the logits where the classes exclude one another, the logistic function of
// each otherwise, or what the calibration makes of them. Errors are those of
// [Head.Logits].
func (h *Head) Probabilities(x blas32.General) (blas64.General, error) {
	z, err := h.Logits(x)
	if err != nil {
		return z, err
	}
	for i := range z.Rows {
		row := z.Data[i*z.Stride : i*z.Stride+z.Cols]
		if h.Exclusive {
			if h.Calibration != nil {
				floats.Scale(h.Calibration[0].Slope, row)
			}
			softmax(row)
			continue
		}
		for k, v := range row {
			if h.Calibration != nil {
				row[k] = h.Calibration[k].probability(v)
			} else {
				row[k] = sigmoid(v)
			}
		}
	}
	return z, nil
}

// LogOdds returns the n×C log-odds ln(p/(1−p)) of [Head.Probabilities] before
// any calibration, which rank the samples for each class. They are computed from the logits, so that
// samples with probabilities that round to the same number stay apart:
// z_c − ln Σ_{k≠c} exp(z_k) where the classes exclude one another, the logits
// otherwise. Errors are those of [Head.Logits].
func (h *Head) LogOdds(x blas32.General) (blas64.General, error) {
	z, err := h.Logits(x)
	if err != nil || !h.Exclusive {
		return z, err
	}
	others := make([]float64, 0, z.Cols)
	for i := range z.Rows {
		row := z.Data[i*z.Stride : i*z.Stride+z.Cols]
		logits := slices.Clone(row)
		for c := range row {
			others = append(append(others[:0], logits[:c]...), logits[c+1:]...)
			row[c] -= softmax(others)
		}
	}
	return z, nil
}

// Stack returns one head of the classes of all heads, in their order. The heads
// are of one kind and space, and of findings that do not exclude one another.
func Stack(heads []*Head) (*Head, error) {
	if len(heads) == 0 {
		return nil, errors.New("trainer: stack: no heads")
	}
	first := heads[0]
	all := &Head{Kind: first.Kind, Space: first.Space, W: blas32.General{Cols: first.W.Cols, Stride: first.W.Cols}}
	var caches []*Cache
	var votes []*Votes
	for _, h := range heads {
		if h.Covariates != nil {
			return nil, fmt.Errorf("trainer: stack: head of %q has covariates: want heads of vectors alone", h.Classes)
		}
		if h.Exclusive || h.Kind != first.Kind || h.Space != first.Space || h.W.Cols != first.W.Cols {
			return nil, fmt.Errorf("trainer: stack: head of %q does not fit that of %q: want findings of one kind and space", h.Classes, first.Classes)
		}
		for c, name := range h.Classes {
			if slices.Contains(all.Classes, name) {
				return nil, fmt.Errorf("trainer: stack: class %q stands twice", name)
			}
			all.Classes = append(all.Classes, name)
			all.W.Data = append(all.W.Data, h.W.Data[c*h.W.Stride:c*h.W.Stride+h.W.Cols]...)
			all.W.Rows++
		}
		if (h.Cache == nil) != (first.Cache == nil) || (h.Networks == nil) != (first.Networks == nil) || (h.Votes == nil) != (first.Votes == nil) {
			return nil, fmt.Errorf("trainer: stack: head of %q does not fit that of %q: want both linear, or neither", h.Classes, first.Classes)
		}
		if h.Cache != nil {
			caches = append(caches, h.Cache)
		}
		if h.Votes != nil {
			votes = append(votes, h.Votes)
		}
		if (h.Calibration == nil) != (first.Calibration == nil) {
			return nil, fmt.Errorf("trainer: stack: head of %q does not fit that of %q: want both calibrated, or neither", h.Classes, first.Classes)
		}
		for _, p := range h.Parts {
			own := *p
			own.First += len(all.Classes) - len(h.Classes)
			all.Parts = append(all.Parts, &own)
		}
		all.Calibration = append(all.Calibration, h.Calibration...)
		all.Thresholds = append(all.Thresholds, h.Thresholds...)
		all.Networks = append(all.Networks, h.Networks...)
		all.B = append(all.B, h.B...)
		all.Fits = append(all.Fits, h.Fits...)
		for _, note := range h.Notes {
			if !slices.Contains(all.Notes, note) {
				all.Notes = append(all.Notes, note)
			}
		}
	}
	if len(caches) > 0 {
		all.Cache = stackCaches(caches)
	}
	if len(votes) > 0 {
		all.Votes = stackVotes(votes)
	}
	return all, nil
}
