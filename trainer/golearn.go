package trainer

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"github.com/sjwhitworth/golearn/base"
	"github.com/sjwhitworth/golearn/knn"
	"github.com/sjwhitworth/golearn/linear_models"
	"gonum.org/v1/gonum/blas/blas32"
)

const (
	// interceptColumn stands in for the intercept that golearn does not pass
	// to LIBLINEAR: the weight of a constant column is penalised, but at 30 its
	// penalty is 1/900 of what it would be at 1.
	interceptColumn = 30
	golearnEpsilon  = 1e-8
)

// golearnLock guards golearn's package state: LIBLINEAR's print hook and the
// logger, which writes to standard output unless told otherwise.
var golearnLock sync.Mutex

// fitGolearn fills the head by golearn's LIBLINEAR (L2-regularised logistic
// regression), each class against the others on the rows whose label is known.
// The objective is that of "logistic" but for the intercept, which is the weight
// of a constant column of 30 here and so is slightly penalised.
//
// The weights are read from LIBLINEAR's own model file, since golearn's Predict
// returns labels only and takes negative features for 0. What golearn panics
// about is returned as an error.
//
// Oracle: "logistic" on the same data (TestGolearnAgrees).
func fitGolearn(ctx context.Context, x blas32.General, y Targets, _ []string, o Options, h *Head) error {
	if y.Exclusive {
		h.Notes = append(h.Notes, "golearn-logistic fits each class against the others: the softmax of its logits is not calibrated")
		y.Exclusive = false
	}
	if o.C == 0 {
		o.C = 1
	}
	tasks, err := newTasks(x, y, nil, o)
	if err != nil {
		return err
	}
	for k, t := range tasks {
		if err := ctx.Err(); err != nil {
			return err
		}
		w, err := t.liblinear(x)
		if err != nil {
			return fmt.Errorf("%q: %w", t.name, err)
		}
		for j, v := range w[:x.Cols] {
			h.W.Data[k*x.Cols+j] = float32(v)
		}
		h.B[k] = float32(interceptColumn * w[x.Cols])
		f := ClassFit{Class: t.name, C: o.C, Lambda: lambdaOf(o.C), Converged: true}
		f.count(t.y)
		h.Fits = append(h.Fits, f)
	}
	return nil
}

// liblinear returns the weights for positive, that of the constant column last.
func (t *task) liblinear(x blas32.General) (weights []float64, err error) {
	defer fence(&err)
	rows, labels := make([][]float64, len(t.rows)), make([]float64, len(t.rows))
	for k, r := range t.rows {
		rows[k] = append(widen(x, r), interceptColumn)
		labels[k] = float64(t.y[k])
	}
	dir, err := os.MkdirTemp("", "medprobe")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "liblinear.model")
	golearnLock.Lock()
	defer golearnLock.Unlock()
	base.SetLoggerOut(io.Discard)
	parameter := linear_models.NewParameter(linear_models.L2R_LR, t.o.C, golearnEpsilon)
	problem := linear_models.NewProblem(rows, labels, 0)
	var pins runtime.Pinner
	defer pins.Unpin()
	pinProblem(&pins, problem)
	model := linear_models.Train(problem, parameter)
	if err := linear_models.Export(model, file); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return readLiblinear(data, x.Cols+1)
}

// pinProblem pins the memory that golearn passes to C: its problem points to Go
// memory that points to Go memory, which the runtime refuses to pass unpinned.
func pinProblem(pins *runtime.Pinner, p *linear_models.Problem) {
	problem := reflect.ValueOf(p).Elem().FieldByName("c_prob")
	pins.Pin(problem.FieldByName("y").UnsafePointer())
	rows := problem.FieldByName("x").UnsafePointer()
	pins.Pin(rows)
	pins.Pin(*(*unsafe.Pointer)(rows)) // the rows lie in one piece
}

