package experiment

import (
	"errors"
	"fmt"
	"slices"

	"github.com/medprobe/medprobe/datasets"
)

// The parts that samples are divided into.
const (
	trainPart  = "train"
	testPart   = "test"
	unusedPart = ""
)

// plan says what every sample is for.
type plan struct {
	// parts holds trainPart, testPart or unusedPart for each sample.
	parts []string
	// why holds the reason for each unused sample.
	why []string
}

// newPlan divides the samples as the data says, or as the experiment does
// where the data says nothing.
func newPlan(c *Config, d *datasets.Dataset) (*plan, error) {
	p := &plan{parts: make([]string, len(d.Samples)), why: make([]string, len(d.Samples))}
	predefined := !c.Split.Ignore && slices.ContainsFunc(d.Samples, func(s datasets.Sample) bool { return s.Split != "" })
	var assigned []string
	if !predefined {
		parts := []datasets.Part{{Name: trainPart, Share: c.Split.Train}, {Name: testPart, Share: c.Split.Test}}
		if rest := 1 - c.Split.Train - c.Split.Test; rest > 1e-9 {
			parts = append(parts, datasets.Part{Name: "neither train nor test", Share: rest})
		}
		var err error
		if assigned, err = datasets.Split(d, parts, c.Seed); err != nil {
			return nil, err
		}
	}
	for i := range d.Samples {
		part := d.Samples[i].Split
		if assigned != nil {
			part = assigned[i]
		}
		switch {
		case part != trainPart && part != testPart:
			p.leaveOut(i, fmt.Sprintf("in part %q, which this experiment does not use", part))
		case !slices.ContainsFunc(d.Samples[i].Labels, known):
			p.leaveOut(i, "no label says positive or negative")
		default:
			p.parts[i] = part
		}
	}
	for _, part := range []string{trainPart, testPart} {
		if len(p.rows(part)) == 0 {
			return nil, fmt.Errorf("experiment: no labelled sample in part %q; check the split", part)
		}
	}
	return p, nil
}

func known(l datasets.Label) bool { return l == datasets.Positive || l == datasets.Negative }

func (p *plan) leaveOut(i int, why string) { p.parts[i], p.why[i] = unusedPart, why }

// rows lists the samples of a part.
func (p *plan) rows(part string) []int {
	var rows []int
	for i, q := range p.parts {
		if q == part {
			rows = append(rows, i)
		}
	}
	return rows
}

// errLeak says that train and test are not apart.
var errLeak = errors.New("train and test share patients or images")

// checkLeaks returns the leaks between train and test in words, and an error
// if the experiment does not allow them.
func (p *plan) checkLeaks(c *Config, d *datasets.Dataset, digests [][32]byte) ([]string, error) {
	leaks := datasets.Leaks(d, p.parts, digests)
	if len(leaks) == 0 {
		return nil, nil
	}
	count := map[string]int{}
	for _, l := range leaks {
		count[l.Kind]++
	}
	summary := fmt.Sprintf("%d patients and %d identical images stand in both train and test", count["patient"], count["content"])
	if c.Leakage == "warn" {
		return []string{summary + "; figures may be too good"}, nil
	}
	return nil, fmt.Errorf("experiment: %w: %s, the first: %v; divide anew with split: {ignore_predefined: true}, or say leakage: warn", errLeak, summary, leaks[0])
}
