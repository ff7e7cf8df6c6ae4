package evaluate

import (
	"encoding/json"
	"fmt"
	"io"
)

// Schema names the form of a [Report]'s JSON. A reader refuses another number.
const Schema = "medprobe.report/1"

// Report is everything that an experiment found. Its JSON form is a promise:
// fields are added, never changed.
type Report struct {
	Schema      string `json:"schema"`
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	// Synthetic says that the images were drawn and not seen.
	Synthetic bool            `json:"synthetic"`
	Dataset   DatasetFacts    `json:"dataset"`
	Counts    Counts          `json:"counts"`
	Splits    map[string]Part `json:"splits"`
	Encoder   EncoderFacts    `json:"encoder"`
	Seed      uint64          `json:"seed"`
	Findings  []Finding       `json:"findings"`
	// Macro holds the means over findings; nil with fewer than two of them.
	Macro  *Macro  `json:"macro"`
	Curves []Curve `json:"curves"`
	// Values holds what was found of continuous targets; nil without.
	Values *ValueReport `json:"values,omitempty"`
	// Covariates says what clinical attributes add to the image; nil without.
	Covariates *CovariateGains `json:"covariates,omitempty"`
	// External are further datasets that the methods were tried on.
	External []External `json:"external,omitempty"`
	// Encoders compares several encoders; nil with one.
	Encoders *Encoders `json:"encoders,omitempty"`
	// Published holds figures of others for findings of the same name.
	Published []Published `json:"published,omitempty"`
	Warnings  []string    `json:"warnings,omitempty"`
	// Subgroups holds the figures of each method by attribute; nil where none is
	// asked for.
	Subgroups []Subgroup `json:"subgroups,omitempty"`
	// Mistakes are the most confident ones of the report's head, by finding.
	Mistakes *Mistakes `json:"mistakes,omitempty"`
	// NearDuplicates is nil where no image of test is nearly one of train.
	NearDuplicates *NearDuplicates `json:"near_duplicates,omitempty"`
}

// NearDuplicates says how many images of test are nearly the same as one of
// train, by the cosine of their vectors.
type NearDuplicates struct {
	Cosine      float64 `json:"cosine"`
	Pairs       int     `json:"pairs"`
	TestSamples int     `json:"test_samples"`
	// Shown are the closest pairs.
	Shown []Pair `json:"shown"`
}

// Pair is an image of train and one of test, as small PNG files; nil where they
// are not to be shown.
type Pair struct {
	Cosine float64 `json:"cosine"`
	Train  []byte  `json:"train,omitempty"`
	Test   []byte  `json:"test,omitempty"`
}

// DatasetFacts says what was read.
type DatasetFacts struct {
	Spec    string `json:"spec"`
	Digest  string `json:"digest"`
	Task    string `json:"task"` // "binary", "multiclass" or "multilabel"
	Samples int    `json:"samples"`
	Images  int    `json:"images"`
	// Patients is nil where the data does not say whose an image is.
	Patients *int `json:"patients"`
	// Unit is what every interval is taken over: "patient", "image", ….
	Unit string `json:"unit"`
}

// Counts says what became of every sample, by numbers and reasons alone: a
// report may be shown to people who must not see the name of a patient or file.
type Counts struct {
	Samples int `json:"samples"`
	Used    int `json:"used"`
	// Excluded samples were left out on purpose; Failed ones could not be read
	// or embedded.
	Excluded []Tally `json:"excluded"`
	Failed   []Tally `json:"failed"`
}

// Tally is a number of samples with one reason.
type Tally struct {
	Reason string `json:"reason"`
	N      int    `json:"n"`
}

// Total sums tallies.
func Total(tallies []Tally) int {
	n := 0
	for _, t := range tallies {
		n += t.N
	}
	return n
}

// Check returns an error unless every sample is used, excluded or failed.
func (c Counts) Check() error {
	excluded, failed := Total(c.Excluded), Total(c.Failed)
	if sum := c.Used + excluded + failed; sum != c.Samples {
		return fmt.Errorf("evaluate: counts do not add up: %d used + %d excluded + %d failed = %d, but there are %d samples", c.Used, excluded, failed, sum, c.Samples)
	}
	return nil
}

// Part is one part of a split.
type Part struct {
	Samples  int  `json:"samples"`
	Patients *int `json:"patients"`
}

// EncoderFacts says what turned images into vectors.
type EncoderFacts struct {
	Name                  string  `json:"name"`
	Fingerprint           string  `json:"fingerprint"`
	Preprocess            string  `json:"preprocess"`
	PreprocessFingerprint string  `json:"preprocess_fingerprint"`
	LogitScale            float64 `json:"logit_scale,omitempty"`
	Dim                   int     `json:"dim,omitempty"`
	// Source is where the encoder came from, in its importer's words, License what
	// that said of its terms: empty where it is not known.
	Source  string `json:"source,omitempty"`
	License string `json:"license,omitempty"`
}

