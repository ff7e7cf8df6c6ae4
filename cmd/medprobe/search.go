package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/embedcache"
	"github.com/medprobe/medprobe/encoder"
	"github.com/medprobe/medprobe/evaluate"
	"github.com/medprobe/medprobe/internal/near"
	"github.com/spf13/cobra"
)

// search is one search, as its flags say.
type search struct {
	enc         encoderFlags
	how         imageFlags
	image       datasets.ImageOptions
	text, file  string
	spec, label string
	where       []string
	top         int
	mmr         float64
	html        string
	json        bool
}

func (s *settings) searchCommand() *cobra.Command {
	var q search
	cmd := &cobra.Command{
		Use:   "search",
		Short: "Rank images by a text or an image",
		Long: `Search ranks the images in the cache by the cosine of their vectors with that of
a text or of an image; the ranking is exact. With --dataset it ranks the samples
of a dataset, which must have been embedded, and names them; without, all images
that the encoder has embedded, named by the SHA-256 of their content.

Over labelled samples, precision and recall of the first K and the average
precision are given too. Relevant is what is positive for the finding of --label
or, without it, for the one finding whose name stands in the text.`,
		Example: `  medprobe search --encoder demo --text "a chest radiograph with an effusion" --dataset csv:labels.csv`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && q.text == "" {
				return usagef(cmd, "search takes its text as --text %q", strings.Join(args, " "))
			}
			return cobra.NoArgs(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := q.check(cmd); err != nil {
				return err
			}
			return s.search(cmd.Context(), &q)
		},
	}
	q.enc.add(cmd)
	cmd.Flags().StringVar(&q.text, "text", "", "text to search by")
	cmd.Flags().StringVar(&q.file, "image", "", "image file to search by")
	q.how.add(cmd)
	cmd.Flags().IntVar(&q.top, "top", 10, "how many images are shown, and judged")
	cmd.Flags().StringVar(&q.spec, "dataset", "", "rank the samples of this dataset")
	cmd.Flags().StringArrayVar(&q.where, "where", nil, "rank only samples with NAME=VALUE: a finding, an attribute or split; several must all hold")
	cmd.Flags().StringVar(&q.label, "label", "", "finding that decides what is relevant (default: the one that the text names)")
	cmd.Flags().Float64Var(&q.mmr, "mmr", 0, "let hits differ from one another: 1 is none of that, towards 0 more (maximal marginal relevance)")
	cmd.Flags().StringVar(&q.html, "html", "", "write a page of thumbnails to this file")
	jsonFlag(cmd, &q.json)
	return cmd
}

func (q *search) check(cmd *cobra.Command) (err error) {
	if err := q.enc.check(cmd); err != nil {
		return err
	}
	byText, byImage := cmd.Flags().Changed("text"), cmd.Flags().Changed("image")
	switch {
	case byText == byImage:
		return usagef(cmd, "want one of --text and --image")
	case byText && strings.TrimSpace(q.text) == "":
		return usagef(cmd, "--text is empty")
	case byImage && q.file == "":
		return usagef(cmd, "--image is empty; name an image file")
	case q.top < 1:
		return usagef(cmd, "--top %d: want 1 or more", q.top)
	case cmd.Flags().Changed("mmr") && !(q.mmr > 0 && q.mmr <= 1):
		return usagef(cmd, "--mmr %v: want a number above 0 and at most 1", q.mmr)
	}
	for _, flag := range []string{"where", "label", "html"} {
		if q.spec == "" && cmd.Flags().Changed(flag) {
			return usagef(cmd, "--%s needs --dataset", flag)
		}
	}
	if err := checkWhere(cmd, q.where); err != nil {
		return err
	}
	if err := checkOut(q.html, pageEndings); err != nil {
		return err
	}
	q.image, err = q.how.options(cmd)
	return err
}

func (s *settings) search(ctx context.Context, q *search) (err error) {
	var d *datasets.Dataset
	if q.spec != "" {
		if d, err = s.openDataset(ctx, q.spec); err != nil {
			return err
		}
		defer closing(d, &err)
		if q.label != "" {
			if err := near.Check("--label", q.label, d.Classes); err != nil {
				return err
			}
		}
		if err := keepWhere(d, q.where); err != nil {
			return err
		}
	}
	var r *searchResult
	err = s.usingCache(ctx, q.enc.name, q.enc.profile, func(e *encoder.Encoder, cache *embedcache.Cache) error {
		vector, err := q.vector(ctx, e, cache)
		if err != nil {
			return err
		}
		query := embedcache.Query{Vector: vector, K: q.top, MMR: q.mmr}
		if d == nil {
			r, err = s.searchAll(ctx, q, e, cache, query)
		} else {
			r, err = s.searchDataset(ctx, q, e, cache, d, query)
		}
		return err
	})
	if err != nil {
		return err
	}
	if q.html != "" {
		if err := s.writeGallery(ctx, q.html, d, r); err != nil {
			return err
		}
	}
	if q.json {
		return s.json(r)
	}
	return r.print(s.out)
}

// vector returns what is searched by.
func (q *search) vector(ctx context.Context, e *encoder.Encoder, cache *embedcache.Cache) ([]float32, error) {
	var vectors [][]float32
	var err error
	if q.file != "" {
		vectors, err = fileVectors(ctx, e, []string{q.file}, q.image)
	} else if err = e.NoText(); err == nil {
		if slices.Equal(e.Tokenize(q.text), e.Tokenize("")) {
			return nil, fmt.Errorf("--text %q: nothing is left of it without its punctuation", q.text)
		}
		vectors, err = cache.Texts(ctx, e, []string{q.text})
	}
	if err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	return vectors[0], nil
}

