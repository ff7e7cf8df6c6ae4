package datasets

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/medprobe/medprobe/internal/npy"
)

// The usual names of the arrays of an npz with ready vectors.
var (
	vectorArrays = []string{"embeddings", "emb", "features", "X", "x"}
	idArrays     = []string{"ids", "id", "keys"}
	labelArrays  = []string{"labels", "label", "y"}
	ownerArrays  = []string{"patients", "patient", "groups", "subjects"}
	partArrays   = []string{"splits", "split"}
)

// readNPZ reads vectors that were made elsewhere: an npz with an array [n, D]
// called embeddings (emb, features, X, or as spec.Embeddings says) and labels
// [n] or [n, classes]; ids, patients and split may be there too. Or an array
// [D] for each id, and labels in the table that spec.Table names, keyed by id.
// Nothing can check which encoder made them: the user vouches for it.
func readNPZ(ctx context.Context, d *Dataset, s Spec) error {
	archive, err := npy.OpenArchive(s.Path)
	if err != nil {
		return fmt.Errorf("datasets: npz: %w", err)
	}
	defer archive.Close()
	store := &vectors{}
	d.files = store
	name := cmp.Or(s.Embeddings, firstOf(archive.Names(), vectorArrays))
	if name == "" {
		err = d.readNamedVectors(ctx, archive, store, s)
	} else {
		err = d.readVectorArrays(archive, store, name, s)
	}
	if err != nil {
		return fmt.Errorf("datasets: npz %s: %w", s.Path, err)
	}
	return nil
}

// vectors holds ready vectors by row.
type vectors struct {
	data  []float32
	width int
}

func (v *vectors) read(s Source) (Content, error) {
	if s.Row < 0 || (s.Row+1)*v.width > len(v.data) {
		return Content{}, fmt.Errorf("no vector %d", s.Row)
	}
	return Content{vector: v.data[s.Row*v.width : (s.Row+1)*v.width]}, nil
}

func (v *vectors) Close() error { return nil }

// add keeps a vector, which must be as long as the first, and returns its row.
func (v *vectors) add(vector []float32) (row int, err error) {
	if v.width != 0 && len(vector) != v.width {
		return 0, fmt.Errorf("%d values, the first has %d", len(vector), v.width)
	}
	if err := finite(vector); err != nil {
		return 0, err
	}
	v.width, v.data = len(vector), append(v.data, vector...)
	return len(v.data)/v.width - 1, nil
}

func (d *Dataset) readVectorArrays(archive *npy.Archive, store *vectors, name string, s Spec) error {
	a, err := archive.Read(name)
	if err != nil {
		return err
	}
	if len(a.Shape) != 2 || a.Shape[1] == 0 {
		return fmt.Errorf("%s has shape %v: want [n, D]", name, a.Shape)
	}
	if store.data, err = a.Float32(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	n := a.Shape[0]
	store.width = a.Shape[1]
	ids, err := textsOf(archive, idArrays, n, name)
	if err != nil {
		return err
	}
	patients, err := textsOf(archive, ownerArrays, n, name)
	if err != nil {
		return err
	}
	parts, err := textsOf(archive, partArrays, n, name)
	if err != nil {
		return err
	}
	var kept []int
	for i := range n {
		id := cmp.Or(ids[i], fmt.Sprintf("row %09d", i))
		if err := finite(store.data[i*store.width : (i+1)*store.width]); err != nil {
			d.exclude(id, "%v", err)
			continue
		}
		kept = append(kept, i)
		d.Samples = append(d.Samples, Sample{ID: id, Patient: patients[i], Split: splitName(parts[i]), Source: Source{Path: filepath.Base(s.Path), Member: name, Row: i}})
	}
	return d.labelVectors(archive, kept, n, s)
}

// textsOf reads the array with one of the usual names: a text for each of the n rows
// of the array beside; empty ones where there is none.
func textsOf(archive *npy.Archive, usual []string, n int, beside string) ([]string, error) {
	member := firstOf(archive.Names(), usual)
	if member == "" {
		return make([]string, n), nil
	}
	a, err := archive.Read(member)
	if err != nil {
		return nil, err
	}
	texts, err := a.Strings()
	if err == nil && (len(a.Shape) != 1 || len(texts) != n) {
		err = fmt.Errorf("shape %v: want [%d], as %s has rows", a.Shape, n, beside)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", member, err)
	}
	return texts, nil
}

// finite returns an error unless the vector has a direction.
func finite(v []float32) error {
	zero := true
	for k, x := range v {
		if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
			return fmt.Errorf("value %d of the vector is %v", k, x)
		}
		zero = zero && x == 0
	}
	if zero {
		return fmt.Errorf("the vector is zero")
	}
	return nil
}

