package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strconv"
	"strings"

	"github.com/medprobe/medprobe/evaluate"
)

//go:embed gallery.html
var galleryText string

//go:embed gallery.css
var galleryStyle string

var galleryTemplate = headed(galleryText)

// Gallery is what a search found, as [GalleryHTML] shows it.
type Gallery struct {
	// Title is what was searched for, and Lead says in a sentence among what.
	Title, Lead string
	// Facts are shown in their order.
	Facts []GalleryFact
	// Retrieval, if not nil, judges the whole ranking by Finding; Notes say what a
	// reader of its figures must know.
	Retrieval *evaluate.Retrieval
	Finding   string
	Notes     []string
	Pictures  []Picture
}

// GalleryFact is a name with a value.
type GalleryFact struct{ Name, Value string }

// Picture is one hit.
type Picture struct {
	Rank   int
	Cosine float64
	ID     string
	// Label is what is known of the finding that the ranking is judged by, such as
	// "effusion: positive", or empty; Positive names the findings that the image is positive for.
	Label    string
	Positive []string
	// PNG is a small picture; nil where there is none.
	PNG []byte
}

type galleryPage struct {
	Head       pageHead
	Title      string
	Lead       string
	NotADevice string
	Facts      []fact
	Judged     string
	Figures    []galleryFigure
	Notes      []string
	Pictures   []galleryPicture
}

type galleryFigure struct{ Name, Point, Interval string }

type galleryPicture struct {
	Rank, Cosine, ID, Label, Class, Positive, Alt string
	Source                                        template.URL
}

// GalleryHTML writes a search's result as one page like that of [HTML]: no script,
// no request, thumbnails as part of it.
func GalleryHTML(w io.Writer, g Gallery) error {
	p := galleryPage{
		Head:  newHead(plain(g.Title)+" – medprobe search", stylesheet+galleryStyle),
		Title: plain(g.Title), Lead: plain(g.Lead), NotADevice: notADevice,
	}
	p.Head.Policy += "; img-src data:" // pictures within the page, and no others
	for _, f := range g.Facts {
		p.Facts = append(p.Facts, fact{Name: f.Name, Value: plain(f.Value)})
	}
	for _, note := range g.Notes {
		p.Notes = append(p.Notes, plain(note))
	}
	p.judge(g)
	for _, picture := range g.Pictures {
		p.Pictures = append(p.Pictures, newGalleryPicture(picture))
	}
	var b bytes.Buffer
	if err := galleryTemplate.Execute(&b, p); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

func (p *galleryPage) judge(g Gallery) {
	r := g.Retrieval
	if r == nil {
		return
	}
	p.Judged = fmt.Sprintf("Relevant is what is positive for %s: %s of %s, %.1f %%. The average precision of one query is its mAP. %s interval over %s.",
		plain(g.Finding), thousands(r.Positives), count(r.N, "labelled image"), 100*r.Prevalence, percent(r.Precision.Level), count(r.Precision.Units, r.Precision.Unit))
	for _, f := range []struct {
		name string
		evaluate.Estimate
	}{{"Precision of the first " + strconv.Itoa(r.K), r.Precision}, {"Recall of the first " + strconv.Itoa(r.K), r.Recall}, {"Average precision", r.AveragePrecision}} {
		row := galleryFigure{Name: f.name, Point: number(f.Point), Interval: interval(f.Estimate)}
		if f.StdErr == 0 {
			row.Interval += ", Wilson's: every resample agrees"
		}
		p.Figures = append(p.Figures, row)
	}
}

func newGalleryPicture(hit Picture) galleryPicture {
	p := galleryPicture{
		Rank: strconv.Itoa(hit.Rank), Cosine: strconv.FormatFloat(hit.Cosine, 'f', 4, 64), ID: plain(hit.ID),
		Label: plain(hit.Label), Positive: plain(strings.Join(hit.Positive, ", ")), Source: pngURL(hit.PNG),
	}
	p.Alt = "image of rank " + p.Rank
	switch {
	case strings.HasSuffix(hit.Label, "positive"):
		p.Class = "hit"
	case strings.HasSuffix(hit.Label, "negative"):
		p.Class = "miss"
	}
	return p
}