// embedHint is the command that computes what is missing.
func (q *search) embedHint(spec string) string {
	hint := fmt.Sprintf("medprobe embed %s --encoder %s", spec, q.enc.name)
	if q.enc.profile != encoder.Profiles()[0] {
		hint += " --preprocess " + q.enc.profile
	}
	return hint
}

func (s *settings) searchAll(ctx context.Context, q *search, e *encoder.Encoder, cache *embedcache.Cache, query embedcache.Query) (*searchResult, error) {
	hits, err := cache.Search(ctx, embedcache.SpaceOf(e), query)
	if err != nil {
		return nil, err
	}
	if len(hits) == 0 {
		return nil, fmt.Errorf("search: the cache has no image of encoder %s under preprocessing %s; embed some first: '%s'", e.Name(), e.Profile(), q.embedHint("SPEC"))
	}
	r := newSearchResult(q, e)
	if r.Images, err = cache.Count(ctx, embedcache.SpaceOf(e)); err != nil {
		return nil, err
	}
	for i, hit := range hits {
		key := hit.Key
		r.Results = append(r.Results, searchHit{Rank: i + 1, Cosine: hit.Cosine, Content: fmt.Sprintf("%x", key.Content), Region: regionOf(key), Frame: &key.Frame, key: key, sample: -1})
	}
	return r, nil
}

func (s *settings) searchDataset(ctx context.Context, q *search, e *encoder.Encoder, cache *embedcache.Cache, d *datasets.Dataset, query embedcache.Query) (*searchResult, error) {
	r := newSearchResult(q, e)
	r.Dataset = &searchedDataset{Spec: d.Spec, Where: q.where, Samples: len(d.Samples)}
	keys, failed, err := cache.Keys(ctx, d)
	if err != nil {
		return nil, err
	}
	for _, f := range failed {
		s.note("failed: %s: %s", f.ID, f.Reason)
		i := slices.IndexFunc(d.Samples, func(sample datasets.Sample) bool { return sample.ID == f.ID })
		d.Samples, keys = slices.Delete(d.Samples, i, i+1), slices.Delete(keys, i, i+1)
	}
	r.Dataset.Failed = append([]embedcache.Failure{}, failed...)
	if len(keys) == 0 {
		return nil, fmt.Errorf("search: none of %d samples can be read", len(failed))
	}
	query.Keys = keys
	hits, err := cache.Search(ctx, embedcache.SpaceOf(e), query)
	if errors.Is(err, embedcache.ErrNotStored) {
		return nil, fmt.Errorf("search: not all of the %d samples are embedded: %w; '%s' does it", len(keys), err, q.embedHint(q.spec))
	}
	if err != nil {
		return nil, err
	}
	r.unit = d.Unit
	for i, hit := range hits {
		sample := &d.Samples[hit.Index]
		r.Results = append(r.Results, searchHit{Rank: i + 1, Cosine: hit.Cosine, ID: sample.ID, Labels: labelsOf(d, sample), sample: hit.Index, positive: positiveFor(d, sample)})
	}
	return r, s.judge(ctx, q, e, cache, d, keys, query.Vector, r)
}

// judge adds how good the whole ranking is, if it is known what is relevant.
func (s *settings) judge(ctx context.Context, q *search, e *encoder.Encoder, cache *embedcache.Cache, d *datasets.Dataset, keys []embedcache.Key, vector []float32, r *searchResult) error {
	finding, note := q.relevant(d)
	if finding == "" {
		if note != "" {
			s.note("not judged: %s", note)
		}
		return nil
	}
	cosines, err := cache.Cosines(ctx, embedcache.SpaceOf(e), vector, keys)
	if err != nil {
		return err
	}
	j := &judgement{Finding: finding, NamedBy: "--label"}
	if q.label == "" {
		j.NamedBy = "text"
	}
	class := slices.Index(d.Classes, finding)
	var order []int
	for i := range d.Samples {
		switch d.Samples[i].Labels[class] {
		case datasets.Uncertain:
			j.Uncertain++
		case datasets.Missing:
			j.Missing++
		default:
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(a, b int) int {
		return embedcache.Hit{Key: keys[a], Index: a, Cosine: cosines[a]}.Compare(embedcache.Hit{Key: keys[b], Index: b, Cosine: cosines[b]})
	})
	ranking, groups := make([]bool, len(order)), make([]string, len(order))
	for rank, i := range order {
		ranking[rank], groups[rank] = d.Samples[i].Labels[class] == datasets.Positive, d.Samples[i].Group()
	}
	if len(order) == 0 {
		s.note("not judged: none of %d samples has a label for %s", len(d.Samples), finding)
		return nil
	}
	figures, err := evaluate.Bootstrap{Seed: s.seed}.Retrieval(ctx, ranking, groups, min(q.top, len(order)))
	if errors.Is(err, evaluate.ErrOneClass) {
		s.note("not judged by %s: %v", finding, err)
		return nil
	}
	if err != nil {
		return err
	}
	j.Retrieval = figures.Over(d.Unit)
	r.Judged = j
	return nil
}

// relevant returns the finding that decides what is relevant, or says why there is
// none.
func (q *search) relevant(d *datasets.Dataset) (finding, note string) {
	if q.label != "" || q.text == "" {
		return q.label, ""
	}
	var named []string
	for _, class := range d.Classes {
		if strings.Contains(words(q.text), words(class)) {
			named = append(named, class)
		}
	}
	switch len(named) {
	case 0:
		return "", "the text names no finding of the dataset; --label says which one decides what is relevant"
	case 1:
		return named[0], ""
	}
	return "", "the text names " + strings.Join(named, " and ") + "; --label says which one decides what is relevant"
}

// words returns the words of a text in small letters, each between blanks.
func words(text string) string {
	all := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	return " " + strings.Join(all, " ") + " "
}
