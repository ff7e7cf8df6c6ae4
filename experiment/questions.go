package experiment

import (
	"context"
	"fmt"
	"math"

	"github.com/medprobe/medprobe/internal/vec"
	"gonum.org/v1/gonum/blas/blas32"
)

// questions are the texts of every class as vectors, and how a score is made of
// their cosines with an image.
type questions struct {
	score       Score
	classes     []string
	exclusive   bool
	scale, bias float64
	// positive and negative hold the vectors of each class's texts, one where
	// they were averaged; negative is nil where the score has no use for it.
	positive, negative [][][]float32
}

// newQuestions checks the prompts as [newPrior] does and encodes their texts.
func newQuestions(ctx context.Context, enc TextEncoder, classes []string, exclusive bool, prompts Prompts, score Score) (*questions, error) {
	score, err := prompts.scoreFor(classes, exclusive, score)
	if err != nil {
		return nil, fmt.Errorf("experiment: prompts: %w", err)
	}
	q := &questions{score: score, classes: classes, exclusive: exclusive, scale: enc.LogitScale(), bias: enc.LogitBias()}
	if q.scale == 0 && score != ScoreDifference {
		return nil, errNoScale
	}
	for _, class := range classes {
		p := prompts[class]
		side, err := sideOf(ctx, enc, p.Positive, p.Ensemble)
		if err != nil {
			return nil, fmt.Errorf("experiment: prompts: %s: %w", class, err)
		}
		q.positive = append(q.positive, side)
		if score != ScorePair && score != ScoreDifference {
			continue
		}
		if side, err = sideOf(ctx, enc, p.Negative, p.Ensemble); err != nil {
			return nil, fmt.Errorf("experiment: prompts: %s: %w", class, err)
		}
		q.negative = append(q.negative, side)
	}
	return q, nil
}

var errNoScale = fmt.Errorf("experiment: prompts: the encoder's export does not say by what the cosine is scaled in a logit: write logit_scale and logit_bias into its medprobe.yaml and import it again, or ask for the score %s", ScoreDifference)

// sideOf returns the vectors of the texts of one side.
func sideOf(ctx context.Context, enc TextEncoder, texts []string, ensemble Ensemble) ([][]float32, error) {
	if ensemble == EnsembleMax {
		return unitTexts(ctx, enc, texts)
	}
	one, err := oneText(ctx, enc, texts, ensemble)
	return [][]float32{one}, err
}

// cosine is the greatest product of a vector of the image and one of the texts.
// An image may have several vectors, and each side looks at the one that suits
// it best (ELIXR, Xu et al., arXiv 2308.01317).
func cosine(image, texts [][]float32) float64 {
	best := math.Inf(-1)
	for _, x := range image {
		for _, t := range texts {
			best = max(best, product(x, t))
		}
	}
	return best
}

func product(a, b []float32) float64 {
	sum := 0.0
	for i, v := range a {
		sum += float64(v) * float64(b[i])
	}
	return sum
}

// ask scores the images for every class. The formulas are those of [Score]; a
// difference is no probability, and then there are none.
func (q *questions) ask(images [][][]float32) *method {
	n := len(q.classes)
	m := &method{name: zeroShot, odds: matrix64(len(images), n)}
	for range q.classes {
		m.details = append(m.details, "score: "+string(q.score))
	}
	if q.score != ScoreDifference {
		m.probabilities = matrix64(len(images), n)
	}
	for i, image := range images {
		odds := m.odds.Data[i*n : (i+1)*n]
		for c := range q.classes {
			cos := cosine(image, q.positive[c])
			switch q.score {
			case ScorePair:
				odds[c] = q.scale * (cos - cosine(image, q.negative[c]))
			case ScoreDifference:
				odds[c] = cos - cosine(image, q.negative[c])
			case ScoreSigmoid:
				odds[c] = q.scale*cos + q.bias
			default:
				odds[c] = q.scale * cos
			}
		}
		if q.score == ScoreSoftmax && n > 1 {
			toLogOdds(odds)
		}
		if m.probabilities.Data != nil {
			for c, z := range odds {
				m.probabilities.Data[i*n+c] = 1 / (1 + math.Exp(-z))
			}
		}
	}
	return m
}

// toLogOdds turns logits of classes that exclude one another into the log-odds
// of each against the others: z − log Σ exp of the others.
func toLogOdds(z []float64) {
	odds := make([]float64, len(z))
	for c := range z {
		top := math.Inf(-1)
		for k, v := range z {
			if k != c {
				top = max(top, v)
			}
		}
		sum := 0.0
		for k, v := range z {
			if k != c {
				sum += math.Exp(v - top)
			}
		}
		odds[c] = z[c] - top - math.Log(sum)
	}
	copy(z, odds)
}

// tokens returns the vectors of the images to test on, each of length one:
// several for an image where the encoder gives several and the images of a
// patient were not made one.
func (w *work) tokens(ctx context.Context, l *lab) ([][][]float32, error) {
	if w.space.Tokens <= 1 || w.config.Data.Aggregate.By != "" {
		return rowsOf(l.testX, 1)
	}
	raw, err := w.raw(ctx, l)
	if err != nil {
		return nil, err
	}
	return rowsOf(raw, w.space.Tokens)
}

// rowsOf cuts every row into its vectors and brings them to length one.
func rowsOf(x blas32.General, tokens int) ([][][]float32, error) {
	images := make([][][]float32, x.Rows)
	dim := x.Cols / tokens
	for i := range images {
		for k := range tokens {
			v := make([]float32, dim)
			if err := vec.Unit(v, x.Data[i*x.Stride+k*dim:i*x.Stride+(k+1)*dim]); err != nil {
				return nil, fmt.Errorf("experiment: vector %d of test image %d: %w", k+1, i+1, err)
			}
			images[i] = append(images[i], v)
		}
	}
	return images, nil
}
