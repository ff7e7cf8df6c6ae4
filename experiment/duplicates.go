package experiment

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/evaluate"
	"gonum.org/v1/gonum/blas/blas32"
)

const (
	// sameVector is the squared distance of two vectors below which their images
	// may be the same pixels: batches of other sizes add in another order.
	sameVector = 1e-8
	// maxDecoded bounds how many pairs are decoded to see whether they are.
	maxDecoded = 1000
	// shownPairs is how many nearly identical pairs a report shows, thumbPixels
	// how large.
	shownPairs  = 8
	thumbPixels = 96
)

// NearDuplicates says when images in train and test are nearly the same.
type NearDuplicates struct {
	// Cosine is the least cosine of their vectors; default 0.999.
	Cosine float64 `yaml:"cosine"`
	// Thumbnails says whether the report shows them: "yes" (the default) or "no".
	Thumbnails string `yaml:"thumbnails"`
}

func (n NearDuplicates) check() error {
	var errs []error
	if !(n.Cosine >= 0.9 && n.Cosine <= 1) {
		errs = append(errs, fmt.Errorf("near_duplicates: cosine %v: want 0.9 to 1", n.Cosine))
	}
	if t := n.Thumbnails; t != "" && t != "yes" && t != "no" {
		errs = append(errs, fmt.Errorf("near_duplicates: thumbnails %q: want yes or no", t))
	}
	return errors.Join(errs...)
}

// twin is a sample of train and one of test with nearly the same vector, by
// their numbers in the dataset.
type twin struct {
	train, test int
	cosine      float64
}

// twins returns the pairs of rows of x, one in each list, whose cosine is at
// least least, the closest first. The rows have length one.
//
// Vectors that are near one another are near on every axis: test is sorted along
// the axis on which the vectors spread most, a window of it is looked at for
// each row of train, and a distance is given up as soon as it is too great. So
// every pair is found, without every pair being measured.
func twins(ctx context.Context, x blas32.General, train, test []int, least float64) ([]twin, error) {
	limit := 2 * (1 - least)
	width := math.Sqrt(limit) + 1e-6
	axis := mainAxis(x)
	place := func(i int) float64 { return dot(axis, row(x, i)) }
	type placed struct {
		index int
		at    float64
	}
	sorted := make([]placed, len(test))
	for k, i := range test {
		sorted[k] = placed{i, place(i)}
	}
	slices.SortFunc(sorted, func(a, b placed) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.index, b.index)) })
	var found []twin
	for _, i := range train {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		at, a := place(i), row(x, i)
		from := sort.Search(len(sorted), func(k int) bool { return sorted[k].at >= at-width })
		for _, p := range sorted[from:] {
			if p.at > at+width {
				break
			}
			if d := distance(a, row(x, p.index), limit); d <= limit {
				found = append(found, twin{i, p.index, 1 - d/2})
			}
		}
	}
	slices.SortStableFunc(found, func(a, b twin) int {
		return cmp.Or(-cmp.Compare(a.cosine, b.cosine), cmp.Compare(a.train, b.train), cmp.Compare(a.test, b.test))
	})
	return found, nil
}

func dot(axis []float64, v []float32) float64 {
	sum := 0.0
	for k, w := range axis {
		sum += w * float64(v[k])
	}
	return sum
}

// distance returns the squared distance, or something above limit if it is.
func distance(a, b []float32, limit float64) float64 {
	sum := 0.0
	for k := 0; k < len(a) && sum <= limit; k += 8 {
		for j := k; j < min(k+8, len(a)); j++ {
			d := float64(a[j]) - float64(b[j])
			sum += d * d
		}
	}
	return sum
}

