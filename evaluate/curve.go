package evaluate

import "errors"

// CurvePoint is one point of a learning curve. Two things about it are
// uncertain and are kept apart: which samples were drawn for training, and
// which patients the test part happens to hold.
type CurvePoint struct {
	// Shots is how many samples per class were asked for; Positives and
	// Negatives are how many a head was really trained on.
	Shots     int `json:"shots"`
	Positives int `json:"positives"`
	Negatives int `json:"negatives"`
	// Draws is how often the point was drawn.
	Draws int `json:"draws"`
	// AUC is the mean over the draws; its interval is over the test units.
	AUC *Estimate `json:"auc"`
	// DrawLow and DrawHigh are the lowest and highest AUC of a draw.
	DrawLow  *float64 `json:"draw_low"`
	DrawHigh *float64 `json:"draw_high"`
	// DrawAUCs are the AUCs of the draws, in order, and DrawSD is the standard
	// deviation of their differences from zero-shot.
	DrawAUCs []float64 `json:"draw_aucs,omitempty"`
	DrawSD   *float64  `json:"draw_sd,omitempty"`
	// Patients is how many different patients a head was trained on, where they
	// are known.
	Patients int `json:"patients,omitempty"`
	// OverZeroShot is how far above zero-shot one draw is expected to be; see
	// [CurvePoint.CompareWith].
	OverZeroShot *Estimate `json:"over_zero_shot,omitempty"`
	// Unmet says why there is no figure: too few samples to draw from.
	Unmet string `json:"unmet,omitempty"`
}

// NewCurvePoint returns the point of a learning curve for the scores that the
// draws gave to the test samples. Labels and groups are those of the test
// samples, unit is what a group is. With one class among the labels the point
// has no figure and says so in Unmet; other errors are those of meanAUC.
func NewCurvePoint(shots int, draws [][]float64, labels []bool, groups []string, unit string) (CurvePoint, error) {
	p := CurvePoint{Shots: shots, Draws: len(draws)}
	mean, err := meanAUC(draws, labels, groups)
	if errors.Is(err, ErrOneClass) {
		p.Unmet = "the test part holds one class only"
		return p, nil
	}
	if err != nil {
		return p, err
	}
	mean = mean.over(unit)
	p.AUC = &mean
	low, high := 1.0, 0.0
	for _, scores := range draws {
		s, err := newSweep(scores, labels, nil)
		if err != nil {
			return p, err
		}
		auc := s.auc(nil)
		low, high = min(low, auc), max(high, auc)
		p.DrawAUCs = append(p.DrawAUCs, auc)
	}
	p.DrawLow, p.DrawHigh = &low, &high
	return p, nil
}
