package experiment

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/medprobe/medprobe/encoder"
	"github.com/medprobe/medprobe/trainer"
	"gonum.org/v1/gonum/blas/blas32"
)

// classifier is the name of what a fine-tuned encoder's own classifier says.
const classifier = "classifier"

// fineTuned is an encoder that may bring a classifier.
type fineTuned interface {
	Classifier() *encoder.Classifier
}

// fineTune returns what the encoder's own classifier says of the test samples,
// or nil where it has none, or none that knows the classes of the data.
func (w *work) fineTune(ctx context.Context, l *lab) (*method, error) {
	e, ok := w.options.Encoder.(fineTuned)
	if !ok || e.Classifier() == nil {
		return nil, nil
	}
	c := e.Classifier()
	places := make([]int, len(l.data.Classes))
	for k, class := range l.data.Classes {
		places[k] = slices.IndexFunc(c.Labels, func(label string) bool { return strings.EqualFold(label, class) })
		if places[k] < 0 {
			w.warnings = append(w.warnings, fmt.Sprintf("the encoder's classifier knows no %q, but %s: it is not compared", class, strings.Join(c.Labels, ", ")))
			return nil, nil
		}
	}
	if by := w.config.Data.Aggregate.By; by != "" {
		w.warnings = append(w.warnings, fmt.Sprintf("the encoder's classifier judges images, and those of a %s were made one: it is not compared", by))
		return nil, nil
	}
	x, err := w.raw(ctx, l)
	if err != nil {
		return nil, err
	}
	m := &method{name: classifier, details: make([]string, len(places)), head: &trainer.Head{
		Kind: classifier, Classes: c.Labels, Exclusive: true, Space: l.space,
		W: blas32.General{Rows: len(c.Labels), Cols: x.Cols, Stride: x.Cols, Data: c.Weight}, B: c.Bias,
	}}
	if err := m.score(x); err != nil {
		return nil, err
	}
	m.odds, m.probabilities = columns(m.odds, places), columns(m.probabilities, places)
	for k := range m.details {
		m.details[k] = "the encoder's own, fine-tuned elsewhere"
	}
	return m, nil
}

// raw returns the vectors of the test samples as the tower gave them, where no
// samples were made one.
func (w *work) raw(ctx context.Context, l *lab) (blas32.General, error) {
	return w.options.Cache.Raw(ctx, w.space, pick(pick(w.keys, w.plan.used()), l.test))
}
