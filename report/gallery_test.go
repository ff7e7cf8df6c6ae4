package report

import (
	"bytes"
	"image"
	"image/png"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/evaluate"
)

func gallery(t *testing.T, text func() string) string {
	t.Helper()
	var picture, page bytes.Buffer
	if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 3, 2))); err != nil {
		t.Fatal(err)
	}
	ranking := []bool{true, true, false, true, false, false, true, false, false, false}
	r, err := evaluate.Bootstrap{Resamples: 200}.Retrieval(t.Context(), ranking, nil, 2)
	if err != nil {
		t.Fatal(err)
	}
	g := Gallery{
		Title: text(), Lead: text(), Facts: []GalleryFact{{text(), text()}}, Retrieval: &r, Finding: text(), Notes: []string{text()},
		Pictures: []Picture{
			{Rank: 1, Cosine: 0.51239, ID: text(), Label: "effusion: positive", PNG: picture.Bytes()},
			{Rank: 2, Cosine: -0.1, ID: text(), Label: text(), Positive: []string{text(), text()}, PNG: []byte("<svg onload=alert(1)>")},
			{Rank: 3},
		},
	}
	if err := GalleryHTML(&page, g); err != nil {
		t.Fatal(err)
	}
	return page.String()
}

func TestGalleryShowsWhatWasFound(t *testing.T) {
	t.Parallel()
	page := gallery(t, func() string { return "effusion" })
	for _, want := range []string{
		"<h1><bdi>effusion</bdi></h1>", "1. cosine 0.5124", `class="hit"`, "positive for effusion: 4 of 10 labelled images, 40.0 %",
		"95 % interval over 10 samples", "Precision of the first 2", "no picture", `alt="image of rank 1"`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if n := strings.Count(page, "<img "); n != 1 {
		t.Errorf("%d pictures, want 1", n)
	}
}

func TestGalleryHoldsNothingThatActs(t *testing.T) {
	t.Parallel()
	k := 0
	checkPage(t, "gallery", gallery(t, func() string { return "plain" }))
	checkPage(t, "hostile", gallery(t, func() string { k++; return badTexts[k%len(badTexts)] }))
	var empty bytes.Buffer
	if err := GalleryHTML(&empty, Gallery{}); err != nil {
		t.Fatal(err)
	}
	checkPage(t, "empty", empty.String())
}
