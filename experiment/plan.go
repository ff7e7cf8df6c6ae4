package experiment

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/evaluate"
)

// The parts that samples are divided into.
const (
	trainPart  = "train"
	testPart   = "test"
	unusedPart = ""
)

// What became of a sample.
const (
	used     = "used"
	excluded = "excluded"
	failed   = "failed"
)

// fate says what a sample was for and what became of it.
type fate struct {
	// part is trainPart, validationPart, testPart or unusedPart.
	part string
	// outcome is used, excluded or failed.
	outcome string
	// reason is why a sample was not used, without the name of anything.
	reason string
	// detail is the whole message, with names.
	detail string
}

// plan says what every sample of a dataset is for.
type plan []fate

var errNoLabels = errors.New("the data has no labels, and without them nothing can be trained or judged; name a table of labels under table")

// newPlan divides the samples as the data says, or as the experiment does
// where the data says nothing.
func newPlan(c *Config, d *datasets.Dataset) (plan, error) {
	if len(d.Classes) == 0 {
		return nil, fmt.Errorf("experiment: %s: %w", d.Spec, errNoLabels)
	}
	if err := errors.Join(c.checkTuning(d), c.findCovariates(d), c.findScores(d), c.findSubgroups(d)); err != nil {
		return nil, err
	}
	parts, err := divide(c, d)
	if err != nil {
		return nil, err
	}
	p := make(plan, len(d.Samples))
	for i, part := range parts {
		p[i] = fate{part: part, outcome: used}
		switch {
		case part == unusedPart:
			p.leaveOut(i, excluded, "in no part of the split")
		case part != trainPart && part != testPart && !(part == validationPart && c.validates()):
			p.leaveOut(i, excluded, fmt.Sprintf("in part %q, which the experiment does not use", part))
		case !labelled(&d.Samples[i]):
			p.leaveOut(i, excluded, noLabel)
			if d.Samples[i].Values != nil {
				p.leaveOut(i, excluded, "no value is known")
			}
		}
	}
	if err := p.checkParts(c, d); err != nil {
		return p, err
	}
	return p, p.checkClasses(c, d)
}

// checkClasses returns an error that names every finding that the training part
// shows one side of: no head can be trained on it, which is better known before
// the images are embedded.
func (p plan) checkClasses(c *Config, d *datasets.Dataset) error {
	if c.regression() {
		return nil
	}
	var lacking []string
	for k, class := range d.Classes {
		var positives, negatives int
		for i := range p {
			switch {
			case p[i].part != trainPart:
			case d.Samples[i].Labels[k] == datasets.Positive:
				positives++
			case d.Samples[i].Labels[k] == datasets.Negative:
				negatives++
			}
		}
		switch {
		case positives > 0 && (negatives > 0 || d.Exclusive()):
		case d.Exclusive():
			lacking = append(lacking, fmt.Sprintf("class %q has no sample", class))
		default:
			lacking = append(lacking, fmt.Sprintf("%q has %d positives and %d negatives", class, positives, negatives))
		}
	}
	if lacking == nil {
		return nil
	}
	return fmt.Errorf("experiment: in the training part %s: want at least one of each; label more, or leave it out by naming the others under labels", strings.Join(lacking, ", "))
}

// divide returns the part of each sample.
func divide(c *Config, d *datasets.Dataset) ([]string, error) {
	if !c.Split.Ignore && slices.ContainsFunc(d.Samples, func(s datasets.Sample) bool { return s.Split != "" }) {
		return d.Splits(), nil
	}
	shares := []datasets.Part{{Name: trainPart, Share: c.Split.Train}, {Name: testPart, Share: c.Split.Test}}
	if rest := 1 - c.Split.Train - c.Split.Test; rest > 1e-9 {
		shares = append(shares, datasets.Part{Name: "neither train nor test", Share: rest})
	}
	parts, err := datasets.Split(d, shares, c.Seed)
	if err != nil {
		return nil, fmt.Errorf("experiment: %w", err)
	}
	return parts, nil
}

const noLabel = "no label says positive or negative"

func known(l datasets.Label) bool { return l == datasets.Positive || l == datasets.Negative }

func (p plan) leaveOut(i int, outcome, reason string) {
	p[i] = fate{outcome: outcome, reason: reason}
}

// check returns an error if nothing is left to train or to test on.
func (p plan) check() error {
	if part := p.emptyPart(); part != "" {
		return fmt.Errorf("experiment: no sample is left to use in part %q", part)
	}
	return nil
}