// mainAxis returns, of length one, about the axis on which up to 1,000 of the
// rows spread most, by power iteration.
func mainAxis(x blas32.General) []float64 {
	step := max(1, x.Rows/1000)
	mean := make([]float64, x.Cols)
	n := 0
	for i := 0; i < x.Rows; i += step {
		for k, v := range row(x, i) {
			mean[k] += float64(v)
		}
		n++
	}
	axis := make([]float64, x.Cols)
	for k := range mean {
		mean[k] /= float64(max(1, n))
		axis[k] = 1 / math.Sqrt(float64(x.Cols)) * float64(1-2*(k%2))
	}
	for range 8 {
		next := make([]float64, x.Cols)
		for i := 0; i < x.Rows; i += step {
			v := row(x, i)
			along := 0.0
			for k := range axis {
				along += axis[k] * (float64(v[k]) - mean[k])
			}
			for k := range next {
				next[k] += along * (float64(v[k]) - mean[k])
			}
		}
		norm := 0.0
		for _, v := range next {
			norm += v * v
		}
		if norm == 0 {
			break // all rows are alike
		}
		for k := range next {
			axis[k] = next[k] / math.Sqrt(norm)
		}
	}
	return axis
}

// lookForTwins finds images of train and test that are nearly the same, and
// among them those that are the same pixels.
func (w *work) lookForTwins(ctx context.Context) (pixels [][sha256.Size]byte, err error) {
	rows := w.plan.used()
	var train, test []int
	for k, i := range rows {
		if w.plan[i].part != testPart {
			train = append(train, k)
		} else {
			test = append(test, k)
		}
	}
	x, err := w.options.Cache.Matrix(ctx, w.space, pick(w.keys, rows))
	if err != nil {
		return nil, err
	}
	if w.twins, err = twins(ctx, x, train, test, w.config.NearDuplicates.Cosine); err != nil {
		return nil, err
	}
	pixels = make([][sha256.Size]byte, len(w.data.Samples))
	for k := range w.twins {
		t := &w.twins[k]
		t.train, t.test = rows[t.train], rows[t.test]
		if 2*(1-t.cosine) > sameVector || k >= maxDecoded {
			continue
		}
		for _, i := range []int{t.train, t.test} {
			if pixels[i] != [sha256.Size]byte{} {
				continue
			}
			// What cannot be decoded any more stays a near-duplicate.
			if img, err := w.data.Image(ctx, i); err == nil {
				pixels[i] = datasets.PixelDigest(img)
			}
		}
	}
	return pixels, nil
}

// nearDuplicates describes the pairs that are left when leaks are closed.
func (w *work) nearDuplicates(ctx context.Context) *evaluate.NearDuplicates {
	left := slices.DeleteFunc(slices.Clone(w.twins), func(t twin) bool {
		return w.plan[t.train].part == unusedPart || w.plan[t.test].part != testPart
	})
	if len(left) == 0 {
		return nil
	}
	tested := map[int]bool{}
	for _, t := range left {
		tested[t.test] = true
	}
	n := &evaluate.NearDuplicates{Cosine: w.config.NearDuplicates.Cosine, Pairs: len(left), TestSamples: len(tested)}
	for _, t := range left[:min(shownPairs, len(left))] {
		pair := evaluate.Pair{Cosine: t.cosine}
		if w.config.NearDuplicates.Thumbnails != "no" {
			pair.Train, pair.Test = thumbnail(ctx, w.data, t.train), thumbnail(ctx, w.data, t.test)
		}
		n.Shown = append(n.Shown, pair)
	}
	w.warnings = append(w.warnings, fmt.Sprintf("%d of the test samples are nearly the same as one in train (cosine of at least %v): if they are the same patient, figures are too good", len(tested), n.Cosine))
	return n
}

// thumbnail returns a small PNG, or nil where the image cannot be had any more, and of
// vectors that were made elsewhere.
func thumbnail(ctx context.Context, d *datasets.Dataset, i int) []byte {
	img, err := d.Image(ctx, i)
	if err != nil {
		return nil
	}
	thumb, err := datasets.Thumbnail(img, thumbPixels)
	if err != nil {
		return nil
	}
	return thumb
}
