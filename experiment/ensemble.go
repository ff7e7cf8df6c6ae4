package experiment

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/internal/near"
	"github.com/medprobe/medprobe/internal/vec"
)

// Ensemble is a way to make one score of several texts.
type Ensemble string

// The ensembles, of the unit vectors tᵢ of the texts of one side and that of an
// image, x.
const (
	// EnsembleMean is the cosine with the mean of the vectors, brought to length
	// one: CLIP's.
	EnsembleMean Ensemble = "mean"
	// EnsembleScores is the mean of the cosines x·tᵢ.
	EnsembleScores Ensemble = "mean-score"
	// EnsembleMax is the greatest of the cosines. It is no linear classifier, and
	// so no start for a head.
	EnsembleMax Ensemble = "max"
)

// ensembles lists the ensembles.
func ensembles() []string {
	return []string{string(EnsembleMean), string(EnsembleScores), string(EnsembleMax)}
}

// everyFinding is the entry whose templates and ensemble are those of every
// finding that has none of its own.
const everyFinding = "*"

// blank stands in a template for a text.
const blank = "{}"

// filled checks the prompts and puts the texts into their templates. known are the
// findings that the data is said to have.
func (p Prompts) filled(known []string) (Prompts, error) {
	for _, name := range sortedKeys(p) {
		if b := p[name].bare; b != nil {
			return nil, b.fault(name, known)
		}
	}
	every := p[everyFinding]
	if len(every.Positive)+len(every.Negative)+len(every.Names) > 0 {
		return nil, fmt.Errorf("prompts: %q stands for every finding and holds templates and ensemble only", everyFinding)
	}
	full := make(Prompts, len(p))
	for _, name := range sortedKeys(p) {
		prompt := p[name]
		if prompt.pack != "" {
			full[name] = prompt
			continue
		}
		if name == everyFinding {
			continue
		}
		if len(prompt.Positive) == 0 {
			return nil, fmt.Errorf("prompts: %s: no positive text", name)
		}
		if slices.ContainsFunc(slices.Concat(prompt.Positive, prompt.Negative), func(text string) bool { return strings.TrimSpace(text) == "" }) {
			return nil, fmt.Errorf("prompts: %s: a text is empty; write it, or take it out", name)
		}
		if prompt.Ensemble == "" {
			prompt.Ensemble = every.Ensemble
		}
		if prompt.Ensemble != "" {
			if err := near.Check("ensemble", string(prompt.Ensemble), ensembles()); err != nil {
				return nil, fmt.Errorf("prompts: %s: %w", name, err)
			}
		}
		templates := prompt.Templates
		if len(templates) == 0 {
			templates = every.Templates
		}
		for _, t := range templates {
			if !strings.Contains(t, blank) {
				return nil, fmt.Errorf("prompts: %s: the template %q has no %s, where a text would stand", name, t, blank)
			}
		}
		prompt.Positive, prompt.Negative = fill(templates, prompt.Positive), fill(templates, prompt.Negative)
		prompt.Templates = nil
		full[name] = prompt
	}
	return full, nil
}

// fill puts each text into each template.
func fill(templates, texts []string) []string {
	if len(templates) == 0 {
		return texts
	}
	var full []string
	for _, t := range templates {
		for _, text := range texts {
			full = append(full, strings.ReplaceAll(t, blank, text))
		}
	}
	return full
}

// known returns the prompts of a pack for the classes of the data, under the
// names that these have there. Case and punctuation do not matter.
func (p Prompts) known(d *datasets.Dataset) Prompts {
	known := Prompts{}
	for _, class := range append(slices.Clone(d.Classes), d.Other) {
		if exact, ok := p[class]; ok {
			known[class] = exact
			continue
		}
		for _, name := range sortedKeys(p) {
			if slices.ContainsFunc(append([]string{name}, p[name].Names...), func(n string) bool { return class != "" && sameName(n, class) }) {
				known[class] = p[name]
				break
			}
		}
	}
	return known
}

// sameName compares the letters and digits of names.
func sameName(a, b string) bool {
	plain := func(name string) string {
		return strings.NewReplacer(" ", "", "_", "", "-", "", "/", "", ",", "", ".", "").Replace(strings.ToLower(name))
	}
	return plain(a) == plain(b)
}

// oneText returns the vector whose product with an image's is the score of the
// texts: their mean, for [EnsembleMean] at length one.
func oneText(ctx context.Context, enc TextEncoder, texts []string, ensemble Ensemble) ([]float32, error) {
	vectors, err := unitTexts(ctx, enc, texts)
	if err != nil {
		return nil, err
	}
	return meanOf(vectors, ensemble, texts)
}

func meanOf(vectors [][]float32, ensemble Ensemble, texts []string) ([]float32, error) {
	mean := make([]float32, len(vectors[0]))
	for _, v := range vectors {
		for i, x := range v {
			mean[i] += x / float32(len(vectors))
		}
	}
	if ensemble == EnsembleScores {
		return mean, nil
	}
	if err := vec.Unit(mean, mean); err != nil {
		return nil, fmt.Errorf("the mean of %q: %w", texts, err)
	}
	return mean, nil
}

// unitTexts returns the vectors of the texts at length one.
func unitTexts(ctx context.Context, enc TextEncoder, texts []string) ([][]float32, error) {
	vectors, err := enc.EncodeTexts(ctx, texts)
	if err != nil {
		return nil, err
	}
	for k, v := range vectors {
		if err := vec.Unit(v, v); err != nil {
			return nil, fmt.Errorf("%q: %w", texts[k], err)
		}
	}
	return vectors, nil
}