// labelVectors reads the array of labels: class numbers or names [n], or
// [n, classes] of 1, 0 and -1.
func (d *Dataset) labelVectors(archive *npy.Archive, kept []int, n int, s Spec) error {
	member := cmp.Or(s.Label, firstOf(archive.Names(), labelArrays))
	if member == "" {
		return fmt.Errorf("no array of labels (%s); name it under label", strings.Join(archive.Names(), ", "))
	}
	a, err := archive.Read(member)
	if err != nil {
		return err
	}
	if len(a.Shape) < 1 || len(a.Shape) > 2 || a.Shape[0] != n {
		return fmt.Errorf("%s has shape %v: want [%d] or [%d, classes]", member, a.Shape, n, n)
	}
	texts, err := a.Strings()
	if err != nil {
		return fmt.Errorf("%s: %w", member, err)
	}
	if len(a.Shape) == 1 || a.Shape[1] == 1 {
		names := make([]string, len(kept))
		for k, i := range kept {
			names[k] = texts[i]
		}
		return d.labelByNames(names, s)
	}
	width := a.Shape[1]
	classes := s.Classes
	if len(classes) == 0 {
		classes = numbered(width)
	}
	if len(classes) != width {
		return fmt.Errorf("%d class names for %d labels a row", len(classes), width)
	}
	d.labelByFinding(classes)
	for k, i := range kept {
		labels := make([]Label, width)
		for c := range width {
			if labels[c], err = parseLabel(texts[i*width+c]); err != nil {
				return fmt.Errorf("%s, row %d: %s = %w", member, i+1, classes[c], err)
			}
		}
		d.Samples[k].Labels = labels
	}
	return nil
}

// readNamedVectors reads an array for each id; of several vectors, [tokens, D],
// the mean.
func (d *Dataset) readNamedVectors(ctx context.Context, archive *npy.Archive, store *vectors, s Spec) error {
	if s.Table == "" {
		return fmt.Errorf("no array %s: for an array per id, name the table of their labels with table: (arrays: %s)", strings.Join(vectorArrays, ", "), strings.Join(archive.Names()[:min(8, len(archive.Names()))], ", "))
	}
	labels, err := labelsByKey(ctx, s, s.Table, func(t *table) (int, error) {
		key, err := t.find("id", s.ID, append([]string{"id", "ids", "key"}, imageColumns...))
		if err != nil || key < 0 {
			return key, fmt.Errorf("no column of ids; name it with id: (columns: %s)", strings.Join(t.header, ", "))
		}
		return key, nil
	})
	if err != nil {
		return err
	}
	d.labelBy(labels.Dataset)
	d.sayFindings(s, labels.findings)
	d.Excluded, d.Attributes = append(d.Excluded, labels.Excluded...), labels.Attributes
	known := map[string]bool{}
	for _, name := range archive.Names() {
		known[name] = true
	}
	for _, sample := range labels.Samples {
		if !known[sample.ID] {
			d.exclude(cmp.Or(sample.ID, strconv.Itoa(sample.line)), "the archive holds no array of this name")
			continue
		}
		vector, err := meanVector(archive, sample.ID)
		if err == nil {
			sample.Source = Source{Path: filepath.Base(s.Path), Member: "vectors"}
			sample.Source.Row, err = store.add(vector)
		}
		if err != nil {
			d.exclude(sample.ID, "%v", err)
			continue
		}
		d.Samples = append(d.Samples, sample)
	}
	return nil
}

func meanVector(archive *npy.Archive, name string) ([]float32, error) {
	a, err := archive.Read(name)
	if err != nil {
		return nil, err
	}
	all, err := a.Float64()
	if err != nil {
		return nil, err
	}
	if len(a.Shape) < 1 || len(a.Shape) > 2 || len(all) == 0 {
		return nil, fmt.Errorf("shape %v: want [D] or [tokens, D]", a.Shape)
	}
	width := a.Shape[len(a.Shape)-1]
	mean := make([]float32, width)
	for k := range mean {
		sum := 0.0
		for i := k; i < len(all); i += width {
			sum += all[i]
		}
		mean[k] = float32(sum / float64(len(all)/width))
	}
	return mean, nil
}
