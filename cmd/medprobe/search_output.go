package main

import (
	"context"
	"fmt"
	"image"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/embedcache"
	"github.com/medprobe/medprobe/encoder"
	"github.com/medprobe/medprobe/evaluate"
	"github.com/medprobe/medprobe/internal/atomicfile"
	"github.com/medprobe/medprobe/report"
)

// searchResult is the JSON document of a search.
type searchResult struct {
	Text       string           `json:"text,omitempty"`
	Image      string           `json:"image,omitempty"`
	Encoder    string           `json:"encoder"`
	Preprocess string           `json:"preprocess"`
	MMR        float64          `json:"mmr,omitempty"`
	Dataset    *searchedDataset `json:"dataset,omitempty"`
	// Images is how many the cache has, where there is no dataset.
	Images  int         `json:"images,omitempty"`
	Results []searchHit `json:"results"`
	Judged  *judgement  `json:"judged,omitempty"`

	unit string
}

// searchedDataset says what was ranked: the samples but for those that failed.
type searchedDataset struct {
	Spec    string               `json:"spec"`
	Where   []string             `json:"where,omitempty"`
	Samples int                  `json:"samples"`
	Failed  []embedcache.Failure `json:"failed"`
}

func (d *searchedDataset) ranked() int { return d.Samples - len(d.Failed) }

// searchHit is named by its sample, or by its content where there is no dataset.
type searchHit struct {
	Rank    int               `json:"rank"`
	Cosine  float64           `json:"cosine"`
	ID      string            `json:"id,omitempty"`
	Labels  map[string]string `json:"labels,omitempty"`
	Content string            `json:"content,omitempty"`
	Region  []int             `json:"region,omitempty"`
	Frame   *int              `json:"frame,omitempty"`

	key      embedcache.Key
	sample   int
	positive []string
}

// judgement is how good the ranking is by one finding. Samples for which it is
// uncertain or missing are not in the figures.
type judgement struct {
	Finding   string `json:"finding"`
	NamedBy   string `json:"named_by"`
	Uncertain int    `json:"uncertain"`
	Missing   int    `json:"missing"`
	evaluate.Retrieval
}

func newSearchResult(q *search, e *encoder.Encoder) *searchResult {
	return &searchResult{Text: q.text, Image: q.file, Encoder: e.Name(), Preprocess: string(e.Profile()), MMR: q.mmr, Results: []searchHit{}}
}

func regionOf(k embedcache.Key) []int {
	if r := k.Region; r != (image.Rectangle{}) {
		return []int{r.Min.X, r.Min.Y, r.Max.X, r.Max.Y}
	}
	return nil
}

func labelsOf(d *datasets.Dataset, sample *datasets.Sample) map[string]string {
	labels := map[string]string{}
	for k, class := range d.Classes {
		labels[class] = sample.Labels[k].String()
	}
	return labels
}

func positiveFor(d *datasets.Dataset, sample *datasets.Sample) []string {
	var names []string
	for k, class := range d.Classes {
		if sample.Labels[k] == datasets.Positive {
			names = append(names, class)
		}
	}
	return names
}

// print writes the result as a table.
func (r *searchResult) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	if r.Dataset == nil {
		fmt.Fprintln(w, "RANK\tCOSINE\tCONTENT")
		for _, hit := range r.Results {
			fmt.Fprintf(w, "%d\t%.4f\t%s\n", hit.Rank, hit.Cosine, hit.key)
		}
		if err := w.Flush(); err != nil {
			return err
		}
		_, err := fmt.Fprintf(out, "\n%d of %d images shown, ranked by %s\n", len(r.Results), r.Images, r.Encoder)
		return err
	}
	fmt.Fprint(w, "RANK\tCOSINE\tID\t")
	if r.Judged != nil {
		fmt.Fprintf(w, "%s\t", strings.ToUpper(quoteControl(r.Judged.Finding)))
	}
	fmt.Fprintln(w, "POSITIVE FOR")
	for _, hit := range r.Results {
		fmt.Fprintf(w, "%d\t%.4f\t%s\t", hit.Rank, hit.Cosine, quoteControl(hit.ID))
		if r.Judged != nil {
			fmt.Fprintf(w, "%s\t", hit.Labels[r.Judged.Finding])
		}
		fmt.Fprintln(w, quoteControl(orDash(strings.Join(hit.positive, ", "))))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%d of %d samples shown, ranked by %s\n", len(r.Results), r.Dataset.ranked(), r.Encoder)
	if r.Judged == nil {
		return nil
	}
	return r.Judged.print(out, r.MMR != 0)
}

