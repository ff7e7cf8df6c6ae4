package trainer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"

	"github.com/sjwhitworth/golearn/base"
	"github.com/sjwhitworth/golearn/trees"
	"gonum.org/v1/gonum/blas/blas32"
)

// Golearn fits any classifier of golearn on the rows of x, n×D, with labels 1 or
// 0, and returns for each row of test whether it was called 1. The vectors are
// given as float attributes x0, x1, … and the label as a category. What golearn
// panics about is returned as an error. What a classifier draws from golearn's
// own randomness differs from run to run, which no seed can change.
func Golearn(ctx context.Context, classifier base.Classifier, x blas32.General, labels []int8, test blas32.General) (called []bool, err error) {
	defer fence(&err)
	known, asked, err := golearnData(ctx, x, labels, test)
	if err != nil {
		return nil, err
	}
	golearnLock.Lock()
	defer golearnLock.Unlock()
	base.SetLoggerOut(io.Discard)
	if err := classifier.Fit(known); err != nil {
		return nil, fmt.Errorf("trainer: golearn: fit: %w", err)
	}
	answer, err := classifier.Predict(asked)
	if err != nil {
		return nil, fmt.Errorf("trainer: golearn: predict: %w", err)
	}
	if _, rows := answer.Size(); rows != test.Rows {
		return nil, fmt.Errorf("trainer: golearn: %d answers for %d vectors", rows, test.Rows)
	}
	for i := range test.Rows {
		called = append(called, base.GetClass(answer, i) == "1")
	}
	return called, nil
}

// golearnData checks the rows and shows them as golearn sees data.
func golearnData(ctx context.Context, x blas32.General, labels []int8, test blas32.General) (known, asked *base.DenseInstances, err error) {
	if err := errors.Join(ctx.Err(), finite(x), finite(test)); err != nil {
		return nil, nil, fmt.Errorf("trainer: golearn: %w", err)
	}
	if len(labels) != x.Rows || test.Cols != x.Cols {
		return nil, nil, fmt.Errorf("trainer: golearn: %d labels for %d vectors of %d dimensions, to score vectors of %d: want as many", len(labels), x.Rows, x.Cols, test.Cols)
	}
	counts := [2]int{}
	for i, v := range labels {
		if v != Positive && v != Negative {
			return nil, nil, fmt.Errorf("trainer: golearn: row %d: label %d: want 1 or 0", i, v)
		}
		counts[v]++
	}
	if counts[0] == 0 || counts[1] == 0 {
		return nil, nil, fmt.Errorf("trainer: golearn: %w", oneSided("finding", counts[1], counts[0]))
	}
	if known, err = instances(x, labels); err != nil {
		return nil, nil, err
	}
	asked, err = instances(test, make([]int8, test.Rows))
	return known, asked, err
}

const (
	forestTrees = 100
	forestDepth = 8
)

// GolearnForest returns the share of votes for 1 that each row of test gets from
// a random forest: 100 of golearn's CART trees, each on as many rows as there
// are, drawn with replacement within their class, and on √D dimensions. The
// draws are ours, since golearn's own forest cannot be given a seed: the same
// rows and seed give the same scores. A tree takes time that grows with n².
//
// Source: Breiman, Machine Learning 45 (2001) 5–32, with the dimensions drawn by
// tree and not by node (Ho, IEEE TPAMI 20 (1998) 832–844).
func GolearnForest(ctx context.Context, x blas32.General, labels []int8, test blas32.General, seed uint64) (scores []float64, err error) {
	defer fence(&err)
	if _, _, err := golearnData(ctx, x, labels, test); err != nil {
		return nil, err
	}
	scores = make([]float64, test.Rows)
	return scores, growForest(ctx, x, labels, seed, func(tree *trees.CARTDecisionTreeClassifier, dims []int) error {
		asked := blas32.General{Rows: test.Rows, Cols: len(dims), Stride: len(dims)}
		for i := range test.Rows {
			asked.Data = appendDims(asked.Data, test, i, dims)
		}
		unknown, err := instancesOf(asked, make([]int8, asked.Rows), base.NewFloatAttribute("label"))
		if err != nil {
			return err
		}
		for i, vote := range tree.Predict(unknown) {
			scores[i] += float64(vote) / forestTrees
		}
		return nil
	})
}

// growForest lets golearn grow the trees, and do see each with its dimensions.
func growForest(ctx context.Context, x blas32.General, labels []int8, seed uint64, do func(tree *trees.CARTDecisionTreeClassifier, dims []int) error) (err error) {
	defer fence(&err)
	var rows [2][]int
	for i, v := range labels {
		rows[v] = append(rows[v], i)
	}
	label := base.NewFloatAttribute("label") // as golearn's CART wants it
	random := rand.New(rand.NewPCG(seed, 0))
	for range forestTrees {
		if err := ctx.Err(); err != nil {
			return err
		}
		dims := random.Perm(x.Cols)[:int(math.Ceil(math.Sqrt(float64(x.Cols))))]
		some, drawn := blas32.General{Rows: x.Rows, Cols: len(dims), Stride: len(dims)}, []int8(nil)
		for class, from := range rows {
			for range from {
				some.Data = appendDims(some.Data, x, from[random.IntN(len(from))], dims)
				drawn = append(drawn, int8(class))
			}
		}
		known, err := instancesOf(some, drawn, label)
		if err != nil {
			return err
		}
		tree := trees.NewDecisionTreeClassifier(trees.GINI, forestDepth, []int64{0, 1})
		if err := tree.Fit(known); err != nil {
			return fmt.Errorf("trainer: golearn forest: %w", err)
		}
		if err := do(tree, dims); err != nil {
			return err
		}
	}
	return nil
}

func appendDims(to []float32, x blas32.General, row int, dims []int) []float32 {
	for _, j := range dims {
		to = append(to, x.Data[row*x.Stride+j])
	}
	return to
}
