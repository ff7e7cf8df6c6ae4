package experiment

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/embedcache"
	"github.com/medprobe/medprobe/internal/near"
	"github.com/medprobe/medprobe/internal/yamlfile"
	"github.com/medprobe/medprobe/trainer"
	"gonum.org/v1/gonum/blas/blas32"
)

// Prompts holds the texts of the zero-shot baseline by finding.
type Prompts map[string]Prompt

// Prompt holds the texts for one finding.
type Prompt struct {
	// Positive are texts that are true of an image with the finding. Their
	// vectors are averaged.
	Positive []string `yaml:"positive"`
	// Negative are texts that are true of an image without it. They are not
	// used for classes that exclude one another.
	Negative []string `yaml:"negative"`
	// Note is shown with the finding.
	Note string `yaml:"note"`
	// Names are other names that data may have for the finding of a pack.
	Names []string `yaml:"names" json:",omitempty"`
	// Templates are sentences with {} in them, where each text is put in turn.
	Templates []string `yaml:"templates" json:",omitempty"`
	// Ensemble makes one of several texts; empty: EnsembleMean.
	Ensemble Ensemble `yaml:"ensemble" json:",omitempty"`
	// pack stands for the texts until the data is known.
	pack string
	// bare are texts that stand under neither.
	bare *bareTexts
}

const packPrefix = "pack:"

//go:embed prompts/*.yaml
var packs embed.FS

// loadPrompts reads a YAML file of prompts by finding, or the pack named by
// pack:NAME that comes with medprobe. Templates are filled in. Of an experiment its
// prompts are read.
func loadPrompts(name string) (Prompts, error) {
	p := Prompts{}
	pack, isPack := strings.CutPrefix(name, packPrefix)
	if !isPack && yamlfile.HasKey(name, "data") && yamlfile.HasKey(name, "prompts") {
		c, err := Load(name)
		if err != nil {
			return nil, err
		}
		return c.Prompts, nil
	}
	if !isPack {
		if err := yamlfile.Load(name, &p); err != nil {
			return nil, fmt.Errorf("experiment: prompts: %w", err)
		}
		return p.ready()
	}
	if err := near.Check("pack of prompts", pack, Packs()); err != nil {
		return nil, fmt.Errorf("experiment: %w", err)
	}
	text, err := packs.ReadFile("prompts/" + pack + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("experiment: prompts: %w", err)
	}
	if err := yamlfile.Parse(name, text, &p); err != nil {
		return nil, fmt.Errorf("experiment: prompts: %w", err)
	}
	return p.ready()
}

func (p Prompts) ready() (Prompts, error) {
	full, err := p.filled(nil)
	if err != nil {
		return nil, fmt.Errorf("experiment: %w", err)
	}
	return full, nil
}

// Packs lists the packs of prompts that come with medprobe.
func Packs() []string {
	files, err := fs.Glob(packs, "prompts/*.yaml")
	if err != nil {
		panic(fmt.Sprintf("experiment: a fixed pattern: %v", err))
	}
	for i, file := range files {
		files[i] = strings.TrimSuffix(path.Base(file), ".yaml")
	}
	return files
}