// Finding is one finding, or one class against the others, on the test part.
type Finding struct {
	Name string `json:"name"`
	// Title and Note are for people: "never named in captions".
	Title     string         `json:"title,omitempty"`
	Note      string         `json:"note,omitempty"`
	Prompts   Prompts        `json:"prompts"`
	N         int            `json:"n"`
	Positives int            `json:"positives"`
	Units     int            `json:"units"`
	Unit      string         `json:"unit"`
	Methods   []MethodResult `json:"methods"`
	// Differences compare each method with the first.
	Differences []Difference `json:"differences"`
	Warnings    []Warning    `json:"warnings,omitempty"`
}

// Prompts are the texts of the zero-shot baseline.
type Prompts struct {
	Positive []string `json:"positive,omitempty"`
	Negative []string `json:"negative,omitempty"`
}

// MethodResult is what one method reached for one finding. What cannot be
// estimated is nil.
type MethodResult struct {
	Method           string    `json:"method"`
	AUC              *Estimate `json:"auc"`
	AveragePrecision *Estimate `json:"average_precision"`
	// Brier, LogLoss and ECE are nil unless the scores are probabilities.
	Brier   *Estimate `json:"brier"`
	LogLoss *Estimate `json:"log_loss"`
	ECE     *Estimate `json:"ece"`
	// ROC is simplified for drawing, to within 0.0005.
	ROC []Point `json:"roc,omitempty"`
	Drawn
	// Cuts are thresholds that were chosen without the test part, with what they
	// reach on it.
	Cuts []Cut `json:"thresholds,omitempty"`
	// Histogram counts the probabilities by class; nil where there are none.
	Histogram *Histogram `json:"histogram,omitempty"`
	// Detail says how the method was fitted: "C = 0.1, 64 patients".
	Detail string `json:"detail,omitempty"`
	// Fit is what the head's metadata say of it: what was chosen, over which path,
	// with which fold scores.
	Fit json.RawMessage `json:"fit,omitempty"`
}

// Difference is the comparison of two methods, A − B.
type Difference struct {
	A          string   `json:"a"`
	B          string   `json:"b"`
	Difference Estimate `json:"difference"`
	P          float64  `json:"p"`
	// AdjustedP is Holm's over the findings.
	AdjustedP float64 `json:"p_adjusted"`
}

// Macro holds the unweighted means of AUCs over the findings that every method
// has an AUC for.
type Macro struct {
	Findings    []string      `json:"findings"`
	Methods     []MacroResult `json:"methods"`
	Differences []Difference  `json:"differences"`
}

// MacroResult is the mean AUC of one method.
type MacroResult struct {
	Method string   `json:"method"`
	AUC    Estimate `json:"auc"`
}

// Curve is a learning curve: what one method reaches with ever more shots.
type Curve struct {
	Finding string       `json:"finding"`
	Method  string       `json:"method"`
	Points  []CurvePoint `json:"points"`
	// Enough is nil without a zero-shot baseline, Trend in reports of earlier
	// versions.
	Enough *Enough `json:"enough,omitempty"`
	Trend  *Trend  `json:"trend,omitempty"`
}

// WriteJSON writes the report as one indented JSON document. The same report
// gives the same bytes.
func (r *Report) WriteJSON(w io.Writer) error {
	out := *r
	out.Schema = Schema
	// A list without entries is [], never null.
	out.Findings = append([]Finding{}, r.Findings...)
	out.Curves = append([]Curve{}, r.Curves...)
	out.Counts.Excluded = append([]Tally{}, r.Counts.Excluded...)
	out.Counts.Failed = append([]Tally{}, r.Counts.Failed...)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(out); err != nil {
		return fmt.Errorf("evaluate: write report: %w", err)
	}
	return nil
}

// maxReportBytes bounds a report that is read.
const maxReportBytes = 256 << 20

// ReadReport reads what [Report.WriteJSON] wrote. A report of another schema
// and one whose counts do not add up are errors.
func ReadReport(r io.Reader) (*Report, error) {
	limited := &io.LimitedReader{R: r, N: maxReportBytes}
	var report Report
	if err := json.NewDecoder(limited).Decode(&report); err != nil {
		if limited.N == 0 {
			err = fmt.Errorf("larger than %d bytes", maxReportBytes)
		}
		return nil, fmt.Errorf("evaluate: read report: %w", err)
	}
	if report.Schema != Schema {
		return nil, fmt.Errorf("evaluate: read report: schema %q: want %q; make the report again with this medprobe", report.Schema, Schema)
	}
	if err := report.Counts.Check(); err != nil {
		return nil, err
	}
	return &report, nil
}
