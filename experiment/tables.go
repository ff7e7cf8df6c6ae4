package experiment

import (
	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/evaluate"
)

// SampleRow is one sample in samples.parquet: what it was for and what became
// of it.
type SampleRow struct {
	ID      string `parquet:"id"`
	Patient string `parquet:"patient"`
	// Part is "train", "validation", "test" or empty.
	Part string `parquet:"split"`
	// Outcome is "used", "excluded" or "failed", Reason why.
	Outcome string `parquet:"outcome"`
	Reason  string `parquet:"reason"`
}

// samples accounts for every sample, those that the reader of the data excluded
// last.
func (w *work) samples() []SampleRow {
	rows := make([]SampleRow, 0, len(w.plan)+len(w.data.Excluded))
	for i, f := range w.plan {
		s := &w.data.Samples[i]
		reason := f.reason
		if f.detail != "" {
			reason += ": " + f.detail
		}
		rows = append(rows, SampleRow{ID: s.ID, Patient: s.Patient, Part: f.part, Outcome: f.outcome, Reason: reason})
	}
	for _, e := range w.data.Excluded {
		rows = append(rows, SampleRow{ID: e.ID, Outcome: excluded, Reason: unusable + ": " + e.Reason})
	}
	return rows
}

// predictions lists the test samples in order, for each finding and method.
func (l *lab) predictions(methods []*method) []evaluate.Prediction {
	var rows []evaluate.Prediction
	for r, i := range l.test {
		s := &l.data.Samples[i]
		for c, name := range l.data.Classes {
			for _, m := range methods {
				rows = append(rows, evaluate.Prediction{
					ID: s.ID, Patient: s.Patient, Part: testPart, Finding: name, Label: known01(s.Labels[c]), Method: m.name,
					Score:       m.odds.Data[r*m.odds.Stride+c],
					Probability: m.probabilities.Data[r*m.probabilities.Stride+c],
				})
			}
		}
	}
	return rows
}

// known01 returns 1 or 0, or nil where nothing is known.
func known01(label datasets.Label) *int32 {
	if !known(label) {
		return nil
	}
	value := int32(target(label))
	return &value
}
