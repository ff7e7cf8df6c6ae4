package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/medprobe/medprobe/evaluate"
	"github.com/medprobe/medprobe/internal/safetensors"
	"github.com/medprobe/medprobe/trainer"
	"gonum.org/v1/gonum/blas/blas32"
)

// driftFile is the reference distribution of a version: what later images are
// compared with.
const driftFile = "reference.safetensors"

// maxReference bounds a reference that is read, in bytes.
const maxReference = 64 << 20

// ErrNoReference says that there is no reference distribution to compare with.
var ErrNoReference = errors.New("no reference distribution")

const whyNoReference = "its test part has fewer than 30 independent patients, its head takes covariates, or it was kept by an earlier medprobe"

// WriteReference writes a reference as safetensors: scores [rows, findings] and
// score.units [rows]; sketch [rows, k], sketch.units [rows], projection [k, dim],
// vector.mean and vector.deviation [dim], if it has vectors; and the rest as JSON
// in the metadata. The same reference gives the same bytes.
func WriteReference(w io.Writer, r *evaluate.Reference) error {
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("registry: reference: %w", err)
	}
	arrays := []safetensors.Array{matrixOf("scores", r.Scores), unitsOf("score.units", r.ScoreUnits)}
	if len(r.Sketch) > 0 {
		arrays = append(arrays, matrixOf("sketch", r.Sketch), unitsOf("sketch.units", r.SketchUnits), matrixOf("projection", r.Projection),
			safetensors.Array{Name: "vector.mean", Shape: []int{len(r.Mean)}, Data: r.Mean},
			safetensors.Array{Name: "vector.deviation", Shape: []int{len(r.Deviation)}, Data: r.Deviation})
	}
	return safetensors.Write(w, arrays, map[string]string{"format": r.Schema, "reference": string(text)})
}

func matrixOf(name string, rows [][]float32) safetensors.Array {
	a := safetensors.Array{Name: name, Shape: []int{len(rows), 0}}
	for _, row := range rows {
		a.Shape[1] = len(row)
		a.Data = append(a.Data, row...)
	}
	return a
}

func unitsOf(name string, units []int) safetensors.Array {
	a := safetensors.Array{Name: name, Shape: []int{len(units)}}
	for _, u := range units {
		a.Data = append(a.Data, float32(u)) // a few hundred: exact
	}
	return a
}

// ReadReference reads what [WriteReference] wrote, and checks it.
func ReadReference(path string) (*evaluate.Reference, error) {
	r, err := readReferenceAt(path)
	if err != nil {
		return nil, fmt.Errorf("registry: reference %s: %w", path, err)
	}
	return r, nil
}

