package evaluate

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// PromptStudySchema names the form of a [PromptStudy]'s JSON.
const PromptStudySchema = "medprobe.prompt-study/1"

// PromptStudy ranks ways to ask, on development data.
type PromptStudy struct {
	Schema string `json:"schema"`
	// Data is what was read, and Part says which samples of it were looked at.
	Data string `json:"data"`
	Part string `json:"part"`
	// Samples were looked at; HeldOut were not, since they are for the test.
	Samples int    `json:"samples"`
	HeldOut int    `json:"held_out"`
	Encoder string `json:"encoder"`
	Score   string `json:"score"`
	Seed    uint64 `json:"seed"`
	// Findings are ranked each on their own.
	Findings []WordingStudy `json:"findings"`
	Warnings []string       `json:"warnings,omitempty"`
}

// WordingStudy ranks the ways to ask for one finding.
type WordingStudy struct {
	Finding   string `json:"finding"`
	N         int    `json:"n"`
	Positives int    `json:"positives"`
	Units     int    `json:"units"`
	Unit      string `json:"unit"`
	// Single is the number of wordings without an ensemble, of which Low, Median
	// and High are the AUCs: the spread over wordings.
	Single int      `json:"single_wordings"`
	Low    *float64 `json:"lowest"`
	Median *float64 `json:"median"`
	High   *float64 `json:"highest"`
	// Ranked are all wordings and ensembles, the highest AUC first.
	Ranked []Wording `json:"ranked"`
	// Unmet says why nothing could be ranked.
	Unmet string `json:"unmet,omitempty"`
}

// Wording is one way to ask: a single wording, or an ensemble of all texts.
type Wording struct {
	// Ensemble is empty for a single wording.
	Ensemble string   `json:"ensemble,omitempty"`
	Positive []string `json:"positive"`
	Negative []string `json:"negative,omitempty"`
	AUC      Estimate `json:"auc"`
	// Difference is the AUC less that of the first wording given, which is what
	// is asked without a choice; nil for that one itself. P is adjusted over the
	// wordings of the finding by Holm's method.
	Difference *Estimate `json:"difference"`
	P          *float64  `json:"p_adjusted"`

	// Scores are those of the samples.
	Scores []float64 `json:"-"`
}

// RankWordings ranks wordings by their AUC on the same samples, with intervals
// over the groups, and compares each with the first of them, paired. Ties keep
// the order given. With one class among the labels nothing is ranked and Unmet
// says so; other errors are those of [Compare].
//
// The AUC of the best of many is too high on the samples that chose it: that is
// why these must be none of the test's.
func RankWordings(finding string, wordings []Wording, labels []bool, groups []string, unit string) (WordingStudy, error) {
	s := WordingStudy{Finding: finding, N: len(labels), Unit: unit, Ranked: []Wording{}}
	if len(wordings) == 0 {
		return s, fmt.Errorf("evaluate: %s: no wording to rank", finding)
	}
	var singles, ps []float64
	ranked := slices.Clone(wordings)
	for k := range ranked {
		w := &ranked[k]
		auc, err := AUC(w.Scores, labels, groups)
		if errors.Is(err, ErrOneClass) {
			s.Unmet = "one class only among the samples"
			return s, nil
		}
		if err != nil {
			return s, fmt.Errorf("evaluate: %s: wording %d: %w", finding, k+1, err)
		}
		w.AUC = auc.over(unit)
		if w.Ensemble == "" {
			singles = append(singles, auc.Point)
		}
		if k == 0 {
			continue
		}
		c, err := Compare(w.Scores, wordings[0].Scores, labels, groups)
		if err != nil {
			return s, fmt.Errorf("evaluate: %s: wording %d: %w", finding, k+1, err)
		}
		difference := c.Difference.over(unit)
		w.Difference = &difference
		ps = append(ps, c.P)
	}
	for k, p := range Holm(ps) {
		ranked[k+1].P = &p
	}
	s.Units, s.Positives = ranked[0].AUC.Units, ranked[0].AUC.Positives
	slices.SortStableFunc(ranked, func(a, b Wording) int { return cmp.Compare(b.AUC.Point, a.AUC.Point) })
	s.Ranked = ranked
	if s.Single = len(singles); s.Single > 0 {
		slices.Sort(singles)
		median := (singles[(len(singles)-1)/2] + singles[len(singles)/2]) / 2
		s.Low, s.Median, s.High = &singles[0], &median, &singles[len(singles)-1]
	}
	return s, nil
}

// WriteJSON writes the study as one indented JSON document.
func (s *PromptStudy) WriteJSON(w io.Writer) error {
	out := *s
	out.Schema = PromptStudySchema
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(out); err != nil {
		return fmt.Errorf("evaluate: write prompt study: %w", err)
	}
	return nil
}