// of returns the prompts as they are for the classes of the dataset: of two that
// exclude one another one is to be found, and what is true of the other is not
// true of it.
func (p Prompts) of(d *datasets.Dataset) Prompts {
	other, named := p[d.Other]
	if d.Other == "" || !named {
		return p
	}
	of := maps.Clone(p)
	delete(of, d.Other)
	if found, ok := of[d.Classes[0]]; ok && len(found.Negative) == 0 {
		found.Negative = other.Positive
		of[d.Classes[0]] = found
	}
	return of
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// Score is a way to make a score of the vectors of image and texts.
type Score string

// The scores. x is the vector of an image, p and n are the mean positive and
// negative text vectors of a finding, all of length one; τ and b are the
// encoder's scale and bias.
const (
	// ScorePair is CheXzero's softmax over a positive and a negative text:
	// σ(τ·x·p − τ·x·n). It needs negative texts.
	ScorePair Score = "pair"
	// ScoreDifference is x·p − x·n: ranks as ScorePair, but no probability.
	ScoreDifference Score = "difference"
	// ScoreSoftmax is the softmax of τ·x·p over the findings.
	ScoreSoftmax Score = "softmax"
	// ScoreSigmoid is SigLIP's own σ(τ·x·p + b). Ranks are right, but the
	// probabilities look like zeros: they are those of one pair among many.
	ScoreSigmoid Score = "sigmoid"
)

// Scores lists the scores.
func Scores() []string {
	return []string{string(ScorePair), string(ScoreDifference), string(ScoreSoftmax), string(ScoreSigmoid)}
}

// TextEncoder turns texts into vectors.
type TextEncoder interface {
	Dim() int
	LogitScale() float64
	LogitBias() float64
	EncodeTexts(context.Context, []string) ([][]float32, error)
}

// cachedTexts is a TextEncoder that looks texts up in the cache first.
type cachedTexts struct {
	Encoder
	cache *embedcache.Cache
}

// EncodeTexts returns the vectors of the texts, of which those that are new are
// computed and stored.
func (t cachedTexts) EncodeTexts(ctx context.Context, texts []string) ([][]float32, error) {
	if enc, ok := t.Encoder.(embedcache.TextEncoder); ok {
		return t.cache.Texts(ctx, enc, texts)
	}
	return t.Encoder.EncodeTexts(ctx, texts)
}

// newPrior turns prompts into the zero-shot classifier of the classes, one row
// of T per class, for a score. An empty score is softmax where the classes
// exclude one another, pair where there are negative texts, and sigmoid
// otherwise; it is returned with the prior.
//
// Each text vector is scaled to length one before averaging and each mean after
// it, as CLIP's prompt ensembles are. Every class needs a prompt; a prompt for
// no class is an error too, since it is a misspelt one. With negative texts for
// one finding, all need them. An encoder that says its fingerprints gives the
// prior its Space, so that vectors of another are refused.
//
// Sources: Tiu et al., Nature Biomedical Engineering 6 (2022) 1399–1406 (pair);
// Zhai et al., arXiv 2303.15343 (sigmoid).
func newPrior(ctx context.Context, enc TextEncoder, classes []string, exclusive bool, prompts Prompts, score Score) (*trainer.Prior, Score, error) {
	score, err := prompts.scoreFor(classes, exclusive, score)
	if err != nil {
		return nil, "", fmt.Errorf("experiment: prompts: %w", err)
	}
	dim := enc.Dim()
	prior := &trainer.Prior{
		T:     blas32.General{Rows: len(classes), Cols: dim, Stride: dim, Data: make([]float32, len(classes)*dim)},
		Scale: enc.LogitScale(),
	}
	if known, ok := enc.(interface {
		Fingerprint() string
		PreprocessFingerprint() string
	}); ok {
		prior.Space = trainer.Space{Encoder: known.Fingerprint(), Preprocess: known.PreprocessFingerprint()}
	}
	switch score {
	case ScoreDifference:
		prior.Scale = 1
	case ScoreSigmoid:
		prior.Bias = enc.LogitBias()
	}
	if prior.Scale == 0 {
		return nil, "", errNoScale
	}
	for c, class := range classes {
		row := prior.T.Data[c*dim : (c+1)*dim]
		ensemble := prompts[class].Ensemble
		if ensemble == EnsembleMax {
			return nil, "", fmt.Errorf("experiment: prompts: %s: the ensemble %q is no linear classifier, which a head starts from; want %s or %s, or ask with 'medprobe zeroshot'", class, ensemble, EnsembleMean, EnsembleScores)
		}
		positive, err := oneText(ctx, enc, prompts[class].Positive, ensemble)
		if err != nil {
			return nil, "", fmt.Errorf("experiment: prompts: %s: %w", class, err)
		}
		copy(row, positive)
		if score != ScorePair && score != ScoreDifference {
			continue
		}
		negative, err := oneText(ctx, enc, prompts[class].Negative, ensemble)
		if err != nil {
			return nil, "", fmt.Errorf("experiment: prompts: %s: %w", class, err)
		}
		for i, v := range negative {
			row[i] -= v
		}
	}
	return prior, score, nil
}

// scoreFor checks the prompts against the classes and returns the score to use.
func (p Prompts) scoreFor(classes []string, exclusive bool, score Score) (Score, error) {
	for _, name := range sortedKeys(p) {
		if err := near.Check("finding", name, classes); err != nil {
			return "", err
		}
	}
	var with, without []string
	for _, class := range classes {
		prompt, ok := p[class]
		if !ok {
			return "", fmt.Errorf("none for %q; give every finding one, or name under labels only those that have one", class)
		}
		if len(prompt.Negative) > 0 {
			with = append(with, class)
		} else {
			without = append(without, class)
		}
	}
	switch {
	case score == "" && exclusive:
		score = ScoreSoftmax
	case score == "" && len(with) > 0:
		score = ScorePair
	case score == "":
		score = ScoreSigmoid
	}
	if (score == ScorePair || score == ScoreDifference) && len(without) > 0 {
		return "", fmt.Errorf("%q has no negative text, which the score %q needs", without[0], score)
	}
	return score, near.Check("score", string(score), Scores())
}
