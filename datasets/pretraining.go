package datasets

import (
	"path/filepath"
	"regexp"
	"strings"
)

// pretraining names what MedSigLIP was trained on, by its model card, and how
// such data is recognised by its name.
var pretraining = []struct {
	name    string
	pattern *regexp.Regexp
}{
	{"MIMIC-CXR", regexp.MustCompile(`\bmimic\b`)},
	{"Slake-VQA", regexp.MustCompile(`\bslake\b`)},
	{"PAD-UFES-20", regexp.MustCompile(`\bpad ufes\b`)},
	{"SCIN", regexp.MustCompile(`\bscin\b`)},
	{"TCGA", regexp.MustCompile(`\btcga\b`)},
	{"CAMELYON", regexp.MustCompile(`\bcamelyon(1[67])?\b`)},
	{"PMC-OA", regexp.MustCompile(`\bpmc oa\b`)},
	{"Mendeley Digital Knee X-Ray", regexp.MustCompile(`\b(mendeley.*knee|digital knee)\b`)},
	{"EyePACS", regexp.MustCompile(`\beye ?pacs\b`)},
}

var notWord = regexp.MustCompile(`[^a-z0-9]+`)

// pretrainingOf returns the dataset among MedSigLIP's pre-training data whose name
// stands in the spec's format, in its path, or in its provenance, or "". Figures
// on such data may be too good, zero-shot's above all.
func pretrainingOf(s Spec) string {
	path, err := filepath.Abs(s.Path)
	if err != nil {
		path = s.Path
	}
	// The folders near the data name it; those far above are the user's own.
	parts := strings.Split(filepath.ToSlash(path), "/")
	text := strings.Join(append(parts[max(0, len(parts)-3):], s.Format, s.Provenance), " / ")
	text = notWord.ReplaceAllString(strings.ToLower(text), " ")
	for _, p := range pretraining {
		if p.pattern.MatchString(text) {
			return p.name
		}
	}
	return ""
}

func (d *Dataset) warnOfPretraining(s Spec) {
	if d.Contaminated = pretrainingOf(s); d.Contaminated != "" {
		d.problem(d.Spec, "%s is among the data that MedSigLIP was pre-trained on: figures on it may be too good", d.Contaminated)
	}
}