// readLiblinear reads the weights of the label 1 from a model of the labels 0
// and 1, of which the first n are wanted.
func readLiblinear(data []byte, n int) ([]float64, error) {
	sign, weights, inWeights := 1.0, []float64(nil), false
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		switch {
		case inWeights && len(fields) == 1:
			w, err := strconv.ParseFloat(fields[0], 64)
			if err != nil {
				return nil, fmt.Errorf("LIBLINEAR's model: %w", err)
			}
			weights = append(weights, sign*w)
		case len(fields) == 3 && fields[0] == "label" && fields[1] == "0":
			sign = -1 // the weights are for the label that stands first
		case len(fields) == 1 && fields[0] == "w":
			inWeights = true
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(weights) < n {
		return nil, fmt.Errorf("LIBLINEAR's model has %d weights: want %d", len(weights), n)
	}
	return weights[:n], nil
}

// GolearnNeighbours returns a score for each row of test from golearn's
// k-nearest-neighbour classifier, trained on the rows of x with labels 1 or 0:
// the share of k = 1, 3, 5, 7, 9 whose majority votes for 1, since one fit gives
// labels only. The scores take six values, so that an AUC of them has many ties.
func GolearnNeighbours(ctx context.Context, x blas32.General, labels []int8, test blas32.General) (scores []float64, err error) {
	defer fence(&err)
	if err := errors.Join(finite(x), finite(test)); err != nil {
		return nil, fmt.Errorf("trainer: golearn neighbours: %w", err)
	}
	if len(labels) != x.Rows || test.Cols != x.Cols {
		return nil, fmt.Errorf("trainer: golearn neighbours: %d labels for %d vectors of %d dimensions, to score vectors of %d: want as many", len(labels), x.Rows, x.Cols, test.Cols)
	}
	known, err := instances(x, labels)
	if err != nil {
		return nil, err
	}
	asked, err := instances(test, make([]int8, test.Rows))
	if err != nil {
		return nil, err
	}
	scores = make([]float64, test.Rows)
	fits := 0.0
	for k := 1; k <= min(9, x.Rows); k += 2 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		// Only the way taken by "euclidean" and "linear" on dense instances
		// prints nothing to standard output.
		classifier := knn.NewKnnClassifier("euclidean", "linear", k)
		if err := classifier.Fit(known); err != nil {
			return nil, err
		}
		answer, err := classifier.Predict(asked)
		if err != nil {
			return nil, err
		}
		for i := range scores {
			if base.GetClass(answer, i) == "1" {
				scores[i]++
			}
		}
		fits++
	}
	for i := range scores {
		scores[i] /= fits
	}
	return scores, nil
}

// instances shows a matrix as golearn sees data: one float attribute per
// dimension, and the label as a category.
func instances(x blas32.General, labels []int8) (*base.DenseInstances, error) {
	class := base.NewCategoricalAttribute()
	class.SetName("label")
	class.GetSysValFromString("0") // so that 0 and 1 have the same codes everywhere
	class.GetSysValFromString("1")
	return instancesOf(x, labels, class)
}

// instancesOf is instances with a label of another kind.
func instancesOf(x blas32.General, labels []int8, class base.Attribute) (*base.DenseInstances, error) {
	data := base.NewDenseInstances()
	specs := make([]base.AttributeSpec, x.Cols)
	for j := range specs {
		specs[j] = data.AddAttribute(base.NewFloatAttribute("x" + strconv.Itoa(j)))
	}
	classSpec := data.AddAttribute(class)
	if err := data.AddClassAttribute(class); err != nil {
		return nil, err
	}
	if err := data.Extend(x.Rows); err != nil {
		return nil, err
	}
	for i := range x.Rows {
		for j, v := range widen(x, i) {
			data.Set(specs[j], i, base.PackFloatToBytes(v))
		}
		data.Set(classSpec, i, class.GetSysValFromString(strconv.Itoa(int(labels[i]))))
	}
	return data, nil
}

// widen returns row i of x in float64.
func widen(x blas32.General, i int) []float64 {
	row := make([]float64, x.Cols, x.Cols+1)
	for j, v := range x.Data[i*x.Stride : i*x.Stride+x.Cols] {
		row[j] = float64(v)
	}
	return row
}

// fence turns a panic, golearn's style of error, into an error.
func fence(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("trainer: golearn gave up: %v", p)
	}
}
