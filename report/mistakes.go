package report

import (
	"fmt"
	"html/template"
	"strconv"

	"github.com/medprobe/medprobe/evaluate"
)

// mistakePart shows where the report's head was most sure and wrong.
type mistakePart struct {
	Note     string
	Findings []findingMistakes
}

type findingMistakes struct {
	Finding, Name string
	Kinds         []mistakeKind
}

// mistakeKind is the false positives or the false negatives.
type mistakeKind struct {
	Title string
	Shown []shownMistake
}

type shownMistake struct {
	Probability string
	Picture     shownPicture
	Nearest     []shownPicture
}

// shownPicture is a picture, if there is one, with its caption.
type shownPicture struct {
	Source       template.URL
	Alt, Caption string
}

func newMistakePart(r *evaluate.Report) *mistakePart {
	m := r.Mistakes
	if m == nil {
		return nil
	}
	p := &mistakePart{}
	for _, f := range r.Findings {
		for _, g := range m.Findings {
			if g.Finding != f.Name || len(g.Positive)+len(g.Negative) == 0 {
				continue
			}
			one := findingMistakes{Finding: f.Name, Name: findingName(f)}
			rule := ""
			if g.Rule != "" {
				rule = " (" + g.Rule + ")"
			}
			at := short(g.Threshold) + rule
			one.add(fmt.Sprintf("%s from %s on", counted(g.FalsePositives, "false positive"), at), "negative", g.Positive)
			one.add(fmt.Sprintf("%s under %s", counted(g.FalseNegatives, "false negative"), at), "positive", g.Negative)
			p.Findings = append(p.Findings, one)
		}
	}
	if p.Findings == nil {
		return nil
	}
	p.Note = fmt.Sprintf("The test samples that the %s was most sure of and wrong about, the surest first, each beside the labelled samples of train whose vectors are nearest to its own. A label may be what is wrong. They are chosen for being wrong and say nothing about how often it happens. No names are given: whoever may see them finds a sample by its probability in predictions.parquet.", methodName(m.Method))
	if !p.shows() {
		p.Note += " Images are not shown."
	}
	return p
}

func (f *findingMistakes) add(title, truth string, mistakes []evaluate.Mistake) {
	if len(mistakes) == 0 {
		return
	}
	kind := mistakeKind{Title: title}
	for _, m := range mistakes {
		s := shownMistake{Probability: probabilityText(m.Probability)}
		s.Picture = shownPicture{pngURL(m.Image), "a test image, labelled " + truth + ", probability " + s.Probability, "labelled " + truth + ", probability " + s.Probability}
		for _, n := range m.Nearest {
			label := "negative"
			if n.Positive {
				label = "positive"
			}
			caption := label + ", cosine " + number(n.Cosine)
			s.Nearest = append(s.Nearest, shownPicture{pngURL(n.Image), "a training image, " + caption, caption})
		}
		kind.Shown = append(kind.Shown, s)
	}
	f.Kinds = append(f.Kinds, kind)
}

// probabilityText is exact enough to find the sample by.
func probabilityText(p float64) string { return strconv.FormatFloat(p, 'g', 6, 64) }

// shows says whether there is any picture.
func (p *mistakePart) shows() bool {
	if p == nil {
		return false
	}
	for _, f := range p.Findings {
		for _, kind := range f.Kinds {
			for _, s := range kind.Shown {
				if s.Picture.Source != "" {
					return true
				}
				for _, n := range s.Nearest {
					if n.Source != "" {
						return true
					}
				}
			}
		}
	}
	return false
}