func (j *judgement) print(out io.Writer, mmr bool) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "\nrelevant: positive for %s, which %s names: %d of %d labelled samples, %.1f %%\n", quoteControl(j.Finding), j.namedBy(), j.Positives, j.N, 100*j.Prevalence)
	for _, f := range []struct {
		name string
		evaluate.Estimate
	}{{fmt.Sprintf("precision@%d", j.K), j.Precision}, {fmt.Sprintf("recall@%d", j.K), j.Recall}, {"mAP of one query", j.AveragePrecision}} {
		text := f.String()
		if f.StdErr == 0 {
			text += ", Wilson's: every resample agrees"
		}
		fmt.Fprintf(w, "%s\t%s\n", f.name, text)
	}
	fmt.Fprintf(w, "with %g %% interval over %d %ss\n", 100*j.Precision.Level, j.Precision.Units, j.Precision.Unit)
	for _, note := range j.notes(mmr) {
		fmt.Fprintln(w, note)
	}
	return w.Flush()
}

func (j *judgement) namedBy() string {
	if j.NamedBy == "text" {
		return "the text"
	}
	return j.NamedBy
}

// notes says what a reader of the figures must know.
func (j *judgement) notes(mmr bool) []string {
	var notes []string
	if n := j.Uncertain + j.Missing; n > 0 {
		notes = append(notes, fmt.Sprintf("%d samples are left out of the figures: %d uncertain, %d without a label", n, j.Uncertain, j.Missing))
	}
	if mmr {
		notes = append(notes, "the figures are of the ranking by cosine, without --mmr")
	}
	for _, w := range j.AveragePrecision.Warnings {
		if w.Code != evaluate.WarnNoSpread { // it stands beside the figure
			notes = append(notes, w.Text)
		}
	}
	return notes
}

// thumbnailPixels is the size of the pictures on the page.
const thumbnailPixels = 224

func (s *settings) writeGallery(ctx context.Context, file string, d *datasets.Dataset, r *searchResult) error {
	g := report.Gallery{
		Title: r.Text,
		Lead:  fmt.Sprintf("The %d nearest of %d samples, by the cosine of their vectors.", len(r.Results), r.Dataset.ranked()),
		Facts: []report.GalleryFact{{Name: "Encoder", Value: r.Encoder}, {Name: "Data", Value: r.Dataset.Spec}},
	}
	if r.Image != "" {
		g.Title = "Images like " + filepath.Base(r.Image)
		if s.idKey != "" { // a file's name may tell whose it is
			g.Title = "Images like another"
		}
	}
	if len(r.Dataset.Where) > 0 {
		g.Facts = append(g.Facts, report.GalleryFact{Name: "Where", Value: strings.Join(r.Dataset.Where, ", ")})
	}
	if r.MMR != 0 {
		g.Facts = append(g.Facts, report.GalleryFact{Name: "Diversity", Value: fmt.Sprintf("MMR with λ = %v", r.MMR)})
	}
	if j := r.Judged; j != nil {
		g.Retrieval, g.Finding, g.Notes = &j.Retrieval, j.Finding, j.notes(r.MMR != 0)
	}
	for _, hit := range r.Results {
		picture := report.Picture{Rank: hit.Rank, Cosine: hit.Cosine, ID: hit.ID, Positive: hit.positive}
		if j := r.Judged; j != nil {
			picture.Label = j.Finding + ": " + hit.Labels[j.Finding]
			picture.Positive = slices.DeleteFunc(slices.Clone(hit.positive), func(name string) bool { return name == j.Finding })
		}
		img, err := d.Image(ctx, hit.sample)
		if err == nil {
			picture.PNG, err = datasets.Thumbnail(img, thumbnailPixels)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			s.note("no picture of %s: %v", hit.ID, err)
		}
		g.Pictures = append(g.Pictures, picture)
	}
	return atomicfile.Write(file, func(w io.Writer) error { return report.GalleryHTML(w, g) })
}