func (p plan) emptyPart() string {
	for _, part := range []string{trainPart, testPart} {
		if !slices.ContainsFunc(p, func(f fate) bool { return f.part == part }) {
			return part
		}
	}
	return ""
}

// checkParts says why a part of the division has no sample.
func (p plan) checkParts(c *Config, d *datasets.Dataset) error {
	part := p.emptyPart()
	if part == "" {
		return nil
	}
	named, patients := map[string]bool{}, map[string]bool{}
	for i := range d.Samples {
		named[d.Samples[i].Split], patients[d.Samples[i].Patient] = true, true
	}
	delete(named, "")
	why := "too few have a label to be divided"
	switch {
	case len(named) > 0 && !c.Split.Ignore:
		why = fmt.Sprintf("the data names the parts %s; split: {ignore_predefined: true} divides anew", strings.Join(sortedKeys(named), ", "))
	case d.HasPatients() && len(patients) == 1:
		why = fmt.Sprintf("all %d are of one %s, and none may stand on both sides; if that is not so, name another column as patient", len(d.Samples), d.Unit)
	}
	return fmt.Errorf("experiment: no sample to use in part %q: %s", part, why)
}

// used lists the samples that are used.
func (p plan) used() []int {
	var rows []int
	for i := range p {
		if p[i].outcome == used {
			rows = append(rows, i)
		}
	}
	return rows
}

// counts adds the samples up, and those that the reader of the data excluded.
func (p plan) counts(d *datasets.Dataset) evaluate.Counts {
	c := evaluate.Counts{Samples: len(p) + len(d.Excluded), Used: len(p.used())}
	tally := func(into *[]evaluate.Tally, reason string, n int) {
		if n == 0 {
			return
		}
		for k := range *into {
			if (*into)[k].Reason == reason {
				(*into)[k].N += n
				return
			}
		}
		*into = append(*into, evaluate.Tally{Reason: reason, N: n})
	}
	tally(&c.Excluded, unusable, len(d.Excluded))
	for _, f := range p {
		switch f.outcome {
		case excluded:
			tally(&c.Excluded, f.reason, 1)
		case failed:
			tally(&c.Failed, f.reason, 1)
		}
	}
	return c
}

// unusable is the reason of what the reader of the data excluded; its own
// reasons name files.
const unusable = "could not be used as the data stands"

// ErrLeak says that train and test are not apart.
var ErrLeak = errors.New("train and test share patients or images")

// closeLeaks looks for patients and identical images that stand in both train
// and test. It returns a warning where the experiment allows them, takes them
// out of train where it drops them, and is an error otherwise.
func (p plan) closeLeaks(c *Config, d *datasets.Dataset, contents datasets.Contents) (warning string, err error) {
	parts := make([]string, len(p))
	for i := range p {
		parts[i] = p[i].part
	}
	leaks := datasets.Leaks(d, parts, contents)
	if len(leaks) == 0 {
		return "", nil
	}
	count := map[string]int{}
	for _, l := range leaks {
		count[l.Kind]++
	}
	summary := fmt.Sprintf("%d patients and %d identical images stand in both train and test", count["patient"], count["content"]+count["pixels"])
	switch c.Leakage {
	case "warn":
		return summary + "; figures may be too good", nil
	case "drop":
		n := p.dropFromTrain(d, contents)
		return fmt.Sprintf("%s: %d samples were taken out of train", summary, n), p.check()
	default:
		return "", fmt.Errorf("experiment: %w: %s, the first: %v; say leakage: drop to take them out of train, leakage: warn to go on, or split: {ignore_predefined: true} to divide by patient", ErrLeak, summary, leaks[0])
	}
}

// dropFromTrain leaves out of train what also stands in test or validation, and
// out of validation what also stands in test.
func (p plan) dropFromTrain(d *datasets.Dataset, c datasets.Contents) int {
	tested := map[any]bool{}
	shows := func(i int) []any {
		all := []any{d.Samples[i].Group()}
		for _, digests := range [][][sha256.Size]byte{c.Bytes, c.Pixels} {
			if digests != nil && digests[i] != [sha256.Size]byte{} {
				all = append(all, digests[i])
			}
		}
		return all
	}
	n := 0
	for _, from := range []string{validationPart, trainPart} {
		for i := range p {
			if p[i].part != from && p[i].part != trainPart && p[i].part != unusedPart {
				for _, what := range shows(i) {
					tested[what] = true
				}
			}
		}
		for i := range p {
			if p[i].part == from && slices.ContainsFunc(shows(i), func(what any) bool { return tested[what] }) {
				p.leaveOut(i, excluded, "in "+from+", and its patient or image in test too")
				n++
			}
		}
	}
	return n
}