func readReferenceAt(path string) (*evaluate.Reference, error) {
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if info.Size() > maxReference {
		return nil, fmt.Errorf("%d bytes: want at most %d", info.Size(), maxReference)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return readReference(file)
}

// readReference reads a reference distribution that is in memory.
func readReference(file []byte) (*evaluate.Reference, error) {
	f, err := safetensors.Read(driftFile, file)
	if err != nil {
		return nil, err
	}
	r := &evaluate.Reference{}
	metadata := f.Metadata()
	if format := metadata["format"]; format != evaluate.ReferenceSchema {
		return nil, fmt.Errorf("format %q: want %s", format, evaluate.ReferenceSchema)
	}
	if err := json.Unmarshal([]byte(metadata["reference"]), r); err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	for name, into := range map[string]*[][]float32{"scores": &r.Scores, "sketch": &r.Sketch, "projection": &r.Projection} {
		if *into, err = rowsOf(f, name); err != nil {
			return nil, err
		}
	}
	for name, into := range map[string]*[]int{"score.units": &r.ScoreUnits, "sketch.units": &r.SketchUnits} {
		values, err := vectorOf(f, name)
		if err != nil {
			return nil, err
		}
		if *into, err = wholes(name, values); err != nil {
			return nil, err
		}
	}
	for name, into := range map[string]*[]float32{"vector.mean": &r.Mean, "vector.deviation": &r.Deviation} {
		if *into, err = vectorOf(f, name); err != nil {
			return nil, err
		}
	}
	return r, r.Check()
}

// rowsOf reads a matrix by rows, nil where there is none.
func rowsOf(f *safetensors.File, name string) ([][]float32, error) {
	t, ok := f.Tensor(name)
	if !ok {
		return nil, nil
	}
	if len(t.Shape) != 2 || t.Shape[1] == 0 {
		return nil, fmt.Errorf("%s of shape %v: want a matrix", name, t.Shape)
	}
	data, err := f.Float32(name)
	if err != nil {
		return nil, err
	}
	rows := make([][]float32, t.Shape[0])
	for i := range rows {
		rows[i] = data[i*t.Shape[1] : (i+1)*t.Shape[1]]
	}
	return rows, nil
}

// wholes are numbers that count something.
func wholes(name string, values []float32) (numbers []int, err error) {
	for i, v := range values {
		if !(v >= 0 && v < 1<<24) || v != float32(int(v)) {
			return nil, fmt.Errorf("%s: value %d is %v: want a whole number", name, i, v)
		}
		numbers = append(numbers, int(v))
	}
	return numbers, nil
}

func vectorOf(f *safetensors.File, name string) ([]float32, error) {
	t, ok := f.Tensor(name)
	if !ok {
		return nil, nil
	}
	if len(t.Shape) != 1 {
		return nil, fmt.Errorf("%s of shape %v: want a vector", name, t.Shape)
	}
	return f.Float32(name)
}

// reference makes the reference distribution of a run's head, or returns an error
// that wraps [ErrNoReference].
func (r *run) reference() (*evaluate.Reference, error) {
	if r.head.Covariates != nil {
		return nil, fmt.Errorf("%w: the head takes covariates, and vectors alone are not what it sees", ErrNoReference)
	}
	table := r.files[predictionsFile]
	all, err := evaluate.ReadPredictions(bytes.NewReader(table), int64(len(table)))
	if err != nil {
		return nil, err
	}
	var rows []evaluate.Prediction
	samples := map[string]bool{}
	for _, row := range all {
		if row.Method == r.head.Kind {
			rows = append(rows, row)
			samples[row.ID] = true
		}
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("no predictions of %q", r.head.Kind)
	}
	var vectors [][]float32
	var at []int
	if sample, ok := r.files[sampleFile]; ok { // runs of an earlier medprobe have none
		if vectors, at, err = sampled(sample, len(samples)); err != nil {
			return nil, fmt.Errorf("%s: %w", sampleFile, err)
		}
	}
	made, err := evaluate.NewReference(r.report, r.head.Kind, rows, vectors, at)
	if errors.Is(err, evaluate.ErrTooFew) {
		return nil, fmt.Errorf("%w: %w", ErrNoReference, err)
	}
	if err != nil {
		return nil, err
	}
	return made, r.fits(rows, vectors, at)
}

// fits returns an error unless the head gives the vectors the scores that the
// predictions hold for their samples.
func (r *run) fits(rows []evaluate.Prediction, vectors [][]float32, at []int) error {
	if len(vectors) == 0 {
		return nil
	}
	x := blas32.General{Rows: len(vectors), Cols: len(vectors[0]), Stride: len(vectors[0])}
	for _, v := range vectors {
		x.Data = append(x.Data, v...)
	}
	p, err := r.head.Probabilities(x)
	if err != nil {
		return err
	}
	classes := len(r.head.Classes)
	for i, s := range at {
		for k := range classes {
			// Rows list the samples in order, the findings of each in theirs.
			if s*classes+k >= len(rows) {
				return fmt.Errorf("%s: a vector of sample %d: there are %d", sampleFile, s, len(rows)/classes)
			}
			if got, want := p.Data[i*classes+k], rows[s*classes+k].Probability; !(got-want <= sampleTolerance && want-got <= sampleTolerance) {
				return fmt.Errorf("%s: vector %d: the head gives %q %.7f, %s says %.7f: the files are not of one run", sampleFile, i, r.head.Classes[k], got, predictionsFile, want)
			}
		}
	}
	return nil
}

// sampled reads the vectors that a run kept of its n test samples, if they are of
// whole units, and the numbers of the samples.
func sampled(file []byte, n int) (vectors [][]float32, at []int, err error) {
	f, err := safetensors.Read(sampleFile, file)
	if err != nil {
		return nil, nil, err
	}
	if vectors, err = rowsOf(f, "vectors"); err != nil {
		return nil, nil, err
	}
	numbers, err := vectorOf(f, "rows")
	if err != nil {
		return nil, nil, err
	}
	switch {
	case len(numbers) == len(vectors):
		if at, err = wholes("rows", numbers); err != nil {
			return nil, nil, err
		}
	case numbers == nil && len(vectors) == n: // an earlier medprobe's, and all of them
		for i := range vectors {
			at = append(at, i)
		}
	case numbers == nil:
		return nil, nil, nil
	default:
		return nil, nil, fmt.Errorf("%d vectors and %d numbers: want as many", len(vectors), len(numbers))
	}
	return vectors, at, nil
}

// addReference puts the reference distribution among the run's files, where there
// can be one.
func (r *run) addReference() error {
	made, err := r.reference()
	if errors.Is(err, ErrNoReference) {
		return nil
	}
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := WriteReference(&b, made); err != nil {
		return err
	}
	r.files[driftFile] = b.Bytes()
	return nil
}

// runReference makes the reference distribution of a head of a run's folder. An
// error that wraps [ErrNoReference] says that there can be none.
func runReference(dir, head string) (*trainer.Head, *evaluate.Reference, error) {
	r, err := readRun(dir, head)
	if err != nil {
		return nil, nil, fmt.Errorf("registry: run %s: %w", dir, err)
	}
	made, err := r.reference()
	if err != nil {
		return nil, nil, fmt.Errorf("registry: run %s: %w", dir, err)
	}
	return r.head, made, nil
}

// HasReference says whether the version holds a reference distribution.
func (v *Version) HasReference() bool {
	_, ok := v.Document.file(driftFile)
	return ok
}

// Reference returns a version's reference distribution after checking its bytes.
// An error that wraps [ErrNoReference] says that it holds none.
func (r *Registry) Reference(v *Version) (*evaluate.Reference, error) {
	if !v.HasReference() {
		return nil, fmt.Errorf("registry: %s: %w: %s", v.Reference(), ErrNoReference, whyNoReference)
	}
	file, err := r.File(v, driftFile)
	if err != nil {
		return nil, err
	}
	made, err := readReference(file)
	if err != nil {
		return nil, fmt.Errorf("registry: %s: %s: %w", v.Reference(), driftFile, err)
	}
	return made, nil
}

// withReference adds a version's reference distribution to the files of an
// export, and the head that it is of.
func (r *Registry) withReference(v *Version, files map[string][]byte) (_ map[string][]byte, err error) {
	if !v.HasReference() {
		return files, nil
	}
	if files[driftFile], err = r.File(v, driftFile); err != nil {
		return nil, err
	}
	files[headFile], err = r.File(v, headFile)
	return files, err
}
