package report

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"html/template"
	"slices"

	"github.com/medprobe/medprobe/evaluate"
)

// twinList shows images of train and test that are nearly the same.
type twinList struct {
	Sentence string
	Pairs    []twinPair
}

type twinPair struct {
	Cosine      string
	Train, Test template.URL
}

func newTwins(r *evaluate.Report) *twinList {
	n := r.NearDuplicates
	if n == nil {
		return nil
	}
	t := &twinList{Sentence: fmt.Sprintf("%s of test and train, %s of test among them, have vectors with a cosine of at least %v. Look whether they show the same patient; the closest:",
		counted(n.Pairs, "pair"), counted(n.TestSamples, "sample"), n.Cosine)}
	for _, pair := range n.Shown {
		t.Pairs = append(t.Pairs, twinPair{Cosine: fmt.Sprintf("%.4f", pair.Cosine), Train: pngURL(pair.Train), Test: pngURL(pair.Test)})
	}
	return t
}

// shows says whether there is any picture.
func (t *twinList) shows() bool {
	return t != nil && slices.ContainsFunc(t.Pairs, func(p twinPair) bool { return p.Train != "" })
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%s %ss", thousands(n), what)
}

// pngURL returns a picture as part of the page; what is no PNG is left out.
func pngURL(data []byte) template.URL {
	if !bytes.HasPrefix(data, []byte("\x89PNG\r\n\x1a\n")) {
		return ""
	}
	return template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(data)) //nolint:gosec // letters and digits
}
